"""How fast unitary matrices learn a unitary target, and dense forms of the steps (kiani2022projunn).

In the toy problem U learns U_tar from pairs (x, U_tar x) by the mean squared error. Its gradient is G = (U − U_tar) C,
with C the second moment of the inputs (torch's ``.grad`` of a complex loss is twice that). With C = I, and small steps
along the tangent part of −G, the eigenvectors of Uᴴ U_tar stay fixed, and every eigenphase φ moves on its own,
φ' = −sin φ, with time t = learning rate × step:

    tan(φ(t) / 2) = e^{−t} tan(φ(0) / 2),    ‖U − U_tar‖²_F / 2n = mean over eigenphases of 1 − cos φ(t).

From a Haar-distributed start the phases are uniform on the circle and the mean is 1 − tanh(t / 2). Rank-k steps on
batches follow the same curve at f_k t. The derivation is ours; the book measures whether it holds. f_k has no closed
form here: for inputs drawn anew in batches of B it is close to k / B while k is well below B.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssltheory.unitary import nearest_unitary


def remaining(t: Tensor | float) -> Tensor:
    """‖U − U_tar‖²_F / 2n at time t from a Haar start, for large n: 1 − tanh(t / 2).

    Examples:
        >>> round(remaining(0.0).item(), 4), round(remaining(math.log(3)).item(), 4)
        (1.0, 0.5)
    """
    return 1 - torch.tanh(torch.as_tensor(t) / 2)


def effective_time(loss: Tensor) -> Tensor:
    """The inverse of ``remaining``, the time at which the loss has a value: 2 artanh(1 − loss).

    Examples:
        >>> round(effective_time(torch.tensor(0.5)).exp().item(), 4)  # remaining(log 3) = 0.5
        3.0
    """
    return 2 * torch.atanh(1 - loss)


def speed(t: Tensor, loss: Tensor, above: float = 0.05) -> Tensor:
    """f in loss(t) ≈ 1 − tanh(f t / 2), by least squares of the effective time through the origin.

    Args:
        t: ``(T,)``.
        loss: ``(..., T)``.
        above: losses below it, where noise dominates, are left out.

    Returns:
        ``(...)``.

    Examples:
        >>> t = torch.linspace(0, 5, 6)
        >>> round(speed(t, remaining(0.3 * t)).item(), 4)
        0.3
    """
    seen = loss > above
    t_effective = torch.where(seen, effective_time(loss.clamp(min=above)), 0.0)
    return (t * t_effective).sum(-1) / (t.square() * seen).sum(-1)


def flow(w: Tensor, t: float) -> Tensor:
    """W(t) = U_tarᴴ U(t) from W(0): [(1 − s) I + (1 + s) W] [(1 + s) I + (1 − s) W]⁻¹ with s = e^{−t}.

    It is the motion of the eigenphases above, without eigenvectors. The loss is 1 − Re tr W(t) / n.

    Args:
        w: W(0), ``(..., n, n)``, unitary.
        t: learning rate × step.

    Returns:
        ``(..., n, n)``.

    Examples:
        >>> w = torch.tensor([[1j]])  # a phase of 90°
        >>> w_t = flow(w, math.log(3) / 2)  # tan(φ/2) shrinks from 1 to 1/√3
        >>> round(w_t.angle().rad2deg().item(), 3)
        60.0
    """
    s, eye = math.exp(-t), torch.eye(w.shape[-1], dtype=w.dtype, device=w.device)
    return torch.linalg.solve((1 + s) * eye + (1 - s) * w, (1 - s) * eye + (1 + s) * w)


def remaining_from(w: Tensor, t: Sequence[float]) -> Tensor:
    """What is left as in ``remaining``, but from the given start W(0) = U_tarᴴ U(0): ``(..., n, n) -> (..., T)``.

    Examples:
        >>> w = torch.tensor([[1j]])  # a phase of 90°, and of 60° after log √3
        >>> [round(loss, 4) for loss in remaining_from(w, [0.0, math.log(3) / 2]).tolist()]  # 1 − cos φ
        [1.0, 0.5]
    """
    traces = [flow(w, time).diagonal(0, -2, -1).real.mean(-1) for time in t]
    return 1 - torch.stack(traces, -1)


def dense_d(u: Tensor, delta: Tensor) -> Tensor:
    """projUNN-D for any step Δ by a singular value decomposition, O(n³).

    Examples:
        >>> u = torch.eye(2)
        >>> dense_d(u, torch.tensor([[1.0, 0.0], [0.0, -3.0]])).round().abs().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        >>> round(dense_d(torch.tensor([[1 + 0j]]), torch.tensor([[1j]])).angle().rad2deg().item(), 3)
        45.0
    """
    return nearest_unitary(u + delta)


def dense_t(u: Tensor, delta: Tensor) -> Tensor:
    """projUNN-T for any step Δ by a dense exponential, O(n³): U exp(Uᴴ Π(Δ)), where Uᴴ Π(Δ) = (Uᴴ Δ − Δᴴ U) / 2.

    Examples:
        >>> u, delta = torch.eye(2), math.pi / 2 * torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        >>> dense_t(u, delta).round().abs().tolist()  # a quarter turn
        [[0.0, 1.0], [1.0, 0.0]]
        >>> torch.allclose(dense_t(u, torch.eye(2)), u)  # no tangent part
        True
    """
    turn = u.mH @ delta
    return u @ torch.linalg.matrix_exp((turn - turn.mH) / 2)


def published_d(u: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """projUNN-D as it was published: (U + a bᴴ) (I + Q M Qᴴ)^−½, the inverse root by eigenvalues of 2k × 2k.

    If U is unitary, this is the same matrix as ``unitary.projunn_d``. If U is off by E = Uᴴ U − I, the error here
    becomes P^−½ E P^−½ with P = I + Q M Qᴴ, which grows where a step shrinks. P may turn out singular; then NaN is
    returned from then on.

    Source: kiani2022projunn; the propagation of E is derived here.

    Examples:
        >>> u, a, b = torch.eye(2), torch.tensor([[0.0], [0.1]]), torch.tensor([[1.0], [0.0]])
        >>> torch.allclose(published_d(u, a, b), dense_d(u, a @ b.mH), atol=1e-5)
        True
    """
    a_hat = u.mH @ a
    q = torch.linalg.qr(torch.cat([b, a_hat], -1)).Q
    a_q, b_q = q.mH @ a_hat, q.mH @ b
    m = a_q @ b_q.mH + b_q @ a_q.mH + b_q @ (a.mH @ a) @ b_q.mH
    lost = ~m.isfinite().all(-1).all(-1)[..., None, None]
    s, e = torch.linalg.eigh(m.masked_fill(lost, 0))
    moved, axes = (u + a @ b.mH).masked_fill(lost, torch.nan), q @ e
    return moved + (moved @ axes) * ((1 + s).rsqrt() - 1).unsqueeze(-2) @ axes.mH

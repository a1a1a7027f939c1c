"""How fast unitary matrices learn a unitary target, and dense forms of the steps (kiani2022projunn).

The toy: U learns U_tar from pairs (x, U_tar x) by the mean squared error, whose gradient is G = (U − U_tar) C with C
the second moment of the inputs (torch's ``.grad`` of a complex loss is twice that). With C = I, and small steps along
the tangent part of −G, U and U_tar keep the eigenvectors of Uᴴ U_tar, and every eigenphase φ moves alone, φ' = −sin φ,
with time t = learning rate × step:

    tan(φ(t) / 2) = e^{−t} tan(φ(0) / 2),    ‖U − U_tar‖²_F / 2n = mean over eigenphases of 1 − cos φ(t).

From a start that is Haar-distributed, phases are uniform on the circle and the mean is 1 − tanh(t / 2). Rank-k steps,
on batches, follow the same curve at f_k t. The derivation is ours; that it holds is measured. f_k has no closed form
here: for inputs drawn anew in batches of B it is close to k / B while k is well below B.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssltheory.unitary import nearest_unitary


def remaining(t: Tensor | float) -> Tensor:
    """‖U − U_tar‖²_F / 2n at time t from a Haar start, n large: 1 − tanh(t / 2)."""
    return 1 - torch.tanh(torch.as_tensor(t) / 2)


def effective_time(loss: Tensor) -> Tensor:
    """The inverse of ``remaining``: the time at which it has that value, 2 artanh(1 − loss)."""
    return 2 * torch.atanh(1 - loss)


def speed(t: Tensor, loss: Tensor, above: float = 0.05) -> Tensor:
    """f of loss(t) ≈ 1 − tanh(f t / 2): least squares of the effective time through the origin.

    Args:
        t: ``(T,)``.
        loss: ``(..., T)``.
        above: losses below it are left out, where noise decides.

    Returns:
        ``(...)``.
    """
    seen = loss > above
    t_effective = torch.where(seen, effective_time(loss.clamp(min=above)), 0.0)
    return (t * t_effective).sum(-1) / (t.square() * seen).sum(-1)


def flow(w: Tensor, t: float) -> Tensor:
    """W(t) = U_tarᴴ U(t) from W(0): [(1 − s) I + (1 + s) W] [(1 + s) I + (1 − s) W]⁻¹ with s = e^{−t}.

    The motion of eigenphases above, without eigenvectors. The loss is 1 − Re tr W(t) / n.

    Args:
        w: W(0), ``(..., n, n)``, unitary.
        t: learning rate × step.

    Returns:
        ``(..., n, n)``.
    """
    s, eye = math.exp(-t), torch.eye(w.shape[-1], dtype=w.dtype, device=w.device)
    return torch.linalg.solve((1 + s) * eye + (1 - s) * w, (1 - s) * eye + (1 + s) * w)


def remaining_from(w: Tensor, t: Sequence[float]) -> Tensor:
    """The same as ``remaining`` for the start W(0) = U_tarᴴ U(0) itself: ``(..., n, n) -> (..., T)``."""
    traces = [flow(w, time).diagonal(0, -2, -1).real.mean(-1) for time in t]
    return 1 - torch.stack(traces, -1)


def dense_d(u: Tensor, delta: Tensor) -> Tensor:
    """projUNN-D of any step Δ by a singular value decomposition, O(n³)."""
    return nearest_unitary(u + delta)


def dense_t(u: Tensor, delta: Tensor) -> Tensor:
    """projUNN-T of any step Δ by a dense exponential, O(n³): U exp(Uᴴ Π(Δ)), where Uᴴ Π(Δ) = (Uᴴ Δ − Δᴴ U) / 2."""
    turn = u.mH @ delta
    return u @ torch.linalg.matrix_exp((turn - turn.mH) / 2)


def published_d(u: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """projUNN-D as it was published: (U + a bᴴ) (I + Q M Qᴴ)^−½, the inverse root by eigenvalues of 2k × 2k.

    The same matrix as ``unitary.projunn_d`` if U is unitary. If it is off by E = Uᴴ U − I, this one's E becomes
    P^−½ E P^−½ with P = I + Q M Qᴴ, which grows where a step shrinks; and P may come out singular: then NaN is
    returned, from then on.

    Source: kiani2022projunn; the propagation of E is derived here.
    """
    a_hat = u.mH @ a
    q = torch.linalg.qr(torch.cat([b, a_hat], -1)).Q
    a_q, b_q = q.mH @ a_hat, q.mH @ b
    m = a_q @ b_q.mH + b_q @ a_q.mH + b_q @ (a.mH @ a) @ b_q.mH
    lost = ~m.isfinite().all(-1).all(-1)[..., None, None]
    s, e = torch.linalg.eigh(m.masked_fill(lost, 0))
    moved, axes = (u + a @ b.mH).masked_fill(lost, torch.nan), q @ e
    return moved + (moved @ axes) * ((1 + s).rsqrt() - 1).unsqueeze(-2) @ axes.mH

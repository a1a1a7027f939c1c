"""DirectPred: the flow of W, W_p and W_a as matrices, and how their eigenspaces align."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssltheory.errors import InputError
from ssltheory.theory.directpred.flows import _check_settings, _check_shapes, _integrate


def view_moments(x_a: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
    """X and X' from pairs of views: the symmetrised cross-moment and E (x_a − x_b)(x_a − x_b)ᵀ / 2.

    X is the Γ of ``theory.stepwise``. Both are unbiased for views drawn independently given the image,
    so that X from finitely many images may have small negative eigenvalues.

    Args:
        x_a, x_b: ``(n, n1)``; row i of both is a view of one image.

    Returns:
        X and X', ``(n1, n1)`` float64.

    Raises:
        InputError: if the shapes differ.

    Examples:
        >>> x_a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> x_b = torch.tensor([[1.0, 0.0], [0.0, -1.0]])  # the second feature changes its sign
        >>> x, x_prime = view_moments(x_a, x_b)
        >>> x.diagonal().tolist(), x_prime.diagonal().tolist()
        ([0.5, -0.5], [0.0, 1.0])
    """
    if x_a.shape != x_b.shape or x_a.ndim != 2:
        raise InputError(
            f"view_moments takes two (n, n1) matrices of one shape, "
            f"got {tuple(x_a.shape)} and {tuple(x_b.shape)}; flatten the images first"
        )
    x_a, x_b = x_a.to(torch.float64), x_b.to(torch.float64)
    cross, difference = x_a.mT @ x_b / len(x_a), x_a - x_b
    return (cross + cross.mT) / 2, difference.mT @ difference / (2 * len(x_a))


def expected_loss(w: Tensor, w_p: Tensor, w_a: Tensor, x: Tensor, x_prime: Tensor) -> Tensor:
    """J = ½ tr W_p W (X+X') Wᵀ W_pᵀ − tr W_p W X W_aᵀ + ½ tr W_a (X+X') W_aᵀ, a scalar.

    It is half of one direction of ``losses.byol`` without normalisation.

    Examples:
        >>> one = torch.eye(1)
        >>> expected_loss(2 * one, one, 2 * one, one, 0.25 * one).item()  # W_p = I pays ‖W‖² σ²
        1.0
    """
    p, second = w_p @ w, x + x_prime
    return (p @ second * p).sum() / 2 - (p @ x * w_a).sum() + (w_a @ second * w_a).sum() / 2


@dataclass(frozen=True)
class MatrixFlow:
    """Trajectory of the three matrices.

    Attributes:
        times: ``(T,)``.
        w, w_p, w_a: ``(T, n2, n1)``, ``(T, n2, n2)``, ``(T, n2, n1)``.

    Examples:
        >>> one = torch.eye(1)
        >>> path = matrix_flow(one, None, one, one, torch.tensor([1.0, 2.0]))
        >>> path.w.shape
        torch.Size([2, 1, 1])
        >>> [round(w, 4) for w in path.w.flatten().tolist()]  # no predictor: e^−t
        [0.3679, 0.1353]
    """

    times: Tensor
    w: Tensor
    w_p: Tensor
    w_a: Tensor


def matrix_flow(
    w: Tensor,
    w_p: Tensor | None,
    x: Tensor,
    x_prime: Tensor,
    times: Tensor,
    *,
    w_a: Tensor | None = None,
    weight_decay: float = 0.0,
    alpha_p: float = 1.0,
    beta: float | None = None,
    stop_gradient: bool = True,
    symmetric: bool = False,
) -> MatrixFlow:
    """The flow of W, W_p and W_a from any start, integrated numerically.

    Args:
        w: ``(n2, n1)`` W(0).
        w_p: ``(n2, n2)`` W_p(0); None: no predictor (W_p = I, not trained).
        x, x_prime: ``(n1, n1)`` symmetric.
        times: ``(T,)`` rising, from 0 or later.
        w_a: ``(n2, n1)`` W_a(0), with ``beta``; None: 0.
        weight_decay, alpha_p: η >= 0 and α_p > 0.
        beta: rate of the moving average; None: W_a = W (SimSiam).
        stop_gradient: False lets the gradient through the target as well; not with ``beta``.
        symmetric: symmetrise the predictor's gradient (a symmetric W_p then stays symmetric).

    Raises:
        InputError: if shapes do not fit, or a setting is out of range.

    An integration that fails raises ``RunError``.

    Source: tian2021directpred, Lemma 1 (dynamics).

    Examples:
        >>> one = torch.eye(1)
        >>> path = matrix_flow(one, one, one, one, torch.tensor([50.0]))  # σ² = 1
        >>> round(path.w_p.item(), 6)  # τ / (1 + σ²)
        0.5
        >>> path = matrix_flow(one, one, one, one, torch.tensor([50.0]), stop_gradient=False)
        >>> path.w.abs().item() < 1e-6  # collapses
        True
    """
    _check_settings(weight_decay, alpha_p=alpha_p, beta=beta)
    if beta is not None and not stop_gradient:
        raise InputError(
            "with beta the target is a moving average, through which no gradient flows: "
            "leave beta None, or stop_gradient True"
        )
    if beta is None and w_a is not None:
        raise InputError("w_a is the start of a moving average: give its rate beta as well")
    predictor = w_p is not None
    w, x, x_prime = (torch.as_tensor(m).to(torch.float64) for m in (w, x, x_prime))
    n2, n1 = w.shape
    w_p = torch.eye(n2) if w_p is None else torch.as_tensor(w_p)
    w_a = torch.zeros(n2, n1) if w_a is None else torch.as_tensor(w_a)
    _check_shapes((w_p, (n2, n2)), (w_a, (n2, n1)), (x, (n1, n1)), (x_prime, (n1, n1)))
    a, b = x.cpu().numpy(), x_prime.cpu().numpy()

    def velocity(w, w_p, w_a):
        target = w if beta is None else w_a
        r = -w_p @ w @ (a + b) + target @ a
        d_w = w_p.T @ r - weight_decay * w
        if not stop_gradient:
            d_w += w_p @ w @ a - w @ (a + b)
        d_w_p = alpha_p * r @ w.T
        if symmetric:
            d_w_p = (d_w_p + d_w_p.T) / 2
        d_w_p = d_w_p - weight_decay * w_p if predictor else np.zeros_like(w_p)
        d_w_a = np.zeros_like(w_a) if beta is None else beta * (w - w_a)
        return d_w, d_w_p, d_w_a

    starts = [m.to(torch.float64).cpu().numpy() for m in (w, w_p, w_a)]
    times = torch.as_tensor(times, dtype=torch.float64)
    w, w_p, w_a = map(torch.from_numpy, _integrate(velocity, starts, times.numpy()))
    return MatrixFlow(times, w, w_p, w if beta is None else w_a)


def balance(
    w: Tensor, w_p: Tensor, t: Tensor | float, weight_decay: float, alpha_p: float = 1.0
) -> Tensor:
    """C = e^{2ηt} (W Wᵀ − W_pᵀ W_p / α_p), which the flow conserves whatever W_a, X and X' are.

    Args:
        w, w_p: ``(..., n2, n1)`` and ``(..., n2, n2)``; t: ``(...)`` their times.

    Returns:
        ``(..., n2, n2)`` symmetric.

    Source: tian2021directpred, Theorem 1. The restatement in the appendix lacks 1/α_p. With that factor the drift is
    below 1e-9 over t = 12; without it C moves by 1.8 at α_p = 3 and by 35 at α_p = ½ (one random start each).

    Examples:
        >>> one = torch.eye(1)
        >>> path = matrix_flow(2 * one, one, one, one, torch.tensor([0.0, 3.0]), weight_decay=0.1)
        >>> c = balance(path.w, path.w_p, path.times, weight_decay=0.1)
        >>> [round(entry, 6) for entry in c.flatten().tolist()]  # 2² − 1²
        [3.0, 3.0]
    """
    growth = torch.exp(2 * weight_decay * torch.as_tensor(t, dtype=torch.float64))[..., None, None]
    return growth * (w @ w.mT - w_p.mT @ w_p / alpha_p)


def decay_matrix(x: Tensor, x_prime: Tensor, w_p: Tensor, weight_decay: float) -> Tensor:
    """H of d vec(W)/dt = −H vec(W) without stop-gradient (W_a = W), vec stacking columns.

    H = X' ⊗ (W_pᵀ W_p + I) + X ⊗ (W_p − I)ᵀ (W_p − I) + η I.

    λ_min(H) >= λ_min(X') + η, so ‖W‖ decays to zero if X' is positive definite or η > 0. If X' is singular and
    η = 0, directions that no augmentation changes may survive: W_p becomes the identity there.

    Args:
        x, x_prime: ``(n1, n1)``; w_p: ``(n2, n2)``.

    Returns:
        ``(n1 n2, n1 n2)`` float64, symmetric; vec(W) is ``w.mT.flatten()``.

    Source: tian2021directpred, Theorem 2.

    Examples:
        >>> one = torch.eye(1)
        >>> decay_matrix(one, 0.5 * one, 3 * one, weight_decay=1.0).item()  # 0.5 (3² + 1) + (3 − 1)² + 1
        10.0
    """
    x, x_prime, w_p = (m.to(torch.float64) for m in (x, x_prime, w_p))
    one = torch.eye(len(w_p), dtype=torch.float64, device=w_p.device)
    h = torch.kron(x_prime, w_p.mT @ w_p + one) + torch.kron(x, (w_p - one).mT @ (w_p - one))
    return h + weight_decay * torch.eye(len(h), dtype=torch.float64, device=h.device)


def weights_without_predictor(
    w: Tensor, x_prime: Tensor, times: Tensor, weight_decay: float = 0.0, stop_gradient: bool = True
) -> Tensor:
    """W(t) = W(0) exp(−(X' + ηI) t), the collapse without a predictor; with 2X' if there is no stop-gradient either.

    Args:
        w: ``(n2, n1)`` W(0); x_prime: ``(n1, n1)`` symmetric; times: ``(T,)``.

    Returns:
        ``(T, n2, n1)`` float64.

    Source: tian2021directpred, Theorem 2. The paper prints (X' + ηI) W, whose shapes fit only if n1 = n2; the factor
    belongs on the right.

    Examples:
        >>> one, times = torch.eye(1), torch.tensor([1.0, 2.0])
        >>> w = weights_without_predictor(one, one, times, weight_decay=0.5)
        >>> [round(entry, 6) for entry in w.log().flatten().tolist()]  # −(X' + η) t
        [-1.5, -3.0]
    """
    rates, v = torch.linalg.eigh(x_prime.to(torch.float64) * (1 if stop_gradient else 2))
    times = torch.as_tensor(times, dtype=torch.float64, device=rates.device).reshape(-1, 1, 1)
    decay = torch.exp(-(rates + weight_decay) * times)
    return (w.to(torch.float64) @ v * decay) @ v.mT


def eigenspace_flow(
    f: Tensor,
    w_p: Tensor,
    times: Tensor,
    *,
    noise: float,
    weight_decay: float = 0.0,
    tau: float = 1.0,
    alpha_p: float = 1.0,
    symmetric: bool = True,
) -> tuple[Tensor, Tensor]:
    """F(t) and W_p(t) where X = I, X' = σ² I and W_a = τ W, with a symmetrised predictor.

    dW_p/dt = −½ α_p (1+σ²) {W_p, F} + α_p τ F − η W_p,
    dF/dt = −(1+σ²) {W_pᵀ W_p, F} + τ (W_pᵀ F + F W_p) − 2ηF.

    Args:
        f, w_p: ``(d, d)`` F(0), symmetric, and W_p(0).
        times: ``(T,)`` rising, from 0 or later.
        symmetric: False leaves out the symmetrisation: −α_p (1+σ²) W_p F in the first equation.

    Returns:
        F and W_p, ``(T, d, d)`` each.

    Raises ``InputError`` if shapes do not fit or a setting is out of range, and ``RunError`` if the integration
    fails.

    Source: tian2021directpred, assumptions 1–3 and Theorem 3.

    Examples:
        >>> one = torch.eye(1)
        >>> f, w_p = eigenspace_flow(one, one, torch.tensor([50.0]), noise=1.0)
        >>> round(w_p.item(), 6), round(f.item(), 6)  # 1 / (1 + σ²), and its square
        (0.5, 0.25)
    """
    _check_settings(weight_decay, noise=noise, alpha_p=alpha_p)
    _check_shapes((f, w_p.shape), (w_p, f.shape[::-1]))

    def velocity(f, w_p):
        gradient = (1 + noise) * w_p @ f - tau * f
        if symmetric:
            gradient = (gradient + gradient.T) / 2
        half = w_p.T @ (tau * f - (1 + noise) * w_p @ f)
        return half + half.T - 2 * weight_decay * f, -alpha_p * gradient - weight_decay * w_p

    starts = [m.to(torch.float64).cpu().numpy() for m in (f, w_p)]
    f_t, w_p_t = _integrate(velocity, starts, np.asarray(times, dtype=np.float64))
    return torch.from_numpy(f_t), torch.from_numpy(w_p_t)


def commutator(f: Tensor, w_p: Tensor) -> Tensor:
    """L = F W_p − W_p F, zero where the eigenspaces of F and a symmetric W_p agree; ``(..., d, d)``.

    Examples:
        >>> f, w_p = torch.diag(torch.tensor([2.0, 1.0])), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> commutator(f, w_p).tolist()
        [[0.0, 1.0], [-1.0, 0.0]]
    """
    return f @ w_p - w_p @ f


def commutator_decay(
    f: Tensor,
    w_p: Tensor,
    *,
    noise: float,
    weight_decay: float = 0.0,
    tau: float = 1.0,
    alpha_p: float = 1.0,
) -> Tensor:
    """K of dL/dt = −L K − K L: if λ_min(K) >= λ > 0 throughout, ‖L(t)‖_F <= e^{−2λt} ‖L(0)‖_F.

    K = (1+σ²) [½ α_p F + W_p² − τ/(1+σ²) W_p] + (3/2) η I.

    Args:
        f, w_p: ``(..., d, d)`` symmetric.

    Returns:
        ``(..., d, d)`` symmetric.

    Source: tian2021directpred, Theorem 3.

    Examples:
        >>> one = torch.eye(1)
        >>> commutator_decay(one, 0.5 * one, noise=1.0).item()  # 2 (1/2 + 1/4) − 1/2
        1.0
    """
    one = torch.eye(f.shape[-1], dtype=f.dtype, device=f.device)
    k = (1 + noise) * (alpha_p / 2 * f + w_p @ w_p) - tau * w_p
    return k + 1.5 * weight_decay * one


def optimal_predictor(f: Tensor, *, noise: float, tau: float = 1.0, ridge: float = 0.0) -> Tensor:
    """W_p = τ F ((1+σ²) F + ρI)⁻¹, at which the predictor rests if F is fixed; ρ = η/α_p.

    Args:
        f: ``(..., d, d)`` symmetric, and positive definite if ``ridge`` is 0.

    Returns:
        ``(..., d, d)``.

    Source: tian2021directpred, the section on optimal predictors.

    Examples:
        >>> f = torch.diag(torch.tensor([2.0, 0.5]))
        >>> w_p = optimal_predictor(f, noise=1.0, ridge=1.0)
        >>> [round(p, 6) for p in w_p.diagonal().tolist()]  # 2 / (2 · 2 + 1), 0.5 / (2 · 0.5 + 1)
        [0.4, 0.25]
    """
    one = torch.eye(f.shape[-1], dtype=f.dtype, device=f.device)
    return tau * torch.linalg.solve((1 + noise) * f + ridge * one, f, left=False)


def alignment(w_p: Tensor, f: Tensor) -> Tensor:
    """a_j = ⟨u_j, W_p u_j⟩ / ‖W_p u_j‖ for the eigenvectors u_j of F, in order of descending s_j.

    The sign counts: −1 means an eigenvector of W_p with a negative eigenvalue. Dead modes (s_j near 0) say little
    and would bias a plain mean: report the mean over the active ones together with their number
    (``spectra.eigenvalues(f)`` has the s_j).

    Args:
        w_p: ``(..., d, d)`` any; f: ``(..., d, d)`` symmetric, uncentred.

    Returns:
        ``(..., d)`` float64 in [−1, 1]; NaN where W_p u_j = 0.

    Raises:
        InputError: if the shapes do not fit.

    Source: tian2021directpred, Figure 2.

    Examples:
        >>> f, w_p = torch.diag(torch.tensor([2.0, 1.0])), torch.tensor([[3.0, 0.0], [4.0, -1.0]])
        >>> [round(a, 6) for a in alignment(w_p, f).tolist()]  # 3 / 5, and a negative eigenvalue
        [0.6, -1.0]
    """
    if w_p.shape[-2:] != f.shape[-2:] or f.shape[-1] != f.shape[-2]:
        raise InputError(
            f"alignment takes W_p and F of one square shape (..., d, d), "
            f"got {tuple(w_p.shape)} and {tuple(f.shape)}"
        )
    u = torch.linalg.eigh(f.to(torch.float64)).eigenvectors.flip(-1)
    image = w_p.to(torch.float64) @ u
    return (u * image).sum(-2) / image.norm(dim=-2)


def asymmetry(w_p: Tensor) -> Tensor:
    """‖W_p − W_pᵀ‖_F / ‖W_p‖_F: 0 if symmetric, about √2 for independent entries; ``(...)`` float64.

    Examples:
        >>> asymmetry(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).item()
        0.0
        >>> round(asymmetry(torch.tensor([[0.0, 1.0], [0.0, 0.0]])).item() ** 2, 6)
        2.0
    """
    w_p = w_p.to(torch.float64)
    return (w_p - w_p.mT).norm(dim=(-2, -1)) / w_p.norm(dim=(-2, -1))

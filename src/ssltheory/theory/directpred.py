"""Why a predictor and a stop-gradient prevent collapse (tian2021directpred, arXiv 2102.06810).

With an online network W ``(n2, n1)``, a target W_a, a linear predictor W_p ``(n2, n2)`` and two views x1, x2
of an image x, the loss

    J = ½ E ‖W_p W x1 − sg(W_a x2)‖²

depends on the data only through X = E x̄ x̄ᵀ (x̄ the mean view of an image) and X' = E Cov(view | image).
With R = −W_p W (X + X') + W_a X its gradient flow is

    dW_p/dt = α_p R Wᵀ − η W_p,   dW/dt = W_pᵀ R − η W,   dW_a/dt = β (W − W_a).

Where X = I, X' = σ² I, W_a = τ W and W_p shares the eigenvectors of F = W X Wᵀ, the flow splits into
modes (p_j, s_j), eigenvalues of W_p and F. Matrices are float64 torch tensors; modes are NumPy arrays
of any shapes that broadcast.

t is flow time: learning rate × step. The weight decay η is what an optimiser calls ``weight_decay``
(added to the gradient, so multiplied by the learning rate); the paper's simulations write η̄ = lr · η.
σ² is ``noise``. For a moving average with momentum γ_a the rate β is (1 − γ_a) / lr.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.integrate
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ssltheory.errors import InputError, RunError

# Matrices


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
        raise InputError("a moving average has no gradient to let through: leave beta None")
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


# Modes


def aligned_start(
    p: Tensor, s: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """W = U diag(√s) Vᵀ and W_p = U diag(p) Uᵀ with random orthogonal U and V: modes (p_j, s_j) where X = I.

    Args:
        p, s: ``(d,)``, s >= 0.
        generator: draws U and V, on the CPU.

    Returns:
        W, W_p and U, ``(d, d)`` float64 each.

    Examples:
        >>> p, s = torch.tensor([0.5, 0.2]), torch.tensor([4.0, 1.0])
        >>> w, w_p, u = aligned_start(p, s, torch.Generator().manual_seed(0))
        >>> [round(mode, 6) for mode in in_modes(w @ w.mT, u).tolist()]
        [4.0, 1.0]
        >>> commutator(w @ w.mT, w_p).abs().max().item() < 1e-12
        True
    """
    p, s = (torch.as_tensor(z).to(torch.float64) for z in (p, s))
    draws = torch.randn(2, len(p), len(p), generator=generator, dtype=torch.float64)
    u, v = torch.linalg.qr(draws).Q
    return (u * s.sqrt()) @ v.mT, (u * p) @ u.mT, u


def in_modes(matrix: Tensor, u: Tensor) -> Tensor:
    """The diagonal of Uᵀ M U, ``(..., d, d) -> (..., d)``: the p_j of W_p, or the s_j of F.

    Examples:
        >>> matrix, u = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.eye(2).flip(1)
        >>> in_modes(matrix, u).tolist()
        [4.0, 1.0]
    """
    return torch.einsum("...ij,ik,jk->...k", matrix, u, u)


@dataclass(frozen=True)
class FixedPoints:
    """Where a mode can rest apart from zero; NaN where everything collapses.

    Attributes:
        p_minus: the saddle; on the parabola s = p²/α_p, starts below it collapse.
        p_plus: the stable point of a mode that is learnt.
        s_plus: p_plus² / α_p.

    Examples:
        >>> points = fixed_points(weight_decay=0.12, noise=1.0)
        >>> round(float(points.p_minus), 6), round(float(points.p_plus), 6)  # (1 ± 0.2) / 4
        (0.2, 0.3)
        >>> round(float(points.s_plus), 6)
        0.09
    """

    p_minus: np.ndarray
    p_plus: np.ndarray
    s_plus: np.ndarray


def fixed_points(
    weight_decay: ArrayLike, noise: ArrayLike, tau: ArrayLike = 1.0, alpha_p: ArrayLike = 1.0
) -> FixedPoints:
    """p_± = [τ ± √(τ² − 4η(1+σ²))] / 2(1+σ²); zero, stable for η > 0, is the third fixed point.

    On the parabola dp/dt = −(1+σ²) p (p − p_−)(p − p_+); the caption of the paper's Figure 4 lacks the (1+σ²).
    The Jacobian at p_± has the eigenvalues −2η and 2τp − 3(1+σ²)p² − η.

    Args:
        weight_decay, noise, tau, alpha_p: η >= 0, σ² >= 0, τ, α_p > 0; numbers or arrays that broadcast.

    Raises ``InputError`` if a setting is out of range.

    Source: tian2021directpred, section 3 (fixed points of the decoupled dynamics).

    Examples:
        >>> points = fixed_points(weight_decay=[0.0, 0.12, 0.13], noise=1.0)
        >>> points.p_plus.round(6).tolist()  # no fixed point above η = 1/8
        [0.5, 0.3, nan]
    """
    _check_settings(weight_decay, noise=noise, alpha_p=alpha_p)
    eta, noise, tau = (np.asarray(z, dtype=np.float64) for z in (weight_decay, noise, tau))
    with np.errstate(invalid="ignore"):
        root = np.sqrt(tau**2 - 4 * eta * (1 + noise))
    p_minus, p_plus = (tau - root) / (2 * (1 + noise)), (tau + root) / (2 * (1 + noise))
    return FixedPoints(p_minus, p_plus, p_plus**2 / np.asarray(alpha_p))


def collapse_threshold(noise: ArrayLike, tau: ArrayLike = 1.0) -> np.ndarray:
    """τ² / 4(1+σ²), the weight decay above which every start collapses (tian2021directpred, section 3).

    Examples:
        >>> float(collapse_threshold(noise=1.0))
        0.125
    """
    return np.square(tau) / (4 * (1 + np.asarray(noise)))


def alignment_threshold(noise: ArrayLike, tau: ArrayLike = 1.0) -> np.ndarray:
    """τ² / 9(1+σ²), the weight decay above which K > 0 everywhere on the parabola s = p²/α_p.

    This threshold is ours; the paper states the condition mode by mode (Eq. 17).

    Examples:
        >>> float(alignment_threshold(noise=0.0, tau=3.0))
        1.0
        >>> round(float(alignment_threshold(1.0) / collapse_threshold(1.0)), 6)  # always 4/9
        0.444444
    """
    return np.square(tau) / (9 * (1 + np.asarray(noise)))


def growth(p, *, weight_decay: float, noise: float, tau=1.0) -> np.ndarray:
    """Δ = p [τ − (1+σ²) p] − η; a mode's s grows at the rate 2Δ (tian2021directpred, Eq. 17).

    Examples:
        >>> growth(0.25, weight_decay=0.0, noise=1.0)  # the largest is the collapse threshold
        0.125
        >>> growth(0.5, weight_decay=0.0, noise=1.0)  # p = 1 / (1 + σ²) is at rest
        0.0
    """
    return p * (tau - (1 + noise) * p) - weight_decay


def alignment_rate(
    p, s, *, weight_decay: float, noise: float, tau=1.0, alpha_p: float = 1.0
) -> np.ndarray:
    """K_jj = ½ [α_p (1+σ²) s + η] − Δ, the rate at which a mode's eigenvector aligns (tian2021directpred, Eq. 17).

    Examples:
        >>> alignment_rate(0.25, 0.25, weight_decay=0.0, noise=1.0)  # 0.25 − Δ
        0.125
        >>> alignment_rate(0.25, 0.0625, weight_decay=0.0, noise=1.0)  # small s: misaligns
        -0.0625
    """
    pull = (alpha_p * (1 + noise) * s + weight_decay) / 2
    return pull - growth(p, weight_decay=weight_decay, noise=noise, tau=tau)


def mode_velocity(
    p,
    s,
    tau=1.0,
    *,
    weight_decay: float,
    noise: float,
    alpha_p: float = 1.0,
    beta: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dp/dt, ds/dt, dτ/dt of modes.

    dp/dt = α_p s [τ − (1+σ²)p] − ηp,  ds/dt = 2ps [τ − (1+σ²)p] − 2ηs,
    dτ/dt = β (1−τ) − τ (ds/dt)/2s  (0 without ``beta``).

    Source: tian2021directpred, section 3 (decoupled dynamics).

    Examples:
        >>> [float(v) for v in mode_velocity(0.25, 1.0, weight_decay=0.0, noise=1.0)]
        [0.5, 0.25, 0.0]
        >>> [float(v) for v in mode_velocity(0.5, 1.0, weight_decay=0.0, noise=1.0)]  # at rest
        [0.0, 0.0, 0.0]
    """
    p, s, tau = np.broadcast_arrays(p, s, tau)
    gap = tau - (1 + noise) * p
    d_p = alpha_p * s * gap - weight_decay * p
    rate = 2 * (p * gap - weight_decay)  # (ds/dt) / s
    d_tau = np.zeros_like(tau) if beta is None else beta * (1 - tau) - tau * rate / 2
    return d_p, rate * s, d_tau


@dataclass(frozen=True)
class Modes:
    """Trajectory of modes.

    Attributes:
        times: ``(T,)``.
        p, s, tau: ``(T, ...)``, for each mode the eigenvalues of W_p and F, and w_a / w.

    Examples:
        >>> modes = mode_flow([0.5, 1.0], 1.0, [0.0, 50.0], weight_decay=0.0, noise=1.0)
        >>> modes.p.round(6).tolist()  # both end at 1 / (1 + σ²)
        [[0.5, 1.0], [0.5, 0.5]]
        >>> modes.s.round(6).tolist()
        [[1.0, 1.0], [1.0, 0.25]]
    """

    times: np.ndarray
    p: np.ndarray
    s: np.ndarray
    tau: np.ndarray


def mode_flow(
    p: ArrayLike,
    s: ArrayLike,
    times: ArrayLike,
    *,
    weight_decay: float,
    noise: float,
    tau: ArrayLike = 1.0,
    alpha_p: float = 1.0,
    beta: float | None = None,
) -> Modes:
    """The flow of decoupled modes, integrated numerically.

    The integration is in log s, so that rounding cannot take s below zero. Without ``beta``, τ is constant. With it,
    each mode has its own τ_j, which starts at ``tau`` (0 if the target starts at zero): the paper's single τ
    (assumption 1) holds only if the modes are alike.

    Args:
        p, s, tau: starts, ``(...)`` that broadcast; s > 0.
        times: ``(T,)`` rising, from 0 or later.

    Raises:
        InputError: if a setting is out of range.

    An integration that fails raises ``RunError``.

    Examples:
        >>> p = np.array([0.15, 0.25])  # on both sides of p_− = 0.2
        >>> modes = mode_flow(p, p**2, [300.0], weight_decay=0.12, noise=1.0)
        >>> np.abs(modes.p[-1]).round(3).tolist()
        [0.0, 0.3]
    """
    _check_settings(weight_decay, noise=noise, alpha_p=alpha_p, beta=beta)
    if not (np.asarray(s) > 0).all():
        raise InputError("mode_flow needs s > 0: a mode that starts at zero stays there")
    velocity = _logarithmic(weight_decay=weight_decay, noise=noise, alpha_p=alpha_p, beta=beta)
    starts = np.broadcast_arrays(p, np.log(s), tau)
    times = np.asarray(times, dtype=np.float64)
    p, log_s, tau = _integrate(velocity, starts, times)
    return Modes(times, p, np.exp(log_s), tau)


def mode_integral(p, s, t, *, weight_decay: float, alpha_p: float = 1.0) -> np.ndarray:
    """c = e^{2ηt} (s − p²/α_p), which is conserved whatever τ does: s = p²/α_p + c e^{−2ηt}.

    Source: tian2021directpred, section 3. The main text prints c with the opposite sign. With that sign s misses
    p²/α_p + c e^{−2ηt} by 0.2 to 1 on three starts, with this one by less than 1e-11.

    Examples:
        >>> modes = mode_flow(0.5, 1.0, [0.0, 3.0], weight_decay=0.1, noise=1.0)
        >>> mode_integral(modes.p, modes.s, modes.times, weight_decay=0.1).round(6).tolist()
        [0.75, 0.75]
    """
    return np.exp(2 * weight_decay * np.asarray(t)) * (s - np.square(p) / alpha_p)


def passage_time(
    p_0: ArrayLike, p: ArrayLike, *, weight_decay: float, noise: float, tau: float = 1.0
) -> np.ndarray:
    """Time from p_0 to p on the parabola s = p²/α_p at constant τ: the closed form of the trajectory, as t(p).

    −(1+σ²) t = Σ_r ln[(p − r)/(p_0 − r)] / Π_{q≠r} (r − q) over the roots r = 0, p_−, p_+, of which the last two are
    a complex pair above the collapse threshold. With η = 0, where two roots coincide, it is the limit of that sum.
    The integration of the equation in ``fixed_points`` is ours.

    Args:
        p_0, p: positive, with p downstream of p_0 and no fixed point between them.

    Returns:
        The shape to which both broadcast.

    Raises:
        InputError: exactly at the collapse threshold, or if p cannot be reached from p_0.

    Examples:
        >>> settings = {"weight_decay": 0.12, "noise": 1.0}
        >>> (p,) = mode_flow(0.25, 0.25**2, [10.0], **settings).p
        >>> round(float(passage_time(0.25, p, **settings)), 6)
        10.0
    """
    _check_settings(weight_decay, noise=noise)
    p_0, p = np.asarray(p_0, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if weight_decay == 0:
        end = tau / (1 + noise)
        with np.errstate(invalid="ignore", divide="ignore"):
            log = np.log((p * (end - p_0)) / (p_0 * (end - p)))
            t = (1 / p_0 - 1 / p + log / end) / (end * (1 + noise))
    else:
        root = np.sqrt(complex(tau**2 - 4 * weight_decay * (1 + noise)))
        if root == 0:
            raise InputError(f"weight_decay={weight_decay:g} is the collapse threshold: move it")
        low, high = (tau - root) / (2 * (1 + noise)), (tau + root) / (2 * (1 + noise))
        roots = ((0.0, low, high), (low, 0.0, high), (high, 0.0, low))
        with np.errstate(invalid="ignore", divide="ignore"):
            terms = [np.log((p - r) / (p_0 - r)) / ((r - q) * (r - o)) for r, q, o in roots]
            t = sum(terms) / -(1 + noise)
        t = np.where(np.abs(t.imag) < 1e-6 * (1 + np.abs(t.real)), t.real, np.nan)
    if not (np.isfinite(t).all() and (t > -1e-9).all() and (p_0 > 0).all() and (p > 0).all()):
        raise InputError(
            "passage_time: p must lie downstream of p_0, with no fixed point between them"
        )
    return t


class EndState(NamedTuple):
    """p and s at the end, ``(...)`` each; s = 0 is collapse.

    Examples:
        >>> end = end_state(0.0, 0.75, noise=1.0)
        >>> float(end.p), float(end.s)  # 1/2, and 1/4 + c
        (0.5, 1.0)
    """

    p: np.ndarray
    s: np.ndarray


def end_state(
    p: ArrayLike, s: ArrayLike, *, noise: float, tau: float = 1.0, alpha_p: float = 1.0
) -> EndState:
    """Where a start (p, s > 0) ends without weight decay, exactly, with p* = τ/(1+σ²) and c = s − p²/α_p.

    If c > 0, or if p > 0 and p* >= √(α_p |c|), it ends at (p*, p*²/α_p + c). Otherwise it collapses to
    (sign(p) √(α_p |c|), 0).

    This result is ours. The paper's condition s > p²/α_p (c > 0) is sufficient but not necessary: of 300 starts drawn
    with p in [−1, 1] and s in [0, 1] (σ² = ¼, τ = α_p = 1), 63 had p > 0 below the parabola, and 55 of those survived.

    Examples:
        >>> end = end_state([0.75, -0.75], 0.5, noise=1.0)  # both below the parabola, c = −1/16
        >>> end.p.tolist(), end.s.tolist()
        ([0.5, -0.25], [0.1875, 0.0])
    """
    _check_settings(0.0, noise=noise, alpha_p=alpha_p)
    p, s = np.asarray(p, dtype=np.float64), np.asarray(s, dtype=np.float64)
    goal, c = tau / (1 + noise), s - np.square(p) / alpha_p
    radius = np.sqrt(alpha_p * np.abs(c))
    alive = (c > 0) | ((p > 0) & (goal >= radius))
    return EndState(
        np.where(alive, goal, np.sign(p) * radius), np.where(alive, goal**2 / alpha_p + c, 0.0)
    )


def survives(
    p: ArrayLike,
    s: ArrayLike,
    *,
    weight_decay: float,
    noise: float,
    tau: float = 1.0,
    alpha_p: float = 1.0,
) -> np.ndarray:
    """Whether a start (p, s) ends at (p_+, s_+) instead of collapsing; ``(...)`` bool.

    As c e^{−2ηt} decays, every start approaches the parabola s = p²/α_p, where p_− decides. So p is compared with p_−
    at t = 10/η, when c e^{−2ηt} has fallen to 2e-9 of its start.

    Source: the collapse basin of tian2021directpred, section 3.

    Examples:
        >>> p = np.array([0.15, 0.25])  # on both sides of p_− = 0.2
        >>> survives(p, p**2, weight_decay=0.12, noise=1.0).tolist()
        [False, True]
    """
    points = fixed_points(weight_decay, noise, tau, alpha_p)
    p, s = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(s, np.float64))
    if np.isnan(points.p_plus):
        return np.zeros(p.shape, dtype=bool)
    if weight_decay == 0:
        return end_state(p, s, noise=noise, tau=tau, alpha_p=alpha_p).s > 0
    velocity = _logarithmic(weight_decay=weight_decay, noise=noise, alpha_p=alpha_p)
    start = [p, np.log(np.maximum(s, np.finfo(float).tiny)), np.full_like(p, tau)]
    p_end, *_ = _integrate(velocity, start, np.array([10 / weight_decay]), rtol=1e-7)
    return p_end[0] > points.p_minus


def _logarithmic(weight_decay: float, noise: float, **settings):
    """``mode_velocity`` of p, log s and τ."""

    def velocity(p, log_s, tau):
        d_p, _, d_tau = mode_velocity(
            p, np.exp(log_s), tau, weight_decay=weight_decay, noise=noise, **settings
        )
        return d_p, 2 * growth(p, weight_decay=weight_decay, noise=noise, tau=tau), d_tau

    return velocity


# DirectSet


class DirectSetLimit(NamedTuple):
    """Where DirectSet ends from W(0) = δI.

    Attributes:
        threshold: δ above which the features survive.
        scale: w such that W → w P_S; 0 if everything collapses.
        filters: whether the nuisance dies from every start.

    Examples:
        >>> limit = directset_limit(weight_decay=0.3, noise=1.0)  # above 1/4: everything collapses
        >>> limit.threshold, limit.scale, limit.filters
        (inf, 0.0, True)
    """

    threshold: float
    scale: float
    filters: bool


def directset_limit(
    weight_decay: float, noise: float, exponent: float = 1.0, eps: float = 0.0
) -> DirectSetLimit:
    """The window of weight decay in which W_p = F^a + εI keeps features and forgets nuisance.

    X = I and X' = σ² P_B, with P_B the nuisance and P_S = I − P_B the features. W → (p_+ − ε)^{1/2a} P_S if
    1/4(1+σ²) < η < 1/4 and δ > (p_− − ε)^{1/2a}, with p_± = ½ (1 ± √(1−4η)); no δ is too small if p_− < ε < p_+, and
    everything collapses if ε >= p_+.

    Args:
        weight_decay, noise: η and σ²; exponent: a; eps: ε >= 0.

    Source: wang2021directcopy (arXiv 2110.04947). Only its abstract could be read; the statement was derived anew and
    agrees with simulation to 1e-3. ε is ours.

    Examples:
        >>> limit = directset_limit(weight_decay=0.24, noise=1.0, exponent=0.5)  # (1 ± 0.2) / 2
        >>> round(limit.threshold, 6), round(limit.scale, 6), limit.filters
        (0.4, 0.6, True)
        >>> directset_limit(weight_decay=0.24, noise=1.0, exponent=0.5, eps=0.5).threshold
        0.0
    """
    _check_settings(weight_decay, noise=noise, exponent=exponent)
    feature = fixed_points(weight_decay, 0.0)
    filters = bool(weight_decay > collapse_threshold(noise))
    if not feature.p_plus > eps:
        return DirectSetLimit(np.inf, 0.0, filters)
    power = 1 / (2 * exponent)
    threshold = max(float(feature.p_minus) - eps, 0.0) ** power
    return DirectSetLimit(threshold, (float(feature.p_plus) - eps) ** power, filters)


def directset_flow(
    w: Tensor,
    x: Tensor,
    x_prime: Tensor,
    times: Tensor,
    *,
    weight_decay: float,
    exponent: float = 1.0,
    eps: float = 0.0,
) -> Tensor:
    """W(t) of SimSiam with the predictor set to W_p = F^a + εI, F = W X Wᵀ, at every moment.

    Args:
        w: ``(n2, n1)`` W(0); x, x_prime: ``(n1, n1)``; times: ``(T,)`` rising, from 0 or later.

    Returns:
        ``(T, n2, n1)`` float64.

    Examples:
        >>> x, x_prime = torch.eye(2), torch.diag(torch.tensor([0.0, 1.0]))  # the second is nuisance
        >>> times = torch.tensor([200.0])
        >>> (w,) = directset_flow(torch.eye(2), x, x_prime, times, weight_decay=0.24, exponent=0.5)
        >>> [round(entry, 4) for entry in w.diagonal().abs().tolist()]  # the limit's scale, and 0
        [0.6, 0.0]
    """
    _check_settings(weight_decay, exponent=exponent)
    a, b = (m.to(torch.float64).cpu().numpy() for m in (x, x_prime))

    def velocity(w):
        s, u = np.linalg.eigh(w @ a @ w.T)
        w_p = (u * (s.clip(0) ** exponent + eps)) @ u.T
        return (w_p.T @ (w @ a - w_p @ w @ (a + b)) - weight_decay * w,)

    start = w.to(torch.float64).cpu().numpy()
    (solved,) = _integrate(velocity, [start], np.asarray(times, dtype=np.float64))
    return torch.from_numpy(solved)


def _integrate(velocity, starts, times, rtol=1e-11) -> list[np.ndarray]:
    """Several arrays under ``velocity(*arrays) -> arrays``, each ``(T, ...)`` at ``times`` (DOP853)."""
    if not (times.ndim == 1 and len(times) and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise InputError("times must rise strictly, from 0 or later")
    starts = [np.asarray(z, dtype=np.float64) for z in starts]
    if not all(np.isfinite(z).all() for z in starts):
        raise InputError("a start holds a NaN or an infinity: draw it anew")
    cuts = np.cumsum([z.size for z in starts])[:-1]

    def unpack(flat):
        pieces = np.split(flat, cuts, axis=-1)
        return [v.reshape(flat.shape[:-1] + z.shape) for v, z in zip(pieces, starts, strict=True)]

    def flat_velocity(_, flat):
        return np.concatenate([np.ravel(v) for v in velocity(*unpack(flat))])

    start = np.concatenate([z.ravel() for z in starts])
    with np.errstate(over="ignore", invalid="ignore"):
        solved = scipy.integrate.solve_ivp(
            flat_velocity, (0.0, times[-1]), start, "DOP853", times, rtol=rtol, atol=rtol / 100
        )
    if not solved.success or not np.isfinite(solved.y).all():
        raise RunError(
            f"the flow could not be integrated to t={times[-1]:g} ({solved.message}): "
            "take a smaller start or an earlier end"
        )
    return unpack(solved.y.T)


def _check_settings(weight_decay: ArrayLike, beta: float | None = None, **others) -> None:
    demands = {"weight_decay": (weight_decay, False)}
    demands |= {name: (value, name != "noise") for name, value in others.items()}
    if beta is not None:
        demands["beta"] = (beta, True)
    for name, (value, positive) in demands.items():
        value = np.asarray(value, dtype=np.float64)
        if not (np.isfinite(value) & ((value > 0) if positive else (value >= 0))).all():
            raise InputError(f"{name}={value} must be finite and {'>' if positive else '>='} 0")


def _check_shapes(*demands: tuple[Tensor, tuple[int, ...]]) -> None:
    for matrix, shape in demands:
        if tuple(matrix.shape) != tuple(shape) or matrix.ndim != 2:
            raise InputError(
                f"a matrix of shape {tuple(matrix.shape)} where {tuple(shape)} is needed: "
                "W and W_a are (n2, n1), W_p and F (n2, n2), X and X' (n1, n1)"
            )

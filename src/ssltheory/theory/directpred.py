"""Why a predictor and a stop-gradient prevent collapse (tian2021directpred, arXiv 2102.06810).

Online W ``(n2, n1)``, target W_a, linear predictor W_p ``(n2, n2)``, two views x1, x2 of an image x:

    J = ½ E ‖W_p W x1 − sg(W_a x2)‖²

sees of the data only X = E x̄ x̄ᵀ (x̄ the mean view of an image) and X' = E Cov(view | image). With
R = −W_p W (X + X') + W_a X its gradient flow is

    dW_p/dt = α_p R Wᵀ − η W_p,   dW/dt = W_pᵀ R − η W,   dW_a/dt = β (W − W_a).

Where X = I, X' = σ² I, W_a = τ W and W_p shares the eigenvectors of F = W X Wᵀ, it falls apart into
modes (p_j, s_j), eigenvalues of W_p and F. Matrices are float64 torch tensors, modes NumPy arrays
of any shape that broadcast.

t is flow time: learning rate × step. The weight decay η is what an optimiser calls ``weight_decay``
(added to the gradient, so multiplied by its learning rate); the paper's simulations write η̄ = lr · η.
σ² is ``noise``, W_a's rate β of an average with momentum γ_a is (1 − γ_a) / lr.
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
    so that a finite X may have small negative eigenvalues.

    Args:
        x_a, x_b: ``(n, n1)``, row i of both views of one image.

    Returns:
        X and X', ``(n1, n1)`` float64.

    Raises:
        InputError: if the shapes differ.
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

    Half of one direction of ``losses.byol`` without its normalisation.
    """
    p, second = w_p @ w, x + x_prime
    return (p @ second * p).sum() / 2 - (p @ x * w_a).sum() + (w_a @ second * w_a).sum() / 2


@dataclass(frozen=True)
class MatrixFlow:
    """Trajectory of the three matrices.

    Attributes:
        times: ``(T,)``.
        w, w_p, w_a: ``(T, n2, n1)``, ``(T, n2, n2)``, ``(T, n2, n1)``.
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
    """The flow of W, W_p and W_a, integrated numerically; nothing is assumed of the start.

    Args:
        w: ``(n2, n1)`` W(0).
        w_p: ``(n2, n2)`` W_p(0); None: no predictor (W_p = I, not trained).
        x, x_prime: ``(n1, n1)`` symmetric.
        times: ``(T,)`` rising, from 0 or later.
        w_a: ``(n2, n1)`` W_a(0), with ``beta``; None: 0.
        weight_decay, alpha_p: η >= 0 and α_p > 0.
        beta: rate of the moving average; None: W_a = W (SimSiam).
        stop_gradient: False lets the gradient through the target as well; not with ``beta``.
        symmetric: symmetrise the predictor's gradient (a symmetric W_p stays so).

    Raises:
        InputError: for shapes that do not fit, or a setting out of range.
        RunError: if the integration fails.

    Source: tian2021directpred, Lemma 1 (dynamics).
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
    """C = e^{2ηt} (W Wᵀ − W_pᵀ W_p / α_p), which the flow conserves whatever W_a, X and X' do.

    Args:
        w, w_p: ``(..., n2, n1)`` and ``(..., n2, n2)``; t: ``(...)`` their times.

    Returns:
        ``(..., n2, n2)`` symmetric.

    Source: tian2021directpred, Theorem 1. The restatement in the appendix lacks 1/α_p: with it the
    drift is below 1e-9 over t = 12, without it C moves by 1.8 at α_p = 3 and 35 at α_p = ½ (one random start each).
    """
    growth = torch.exp(2 * weight_decay * torch.as_tensor(t, dtype=torch.float64))[..., None, None]
    return growth * (w @ w.mT - w_p.mT @ w_p / alpha_p)


def decay_matrix(x: Tensor, x_prime: Tensor, w_p: Tensor, weight_decay: float) -> Tensor:
    """H of d vec(W)/dt = −H vec(W) without stop-gradient (W_a = W), vec stacking columns.

    H = X' ⊗ (W_pᵀ W_p + I) + X ⊗ (W_p − I)ᵀ (W_p − I) + η I.

    λ_min(H) >= λ_min(X') + η, so ‖W‖ decays to zero if X' is positive definite or η > 0. With X' singular and
    η = 0, directions that no augmentation changes may survive, where W_p turns into I.

    Args:
        x, x_prime: ``(n1, n1)``; w_p: ``(n2, n2)``.

    Returns:
        ``(n1 n2, n1 n2)`` float64, symmetric; vec(W) is ``w.mT.flatten()``.

    Source: tian2021directpred, Theorem 2.
    """
    x, x_prime, w_p = (m.to(torch.float64) for m in (x, x_prime, w_p))
    one = torch.eye(len(w_p), dtype=torch.float64, device=w_p.device)
    h = torch.kron(x_prime, w_p.mT @ w_p + one) + torch.kron(x, (w_p - one).mT @ (w_p - one))
    return h + weight_decay * torch.eye(len(h), dtype=torch.float64, device=h.device)


def weights_without_predictor(
    w: Tensor, x_prime: Tensor, times: Tensor, weight_decay: float = 0.0, stop_gradient: bool = True
) -> Tensor:
    """W(t) = W(0) exp(−(X' + ηI) t), the collapse without a predictor; 2X' without stop-gradient as well.

    Args:
        w: ``(n2, n1)`` W(0); x_prime: ``(n1, n1)`` symmetric; times: ``(T,)``.

    Returns:
        ``(T, n2, n1)`` float64.

    Source: tian2021directpred, Theorem 2. It prints (X' + ηI) W, whose shapes fit only where n1 = n2; the factor
    stands on the right.
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
    """F(t) and W_p(t) where X = I, X' = σ² I and W_a = τ W, with the symmetrised predictor.

    dW_p/dt = −½ α_p (1+σ²) {W_p, F} + α_p τ F − η W_p,
    dF/dt = −(1+σ²) {W_pᵀ W_p, F} + τ (W_pᵀ F + F W_p) − 2ηF.

    Args:
        f, w_p: ``(d, d)`` F(0), symmetric, and W_p(0).
        times: ``(T,)`` rising, from 0 or later.
        symmetric: False leaves out the symmetrisation: −α_p (1+σ²) W_p F in the first equation.

    Returns:
        F and W_p, ``(T, d, d)`` each.

    Raises:
        InputError: for shapes that do not fit, or a setting out of range.
        RunError: if the integration fails.

    Source: tian2021directpred, assumptions 1–3 and Theorem 3.
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
    """L = F W_p − W_p F, zero where the eigenspaces of F and a symmetric W_p agree; ``(..., d, d)``."""
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
    """
    one = torch.eye(f.shape[-1], dtype=f.dtype, device=f.device)
    k = (1 + noise) * (alpha_p / 2 * f + w_p @ w_p) - tau * w_p
    return k + 1.5 * weight_decay * one


def optimal_predictor(f: Tensor, *, noise: float, tau: float = 1.0, ridge: float = 0.0) -> Tensor:
    """W_p = τ F ((1+σ²) F + ρI)⁻¹, where the predictor rests at a fixed F; ρ = η/α_p.

    Args:
        f: ``(..., d, d)`` symmetric, and positive definite if ``ridge`` is 0.

    Source: tian2021directpred, the section on optimal predictors.
    """
    one = torch.eye(f.shape[-1], dtype=f.dtype, device=f.device)
    return tau * torch.linalg.solve((1 + noise) * f + ridge * one, f, left=False)


def alignment(w_p: Tensor, f: Tensor) -> Tensor:
    """a_j = ⟨u_j, W_p u_j⟩ / ‖W_p u_j‖ for the eigenvectors u_j of F, in the order of falling s_j.

    Signed: −1 is an eigenvector of W_p with a negative eigenvalue. Dead modes (s_j near 0) say little and drag
    a plain mean; report the mean over active ones with their number (``spectra.eigenvalues(f)`` has the s_j).

    Args:
        w_p: ``(..., d, d)`` any; f: ``(..., d, d)`` symmetric, uncentred.

    Returns:
        ``(..., d)`` float64 in [−1, 1]; NaN where W_p u_j = 0.

    Raises:
        InputError: if the shapes do not fit.

    Source: tian2021directpred, Figure 2.
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
    """‖W_p − W_pᵀ‖_F / ‖W_p‖_F: 0 if symmetric, about √2 for independent entries; ``(...)`` float64."""
    w_p = w_p.to(torch.float64)
    return (w_p - w_p.mT).norm(dim=(-2, -1)) / w_p.norm(dim=(-2, -1))


# Modes


def aligned_start(
    p: Tensor, s: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """W = U diag(√s) Vᵀ and W_p = U diag(p) Uᵀ with random orthogonal U and V: modes (p_j, s_j) where X = I.

    Args:
        p, s: ``(d,)``, s >= 0; generator: of U and V, on the CPU.

    Returns:
        W, W_p and U, ``(d, d)`` float64 each.
    """
    p, s = (torch.as_tensor(z).to(torch.float64) for z in (p, s))
    draws = torch.randn(2, len(p), len(p), generator=generator, dtype=torch.float64)
    u, v = torch.linalg.qr(draws).Q
    return (u * s.sqrt()) @ v.mT, (u * p) @ u.mT, u


def in_modes(matrix: Tensor, u: Tensor) -> Tensor:
    """The diagonal of Uᵀ M U, ``(..., d, d) -> (..., d)``: p_j of W_p, s_j of F."""
    return torch.einsum("...ij,ik,jk->...k", matrix, u, u)


@dataclass(frozen=True)
class FixedPoints:
    """Where a mode rests beside zero; NaN where everything collapses.

    Attributes:
        p_minus: the saddle; on the parabola s = p²/α_p, starts below it collapse.
        p_plus: the stable point that was learnt.
        s_plus: p_plus² / α_p.
    """

    p_minus: np.ndarray
    p_plus: np.ndarray
    s_plus: np.ndarray


def fixed_points(
    weight_decay: ArrayLike, noise: ArrayLike, tau: ArrayLike = 1.0, alpha_p: ArrayLike = 1.0
) -> FixedPoints:
    """p_± = [τ ± √(τ² − 4η(1+σ²))] / 2(1+σ²); zero, stable for η > 0, is the third.

    On the parabola dp/dt = −(1+σ²) p (p − p_−)(p − p_+); the caption of the paper's Figure 4 lacks the (1+σ²).
    The Jacobian at p_± has the eigenvalues −2η and 2τp − 3(1+σ²)p² − η.

    Args:
        weight_decay, noise, tau, alpha_p: η >= 0, σ² >= 0, τ, α_p > 0; numbers or arrays that broadcast.

    Raises:
        InputError: for a setting out of range.

    Source: tian2021directpred, section 3 (fixed points of the decoupled dynamics).
    """
    _check_settings(weight_decay, noise=noise, alpha_p=alpha_p)
    eta, noise, tau = (np.asarray(z, dtype=np.float64) for z in (weight_decay, noise, tau))
    with np.errstate(invalid="ignore"):
        root = np.sqrt(tau**2 - 4 * eta * (1 + noise))
    p_minus, p_plus = (tau - root) / (2 * (1 + noise)), (tau + root) / (2 * (1 + noise))
    return FixedPoints(p_minus, p_plus, p_plus**2 / np.asarray(alpha_p))


def collapse_threshold(noise: ArrayLike, tau: ArrayLike = 1.0) -> np.ndarray:
    """τ² / 4(1+σ²), the weight decay above which every start collapses (tian2021directpred, section 3)."""
    return np.square(tau) / (4 * (1 + np.asarray(noise)))


def alignment_threshold(noise: ArrayLike, tau: ArrayLike = 1.0) -> np.ndarray:
    """τ² / 9(1+σ²), the weight decay above which K > 0 everywhere on the parabola s = p²/α_p.

    Ours; the paper states the condition mode by mode (Eq. 17).
    """
    return np.square(tau) / (9 * (1 + np.asarray(noise)))


def growth(p, *, weight_decay: float, noise: float, tau=1.0) -> np.ndarray:
    """Δ = p [τ − (1+σ²) p] − η: a mode's s grows at the rate 2Δ (tian2021directpred, Eq. 17)."""
    return p * (tau - (1 + noise) * p) - weight_decay


def alignment_rate(
    p, s, *, weight_decay: float, noise: float, tau=1.0, alpha_p: float = 1.0
) -> np.ndarray:
    """K_jj = ½ [α_p (1+σ²) s + η] − Δ, at which a mode's eigenvector aligns (tian2021directpred, Eq. 17)."""
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
        p, s, tau: ``(T, ...)`` eigenvalues of W_p and F, and w_a / w, of each mode.
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

    It is log s that is integrated: no rounding takes s below zero. Without ``beta`` τ is a constant. With it every
    mode has a τ_j of its own, which starts at ``tau`` (0 where the target starts at zero): the paper's single τ
    (assumption 1) holds only where the modes are alike.

    Args:
        p, s, tau: starts, ``(...)`` that broadcast; s > 0.
        times: ``(T,)`` rising, from 0 or later.

    Raises:
        InputError: for a setting out of range.
        RunError: if the integration fails.
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
    """c = e^{2ηt} (s − p²/α_p), conserved: s = p²/α_p + c e^{−2ηt}, whatever τ does.

    Source: tian2021directpred, section 3. The main text prints c with the opposite sign: s then misses
    p²/α_p + c e^{−2ηt} by 0.2 to 1 on three starts, and by less than 1e-11 with this one.
    """
    return np.exp(2 * weight_decay * np.asarray(t)) * (s - np.square(p) / alpha_p)


def passage_time(
    p_0: ArrayLike, p: ArrayLike, *, weight_decay: float, noise: float, tau: float = 1.0
) -> np.ndarray:
    """Time from p_0 to p on the parabola s = p²/α_p at constant τ: the closed form of the trajectory, as t(p).

    −(1+σ²) t = Σ_r ln[(p − r)/(p_0 − r)] / Π_{q≠r} (r − q) over the roots r = 0, p_−, p_+, a complex pair above the
    collapse threshold; with η = 0, where two of them meet, its limit. Our integral of the equation in
    ``fixed_points``.

    Args:
        p_0, p: > 0, both on one side of every fixed point, p downstream of p_0.

    Returns:
        Broadcast of both.

    Raises:
        InputError: exactly at the collapse threshold, or if p cannot be reached from p_0.
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
    """p and s at the end, ``(...)`` each; s = 0 is collapse."""

    p: np.ndarray
    s: np.ndarray


def end_state(
    p: ArrayLike, s: ArrayLike, *, noise: float, tau: float = 1.0, alpha_p: float = 1.0
) -> EndState:
    """Where a start (p, s > 0) ends without weight decay, exactly, with p* = τ/(1+σ²) and c = s − p²/α_p.

    c > 0, or p > 0 and p* >= √(α_p |c|): (p*, p*²/α_p + c). Otherwise it collapses, to (sign(p) √(α_p |c|), 0).

    Ours. The paper's condition s > p²/α_p (c > 0) is sufficient, not necessary: of 300 starts drawn from p in [−1, 1],
    s in [0, 1] (σ² = ¼, τ = α_p = 1), 63 had p > 0 below the parabola, and 55 of those survived.
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
    """Whether a start (p, s) ends at (p_+, s_+) instead of collapsing; of shape ``(...)``, bool.

    c e^{−2ηt} brings every start to the parabola s = p²/α_p, where p_− decides: p at t = 10/η, where c is 2e-9 of its
    start, is compared with p_−.

    Source: the collapse basin of tian2021directpred, section 3.
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
    """Where DirectSet ends, from W(0) = δI.

    Attributes:
        threshold: δ above which the features survive.
        scale: w such that W → w P_S; 0 where everything collapses.
        filters: whether the nuisance dies from every start.
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

    Source: wang2021directcopy (arXiv 2110.04947), of which only the abstract was read: the statement was
    derived anew and holds in simulation to 1e-3. ε is ours.
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

"""DirectPred: the flow split into modes (p_j, s_j), its fixed points and what collapses."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ssltheory.errors import InputError
from ssltheory.theory.directpred.flows import _check_settings, _integrate


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
        >>> from ssltheory.theory.directpred import commutator
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
        raise InputError(
            "mode_flow needs every s above 0, as a mode that starts at 0 stays there: leave it out"
        )
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
            raise InputError(
                f"weight_decay={weight_decay:g} is exactly the collapse threshold, where the formula divides by 0: "
                "take a slightly smaller or larger one"
            )
        low, high = (tau - root) / (2 * (1 + noise)), (tau + root) / (2 * (1 + noise))
        roots = ((0.0, low, high), (low, 0.0, high), (high, 0.0, low))
        with np.errstate(invalid="ignore", divide="ignore"):
            terms = [np.log((p - r) / (p_0 - r)) / ((r - q) * (r - o)) for r, q, o in roots]
            t = sum(terms) / -(1 + noise)
        t = np.where(np.abs(t.imag) < 1e-6 * (1 + np.abs(t.real)), t.real, np.nan)
    if not (np.isfinite(t).all() and (t > -1e-9).all() and (p_0 > 0).all() and (p > 0).all()):
        raise InputError(
            "passage_time: the flow does not lead from p_0 to p; take both above 0 and p where p_0 moves to, before "
            "the next fixed point (see fixed_points)"
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

"""DirectSet: the predictor set to a power of F at every moment."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssltheory.theory.directpred.flows import _check_settings, _integrate
from ssltheory.theory.directpred.modes import collapse_threshold, fixed_points


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

"""What a linear head keeps: the loss of a layer's worth of information in closed form (bordes2023guillotine).

The inputs are uncorrelated coordinates of unit variance. A positive pair shares a part of each: the coordinate's
correlation across pairs is r, and θ = 1 − r is the share of its variance that lies within pairs. "Style", which
the augmentation draws anew, has θ = 1; content that it leaves alone has θ = 0. The head is linear and minimises
VICReg's loss with a squared penalty,

    ‖Cov(z) − I‖²_F + ρ E ‖z − z'‖²,

whose minimum on any data is in ``spectral_embedding``: every coordinate passes with the variance (1 − ρθ)_+, up to a
rotation that the loss does not see. That model, and what follows from it for a readout before and after the head,
are ours.
"""

import torch
from torch import Tensor

from ssltheory.errors import InputError
from ssltheory.theory.spectral_embedding import kept_variance


def head_r2(theta: Tensor, rho: Tensor, noise: float) -> Tensor:
    """R² of each coordinate, read linearly from the head's output through noise: s² / (s² + σ²).

    s² = (1 − ρθ)_+ is the coordinate's variance at the output, and σ² is the variance of the readout's noise on every
    output. As σ → 0, R² is one where ρθ < 1 and zero elsewhere; at the head's input it is one for every coordinate.
    There must be as many outputs as coordinates.

    Args:
        theta: θ of each coordinate, ``(k,)``, at least 0.
        rho: ρ, weight of invariance over variance, ``(r,)``, at least 0.
        noise: σ, above 0.

    Returns:
        ``(r, k)``.

    Raises:
        InputError: if an argument is out of its range.

    Source: ours, from the minimum in ``spectral_embedding.linear_vicreg``.

    Examples:
        >>> theta, rho = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 1.0])
        >>> r2 = head_r2(theta, rho, noise=0.5)
        >>> [round(share, 6) for share in r2[0].tolist()]  # ρ = 0: all pass, 1 / (1 + 1/4)
        [0.8, 0.8, 0.8]
        >>> [round(share, 6) for share in r2[1].tolist()]  # ρ = 1: style is gone
        [0.8, 0.666667, 0.0]
    """
    theta, rho = torch.as_tensor(theta), torch.as_tensor(rho)
    if not (noise > 0 and bool((theta >= 0).all()) and bool((rho >= 0).all())):
        raise InputError("head_r2 needs theta >= 0, rho >= 0 and noise > 0")
    left = kept_variance(rho[:, None] * theta, 1.0)
    return left / (left + noise**2)


def head_loss(w: Tensor, second: Tensor, within: Tensor, rho: float) -> Tensor:
    """‖Wᵀ S W − I‖²_F + 2ρ tr(Wᵀ D W): the module's loss for z = Wᵀ x, from moments alone.

    Args:
        w: W, ``(m, d)``.
        second: S, covariance of the inputs, ``(m, m)``.
        within: D = E (x − x')(x − x')ᵀ / 2, ``(m, m)``; θ = vᵀ D v / vᵀ S v along v.
        rho: ρ.

    Returns:
        A scalar.

    Examples:
        >>> one = torch.eye(1)
        >>> head_loss(one, one, 0.5 * one, rho=1.0).item()  # variance 1, and 2ρθ for the disagreement
        1.0
        >>> head_loss(0.5**0.5 * one, one, 0.5 * one, rho=1.0).item()  # variance 1 − ρθ is better
        0.75
    """
    excess = w.mT @ second @ w - torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    return excess.square().sum() + 2 * rho * (w * (within @ w)).sum()


def descend_head(w: Tensor, second: Tensor, within: Tensor, rho: float) -> Tensor:
    """A minimum of ``head_loss`` found from ``w`` by L-BFGS, which does not use θ: ``(m, d)``.

    Examples:
        >>> one = torch.eye(1, dtype=torch.float64)
        >>> w = descend_head(0.1 * one, one, 0.5 * one, rho=1.0)
        >>> round(w.item() ** 2, 4)  # 1 − ρθ
        0.5
    """
    w = w.clone().requires_grad_()
    descent = torch.optim.LBFGS([w], max_iter=150, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        descent.zero_grad()
        value = head_loss(w, second, within, rho)
        value.backward()
        return value

    descent.step(closure)
    return w.detach()

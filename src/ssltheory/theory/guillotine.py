"""What a linear head keeps: the loss of a layer's worth of information in closed form (bordes2023guillotine).

Inputs are coordinates of unit variance, uncorrelated with one another. A positive pair shares a part of each: its
correlation across pairs is r, and θ = 1 − r is the share of its variance that lies within pairs. "Style" is what
the augmentation draws anew, θ = 1; content that it leaves alone has θ = 0. The head is linear and minimises
VICReg's loss with a squared penalty,

    ‖Cov(z) − I‖²_F + ρ E ‖z − z'‖²,

of which ``spectral_embedding`` gives the minimum on any data: every coordinate passes with the variance
(1 − ρθ)_+, turned by a rotation that the loss does not see. That model, and what follows from it for a readout
before and after the head, are ours.
"""

import torch
from torch import Tensor

from ssltheory.errors import InputError
from ssltheory.theory.spectral_embedding import kept_variance


def head_r2(theta: Tensor, rho: Tensor, noise: float) -> Tensor:
    """R² of each coordinate, read linearly from the head's output through noise: s² / (s² + σ²).

    s² = (1 − ρθ)_+ is the variance that the coordinate has there, σ² that of the readout's noise on every output.
    As σ → 0 it is one where ρθ < 1 and zero elsewhere; at the head's input it is one for every coordinate. Needs as
    many outputs as coordinates.

    Args:
        theta: θ of each coordinate, ``(k,)``, at least 0.
        rho: ρ, weight of invariance over variance, ``(r,)``, at least 0.
        noise: σ, above 0.

    Returns:
        ``(r, k)``.

    Raises:
        InputError: if an argument is out of its range.

    Source: ours, from the minimum that ``spectral_embedding.linear_vicreg`` has.
    """
    theta, rho = torch.as_tensor(theta), torch.as_tensor(rho)
    if not (noise > 0 and bool((theta >= 0).all()) and bool((rho >= 0).all())):
        raise InputError("head_r2 needs theta >= 0, rho >= 0 and noise > 0")
    left = kept_variance(rho[:, None] * theta, 1.0)
    return left / (left + noise**2)


def head_loss(w: Tensor, second: Tensor, within: Tensor, rho: float) -> Tensor:
    """‖Wᵀ S W − I‖²_F + 2ρ tr(Wᵀ D W), the loss above of z = Wᵀ x, from moments alone.

    Args:
        w: W, ``(m, d)``.
        second: S, covariance of the inputs, ``(m, m)``.
        within: D = E (x − x')(x − x')ᵀ / 2, ``(m, m)``; θ = vᵀ D v / vᵀ S v along v.
        rho: ρ.

    Returns:
        A scalar.
    """
    excess = w.mT @ second @ w - torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    return excess.square().sum() + 2 * rho * (w * (within @ w)).sum()


def descend_head(w: Tensor, second: Tensor, within: Tensor, rho: float) -> Tensor:
    """A minimum of ``head_loss`` found by L-BFGS from ``w``, which knows nothing of θ: ``(m, d)``."""
    w = w.clone().requires_grad_()
    descent = torch.optim.LBFGS([w], max_iter=150, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        descent.zero_grad()
        value = head_loss(w, second, within, rho)
        value.backward()
        return value

    descent.step(closure)
    return w.detach()

"""Losses whose gradient is equalised over the eigenmodes of the embedding: drop-ins for any loss in ``losses``.

A dimension that is not yet learnt pulls on the network with a force proportional to itself, hence the long waits after
a small start. simon2023stepwise propose to focus the gradient on the small eigendirections of the embedding (in their
blog; we could not read the recipe). This is our version: the value of a loss does not change, but its gradient with
respect to the embeddings is multiplied by (S + εI)⁻¹. In a linear model that is the left preconditioner of
``theory.preconditioned``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ssltheory.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]


def preconditioned(loss: Loss, eps: float, centred: bool = False) -> Loss:
    """The same loss, with its gradient with respect to every embedding multiplied by (S + εI)⁻¹ (ours).

    S is the second moment of the batch's 2n embeddings: E z zᵀ, or their covariance. Learnt directions, with
    eigenvalues near one, keep their speed up to a factor 1 / (1 + ε); a direction that is still invisible grows 1 / ε
    times as fast. Nothing else in the training changes: any encoder, any optimiser, the same parameters.

    A step costs two more products of n × d with d × d and one more inverse of d × d.

    Args:
        loss: of two embeddings ``(..., n, d)``, as in ``losses``.
        eps: ε > 0, small compared with the eigenvalues of learnt directions; as ε → ∞ this is the loss at 1 / ε
            times its learning rate.
        centred: whether S is the covariance, for losses that ignore the mean (VICReg, SimCLR).

    Returns:
        A loss of the same form. In a stack of seeds each has its own S.

    Raises:
        InputError: if ε is not above zero.
    """
    if not 0 < eps < float("inf"):
        raise InputError(
            f"eps={eps} must be above 0 and finite, as gradients grow by up to 1 / eps: take e.g. 0.1"
        )

    def rescaled(z_a: Tensor, z_b: Tensor) -> Tensor:
        s = _moment(torch.cat([z_a, z_b], -2).detach(), centred)
        s.diagonal(0, -2, -1).add_(eps)
        gain = torch.linalg.inv_ex(s).inverse  # unlike inv, does not wait for the device
        return loss(*(z.detach() + (z - z.detach()) @ gain for z in (z_a, z_b)))

    rescaled.__qualname__ = f"preconditioned(eps={eps}, centred={centred})"
    return rescaled


def isoloss(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Euclidean IsoLoss, E ‖z_a − sg(z_b + z_a − W_p z_a)‖² / 2 plus the same with the views exchanged.

    Its gradient is that of BYOL's ‖W_p z_a − sg(z_b)‖² / 2 without the factor W_pᵀ, which slows down the small modes
    of networks without negatives (halvagal2023implicit). The form is that of the authors' code, where W_p is a power
    of the moving average of E z zᵀ. Our choices are the power 1/2, the batch's own moment instead of the average, no
    normalisation of W_p (so that learnt modes reach the scale of one), and no moving average of the network.

    Args:
        z_a, z_b: ``(..., n, d)``.

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes differ.
    """
    if z_a.shape != z_b.shape or z_a.ndim < 2:
        raise InputError(
            f"isoloss takes two embeddings of one shape (..., n, d), "
            f"got {tuple(z_a.shape)} and {tuple(z_b.shape)}"
        )
    s, u = torch.linalg.eigh(_moment(torch.cat([z_a, z_b], -2).detach(), centred=False))
    w_p = (u * s.clamp(min=0).sqrt().unsqueeze(-2)) @ u.mT
    errors = ((z - (z_t + z - z @ w_p).detach()) for z, z_t in ((z_a, z_b), (z_b, z_a)))
    return sum(error.square().sum(-1).mean(-1) for error in errors) / 2


def _moment(z: Tensor, centred: bool) -> Tensor:
    """E z zᵀ or the covariance, ``(..., n, d) -> (..., d, d)``."""
    z = z - z.mean(-2, keepdim=True) if centred else z
    return z.mT @ z / z.shape[-2]

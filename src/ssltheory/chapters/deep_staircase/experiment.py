"""What chapter 02 measures, and the gradient that it follows on the sphere."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ssltheory.measure.spectra import covariance_eigenvalues, eigenvalues
from ssltheory.models import encoders

Loss = Callable[[Tensor, Tensor], Tensor]
MOST = 32  # eigenvalues that are kept of C and of the covariance
MOST_HIDDEN = 16  # of a hidden layer


def measure(
    objectives: Mapping[str, Loss],
    cosine: bool,
    model: nn.Module,
    method: str,
    a: Tensor,
    b: Tensor,
) -> tuple[Tensor, ...]:
    """Loss and spectra of a probe set in float64, with the BatchNorm statistics of that set.

    Args:
        objectives: loss by method.
        cosine: whether SimCLR sees directions alone; its spectra are then those of the unit vectors.
        model: an encoder, or a stack of them.
        method: of ``objectives``.
        a, b: the two views of the probe set, ``(n, ...)``; ``(seeds, n, ...)`` for a stack.

    Returns:
        The loss and the mean squared length of the embeddings of ``a``, ``(seeds,)`` each; the largest eigenvalues of
        C and of the covariance of all embeddings, ``(seeds, modes)``; those of the covariance of each hidden layer of
        the first seed (a stage of a ResNet, averaged over the image), ``(1, layers, modes)``.
    """
    outputs = encoders.activations(model, a, [*_layers(model), ""], batch_statistics=True)
    z_a, z_b = outputs.pop(""), encoders.embed(model, b, batch_statistics=True)
    z_a, z_b = (z.reshape(-1, *z.shape[-2:]).cpu().double() for z in (z_a, z_b))
    loss, length = objectives[method](z_a, z_b), z_a.square().sum(-1).mean(-1)
    if method == "simclr" and cosine:
        z_a, z_b = normalize(z_a, dim=-1), normalize(z_b, dim=-1)
    c = (z_a.mT @ z_b + z_b.mT @ z_a) / (2 * z_a.shape[-2])
    of_z = covariance_eigenvalues(torch.cat([z_a, z_b], -2))
    hidden = [z.mean((2, 3)) if z.ndim == 4 else z for z in outputs.values()]
    top = [covariance_eigenvalues(z[0] if z.ndim == 3 else z)[:MOST_HIDDEN] for z in hidden]
    return loss, length, eigenvalues(c)[..., :MOST], of_z[..., :MOST], torch.stack(top)[None]


def in_units_of_length(loss: Loss) -> Loss:
    """A loss of directions times the mean squared length of the embeddings, which is taken as a constant.

    The gradient of such a loss grows as the inverse length. So does, along the same path, the learning rate that
    training bears; with this factor one rate will do for embeddings of any length.

    Examples:
        >>> from ssltheory.losses import info_nce
        >>> z_a, z_b = torch.eye(3), torch.ones(3, 3)
        >>> ratio = in_units_of_length(info_nce)(2 * z_a, 2 * z_b) / info_nce(z_a, z_b)
        >>> round(ratio.item(), 4)  # 4 (1 + 3) / 2
        8.0
    """

    def scaled(z_a: Tensor, z_b: Tensor) -> Tensor:
        length = (z_a.square() + z_b.square()).sum(-1).mean(-1) / 2
        return length.detach() * loss(z_a, z_b)

    return scaled


def _layers(model: nn.Module) -> list[str]:
    """The stages of a ResNet, the ReLUs of another network."""
    names = dict(model.named_modules())
    stages = [name for name in names if name[-6:-1] == "layer"]
    return stages or [name for name, m in names.items() if isinstance(m, nn.ReLU)]

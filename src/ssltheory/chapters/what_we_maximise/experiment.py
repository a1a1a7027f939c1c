"""How a network responds to Gaussian noise around an image, and how close to affine it is there.

A network of affine layers and ReLUs is affine on each of the regions into which its rectifiers cut the inputs.
Everything is measured in evaluation mode, where BatchNorm is affine too, without gradients, and never in TF32, whose
rounding is larger than the smallest noise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from ssltheory.errors import InputError
from ssltheory.models.encoders import embed, measuring
from ssltheory.theory.information import linearised_covariance, normality


class Gaussianity(NamedTuple):
    """p-values of K² over images × outputs, ``(...)`` each: one value, or one for each seed of a stack.

    Attributes:
        mean, median: of the p-values; ½ each for Gaussian outputs.
        rejected: share of the p-values below the level.
    """

    mean: Tensor
    median: Tensor
    rejected: Tensor


class Linearity(NamedTuple):
    """How close a network is to f(x) + J ε around images, ``(...)`` each: one value, or one for each seed of a stack.

    Attributes:
        inside: share of the draws at which every rectifier is in the same state as at the image.
        residual: largest ‖f(x + σε) − f(x) − σJε‖ / ‖σJε‖ over images and the draws inside; 0 if there are none.
        covariance: ‖Ĉ − C‖ / ‖C‖ (Frobenius), where Ĉ is the covariance of the outputs and C that of f(x) + σJε over
            the same draws, so that it contains no sampling error; mean over images.
    """

    inside: Tensor
    residual: Tensor
    covariance: Tensor


def respond(
    model: nn.Module, x: Tensor, sigma: float, n_draws: int, generator: Generator
) -> Tensor:
    """Outputs f(x + σε) for Gaussian noise ε around one image.

    Args:
        model: an encoder, or a stack of them.
        x: ``(c, h, w)`` or ``(m,)``; its dtype is that of the computation and of the model.
        sigma: standard deviation of the noise at each input.
        n_draws: number of draws.
        generator: on the device of x.

    Returns:
        ``(..., n_draws, d)``.
    """
    with _no_tf32():
        return embed(model, x + sigma * _unit_noise(x, n_draws, generator))


def gaussianity(
    model: nn.Module,
    x: Tensor,
    sigma: float,
    n_draws: int,
    generator: Generator,
    level: float = 0.01,
) -> Gaussianity:
    """Test each output over the draws around each image (``information.normality``).

    Args:
        model, sigma, n_draws, generator: as for ``respond``.
        x: ``(n, ...)``, the images.
        level: of the test. Outputs that do not respond to noise have no p-value and do not count.
    """
    responses = (respond(model, image, sigma, n_draws, generator) for image in x)
    p = torch.cat([normality(z) for z in responses], -1)
    share = (p < level).sum(-1) / (~p.isnan()).sum(-1)
    return Gaussianity(p.nanmean(-1), p.nanmedian(-1).values, share)


def linearity(
    model: nn.Module,
    x: Tensor,
    jacobian: Tensor,
    sigma: float,
    n_draws: int,
    generator: Generator,
) -> Linearity:
    """Compare a network with its linearisation around images. Meant for float64.

    Args:
        model, x, sigma, n_draws, generator: as for ``gaussianity``.
        jacobian: ``(..., n, d, m)``, at x.
    """
    measures = []
    for image, j in zip(x, jacobian.unbind(-3), strict=True):
        noise = _unit_noise(image, n_draws, generator)
        z, on = regions(model, torch.cat([image[None], image + sigma * noise]))
        same = (on[..., 1:, :] == on[..., :1, :]).all(-1)
        rows, moved = noise.flatten(1), z[..., 1:, :] - z[..., :1, :]
        linear = sigma * rows @ j.mT
        residual = (moved - linear).norm(dim=-1) / linear.norm(dim=-1)
        moved = moved - moved.mean(-2, keepdim=True)
        rows = (rows - rows.mean(0)) / n_draws**0.5
        expected = linearised_covariance(j @ rows.mT, sigma)
        error = (moved.mT @ moved / n_draws - expected).norm(dim=(-2, -1))
        error = error / expected.norm(dim=(-2, -1))
        measures.append((same.double().mean(-1), (residual * same).amax(-1), error))
    inside, residual, covariance = (torch.stack(part) for part in zip(*measures, strict=True))
    return Linearity(inside.mean(0), residual.amax(0), covariance.mean(0))


def jacobians(model: nn.Module, x: Tensor) -> Tensor:
    """J at each image, ``(n, ...) -> (..., n, d, m)``, with a leading axis of seeds for a stack.

    There is one backward pass for each output, for all images at once: in evaluation mode no image affects another.
    """
    with measuring(model), _no_tf32():
        lead = model(x[:1]).shape[:-2]
        with torch.enable_grad():
            x = x.expand(*lead, *x.shape).clone().requires_grad_()
            outputs = model(x).sum(-2)
            rows = [
                torch.autograd.grad(output.sum(), x, retain_graph=True)[0]
                for output in outputs.unbind(-1)
            ]
    return torch.stack([row.flatten(len(lead) + 1) for row in rows], -2)


def regions(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs, and which rectifiers are on: inputs with the same rectifiers on lie in the same region.

    Args:
        model: its ``nn.ReLU`` modules must be the only ones that are not affine in evaluation mode.
        x: ``(n, ...)``.

    Returns:
        ``(..., n, d)``, and bool ``(..., n, rectifiers)``.

    Raises:
        InputError: if the model has no ``nn.ReLU``.
    """
    signs: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        signs.append((output if output.ndim < 4 else output.flatten(1)) > 0)

    rectifiers = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    if not rectifiers:
        raise InputError(
            "the model has no nn.ReLU, the modules that divide its inputs into regions: build it with them"
        )
    handles = [module.register_forward_hook(keep) for module in rectifiers]
    try:
        with _no_tf32():
            return embed(model, x), torch.cat(signs, -1)
    finally:
        for handle in handles:
            handle.remove()


def _unit_noise(x: Tensor, n_draws: int, generator: Generator) -> Tensor:
    return torch.randn(n_draws, *x.shape, generator=generator, device=x.device, dtype=x.dtype)


@contextmanager
def _no_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before

"""Gaussian blur, torchvision's at a fixed width and σ."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssltheory.augmentations.checks import (
    Range,
    _blur_ranges,
    _each,
    _happens,
    _images,
    _probability,
)
from ssltheory.errors import InputError


def random_gaussian_blur(
    x: Tensor,
    kernel_size: int,
    sigma: Range = (0.1, 2.0),
    p: float = 0.5,
    generator: Generator | None = None,
) -> Tensor:
    """Each image, blurred with probability p; σ is uniform in ``sigma`` (pixels)."""
    x = _images(x)
    _blur_ranges(kernel_size, sigma)
    n = len(x)
    blurred = _happens(n, _probability("p", p), x.device, generator)
    width = sigma[0] + (sigma[1] - sigma[0]) * torch.rand(n, device=x.device, generator=generator)
    return gaussian_blur(x, kernel_size, blurred * width)


def gaussian_blur(x: Tensor, kernel_size: int, sigma: Tensor) -> Tensor:
    """Gaussian blur of ``sigma`` ``(n,)`` pixels, ``kernel_size`` wide; images are mirrored at the edges.

    σ = 0 is no blur. It equals torchvision's blur of the same width and σ.

    Raises:
        InputError: if the kernel is even, or reaches further than the image.
    """
    x = _images(x)
    radius = kernel_size // 2
    if kernel_size % 2 != 1 or radius >= min(x.shape[-2:]):
        raise InputError(
            f"kernel_size={kernel_size} must be odd and below {2 * min(x.shape[-2:])} "
            f"for images of {x.shape[-2]} x {x.shape[-1]} pixels"
        )
    reach = torch.arange(radius + 1, dtype=x.dtype, device=x.device)
    smallest = torch.finfo(x.dtype).tiny ** 0.25  # σ = 0 becomes a kernel of one pixel, not 0 / 0
    kernel = (-(reach / sigma.to(x.dtype)[:, None].clamp(min=smallest)).square() / 2).exp()
    kernel = kernel / (2 * kernel.sum(1, keepdim=True) - 1)
    taps = [_each(tap, x) for tap in kernel.unbind(1)]
    for axis, sides in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        padded, length = F.pad(x, sides, mode="reflect"), x.shape[axis]
        x = x * taps[0]
        for j in range(1, radius + 1):
            before, after = (padded.narrow(axis, radius + k, length) for k in (-j, j))
            x.addcmul_(before + after, taps[j])
    return x

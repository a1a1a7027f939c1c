"""What the augmentations share: the checks of images and parameters, and draws for each image."""

import math

import torch
from torch import Generator, Tensor

from ssltheory.errors import InputError

Range = tuple[float, float]


def _checked(x: Tensor) -> Tensor:
    if x.ndim != 4 or not (x.is_floating_point() or x.dtype == torch.uint8):
        raise InputError(
            f"augmentations take images (n, c, h, w), uint8 or floating point in [0, 1], "
            f"got {tuple(x.shape)} of {x.dtype}"
        )
    return x


def _images(x: Tensor) -> Tensor:
    """The checked images in floating point."""
    x = _checked(x)
    return x if x.is_floating_point() else x.to(torch.get_default_dtype()).div_(255)


def _channels(x: Tensor) -> int:
    if x.shape[1] not in (1, 3):
        raise InputError(f"colours need 1 or 3 channels, got {x.shape[1]}")
    return x.shape[1]


def _probability(name: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise InputError(f"{name} is a probability, in [0, 1], got {p}")
    return p


def _crop_ranges(size: int, scale: Range, ratio: Range) -> None:
    if size < 1 or not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1] < math.inf:
        raise InputError(
            f"a resized crop needs size >= 1, 0 < scale <= 1 and ratio > 0, each range rising, "
            f"got size={size}, scale={scale}, ratio={ratio}"
        )


def _jitter_strengths(brightness: float, contrast: float, saturation: float, hue: float) -> None:
    if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
        raise InputError(
            f"jitter strengths are at least 0, and hue at most 0.5, got brightness={brightness}, "
            f"contrast={contrast}, saturation={saturation}, hue={hue}"
        )


def _blur_ranges(kernel_size: int, sigma: Range) -> None:
    if kernel_size < 1 or kernel_size % 2 != 1 or not 0 < sigma[0] <= sigma[1] < math.inf:
        raise InputError(
            f"a blur needs an odd kernel_size and 0 < sigma, rising, got {kernel_size} and {sigma}"
        )


def _happens(n: int, p: float, device: torch.device, generator: Generator | None) -> Tensor:
    return torch.rand(n, device=device, generator=generator) < p


def _each(parameter: Tensor, x: Tensor) -> Tensor:
    """(n,) -> (n, 1, 1, 1) of the images' dtype."""
    return parameter.to(x.dtype)[:, None, None, None]

"""Colours: torchvision's adjustments at a fixed parameter, and their random draws."""

from functools import lru_cache

import torch
from torch import Generator, Tensor

from ssltheory.augmentations.checks import (
    _channels,
    _each,
    _happens,
    _images,
    _jitter_strengths,
    _probability,
)
from ssltheory.errors import InputError


def color_jitter(
    x: Tensor,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    p: float = 0.8,
    generator: Generator | None = None,
) -> Tensor:
    """Brightness, contrast, saturation and hue, jittered with probability p.

    Factors are uniform in [max(0, 1 − strength), 1 + strength], the hue's turn in [−hue, hue]. The
    first three are applied in an order drawn for each image, the hue always last. (torchvision draws
    the hue's place as well; computing it at every place would cost more than everything else.)
    Saturation and hue do not change single-channel images.

    Raises ``InputError`` if a strength is negative, hue is above 0.5, or the images have neither 1 nor
    3 channels.
    """
    x = _images(x).clone()
    _jitter_strengths(brightness, contrast, saturation, hue)
    n, channels = len(x), _channels(x)
    jittered = _happens(n, _probability("p", p), x.device, generator)
    draws = torch.rand(4, n, device=x.device, generator=generator)
    order = torch.rand(3, n, device=x.device, generator=generator).argsort(0)
    strengths = (brightness, contrast, saturation if channels == 3 else 0.0)
    low, high = [max(0.0, 1 - s) for s in strengths], [1 + s for s in strengths]
    factors = torch.stack([a - 1 + (b - a) * u for a, b, u in zip(low, high, draws, strict=False)])
    factors = 1 + jittered * factors.gather(0, order)
    if any(strengths):
        for which, factor in zip(order, factors, strict=True):
            grey = _grey(x)
            mean = grey.mean((-2, -1), keepdim=True)
            towards = grey * _each(which == 2, x) + mean * _each(which == 1, x)
            x = _blend_(x, towards, factor)
    if hue:
        x = adjust_hue(x, jittered * hue * (2 * draws[3] - 1))
    return x


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """factor · x, clamped to [0, 1]; ``factor`` ``(n,)``."""
    x = _images(x)
    return (x * _each(factor, x)).clamp_(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """factor · x + (1 − factor) · the image's mean grey, clamped; ``factor`` ``(n,)``."""
    x = _images(x)
    return _blend_(x.clone(), _grey(x).mean((-2, -1), keepdim=True), factor)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """factor · x + (1 − factor) · the pixel's grey, clamped; ``factor`` ``(n,)``.

    Single-channel images are returned unchanged.
    """
    x = _images(x)
    return x if _channels(x) == 1 else _blend_(x.clone(), _grey(x), factor)


def _blend_(x: Tensor, towards: Tensor, factor: Tensor) -> Tensor:
    """factor · x + (1 − factor) · towards, clamped, in place: new memory costs more than the sum."""
    return x.lerp_(towards.expand_as(x), 1 - _each(factor, x)).clamp_(0, 1)


def adjust_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Hue turned by ``turn`` ``(n,)`` of the colour circle, at constant HSV saturation and value.

    With V the largest channel and Δ = V − the smallest, the hue H, as a share of the circle from
    red, has |6H| = 2 + (g + b − r − V) / Δ and the sign of g − b. A channel whose pure colour is
    at h (0, 1/3, 2/3) is V − Δ · clamp(6 D − 1, 0, 1), D the distance from H to h on the circle.
    Single-channel images are returned unchanged.
    """
    x = _images(x)
    if _channels(x) == 1:
        return x
    r, g, b = x.unbind(1)
    value = x.amax(1)
    chroma = value - x.amin(1)
    hue = (g + b).sub_(r).sub_(value).div_(chroma.clamp(min=torch.finfo(x.dtype).tiny))
    hue.add_(2).copysign_(g - b).div_(6).add_(_each(turn, x)[:, 0])
    pure = torch.arange(3, dtype=x.dtype, device=x.device)[:, None, None] / 3
    distance = (hue[:, None] + (2.5 - pure)).frac_().sub_(0.5).abs_()
    share = distance.clamp_(1 / 6, 1 / 3).mul_(-6 * chroma[:, None])
    return share.add_((value + chroma)[:, None])


def random_greyscale(x: Tensor, p: float = 0.2, generator: Generator | None = None) -> Tensor:
    """Each image, made grey in all channels with probability p; a single channel does not change."""
    x = _images(x)
    grey = _happens(len(x), _probability("p", p), x.device, generator)
    return adjust_saturation(x, (~grey).to(x.dtype))


def normalize(x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x − mean) / std, one mean and one std for each channel.

    Raises:
        InputError: if there is not one of each for every channel.
    """
    x = _images(x)
    if not len(mean) == len(std) == x.shape[1]:
        raise InputError(
            f"mean and std need one number for each of {x.shape[1]} channels, "
            f"got {len(mean)} and {len(std)}"
        )
    shift, scale = _constants(tuple(mean), tuple(std), x.dtype, x.device)
    return (x - shift).mul_(scale)


@lru_cache(maxsize=32)
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """mean and 1 / std, ``(c, 1, 1)``, cached because moving them to a GPU waits for it."""
    scale = 1 / torch.tensor(std, dtype=torch.float64)
    shift = torch.tensor(mean, dtype=torch.float64)
    shift, scale = (t.to(device, dtype)[:, None, None] for t in (shift, scale))
    return shift, scale


def _grey(x: Tensor) -> Tensor:
    """(n, 1, h, w): ITU-R 601 luma of red, green and blue, with weights rounded as in torchvision."""
    if _channels(x) == 1:
        return x
    r, g, b = x.split(1, dim=1)
    return (0.2989 * r).add_(g, alpha=0.587).add_(b, alpha=0.114)

"""Random augmentations of a batch on its device: one independent draw for each image.

Every function takes images ``(n, c, h, w)``, floating point in [0, 1] (uint8 is divided by 255
first). Random ones also take a ``generator`` on the images' device (None: torch's global one). They
do not loop over images and never wait for the device. Parameters drawn for each image are ``(n,)``
tensors; an image that an augmentation skips (probability 1 − p) gets the parameter that changes
nothing.

Crop and flip are R x Cᵀ, with a matrix R for the rows of an image and C for its columns. For given
parameters, colours and blur are torchvision's.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssltheory.errors import InputError

Range = tuple[float, float]


@dataclass(frozen=True)
class TwoViews:
    """SimCLR's augmentation (Chen et al. 2020, arXiv 2002.05709): two independent views of each image.

    Random resized crop, flip, colour jitter, greyscale, blur, normalisation, in this order. The
    jitter's default is half the strength of SimCLR's (0.8, 0.8, 0.8, 0.2), as is usual for small
    images. A probability of zero leaves the augmentation out.

    ``TwoViews(32)(x, generator) -> (a, b)``, each ``(n, c, size, size)`` floating point,
    channels-last if x was.

    Attributes:
        size: side of the views, in pixels.
        scale, ratio: area of the crop as a share of the image, and its width / height.
        flip: probability of a horizontal flip.
        brightness, contrast, saturation, hue, jitter: strengths and probability of
            ``color_jitter``.
        grey: probability of greyscale.
        blur, sigma, kernel_size: probability of a Gaussian blur, range of its σ in pixels, and its
            odd width; None: the odd number at or below size / 10 + 1, but at least 3.
        mean, std: for each channel, subtracted and divided by at the end; None: neither.

    Raises:
        InputError: for a parameter out of its range and, when called, for images of a wrong shape.
    """

    size: int
    scale: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    flip: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter: float = 0.8
    grey: float = 0.2
    blur: float = 0.5
    sigma: Range = (0.1, 2.0)
    kernel_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self):
        for name in ("flip", "jitter", "grey", "blur"):
            _probability(name, getattr(self, name))
        _crop_ranges(self.size, self.scale, self.ratio)
        _jitter_strengths(self.brightness, self.contrast, self.saturation, self.hue)
        _blur_ranges(self._kernel_size, self.sigma)
        if (self.mean is None) != (self.std is None):
            raise InputError("give both mean and std, or neither")

    @property
    def _kernel_size(self) -> int:
        return self.kernel_size or max(3, 2 * (self.size // 20) + 1)

    def __call__(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Two views of ``(n, c, h, w)``."""
        x = _checked(x)
        if x.device.type != "cpu" or not len(x):
            return self._views(x, generator)
        # On a CPU, pieces that stay in its caches take half the time of the whole batch. Their size
        # must not depend on the number of threads, or the draws would.
        at_once = max(8, 2**18 // (x.shape[1] * max(self.size**2, x.shape[2] * x.shape[3])))
        a, b = zip(*(self._views(piece, generator) for piece in x.split(at_once)), strict=True)
        return torch.cat(a), torch.cat(b)

    def _views(self, x: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor]:
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        x = _images(x)
        x = torch.cat([x, x])
        x = random_resized_crop(x, self.size, self.scale, self.ratio, self.flip, generator)
        if self.jitter:
            strengths = self.brightness, self.contrast, self.saturation, self.hue
            x = color_jitter(x, *strengths, self.jitter, generator)
        if self.grey:
            x = random_greyscale(x, self.grey, generator)
        if self.blur:
            x = random_gaussian_blur(x, self._kernel_size, self.sigma, self.blur, generator)
        if self.mean is not None and self.std is not None:
            x = normalize(x, self.mean, self.std)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        a, b = x.chunk(2)
        return a, b


# Geometry


def random_resized_crop(
    x: Tensor,
    size: int,
    scale: Range = (0.08, 1.0),
    ratio: Range = (3 / 4, 4 / 3),
    flip: float = 0.0,
    generator: Generator | None = None,
) -> Tensor:
    """A random box of each image, resized to ``(size, size)``, flipped with probability ``flip``.

    The box comes from :func:`random_boxes` and the resizing from :func:`resized_crop`.

    Returns:
        ``(n, c, size, size)``.

    Raises ``InputError`` if a range is empty or impossible.
    """
    x = _images(x)
    _crop_ranges(size, scale, ratio)
    _probability("flip", flip)
    n, _, h, w = x.shape
    boxes = random_boxes(n, h, w, scale, ratio, x.device, generator)
    mirrored = _happens(n, flip, x.device, generator) if flip else None
    return resized_crop(x, *boxes, size, mirrored)


def random_boxes(
    n: int,
    h: int,
    w: int,
    scale: Range = (0.08, 1.0),
    ratio: Range = (3 / 4, 4 / 3),
    device: torch.device | str = "cpu",
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes with the distribution of torchvision's ``RandomResizedCrop``.

    The area is uniform in ``scale`` · hw, width / height is log-uniform in ``ratio``, and sides are
    rounded to whole pixels. The first of ten tries that fits is taken, or else the largest central box
    of an allowed aspect.

    Returns:
        top, left, height, width: each ``(n,)``, whole numbers in float32.
    """
    area, aspect = torch.rand(2, 10, n, device=device, generator=generator)
    area = h * w * (scale[0] + (scale[1] - scale[0]) * area)
    aspect = ratio[0] * (ratio[1] / ratio[0]) ** aspect
    widths, heights = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (widths > 0) & (widths <= w) & (heights > 0) & (heights <= h)
    first = fits.to(torch.uint8).argmax(0, keepdim=True)
    any_fits = fits.any(0)
    central_w, central_h = min(w, round(h * ratio[1])), min(h, round(w / ratio[0]))
    width = torch.where(any_fits, widths.gather(0, first)[0], central_w)
    height = torch.where(any_fits, heights.gather(0, first)[0], central_h)
    u, v = torch.rand(2, n, device=device, generator=generator)
    top = torch.where(any_fits, (u * (h - height + 1)).floor(), (h - central_h) // 2)
    left = torch.where(any_fits, (v * (w - width + 1)).floor(), (w - central_w) // 2)
    return top, left, height, width


def resized_crop(
    x: Tensor,
    top: Tensor,
    left: Tensor,
    height: Tensor,
    width: Tensor,
    size: int,
    mirrored: Tensor | None = None,
) -> Tensor:
    """The box of each image resized to ``(size, size)``: bilinear, antialiased if it shrinks.

    It equals torchvision's ``resized_crop`` of a tensor with its default ``antialias=True``. Nothing
    outside the box is read.

    Args:
        x: ``(n, c, h, w)``.
        top, left, height, width: ``(n,)``, in pixels.
        size: side of the output.
        mirrored: ``(n,)`` bool, which images to flip horizontally as well.

    Returns:
        ``(n, c, size, size)``.
    """
    x = _images(x)
    rows = _resize_matrix(top, height, x.shape[-2], size, x.dtype)
    columns = _resize_matrix(left, width, x.shape[-1], size, x.dtype, mirrored)
    across = (x.flatten(1, 2) @ columns.mT).unflatten(1, x.shape[1:3])
    return rows[:, None] @ across


def random_crop(x: Tensor, size: int, generator: Generator | None = None) -> Tensor:
    """A ``(size, size)`` window of each image at a uniformly random offset, without resizing.

    Returns:
        ``(n, c, size, size)``, exact pixels.

    Raises:
        InputError: if the window is larger than the image.
    """
    x = _images(x)
    n, c, h, w = x.shape
    if not 1 <= size <= min(h, w):
        raise InputError(f"a crop of {size} pixels does not fit in {h} x {w} images")
    u, v = torch.rand(2, n, device=x.device, generator=generator)
    window = torch.arange(size, device=x.device)
    rows = (u * (h - size + 1)).long()[:, None] + window
    columns = (v * (w - size + 1)).long()[:, None] + window
    image = torch.arange(n, device=x.device)[:, None, None, None]
    channel = torch.arange(c, device=x.device)[:, None, None]
    return x[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def random_horizontal_flip(x: Tensor, p: float = 0.5, generator: Generator | None = None) -> Tensor:
    """Each image, mirrored left to right with probability p."""
    x = _images(x)
    mirrored = _happens(len(x), _probability("p", p), x.device, generator)
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def _resize_matrix(
    start: Tensor,
    length: Tensor,
    size_in: int,
    size_out: int,
    dtype: torch.dtype,
    mirrored: Tensor | None = None,
) -> Tensor:
    """(n, size_out, size_in): row o is a triangle around the place of o in the box."""
    start, length = start.to(dtype)[:, None], length.to(dtype)[:, None]
    step = length / size_out
    pixel = torch.arange(size_in, dtype=dtype, device=start.device)
    output = torch.arange(size_out, dtype=dtype, device=start.device)
    if mirrored is not None:
        output = torch.where(mirrored[:, None], size_out - 1 - output, output)
    reach = step.clamp(min=1)
    centre = (output + 0.5) * step + start - 0.5
    away = (pixel - centre[..., None]).abs_().div_(reach[..., None])
    inside = (pixel >= start) & (pixel < start + length)
    weights = away.neg_().add_(1).clamp_(min=0).mul_(inside[:, None])
    return weights.div_(weights.sum(-1, keepdim=True))


# Colour


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


# Blur


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
            f"a blur of {kernel_size} pixels needs an odd width below {2 * min(x.shape[-2:])} "
            f"for {x.shape[-2]} x {x.shape[-1]} images"
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


# Checks and draws


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

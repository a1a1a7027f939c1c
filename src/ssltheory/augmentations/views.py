"""Two views of each image, by all of SimCLR's augmentations."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ssltheory.augmentations.blur import random_gaussian_blur
from ssltheory.augmentations.checks import (
    Range,
    _blur_ranges,
    _checked,
    _crop_ranges,
    _images,
    _jitter_strengths,
    _probability,
)
from ssltheory.augmentations.colour import color_jitter, normalize, random_greyscale
from ssltheory.augmentations.geometry import random_resized_crop
from ssltheory.errors import InputError


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

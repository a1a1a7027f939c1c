"""Crops and flips: R x Cᵀ, with a matrix R for the rows of an image and C for its columns."""

import torch
from torch import Generator, Tensor

from ssltheory.augmentations.checks import Range, _crop_ranges, _happens, _images, _probability
from ssltheory.errors import InputError


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
        raise InputError(
            f"a crop of {size} pixels does not fit in images of {h} x {w}: take 1 to {min(h, w)}"
        )
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

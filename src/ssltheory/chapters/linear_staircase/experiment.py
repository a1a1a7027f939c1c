"""The pairs of chapter 01: how pixels are scaled, and two crops that lie near each other or not."""

import torch
from torch import Generator, Tensor

from ssltheory import augmentations

#: What much public code for CIFAR-10 divides red, green and blue by. The pixels' own deviations are (.247, .243, .262).
DEVIATIONS = (0.2023, 0.1994, 0.2010)


def scaled(x: Tensor, pixels: str) -> Tensor:
    """Pixels as the linear model takes them.

    Args:
        x: ``(n, c, h, w)`` uint8.
        pixels: "unit", between 0 and 1; or "normalised", for colour images: less the mean of each
            channel over all n, then divided by ``DEVIATIONS``.

    Returns:
        ``(n, c, h, w)`` float64.

    Images to be normalised that have not three channels are an ``InputError``.

    Source: ours. The published γ_1/γ_2 excludes pixels in [0, 1], the published γ_1 the pixels' own deviations.

    Examples:
        >>> x = torch.tensor([[0, 255]], dtype=torch.uint8).reshape(1, 1, 1, 2)
        >>> scaled(x, "unit").flatten().tolist()
        [0.0, 1.0]
        >>> right = scaled(x.expand(1, 3, 1, 2), "normalised")[0, :, 0, 1]
        >>> [round(pixel, 3) for pixel in right.tolist()]  # 0.5 / 0.2023, …
        [2.472, 2.508, 2.488]
    """
    unit = x.to(torch.float64) / 255
    if pixels == "unit":
        return unit
    return augmentations.normalize(unit, tuple(unit.mean((0, 2, 3)).tolist()), DEVIATIONS)


def crop_pair(x: Tensor, size: int, generator: Generator, shift: int = -1) -> tuple[Tensor, Tensor]:
    """Two crops of each image, the second near the first.

    The first lies anywhere in the image; the second is uniform over the places in it that are at most
    ``shift`` pixels up, down, left or right of the first.

    Args:
        x: ``(n, c, h, w)``.
        size: side of the crops in pixels, at most h and w.
        generator: draws the places.
        shift: in pixels; -1 (as any that covers the image): two independent crops.

    Returns:
        Two ``(n, c, size, size)``, exact pixels.

    Examples:
        >>> x = torch.arange(32.0).reshape(2, 1, 4, 4)
        >>> a, b = crop_pair(x, 3, torch.Generator().manual_seed(0), shift=0)
        >>> a.shape, bool((a == b).all())
        (torch.Size([2, 1, 3, 3]), True)
    """
    room = torch.tensor(x.shape[-2:])[:, None] - size
    reach = int(room.max()) if shift < 0 else shift
    first = (torch.rand(2, len(x), generator=generator) * (room + 1)).floor()
    low, high = (first - reach).clamp(min=0), torch.minimum(first + reach, room)
    second = low + (torch.rand(2, len(x), generator=generator) * (high - low + 1)).floor()
    side = torch.full((len(x),), float(size))
    a, b = (
        augmentations.resized_crop(x, top, left, side, side, size) for top, left in (first, second)
    )
    return a, b


def central_pair(x: Tensor, size: int, generator: Generator, border: int) -> tuple[Tensor, Tensor]:
    """Two independent crops as of ``crop_pair`` that leave out ``border`` pixels at each side of the image.

    Examples:
        >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> a, b = central_pair(x, 2, torch.Generator(), border=1)
        >>> a.tolist(), bool((a == b).all())
        ([[[[5.0, 6.0], [9.0, 10.0]]]], True)
    """
    h, w = x.shape[-2:]
    return crop_pair(x[..., border : h - border, border : w - border], size, generator)


def resized_pair(x: Tensor, size: int, generator: Generator, area: float) -> tuple[Tensor, Tensor]:
    """Two independent boxes of at least that share of the image's area, resized to ``(n, c, size, size)``.

    Examples:
        >>> x = torch.ones(5, 3, 8, 8)
        >>> [view.shape for view in resized_pair(x, 4, torch.Generator(), 0.2)]
        [torch.Size([5, 3, 4, 4]), torch.Size([5, 3, 4, 4])]
    """
    boxes = (size, (area, 1.0))
    a, b = (augmentations.random_resized_crop(x, *boxes, generator=generator) for _ in range(2))
    return a, b


def fewer_pairs(x: Tensor, size: int, generator: Generator, images: int) -> tuple[Tensor, Tensor]:
    """``crop_pair`` of the first so many images, independent crops.

    Examples:
        >>> a, b = fewer_pairs(torch.ones(5, 3, 8, 8), 4, torch.Generator(), 2)
        >>> a.shape
        torch.Size([2, 3, 4, 4])
    """
    return crop_pair(x[:images], size, generator)


#: Ways of taking pairs, each with one number: ``WAYS[name](x, size, generator, number)``.
WAYS = {"shift": crop_pair, "border": central_pair, "area": resized_pair, "images": fewer_pairs}

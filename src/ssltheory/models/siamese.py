"""What the chapters on methods without negatives train: views, networks and their start.

Settings named after a data set are those of tian2021directpred, taken from the paper and the authors' code.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssltheory import augmentations
from ssltheory.augmentations import TwoViews
from ssltheory.errors import InputError
from ssltheory.models import encoders, predictors

Augment = Literal["crop", "cifar10", "stl10"]
Encoder = Literal["small_conv", "resnet18"]

SMALL = (12, 24, 48)  # channels of the small network
APART = 2**20  # distance between the seeds of the parts of one network


def two_views(augment: Augment, size: int, area: float) -> TwoViews:
    """Two views of ``size`` × ``size`` pixels.

    Args:
        augment: ``crop`` (ours, for the 8×8 digits): a crop, resized, and nothing else. ``cifar10``: crop, flip,
            colour jitter, grey, normalisation, no blur. ``stl10``: a stronger jitter, always blurred, not
            normalised. The order, which the paper leaves open, is that of ``TwoViews``.
        size: side of the views in pixels.
        area: of the smallest crop, as a share of the image; 0.08 in the paper.

    Returns:
        The augmentation.
    """
    scale = (area, 1.0)
    if augment == "crop":
        return TwoViews(size, scale, flip=0, jitter=0, grey=0, blur=0)
    if augment == "cifar10":
        mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
        return TwoViews(size, scale, blur=0, mean=mean, std=std)
    jitter: dict[str, Any] = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
    return TwoViews(size, scale, **jitter, blur=1, kernel_size=9, sigma=(0.1, 2.0))


def whole(x: Tensor, views: TwoViews) -> Tensor:
    """Images as a probe sees them: uncropped, resized and normalised like the views.

    Args:
        x: ``(n, c, h, w)``.

    Returns:
        ``(n, c, size, size)`` floating point.
    """
    n, _, h, w = x.shape
    top, left, height, width = (
        x.new_full((n,), side, dtype=torch.float32) for side in (0, 0, h, w)
    )
    x = augmentations.resized_crop(x, top, left, height, width, views.size)
    if views.mean is None or views.std is None:
        return x
    return augmentations.normalize(x, views.mean, views.std)


def network(
    encoder: Encoder, channels: int, size: int, width: int, dim: int, seed: int
) -> nn.Sequential:
    """Encoder and projector, ``[0]`` and ``[1]``: ``(n, channels, size, size) -> (n, dim)``.

    The projector is the paper's (linear, BatchNorm without gain or shift, ReLU, linear). So is ``resnet18``: from
    64 pixels a side on it has its usual stem, below that the stem for CIFAR. ``small_conv`` is ours, with 12, 24 and
    48 channels. Convolutions are initialised by ``encoders.initialise_`` (ours).
    """
    body: Any  # with ``out_features``
    if encoder == "small_conv":
        body = encoders.small_conv(channels, SMALL)
    else:
        body = encoders.resnet(18, "imagenet" if size >= 64 else "cifar", channels)
    encoders.initialise_(body, seed)
    return nn.Sequential(
        body, predictors.projector(body.out_features, width, dim, seed=seed + APART)
    )


def siamese(
    network: Callable[[int], nn.Module],
    predictor: Callable[..., nn.Module],
    seed: int,
    average: float,
) -> predictors.Siamese:
    """Online network, predictor and a target that starts as an independent network (as in the authors' code).

    Args:
        network: makes encoder and projector from a seed.
        predictor: called as ``predictor(seed=...)``.
        seed: each of the three is drawn with a different seed made from it.
        average: γ_a, the share of the target that is kept at each step; 0: the target is the online network.

    Raises:
        InputError: if ``average`` is not in [0, 1].
    """
    if not 0 <= average <= 1:
        raise InputError(f"average={average} must be in [0, 1]")
    target = network(seed + 2 * APART) if average else None
    head = predictor(seed=seed + 4 * APART)
    return predictors.Siamese(network(seed), head, target, average)

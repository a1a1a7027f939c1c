"""Supervised training in the loop of ``train``: the second view of an image is its label.

``train.train(Classifier(net), labelled(x, y, augment, n), cross_entropy, recipe)``. Several networks at once are an
``encoders.stack`` with a leading axis of seeds on images and labels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ssltheory.errors import InputError
from ssltheory.train import Views


class Classifier(nn.Module):
    """``net`` for images; labels (whole numbers) pass through unchanged."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, view: Tensor) -> Tensor:
        return self.net(view) if view.is_floating_point() else view


def labelled(
    x: Tensor, y: Tensor, augment: Callable[[Tensor, Generator], Tensor], batch_size: int
) -> Views:
    """A random augmented batch in each step, and its labels.

    Args:
        x: ``(n, c, h, w)``, or ``(seeds, n, c, h, w)``: then each seed draws its own batch.
        y: int64 ``(n,)`` or ``(seeds, n)``.
        augment: ``(images, generator) -> images``, with all seeds in one batch.
        batch_size: images for each step and seed, without replacement.

    Returns:
        ``draw(generator) -> (images, labels)``.

    Raises:
        InputError: if images and labels do not match, or the batch is larger than the data.
    """
    *lead, n = y.shape
    if x.shape[:-3] != y.shape or len(lead) > 1:
        raise InputError(
            f"images (n, c, h, w) need labels (n,), and (seeds, n, c, h, w) need (seeds, n), "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not 1 <= batch_size <= n:
        raise InputError(f"batch_size must be in [1, {n}] (the data), got {batch_size}")
    first = torch.arange(y.numel(), device=y.device).view(y.shape)[..., :1]  # of each seed
    x, y = x.flatten(0, -4), y.flatten()

    def draw(generator: Generator) -> tuple[Tensor, Tensor]:
        order = torch.rand(*lead, n, generator=generator, device=y.device).argsort(-1)
        batch = first + order[..., :batch_size]
        return augment(x[batch.flatten()], generator).unflatten(0, batch.shape), y[batch]

    return draw


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean of −log softmax(logits)_y over the batch: ``(..., n, classes), (..., n) -> (...)``."""
    each = F.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none")
    return each.view(y.shape).mean(-1)


def class_accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of each class's images whose largest logit is its own.

    Args:
        logits: ``(..., n, classes)``.
        y: int64 ``(n,)``.

    Returns:
        ``(..., classes)`` float64; NaN for a class without images. Its mean weights every class equally.
    """
    members = F.one_hot(y, logits.shape[-1]).double()
    return (logits.argmax(-1) == y).double() @ members / members.sum(0)

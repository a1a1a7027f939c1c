"""What a step trains on: two views of a batch, drawn from the run's generator."""

from collections.abc import Callable

import torch
from torch import Tensor

from ssltheory.errors import InputError
from ssltheory.train import distributed

Views = Callable[[torch.Generator], tuple[Tensor, Tensor]]


def pairs(x_a: Tensor, x_b: Tensor, batch_size: int | None = None) -> Views:
    """Fixed pairs ``x_a[i], x_b[i]``: all of them, or a random batch each step.

    Several processes share them out: the same batches as in one.

    Args:
        x_a, x_b: ``(n, ...)``, of one shape; ``(seeds, n, ...)`` for a stack, without a batch size.
        batch_size: pairs a step, without replacement; None: all.

    Raises:
        InputError: if the shapes differ, or the batch is larger than the data; when called, if it is
            not divisible by the number of processes.
    """
    if x_a.shape != x_b.shape:
        raise InputError(f"pairs need one shape, got {tuple(x_a.shape)} and {tuple(x_b.shape)}")
    if batch_size is None:
        return lambda generator: (distributed.shard(x_a), distributed.shard(x_b))
    draw = _batches(x_a, batch_size)

    def views(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = draw(generator)
        return x_a[batch], x_b[batch]

    return views


def augmented(
    x: Tensor,
    augment: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]],
    batch_size: int | None = None,
) -> Views:
    """Views that are drawn anew each step: ``augment(x[batch], generator) -> (a, b)``.

    A batch is a simple random sample without replacement, independent of the one before (ours; an
    epoch is n / batch_size steps on average). Several processes share out the batch that one would
    draw, and augment with a generator each: other views than those of one process.

    Args:
        x: ``(n, ...)`` images.
        augment: two views of images.
        batch_size: images a step; None: all.

    The same errors as from ``pairs``.
    """
    if batch_size is None:
        return lambda generator: augment(distributed.shard(x), distributed.fork(generator))
    draw = _batches(x, batch_size)

    def views(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = draw(generator)
        return augment(x[batch], distributed.fork(generator))

    return views


def _batches(x: Tensor, batch_size: int) -> Callable[[torch.Generator], Tensor]:
    """Draws the rows of a batch that are this process's share.

    Raises:
        InputError: if the batch is larger than the data.
    """
    if not 1 <= batch_size <= len(x):
        raise InputError(f"batch_size must be in [1, {len(x)}] (the data), got {batch_size}")

    def draw(generator: torch.Generator) -> Tensor:
        order = torch.randperm(len(x), generator=generator, device=x.device)
        return distributed.shard(order[:batch_size])

    return draw

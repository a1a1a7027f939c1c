"""The loss of a batch: two views through the model, and what a device or several processes need for that."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ssltheory.train import distributed
from ssltheory.train.chunked import Chunked
from ssltheory.train.views import Views


def has_convolutions(model: nn.Module) -> bool:
    return any(isinstance(m, _ConvNd) for m in model.modules())


def objective(
    model: nn.Module,
    views: Views,
    loss: Callable[[Any, Any], Tensor],
    generator: torch.Generator,
    amp: bool,
    chunk_size: int | None,
) -> Callable[[], Tensor]:
    """A function without arguments: the loss of the next batch, with its gradient to come.

    Prepares the model: training mode, and channels-last where it has convolutions of images. Those of a
    stack have an axis too many for that.

    Args:
        model, views, loss, amp, chunk_size: of ``train``.
        generator: on the model's device.
    """
    kernels = [m.weight for m in model.modules() if isinstance(m, _ConvNd)]
    device = generator.device.type
    channels_last = any(k.ndim == 4 for k in kernels) and device != "mps"
    if channels_last:
        model.to(memory_format=torch.channels_last)
    model.train()
    forward = distributed.replicate(model if chunk_size is None else Chunked(model, chunk_size))
    precision = torch.autocast(device, torch.bfloat16) if amp else contextlib.nullcontext()

    def next_loss() -> Tensor:
        a, b = views(generator)
        if channels_last:
            a, b = (v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for v in (a, b))
        with precision, distributed.synchronised(model):
            z_a, z_b = forward(a), forward(b)
        return loss(distributed.gather(_full(z_a)), distributed.gather(_full(z_b)))

    return next_loss


def _full(z: Any) -> Any:
    """bfloat16 outputs in float32, tuples member by member."""
    if isinstance(z, Tensor):
        return z.float() if z.dtype in (torch.bfloat16, torch.float16) else z
    return tuple(_full(part) for part in z)

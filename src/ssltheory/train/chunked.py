"""Large batches in little memory: gradient caching (Gao et al. 2021, arXiv 2101.06983)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint as recomputed

from ssltheory.errors import InputError
from ssltheory.train import distributed


class Chunked(nn.Module):
    """A model on ``chunk_size`` images at a time; what a chunk needs for its gradient is computed again.

    Args:
        model: without BatchNorm.
        chunk_size: images, of each seed if the model is a stack.

    Raises:
        InputError: for a chunk of no image, or a model with BatchNorm.
    """

    def __init__(self, model: nn.Module, chunk_size: int) -> None:
        super().__init__()
        if chunk_size < 1:
            raise InputError(f"chunk_size must be 1 or more, got {chunk_size}")
        if any(isinstance(m, _BatchNorm) for m in model.modules()):
            raise InputError(
                f"chunk_size={chunk_size}: BatchNorm needs the whole batch; train without a chunk_size, "
                "or a model without BatchNorm"
            )
        self.model, self.chunk_size = model, chunk_size

    def forward(self, view: Tensor) -> Any:
        chunks = view.split(self.chunk_size, distributed.images_axis(view))
        parts = [recomputed(self.model, chunk, use_reentrant=False) for chunk in chunks]
        if isinstance(parts[0], Tensor):
            return torch.cat(parts, -2)
        return tuple(torch.cat(part, -2) for part in zip(*parts, strict=True))

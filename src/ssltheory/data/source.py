"""What a data set is: images as tensors, the source that they are read from, and the folder that holds it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from ssltheory.errors import InputError

SPLITS = {"train": "train", "test": "test", "val": "test", "valid": "test", "validation": "test"}
TEST_SHARE = 0.2  # of a data set that comes without a split


@dataclass(frozen=True)
class Images:
    """Images on one device.

    Attributes:
        x: uint8 ``(n, c, h, w)``, 0–255.
        y: int64 ``(n,)`` labels; −1 where there is none.
        name: of the data set, never a path.
        sha256: of all files of the data set, even if only a part of it was loaded.
    """

    x: Tensor
    y: Tensor
    name: str
    sha256: str

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> "Images":
        """The same images on another device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True)
class Source:
    """A data set that was found and inspected; its pixels are not read yet.

    Attributes:
        name: of the data set, never a path.
        sha256: of its file or files.
        labels: int64 ``(n,)``.
        splits: ``(n,)`` strings, or None if the data set has no split of its own.
        shape: ``(c, h, w)`` of every image, or None if they differ in size.
        read: indices -> list of uint8 ``(h, w, c)`` arrays.
        version: which of the official versions was found, empty where there is only one.
    """

    name: str
    sha256: str
    labels: np.ndarray
    splits: np.ndarray | None
    shape: tuple[int, int, int] | None
    read: Callable[[np.ndarray], list[np.ndarray]] = field(repr=False)
    version: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, split: str, seed: int = 0) -> np.ndarray:
        """Places of the images of a split, rising. A data set without one is split 80 : 20 by the seed.

        Raises:
            InputError: for a split that the data set does not have.
        """
        splits = self.splits
        if splits is None:
            order = np.random.default_rng(seed).permutation(len(self))
            splits = np.full(len(self), "train", dtype="<U16")
            splits[order[: round(TEST_SHARE * len(self))]] = "test"
        if split == "all":
            return np.arange(len(self))
        known = sorted(set(splits.tolist()) - {""})  # "": an image beside the folders of the splits
        for part in split.split("+"):
            if part not in known:
                raise InputError(
                    f"{self.name} has no split {part!r}: choose one of {', '.join([*known, 'all'])}"
                )
        return np.flatnonzero(np.isin(splits, split.split("+")))


def folder() -> Path:
    """Where data sets are kept: ``SSLTHEORY_DATA``, or the user's cache."""
    path = os.environ.get("SSLTHEORY_DATA")
    if path:
        return Path(os.path.expanduser(path))
    return platformdirs.user_cache_path("ssltheory") / "data"

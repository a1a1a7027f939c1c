"""A long run in stages: what a stage computed is file, and the run pauses after one when its time is up."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ssltheory.errors import Paused


def stage(
    name: str,
    compute: Callable[[], dict[str, Any]],
    folder: Path | None = None,
    deadline: float | None = None,
) -> dict[str, Any]:
    """The arrays of a stage, and its seconds: computed, or read where an earlier run has kept them.

    Args:
        name: of the stage.
        compute: returns tensors, lists or numbers by name.
        folder: where to keep them; None: nothing is kept.
        deadline: the ``time.monotonic()`` past which the run pauses, with what was computed kept.

    Returns:
        What ``compute`` returned, with ``<name>_seconds``, its wall time.

    Raises:
        Paused: past the deadline.
    """
    file = folder / f"{name}.pt" if folder else None
    if file and file.exists():
        return torch.load(file, weights_only=True)
    start = time.perf_counter()
    arrays = compute()
    arrays[f"{name}_seconds"] = time.perf_counter() - start
    if file is None:
        return arrays
    write(file, arrays)
    if deadline is not None and time.monotonic() >= deadline:
        raise Paused(f"time is up after the stage {name!r}: run the same to go on")
    return arrays


def write(path: Path, state: dict[str, Any]) -> None:
    """Saves a state whole or not at all: beside ``path`` first, then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)

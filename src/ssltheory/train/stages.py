"""A long run in pieces: what a piece has found is kept, and the run pauses after one when its time is up."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ssltheory.errors import Paused


def once(
    name: str,
    piece: Callable[[], dict[str, Any]],
    folder: Path | None = None,
    deadline: float | None = None,
) -> dict[str, Any]:
    """What a piece of a long run found, and its seconds: computed, or read where an earlier run has kept it.

    Args:
        name: of the piece.
        piece: returns tensors, lists or numbers by name.
        folder: where to keep it; None: nothing is kept.
        deadline: past it, what was computed is kept and the run pauses.

    Raises:
        Paused: past the deadline.
    """
    kept = folder / f"{name}.pt" if folder else None
    if kept and kept.exists():
        return torch.load(kept, weights_only=True)
    start = time.perf_counter()
    found = piece()
    found[f"{name}_seconds"] = time.perf_counter() - start
    if kept is None:
        return found
    write(kept, found)
    if deadline is not None and time.monotonic() >= deadline:
        raise Paused(f"time is up after the piece {name!r}: run the same to go on")
    return found


def write(path: Path, state: dict[str, Any]) -> None:
    """Saves a state whole or not at all: beside ``path`` first, then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)

"""A long run in pieces: the results of each piece are kept, and the run pauses between pieces when its time is up."""

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
    """The results of a piece of a long run and its seconds: computed, or read if an earlier run has kept them.

    Args:
        name: of the piece.
        piece: returns tensors, lists or numbers by name.
        folder: where to keep the results; None: nothing is kept.
        deadline: the ``time.monotonic()`` after which the results are kept and the run pauses.

    Returns:
        The results by name, with ``{name}_seconds``.

    Raises:
        Paused: after the deadline.
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
    """Save a state completely or not at all: in a file beside ``path`` that then replaces it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)

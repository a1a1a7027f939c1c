"""The file that a training pauses to and goes on from: one run's, replaced whole or not at all."""

import contextlib
import functools
import hashlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ssltheory.errors import InputError, RunError

FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Where a training writes its state, for the same call to go on from. It stays when the run is done.

    Attributes:
        path: of the file.
        every: seconds between two writes.
        deadline: the ``time.monotonic()`` at which to write and to raise ``Paused``; None: never.

    Raises:
        InputError: if ``every`` is below 0.
    """

    path: str | os.PathLike
    every: float = 30.0
    deadline: float | None = None

    def __post_init__(self) -> None:
        if not self.every >= 0:
            raise InputError(
                f"every must be 0 seconds or more between two writes, got {self.every}"
            )


@dataclass(frozen=True)
class RunFile:
    """A checkpoint's file, from which only the run that wrote it goes on.

    Attributes:
        checkpoint: its path.
        settings: of the run, compared one by one, exactly.
        origin: ``sketch`` of the run's initial parameters and first views, compared to rounding.
    """

    checkpoint: Checkpoint
    settings: dict[str, Any]
    origin: Tensor

    @property
    def path(self) -> Path:
        return Path(self.checkpoint.path)

    def save(self, state: dict[str, Any]) -> None:
        """Write a state, whole or not at all.

        Raises:
            RunError: if it cannot be written; the file before it stays.
        """
        state = state | {"format": FORMAT, "settings": self.settings, "origin": self.origin}
        temporary = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise RunError(
                f"the checkpoint {self.path} cannot be written ({error}): "
                "free some space, or name another path"
            ) from error

    def load(self) -> dict[str, Any] | None:
        """The state; None where there is no file.

        Raises:
            InputError: if the file cannot be read, or is of another version. Also if it is of another
                run.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            version = state["format"]
        except Exception as error:
            raise InputError(
                f"the checkpoint {self.path} cannot be read ({type(error).__name__}: "
                "it is truncated, or no checkpoint): delete it to start again"
            ) from error
        if version != FORMAT:
            raise InputError(
                f"the checkpoint {self.path} is of {'an older' if version == 1 else 'another'} "
                "version of ssltheory: delete it to start again"
            )
        for name, value in self.settings.items():
            if (theirs := state["settings"].get(name)) != value:
                self._refuse(f"with {name} = {theirs}, this run has {value}")
        theirs = state["origin"]
        if theirs.shape != self.origin.shape or not theirs.allclose(self.origin, 1e-4, 0):
            self._refuse(
                "from other initial parameters or other data (give the model as initialised, "
                "not as trained)"
            )
        return state

    def check_first_loss(self, theirs: Tensor, ours: Tensor, rtol: float) -> None:
        """Catches what the settings cannot name, another tensor inside a loss, say: refuses as ``load`` does."""
        if theirs.shape != ours.shape or not theirs.allclose(ours, rtol):
            self._refuse(f"with another loss ({theirs.tolist()} at step 0, here {ours.tolist()})")

    def _refuse(self, why: str) -> NoReturn:
        """Say whose the file is.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"the checkpoint {self.path} was written {why}: "
            "delete it to start again, or name another path"
        )


def sketch(tensors: list[Tensor]) -> Tensor:
    """Norms by which tensors are known again, to rounding: of each, and of its first half; ``(2 n,)``."""
    flat = [t.detach().flatten() for t in tensors]
    return torch.stack([h.float().norm().cpu() for t in flat for h in (t, t[: len(t) // 2])])


def known_by(function: Callable | None, captured: bool = False) -> str | None:
    """A function's name with a hash of its code, and a partial's arguments: two lambdas differ.

    Args:
        function: None gives None.
        captured: also the numbers and words that it has from the function around it.
    """
    if function is None:
        return None
    if isinstance(function, functools.partial):
        name = known_by(function.func, captured)
        return f"{name} {function.args} {sorted(function.keywords.items())}"
    plain = inspect.unwrap(function)
    name = getattr(plain, "__qualname__", type(plain).__qualname__)
    if (code := getattr(plain, "__code__", None)) is None:
        return name
    name = f"{name} {_code_hash(code)}"
    cells = zip(code.co_freevars, plain.__closure__ or (), strict=True) if captured else ()
    values = {free: cell.cell_contents for free, cell in cells}
    simple = {k: v for k, v in values.items() if isinstance(v, bool | int | float | str)}
    return f"{name} {simple}" if simple else name


def _code_hash(code: CodeType) -> str:
    """Of what a function does, wherever it stands in its file."""
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    constants = [c for c in code.co_consts if isinstance(c, bool | int | float | complex | str)]
    parts = [code.co_code, code.co_names, constants, *map(_code_hash, inner)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def portable(value: Any) -> Any:
    """A copy of an observation on the CPU, of types that a checkpoint can hold.

    Raises:
        InputError: for any other type.
    """
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case np.ndarray():
            return torch.tensor(value)
        case np.generic():
            return value.item()
        case None | str() | bool() | int() | float():
            return value
        case list():
            return [portable(part) for part in value]
        case tuple():
            return tuple(portable(part) for part in value)
        case dict():
            return {key: portable(part) for key, part in value.items()}
    raise InputError(
        f"observe returned a {type(value).__name__}: return tensors, numbers, strings, "
        "or lists, tuples and dicts of them"
    )

"""Records: a chapter's result. Arrays (``record.npz``), claims and provenance (``record.json``).

The JSON carries the hash of the arrays and of itself, is written last and by renaming: that it is there, whole,
is the only mark of success.
"""

import functools
import hashlib
import io
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import torch

from ssltheory import data
from ssltheory.book import claims, fingerprint, provenance, registry, repository, scales
from ssltheory.book.claims import Claim
from ssltheory.book.parameters import Settings
from ssltheory.book.registry import Chapter
from ssltheory.errors import InputError, RunError

SCHEMA = 1
#: What a record says about itself, and of what type.
PROVENANCE: dict[str, type | UnionType] = {
    **dict.fromkeys(("chapter", "scale", "commit", "device", "finished"), str),
    **dict.fromkeys(("parameters", "data", "code", "versions"), dict),
    "seeds": list,
    "dirty": bool | None,
    "seconds": int | float,
    "peak_memory_bytes": int,
}


@dataclass(frozen=True)
class Record:
    """What a run of a chapter found.

    Attributes:
        arrays: name -> array, all that its claims and figures need.
        claims: as they were judged when the record was made.
        provenance: chapter, scale, parameters, data, code, commit, device, versions, seconds, memory, date.
    """

    arrays: dict[str, np.ndarray]
    claims: list[Claim]
    provenance: dict[str, Any]

    @property
    def chapter(self) -> Chapter:
        """The chapter that made it."""
        return registry.find(self.provenance["chapter"])

    @property
    def parameters(self) -> Settings:
        """The parameters that it was made with; the data set by its name."""
        return self.chapter.parse(self.provenance["parameters"])

    def judged_today(self) -> list[Claim]:
        """Its claims, evaluated anew, once, from its arrays with today's theory.

        Arrays that are not what today's claims need are an ``InputError``.
        """
        return self._judged

    @functools.cached_property
    def _judged(self) -> list[Claim]:
        try:
            return claims.evaluate(self.chapter.id, self.arrays, self.parameters)
        except Exception as error:  # what a claim makes of arrays that are not those of its chapter
            raise InputError(
                f"this record lacks what today's claims need ({error!r}): make it again"
            ) from error

    def stale(self) -> list[str]:
        """What has changed since: names of definitions, or "notebook"; empty while the record is current."""
        base = repository.root()
        if base is None:
            return []
        notebook = base / "notebooks" / f"{self.chapter.id}.ipynb"
        now = fingerprint.code_hashes(notebook) if notebook.is_file() else {}
        return fingerprint.changes(self.provenance["code"], now)


class Run:
    """A chapter being run; made by ``begin`` in the notebook's first cell.

    Attributes:
        parameters: checked.
        device: where to compute.
    """

    def __init__(self, chapter: Chapter, parameters: Settings, source: data.Source) -> None:
        self.chapter, self.parameters, self.source = chapter, parameters, source
        self.device = provenance.device(parameters.device)
        self.folder = writable(scales.run_folder(chapter, parameters))
        base = repository.root()
        notebook = base / "notebooks" / f"{chapter.id}.ipynb" if base else None
        self._code = (
            fingerprint.code_hashes(notebook) if notebook else {}
        )  # as it is when it starts
        self._started = time.perf_counter()
        if os.environ.get("SSLTHEORY_WATCHED"):
            os.environ["SSLTHEORY_PROGRESS"] = str(self.folder / "progress.jsonl")

    @property
    def seeds(self) -> list[int]:
        """``seed, seed + 1, …``: ``n_seeds`` of them, one if the chapter has no such parameter."""
        first = self.parameters.seed
        return list(range(first, first + getattr(self.parameters, "n_seeds", 1)))

    def save(self, **arrays: Any) -> Record:
        """Judge the claims and write the record.

        Args:
            arrays: tensors, arrays or lists of equal shapes, by name.

        Returns:
            The record, whose ``.claims`` show themselves as a table.

        An array that holds a NaN, and a folder that cannot be written to, are a ``RunError``.
        """
        arrays = {name: _array(name, value) for name, value in arrays.items()}
        judged = claims.evaluate(self.chapter.id, arrays, self.parameters)
        record = Record(arrays, claims.Table(judged), self._provenance())
        save(self.folder, record)
        return record

    def _provenance(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "chapter": self.chapter.id,
            "scale": scales.scale_of(self.chapter, self.parameters),
            "parameters": self.parameters.model_dump(exclude={"out", "device"})
            | {"dataset": self.source.name},
            "seeds": self.seeds,
            "data": {"name": self.source.name, "sha256": self.source.sha256},
            "code": self._code,
            **provenance.commit(repository.root() or fingerprint.PACKAGE),
            "device": provenance.device_name(self.device),
            "versions": provenance.versions(),
            "seconds": round(time.perf_counter() - self._started, 2),
            "peak_memory_bytes": provenance.peak_memory(self.device),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def begin(chapter: str, namespace: Mapping[str, Any]) -> Run:
    """Check a notebook's parameters before anything is computed.

    Args:
        chapter: its id.
        namespace: the notebook's ``globals()``: every plain value in it is taken for a parameter, so that a
            misspelt one is found. Where a chapter has begun before, in a live notebook that is run
            again, the names of its results are there, too: then only the parameters are taken.

    Returns:
        The run: ``.parameters``, ``.device``, ``.seeds``, ``.save(...)``.

    An unknown name, a wrong type or range, and data that is missing, damaged or does not fit are an ``InputError``.
    """
    entry = registry.find(chapter)
    again = any(isinstance(value, Run) for value in namespace.values())
    values = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and isinstance(value, bool | int | float | str | list | dict | None)
        and name not in ("In", "Out")
        and (name in entry.parameters.model_fields or not again)
    }
    parameters = entry.parse(values)
    source = data.find(parameters.dataset)
    parameters.check(source)
    return Run(entry, parameters, source)


def save(folder: Path, record: Record) -> None:
    """Write ``record.npz``, then ``record.json``, each whole or not at all.

    Raises:
        RunError: if the folder cannot be written to, or the disk is full.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **record.arrays)  # type: ignore[arg-type]
    blob = buffer.getvalue()
    content = {
        "provenance": record.provenance,
        "claims": [claim.to_dict() for claim in record.claims],
        "arrays_sha256": hashlib.sha256(blob).hexdigest(),
    }
    content["sha256"] = _content_hash(content)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "record.npz", blob)
        write(folder / "record.json", _encoded(content))
    except OSError as error:
        raise RunError(
            f"the record could not be written to {folder} ({error.strerror}): make room or give another `out`"
        ) from error


def load(path: str | os.PathLike) -> Record:
    """Read a record and hold it against its checksums.

    Args:
        path: its folder, or its ``record.json``.

    Raises:
        InputError: if there is none, or it is broken in any byte.
    """
    folder = Path(path)
    folder = folder.parent if folder.name == "record.json" else folder
    try:
        text = (folder / "record.json").read_bytes()
        blob = (folder / "record.npz").read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"no record in {folder} ({Path(error.filename).name} is not there): run the chapter"
        ) from error
    except OSError as error:
        raise InputError(
            f"the record in {folder} cannot be read ({error}): make it again"
        ) from error
    try:
        return _decoded(text, blob)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the record in {folder} is broken ({error}): make it again") from error


def find_all(path: Path) -> list[Path]:
    """Folders of all records at or below a path, whole or broken, sorted."""
    return sorted(
        {file.parent for name in ("record.json", "record.npz") for file in path.rglob(name)}
    )


def writable(folder: Path) -> Path:
    """The folder, made, and found to take a file.

    Raises:
        InputError: if it cannot be made or written to.
    """
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:  # a ValueError for what can be no path
        why = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write to {folder} ({why}): give another `out`") from error
    return folder


def write(path: Path, blob: bytes) -> None:
    """Write a file whole or not at all, by renaming; OSError if the disk is full or the folder cannot be written to."""
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, list):
        value = np.stack([_array(name, item) for item in value])
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.kind in "fc" and np.isnan(array).any():
        raise RunError(f"{name} holds a NaN: the training diverged; take a smaller learning rate")
    return array


def _encoded(content: dict) -> bytes:
    """The one way in which a record's JSON is written: any other spelling of it was changed."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _content_hash(content: dict) -> str:
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _decoded(text: bytes, blob: bytes) -> Record:
    """The record that its two files hold; ValueError, naming the fault, if they do not."""
    content = json.loads(text)
    whole = isinstance(content, dict) and content.get("sha256") == _content_hash(content)
    if not whole or text != _encoded(content):
        raise ValueError("record.json was changed")
    if content.get("arrays_sha256") != hashlib.sha256(blob).hexdigest():
        raise ValueError("record.npz does not belong to it")
    origin, rows = content.get("provenance"), content.get("claims")
    if not isinstance(origin, dict) or origin.get("schema") != SCHEMA:
        raise ValueError("it is of another layout")
    for name, kind in PROVENANCE.items():
        if not isinstance(origin.get(name, ...), kind):
            raise ValueError(f"its {name} is missing or of another type")
    for name in ("name", "sha256"):
        if not isinstance(origin["data"].get(name), str):
            raise ValueError(f"its data has no {name}")
    if not isinstance(rows, list):
        raise ValueError("it has no claims")
    return Record(data.read_npz(blob), claims.Table(map(_claim, rows)), origin)


def _claim(stored: Any) -> Claim:
    """Raises ValueError for what no claim has stored."""
    try:
        verdicts = ("verdict", "published_verdict")
        values = {key: value for key, value in stored.items() if key not in verdicts}
        if not values.pop("inside", True):  # as stored before 2026-12
            values["outside"] = "ours: so judged by the version that made the record"
        numbers = ("measured", "predicted", "tolerance", *values.keys() & {"published", "half"})
        for key in numbers:
            values[key] = float(values[key])
        claim = Claim(**values)
        whole = all(
            isinstance(getattr(claim, f.name), f.type)  # type: ignore[arg-type]
            for f in fields(Claim)
        )
        judged = claim.verdict, claim.published_verdict
        if whole and judged == (stored["verdict"], stored.get("published_verdict", "")):
            return claim
    except (AttributeError, KeyError, TypeError, OverflowError):
        pass
    raise ValueError("one of its claims is incomplete or was changed")

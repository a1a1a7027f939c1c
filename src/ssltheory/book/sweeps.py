"""Sweeps: a chapter over a grid of parameters and seeds. Every point is an ordinary run with a record of its own.

What is measured at the points makes one tidy table, a row a point and measure, which a figure can draw as it is.
"""

import hashlib
import itertools
import json
import math
import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssltheory.book import fingerprint, records, registry, repository, runner
from ssltheory.book.claims import VERDICTS
from ssltheory.book.records import Record
from ssltheory.book.registry import Chapter
from ssltheory.book.runner import Job, Outcome
from ssltheory.errors import InputError, RunError

#: Not for a grid: seeds have an option of their own, the others leave the experiment what it is.
NO_AXES = ("seed", "device", "out")
MOST_POINTS = 10_000
Row = dict[str, Any]  # of the table: the grid's values, seed, and one measure of the point


@dataclass(frozen=True)
class Sweep:
    """A sweep, every point of it checked.

    Attributes:
        grid: parameter -> its values, in the order given.
        fixed: the other parameters that were set over those of the scale, as given.
        jobs: one a point; the last parameter of the grid moves faster than the first, the seed fastest.
        folder: where its table and figure go.
    """

    chapter: Chapter
    scale: str
    grid: dict[str, list[Any]]
    seeds: list[int]
    fixed: dict[str, str]
    jobs: list[Job]
    folder: Path

    def values(self, job: Job) -> Row:
        """The grid's values and the seed of a point."""
        return {name: getattr(job.parameters, name) for name in (*self.grid, "seed")}

    @property
    def command(self) -> str:
        """The command line that reproduces this sweep."""
        words = ["ssltheory sweep", self.chapter.id]
        words += [] if self.scale == "quick" else [f"--scale {self.scale}"]
        axes = (f"{name}={','.join(map(str, values))}" for name, values in self.grid.items())
        words += [f"--grid {shlex.quote(axis)}" for axis in axes]
        words += [f"--seeds {self.seeds[0]}:{self.seeds[-1] + 1}"]
        pairs = (f"{name}={value}" for name, value in self.fixed.items())
        return " ".join([*words, *(f"-p {shlex.quote(pair)}" for pair in pairs)])


def plan(
    name: str,
    scale: str,
    grid: list[str],
    seeds: str | None,
    values: dict[str, str],
    out: Path | None = None,
) -> Sweep:
    """Check a sweep, down to every point's parameters, data and folder, before anything is computed.

    Args:
        name: chapter.
        scale: one that the chapter has.
        grid: ``parameter=value,value,…``, one text a parameter. The comma always parts two values.
        seeds: ``first:end``, the end left out; None: the one seed of the scale.
        values: parameters of every point, over those of the scale.
        out: parent of the points' folders and of ``sweeps/``; None: ``runs``.

    Raises:
        InputError: for whatever is wrong with it, two points that are the same included.
    """
    _pyarrow()
    chapter = registry.find(name)
    axes = [_axis(text) for text in grid]
    names = [axis for axis, _ in axes]
    for axis in names:
        if axis in values:
            raise InputError(f"{axis} is in --grid and in -p: give it once")
        if names.count(axis) > 1:
            raise InputError(f"--grid {axis}=… is there twice: give all its values in one")
    if "out" in values:
        raise InputError(
            "-p out=…: all points would write into one folder: give --out, the folder that holds theirs"
        )
    if seeds is not None and "seed" in values:
        raise InputError("the seed is in --seeds and in -p: give it once")
    moved: list[tuple[str, Sequence[Any]]] = [*axes]
    if seeds is not None:
        moved.append(("seed", _seeds(seeds)))
    points = math.prod(len(values) for _, values in moved)
    if points > MOST_POINTS:
        raise InputError(
            f"a sweep of {points:,} points: take at most {MOST_POINTS:,}, or split the sweep"
        )
    choices = itertools.product(*([(axis, value) for value in values] for axis, values in moved))
    jobs: list[Job] = []
    there: dict[Path, str] = {}
    for choice in choices:
        words = ", ".join(f"{axis}={value}" for axis, value in choice)
        job = runner.plan(chapter.id, scale, values | dict(choice), out)
        if job.folder in there:
            raise InputError(
                f"the points {there[job.folder]} and {words} have one folder: give each value once"
            )
        there[job.folder] = words
        jobs.append(job)
    parsed = {
        axis: list(dict.fromkeys(getattr(job.parameters, axis) for job in jobs)) for axis in names
    }
    numbers = list(dict.fromkeys(job.parameters.seed for job in jobs))
    base = out.absolute() if out else (repository.root() or Path.cwd()) / "runs"
    folder = base / "sweeps" / _folder_name(chapter, scale, values, parsed, numbers)
    return Sweep(chapter, scale, parsed, numbers, values, jobs, records.writable(folder))


def run(
    sweep: Sweep, workers: int = 1, recompute: bool = False, engine: Any = None
) -> list[Outcome]:
    """Run the points of a sweep that have no current record, under one bar.

    Args:
        sweep: from ``plan``.
        workers, recompute, engine: as of ``runner.run``.

    Returns:
        One outcome a point, in order.
    """
    display = _Display(sweep)
    return runner.run(sweep.jobs, workers, recompute, engine, display)


def rows(sweep: Sweep, outcomes: list[Outcome]) -> list[Row]:
    """The tidy table: a row a finished point and measure.

    Its columns are the grid's parameters, ``seed``, and ``measure`` (a claim's id, or the name of what else the
    chapter measures), ``statement``, ``measured``, ``relation``, ``predicted``, ``tolerance`` and ``verdict``;
    the last four are empty where nothing is claimed.
    """
    return [
        sweep.values(outcome.job) | measure
        for outcome in outcomes
        if outcome.record
        for measure in measures(outcome.record)
    ]


def measures(record: Record) -> list[Row]:
    """What a record measures: its claims, judged today, and what ``claims.<chapter>.measures`` adds."""
    claimed = [
        {"measure": claim.id, "statement": claim.statement, "measured": float(claim.measured)}
        | {"relation": claim.relation, "predicted": float(claim.predicted)}
        | {"tolerance": float(claim.tolerance), "verdict": claim.verdict}
        for claim in record.judged_today()
    ]
    module = record.chapter.part("claims")
    more = getattr(module, "measures", None)
    nothing = {"relation": "", "predicted": None, "tolerance": None, "verdict": ""}
    return claimed + [
        {"measure": name, "statement": statement, "measured": value} | nothing
        for name, (statement, value) in (more(record.arrays) if more else {}).items()
    ]


def summary(rows: list[Row]) -> list[Row]:
    """A row a measure: its statement, the least and the greatest value, and how often which verdict was given."""
    every: dict[str, list[Row]] = {}
    for row in rows:
        every.setdefault(row["measure"], []).append(row)
    return [
        {"measure": name, "statement": points[0]["statement"]}
        | {"least": min(p["measured"] for p in points)}
        | {"greatest": max(p["measured"] for p in points)}
        | {verdict: sum(p["verdict"] == verdict for p in points) for verdict in VERDICTS}
        for name, points in every.items()
    ]


def save(sweep: Sweep, outcomes: list[Outcome]) -> list[Row]:
    """Write ``sweep.csv``, ``sweep.parquet``, ``sweep.png`` and, last, ``sweep.json``, the manifest.

    Args:
        sweep: from ``plan``.
        outcomes: from ``run``; at least one with a record.

    Returns:
        The rows of the table.

    Raises:
        RunError: if the folder cannot be written to.
    """
    from ssltheory.book import sweep_figures as plots
    from ssltheory.book.figures import write

    csv, parquet = _pyarrow()
    import pyarrow

    results = rows(sweep, outcomes)
    table, files = pyarrow.Table.from_pylist(results), {}
    for name, writer in (("sweep.csv", csv.write_csv), ("sweep.parquet", parquet.write_table)):
        buffer = pyarrow.BufferOutputStream()
        writer(table, buffer)
        files[name] = buffer.getvalue().to_pybytes()
    files["sweep.json"] = (json.dumps(_manifest(sweep, outcomes), indent=1) + "\n").encode()
    try:
        write(plots.panels(results, list(sweep.grid)), sweep.folder / "sweep.png")
        for name, blob in files.items():
            records.write(sweep.folder / name, blob)
    except OSError as error:
        raise RunError(
            f"the table could not be written to {sweep.folder} ({error.strerror}): make room and run again"
        ) from error
    return results


def load(folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows and the manifest of a sweep.

    Raises:
        InputError: if they are not there or cannot be read.
    """
    csv, _ = _pyarrow()
    import pyarrow

    blanks = csv.ConvertOptions(null_values=[""])
    try:
        manifest = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        return csv.read_csv(folder / "sweep.csv", convert_options=blanks).to_pylist(), manifest
    except (OSError, ValueError, pyarrow.ArrowInvalid) as error:
        raise InputError(f"no sweep can be read in {folder} ({error}): run it again") from error


def _pyarrow():
    try:
        from pyarrow import csv, parquet
    except ModuleNotFoundError as error:
        raise InputError(
            "a sweep's table needs pyarrow: pip install '.[book]' in a clone"
        ) from error
    return csv, parquet


def _manifest(sweep: Sweep, outcomes: list[Outcome]) -> dict[str, Any]:
    """What was swept, by what code, on what; no paths."""
    done = [outcome for outcome in outcomes if outcome.record]
    origin = [outcome.record.provenance for outcome in done if outcome.record]
    return {
        "chapter": sweep.chapter.id,
        "command": sweep.command,
        "scale": sweep.scale,
        "grid": sweep.grid,
        "seeds": sweep.seeds,
        "fixed": sweep.fixed,
        "data": origin[0]["data"],
        "code": fingerprint.code_hashes(sweep.jobs[0].notebook),
        "commits": [
            {"commit": commit, "dirty": dirty}
            for commit, dirty in dict.fromkeys((p["commit"], p["dirty"]) for p in origin)
        ],
        "devices": sorted({p["device"] for p in origin}),
        "versions": origin[0]["versions"],
        "seconds": round(sum(p["seconds"] for p in origin), 1),
        "finished": max(p["finished"] for p in origin),
        "points": [
            sweep.values(o.job)
            | {"run": o.job.folder.name, "seconds": o.record.provenance["seconds"]}
            for o in done
            if o.record
        ],
        "missing": [sweep.values(o.job) for o in outcomes if not o.record],
    }


def _axis(text: str) -> tuple[str, list[str]]:
    name, sign, listing = text.partition("=")
    name, values = name.strip(), [value.strip() for value in listing.split(",")]
    if not sign or not name or "" in values:
        raise InputError(f"--grid {text}: write it as name=value,value, e.g. --grid dim=5,10,20")
    if name in NO_AXES:
        remedy = "give --seeds 0:5" if name == "seed" else "give it to the whole sweep"
        raise InputError(f"--grid {text}: {name} cannot be an axis of a grid: {remedy}")
    return name, values


def _seeds(text: str) -> range:
    match = re.fullmatch(r"(\d{1,10}):(\d{1,10})", text)
    seeds = range(*map(int, match.groups())) if match else range(0)
    if not seeds:
        raise InputError(f"--seeds {text}: write it as first:end, e.g. 0:5 for 0, 1, 2, 3 and 4")
    return seeds


def _folder_name(chapter, scale, values, grid, seeds) -> str:
    """Chapter, scale, fixed values, grid and seeds; what is too long for a file's name ends in a hash."""
    span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
    parts = [chapter.id, *([] if scale == "quick" else [scale])]
    parts += [f"{name}={value}" for name, value in values.items()]
    parts += [f"{name}={'+'.join(map(str, axis))}" for name, axis in grid.items()]
    name = ",".join([*parts, f"seeds={span}"]).replace("/", "-").replace("\\", "-")
    short = f"{name[:180]}…{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name if len(name) <= 200 else short


class _Display(runner.Display):
    """One bar for all points on a terminal; in a log a line every ten seconds."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__()
        self._name, self._to_run = sweep.chapter.id, len(sweep.jobs)
        self._ended = self._reused = 0
        self._started = self._latest = time.monotonic()
        text = f"{self._name} (points)"
        self._task = self._bars.add_task(text, total=self._to_run) if self._bars else None

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        self.say(self._words())

    def reuse(self, job: Job) -> None:
        with self._lock:
            self._reused += 1
            self._to_run -= 1

    def start(self, job: Job) -> None:
        pass

    def stop(self, job: Job, words: str) -> None:
        with self._lock:
            self._ended, self._latest = self._ended + 1, time.monotonic()
        if not words.startswith("done"):
            self.say(f"{job.folder.name}: {words}")

    def _words(self) -> str:
        words = f"{self._name}: {self._ended} of {self._to_run} points run"
        words += f", {self._reused} current records reused" if self._reused else ""
        left = self._to_run - self._ended
        if left and self._ended:
            expected = self._latest + (self._latest - self._started) * left / self._ended
            words += f", {max(0, expected - time.monotonic()):.0f} s left"
        return words

    def _update_bars(self) -> None:
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=self._ended, total=self._to_run)

    def _write_lines(self) -> None:
        print(self._words(), file=sys.stderr, flush=True)

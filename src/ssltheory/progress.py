"""Bars that count work (steps, images), not cells.

A bar reports to whoever watches: the runner, through the file that ``SSLTHEORY_PROGRESS`` names; a person,
on a terminal; nobody, inside a notebook, so that no output is littered.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERVAL = 0.2  # seconds between two reports


class Bar:
    """Counts work done; ``update(n)`` is cheap enough for an inner loop of a millisecond a turn."""

    def __init__(self, total: int, description: str, unit: str, report) -> None:
        self.total, self.description, self.unit, self.done = total, description, unit, 0
        self._report, self._next, self._started = report, 0.0, time.monotonic()

    def update(self, n: int = 1) -> None:
        """Count n units more."""
        self.done += n
        now = time.monotonic()
        if now >= self._next:
            self._next = now + INTERVAL
            self._report(self)

    @property
    def left(self) -> float | None:
        """Seconds left at the pace so far; None before the first unit is done."""
        elapsed = time.monotonic() - self._started
        return elapsed * (self.total - self.done) / self.done if self.done else None


@contextmanager
def track(total: int, description: str, unit: str = "steps", quiet: bool = False) -> Iterator[Bar]:
    """A bar over ``total`` units of work.

    Args:
        total: units of work.
        description: what is being done, e.g. "gradient descent".
        unit: what is counted, in the plural.
        quiet: report to nobody.
    """
    watcher = os.environ.get("SSLTHEORY_PROGRESS")
    if quiet:
        yield Bar(total, description, unit, lambda bar: None)
    elif watcher:
        with open(watcher, "a", encoding="utf-8") as file:
            bar = Bar(total, description, unit, lambda bar: _write(file, bar))
            yield bar
            _write(file, bar)
    elif sys.stderr.isatty():
        with columns() as progress:
            task = progress.add_task(f"{description} ({unit})", total=total)
            bar = Bar(total, description, unit, lambda b: progress.update(task, completed=b.done))
            yield bar
            progress.update(task, completed=bar.done)
    else:
        yield Bar(total, description, unit, lambda bar: None)


def columns(**options) -> Progress:
    """The look of every bar of the project: what, how far, how much of it, time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        transient=True,
        **options,
    )


def last(path: Path) -> dict | None:
    """The latest report in a progress file: ``description, unit, done, total, left``; None before the first."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            return json.loads(line)
        except json.JSONDecodeError:  # the line being written
            continue
    return None


def _write(file, bar: Bar) -> None:
    report = {key: getattr(bar, key) for key in ("description", "unit", "done", "total", "left")}
    file.write(json.dumps(report) + "\n")
    file.flush()

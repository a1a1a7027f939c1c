"""Runs chapters: checks what was asked, reuses what is current, executes the notebook with papermill.

A run leaves ``notebook.ipynb``, ``record.npz`` and ``record.json`` in its folder; a failed one leaves
``failure.txt`` and ``failure.ipynb`` instead, one whose time is up its checkpoints; the other chapters still run.
"""

import contextlib
import mmap
import os
import re
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssltheory import data, progress
from ssltheory.book import provenance, records, registry, repository, scales
from ssltheory.book.parameters import Settings
from ssltheory.book.records import Record
from ssltheory.book.registry import Chapter
from ssltheory.errors import InputError, Paused, RunError

LOG_INTERVAL = 10.0  # seconds between two lines of a log that is no terminal
ROOM = 1 << 30  # bytes of address space for a run here; its kernel has the same limit for itself
_ROOM_LOCK = threading.Lock()
WANT = "most often for want of memory: take fewer images or a smaller scale"


@dataclass(frozen=True)
class Job:
    """One chapter to run: everything about it was checked.

    Attributes:
        folder: where it writes, absolute.
        source: its data set, found and looked through.
        command: the line that reproduces it.
    """

    chapter: Chapter
    scale: str
    parameters: Settings
    folder: Path
    source: data.Source

    @property
    def notebook(self) -> Path:
        """The chapter's notebook."""
        return notebook(self.chapter)

    @property
    def command(self) -> str:
        """The command line that reproduces this run."""
        standard = scales.standard(self.chapter, self.scale)
        return command(self.chapter, self.scale, standard, self.parameters)


Engine = Callable[[Job], None]  # runs a job and leaves its files in its folder


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its record, or the error; ``reused`` if a current record was there."""

    job: Job
    record: Record | None
    error: InputError | Paused | RunError | None = None
    reused: bool = False


def command(chapter: Chapter, scale: str, standard: Settings, parameters: Settings) -> str:
    """``ssltheory run …`` for parameters that may differ from the standard ones of a scale."""
    changed = [
        f"-p {name}={shlex.quote(str(value))}"
        for name, value in parameters.model_dump(exclude={"out", "device"}).items()
        if value != getattr(standard, name)
    ]
    scaled = [] if scale == "quick" else [f"--scale {scale}"]
    return " ".join(["ssltheory run", chapter.id, *scaled, *changed])


def notebook(chapter: Chapter) -> Path:
    """The notebook of a chapter, with exactly one cell tagged ``parameters``.

    Raises:
        InputError: if it is not there or has no such cell.
    """
    base = repository.root()
    if base is None:
        raise InputError("the notebooks lie in the repository: run this from inside a clone of it")
    path = base / "notebooks" / f"{chapter.id}.ipynb"
    import nbformat

    try:
        cells = nbformat.read(path, as_version=4).cells
    except FileNotFoundError as error:
        raise InputError(
            f"{path.name} is not in {path.parent}: restore it, `git checkout notebooks`"
        ) from error
    except Exception as error:  # nbformat raises its own and json's errors
        raise InputError(
            f"{path.name} is not a notebook that can be read ({error}): restore it"
        ) from error
    tagged = sum("parameters" in cell.metadata.get("tags", []) for cell in cells)
    if tagged != 1:
        raise InputError(
            f"{path.name} has {tagged} cells tagged `parameters` instead of one: papermill would ignore what it is "
            f"given; tag the cell with the defaults"
        )
    return path


def plan(name: str, scale: str, values: dict[str, Any], out: Path | None = None) -> Job:
    """Check a request for one chapter, down to the data and the folder, before anything is computed.

    Args:
        name: chapter.
        scale: one that the chapter has.
        values: parameters over those of the scale, text or numbers.
        out: parent of the run's folder; None: ``runs/<scale>``.

    Whatever is wrong with the request is an ``InputError``.
    """
    chapter = registry.find(name)
    parameters = chapter.parse(scales.values(chapter, scale) | values)
    notebook(chapter)
    source = data.find(parameters.dataset)
    parameters.check(source)
    provenance.device(parameters.device)
    folder = scales.run_folder(chapter, parameters)
    if out and not parameters.out:
        folder = out / folder.name
    return Job(chapter, scale, parameters, records.writable(folder.absolute()), source)


def current(job: Job) -> Record | None:
    """The record in the job's folder if it is whole, current and of the same parameters and data."""
    try:
        record = records.load(job.folder)
    except InputError:
        return None
    then, now = record.provenance, job.parameters.model_dump(exclude={"out", "device"})
    same = (
        then["parameters"] == now | {"dataset": job.source.name}
        and then["data"]["sha256"] == job.source.sha256
    )
    whole = (job.folder / "notebook.ipynb").is_file()
    return (
        record
        if whole and same and then["chapter"] == job.chapter.id and not record.stale()
        else None
    )


def run(
    jobs: Iterable[Job],
    workers: int = 1,
    recompute: bool = False,
    engine: Engine | None = None,
    display: "Display | None" = None,
) -> list[Outcome]:
    """Run jobs, at most ``workers`` at a time; a failure stops none of the others.

    Args:
        jobs: from ``plan``.
        workers: notebooks at a time; the processor's threads are shared out among them.
        recompute: also where a current record is there.
        engine: what runs a job and leaves its files in its folder; None: ``execute``.
        display: who is told what begins and ends; None: a bar or a line for each job.

    Returns:
        One outcome a job, in order.
    """
    jobs = list(jobs)
    os.environ["SSLTHEORY_WATCHED"] = "1"
    if workers > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        with display or Display() as screen:
            waiting: list[Future | Outcome] = []
            for job in jobs:
                record = None if recompute else current(job)
                if record is not None:
                    screen.reuse(job)
                    waiting.append(Outcome(job, record, reused=True))
                else:
                    waiting.append(pool.submit(_run_one, job, engine or execute, screen, recompute))
            return [item if isinstance(item, Outcome) else item.result() for item in waiting]
    finally:  # nothing is left to wait for, unless by Ctrl-C; kernels end with this process
        pool.shutdown(wait=False, cancel_futures=True)


def _run_one(job: Job, engine: Engine, display: "Display", recompute: bool) -> Outcome:
    try:
        with _alone(job, display) as waited:
            record = current(job) if waited and not recompute else None
            if record is None:
                return _started(job, engine, display)
            display.reuse(job)
            return Outcome(job, record, reused=True)
    except OSError as error:
        return Outcome(
            job,
            None,
            RunError(
                f"{job.chapter.id}: {job.folder} was removed during the run ({error}): run it again"
            ),
        )


@contextlib.contextmanager
def _alone(job: Job, display: "Display") -> Iterator[bool]:
    """Hold the job's folder; whether another process had it first, for whose end this one waited.

    The lock is the system's and ends with its process, however that ends. Where there is none (Windows, some
    network drives), nothing is held.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        yield False
        return
    waited, folder = False, os.open(job.folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                display.say(f"{job.chapter.id}: waits for another run in {job.folder}")
                fcntl.flock(folder, fcntl.LOCK_EX)
                waited = True
        yield waited
    finally:
        os.close(folder)


def _started(job: Job, engine: Engine, display: "Display") -> Outcome:
    display.start(job)
    started = time.monotonic()
    try:
        engine(job)
        record = records.load(job.folder)
    except (InputError, Paused, RunError, OSError) as error:
        if isinstance(error, OSError):  # of the folder itself: it is full, or not there any more
            error = RunError(f"{job.chapter.id} failed: {error}")
        what = "paused" if isinstance(error, Paused) else "failed"
        display.stop(job, f"{what} after {time.monotonic() - started:.0f} s")
        return Outcome(job, None, error)
    display.stop(job, f"done in {time.monotonic() - started:.0f} s ({job.folder})")
    return Outcome(job, record)


def execute(job: Job, env: Mapping[str, str] | None = None) -> None:
    """Papermill over the job's notebook; the executed notebook takes its place only when it is whole.

    Args:
        job: from ``plan``.
        env: what its kernel has over this process's environment.

    Raises:
        InputError: if papermill is missing, or the notebook raised one.
        Paused: if the notebook raised it.

    Any other end of the notebook or its kernel is a ``RunError``.
    """  # noqa: DOC501
    try:
        import papermill
        from nbclient.exceptions import DeadKernelError
        from papermill.exceptions import PapermillExecutionError
        from traitlets.config import Config
    except ModuleNotFoundError as error:
        raise InputError(
            f"running notebooks needs {error.name}: pip install '.[book]' in a clone"
        ) from error

    _ensure_room()
    partial, failed = job.folder / "notebook.part.ipynb", job.folder / "failure.ipynb"
    for leftover in ("notebook.ipynb", failed.name, "failure.txt", "progress.jsonl"):
        (job.folder / leftover).unlink(missing_ok=True)
    values = job.parameters.model_dump() | {"out": str(job.folder)}
    # A folder of its own for each kernel's sockets: two that start at once would take the same names.
    sockets = tempfile.TemporaryDirectory(prefix="ssltheory-", ignore_cleanup_errors=True)
    ipc = {"transport": "ipc", "ip": f"{sockets.name}/kernel"}
    options: dict[str, Any] = {}
    if sys.platform != "win32":
        options["config"] = Config({"KernelManager": ipc})
    if env:
        options["kernel_manager_class"] = _manager_with(env)
    try:
        papermill.execute_notebook(
            str(job.notebook).replace("{", "{{").replace("}", "}}"),
            str(partial).replace("{", "{{").replace("}", "}}"),
            values,
            kernel_name="python3",
            progress_bar=False,
            cwd=str(Path.cwd()),
            **options,
        )
    except PapermillExecutionError as error:
        os.replace(partial, failed)
        if error.ename == "InputError":
            failed.unlink()
            raise InputError(error.evalue) from error
        if error.ename == "Paused":
            failed.unlink()
            again = f"{job.chapter.id} paused: {error.evalue}\n  again:  {job.command}"
            raise Paused(again) from error
        cause = f"{error.ename}: {error.evalue}"
        if not error.evalue and not error.traceback:
            cause = f"a cell failed without a word, {WANT}"
        raise _failure(job, cause, error.source, "\n".join(error.traceback)) from error
    except DeadKernelError as error:
        os.replace(partial, failed)
        cause = f"the kernel died, {WANT}"
        raise _failure(job, cause, "(unknown: the kernel left no word)", str(error)) from error
    except Exception as error:  # a full disk, a kernel that does not start
        cause = f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError) or "new thread" in str(error):
            cause = f"no memory is left for a kernel ({error}): free some"
        raise _failure(job, cause, "(none: papermill itself stopped)", cause) from error
    finally:
        (job.folder / "progress.jsonl").unlink(missing_ok=True)
        sockets.cleanup()
    os.replace(partial, job.folder / "notebook.ipynb")


def _ensure_room() -> None:
    """RunError where a limit leaves too little memory: sockets and threads would end the process without a word."""
    try:
        with _ROOM_LOCK:
            mmap.mmap(-1, ROOM).close()
    except (OSError, MemoryError) as error:
        raise RunError(
            f"too little memory for a run ({error}): it takes {ROOM >> 30} GB over what is in use; raise the limit "
            f"(ulimit -v) or free some"
        ) from error


def _manager_with(env: Mapping[str, str]) -> type:
    """A manager whose kernels have these variables over the environment."""
    from jupyter_client import AsyncKernelManager

    class Manager(AsyncKernelManager):
        def start_kernel(self, *words: Any, **options: Any) -> Any:
            return super().start_kernel(*words, env=os.environ | dict(env), **options)

    return Manager


def _failure(job: Job, cause: str, cell: str, traceback: str) -> RunError:
    """Write ``failure.txt`` and say where it is."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", traceback)
    values = "\n".join(f"  {name} = {value}" for name, value in job.parameters.model_dump().items())
    report = (
        f"{job.chapter.id} failed: {cause}\n\nReproduce it with\n  {job.command} --recompute\n\n"
        f"Parameters\n{values}\n\nFailing cell\n{_indent(cell)}\n\nTraceback\n{_indent(plain)}\n"
    )
    path = job.folder / "failure.txt"
    try:
        path.write_text(report, encoding="utf-8")
    except OSError as error:
        return RunError(
            f"{job.chapter.id} failed: {cause}; no report could be written ({error.strerror})"
        )
    return RunError(
        f"{job.chapter.id} failed: {cause}\n  report: {path}\n  again:  {job.command} --recompute"
    )


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


class Display:
    """One bar a running chapter on a terminal; a plain line every ten seconds in a log."""

    def __init__(self) -> None:
        self._bars = progress.columns() if sys.stderr.isatty() else None
        self._running: dict[Path, Any] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Display":
        if self._bars:
            self._bars.start()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()
        if self._bars:
            self._bars.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._bars:
            self._bars.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def reuse(self, job: Job) -> None:
        """A current record is there."""
        self.say(f"{job.chapter.id}: current record reused ({job.folder})")

    def start(self, job: Job) -> None:
        """A chapter begins."""
        expected = job.chapter.seconds.get(job.scale)
        hint = f", about {expected:.0f} s" if expected else ""
        self.say(f"{job.chapter.id}: started at scale {job.scale} on {job.source.name}{hint}")
        with self._lock:
            task = (
                self._bars.add_task(job.chapter.id, total=None) if self._bars else time.monotonic()
            )
            self._running[job.folder] = (job, task)

    def stop(self, job: Job, words: str) -> None:
        """A chapter has ended."""
        with self._lock:
            _, task = self._running.pop(job.folder)
            if self._bars:
                self._bars.remove_task(task)
        self.say(f"{job.chapter.id}: {words}")

    def _watch(self) -> None:
        report: Callable[[], None] = self._update_bars if self._bars else self._write_lines
        while not self._over.wait(progress.INTERVAL if self._bars else LOG_INTERVAL):
            with self._lock:
                report()

    def _update_bars(self) -> None:
        for folder, (job, task) in self._running.items():
            at = progress.last(folder / "progress.jsonl")
            if at and self._bars:
                text = f"{job.chapter.id}: {at['description']} ({at['unit']})"
                self._bars.update(task, description=text, completed=at["done"], total=at["total"])

    def _write_lines(self) -> None:
        for folder, (job, started) in self._running.items():
            at = progress.last(folder / "progress.jsonl")
            line = f"{job.chapter.id}: {time.monotonic() - started:.0f} s"
            if at:
                line += f", {at['description']} {at['done']:,} of {at['total']:,} {at['unit']}"
                line += f", {at['left']:.0f} s left" if at.get("left") is not None else ""
            print(line, file=sys.stderr, flush=True)

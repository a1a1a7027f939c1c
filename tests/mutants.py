"""Plants the faults of ``mutants.yaml``, one after another in a copy of the package, and asks the tests.

    python tests/mutants.py [WORD ...] [--jobs 2]

Words choose the faults of the modules that contain one. A run of all of them ends in ``book/mutants.json``, which a
page of the book shows. Exit code 1 if a fault that is not explained turns no test red, 2 if the list does not fit.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from compileall import compile_dir
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("src", "tests", "notebooks", "book", "_toc.yml", "pyproject.toml")  # by the tests
LARGE = ("torch", "torchvision", "scipy.integrate", "scipy.stats", "sklearn.datasets", "pydantic")
LARGE += ("matplotlib.pyplot", "nbformat", "typer", "rich")  # imported once, before any fault
LONGEST = 600  # seconds: a test that does not end has noticed
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Fault:
    """One mistake.

    Attributes:
        module: below ``src/ssltheory``, without its suffix.
        text, by: what is replaced in it, and by what.
        why: which mistake that is.
        tests: files of ``tests/``, without their suffix, or tests in them, ``file::test``: one should turn red.
        survives: why none can; empty where one must.
    """

    module: str
    text: str
    by: str
    why: str
    tests: list[str]
    survives: str = ""

    def planted(self, source: str) -> str:
        """The source with the fault in it.

        Raises:
            ValueError: unless the text occurs exactly once.
        """
        if (times := source.count(self.text)) != 1:
            raise ValueError(f"{self.module} holds {self.text!r} {times} times instead of once")
        return source.replace(self.text, self.by)


def path(module: str) -> Path:
    """A module's file below the root."""
    return Path("src", "ssltheory", f"{module}.py")


def faults() -> list[Fault]:
    """All of them, in the order of the list."""
    listed = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return [Fault(module, **fields) for module, several in listed.items() for fields in several]


def killers(chosen: list[Fault], jobs: int) -> list[str | None]:
    """The first test that each fault turns red, None if it turns none; ``jobs`` faults at a time.

    Raises:
        RuntimeError: if a test is red without any fault.
    """
    for name in LARGE:
        importlib.import_module(name)
    tests: dict[str, set[str]] = {}  # by file
    for test in (test for fault in chosen for test in fault.tests):
        tests.setdefault(test.partition("::")[0], set()).add(test)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(jobs, mp_context=FORK) as pool,
    ):
        clean = pool.map(partial(_first_red, Path(folder)), map(sorted, tests.values()))
        if already := [red for red in clean if red]:
            raise RuntimeError(f"red without any fault: {', '.join(already)}")
        found = []
        reds = pool.map(partial(_killer, Path(folder)), chosen)
        for fault, red in zip(chosen, reds, strict=True):
            print(f"{fault.module}: {fault.why}: {red or 'SURVIVES'}", flush=True)
            found.append(red)
        return found


def _killer(folder: Path, fault: Fault) -> str | None:
    file = _copy(folder) / path(fault.module)
    source = file.read_text(encoding="utf-8")
    file.write_text(fault.planted(source), encoding="utf-8")
    red = _first_red(folder, fault.tests)
    file.write_text(source, encoding="utf-8")
    return red


def _copy(folder: Path) -> Path:
    """The copy of the repository that belongs to this process."""
    to = folder / str(os.getpid())
    if not to.is_dir():
        to.mkdir()
        for name in NEEDED:
            if (ROOT / name).is_dir():
                built = shutil.ignore_patterns("__pycache__", "generated")
                shutil.copytree(ROOT / name, to / name, ignore=built)
            else:
                shutil.copy(ROOT / name, to)
        by_hash = PycInvalidationMode.CHECKED_HASH  # a time would not tell two faults apart
        compile_dir(to / "src", quiet=2, invalidation_mode=by_hash)
    return to


def _first_red(folder: Path, tests: list[str]) -> str | None:
    """The first of these tests to fail on this process's copy, run by a process that has imported nothing of it."""
    answer, end = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_run, args=(_copy(folder), tests, end))
    child.start()
    end.close()
    try:
        code, red = answer.recv() if answer.poll(LONGEST) else (1, [f"no end in {LONGEST} s"])
    except EOFError:
        code, red = 1, ["the process died"]
    child.kill()
    child.join()
    if code and not red:
        raise RuntimeError(f"pytest could not run {tests}: exit code {code}")
    return red[0].removeprefix("tests/").replace(".py", "") if red else None


def _run(copy: Path, tests: list[str], end) -> None:
    os.chdir(copy)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os.environ |= {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(copy / "src"), *(p for p in sys.path if p != str(ROOT / "tests"))]
    for name in [name for name in sys.modules if name.split(".")[0] in ("ssltheory", "conftest")]:
        del sys.modules[name]
    red = []

    class Notes:
        def pytest_collectreport(self, report):
            red.extend([report.nodeid] if report.failed else [])

        def pytest_runtest_logreport(self, report):
            red.extend([report.nodeid] if report.failed else [])

    parts = [test.partition("::") for test in tests]
    files = [f"tests/{file}.py{colons}{test}" for file, colons, test in parts]
    flags = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "--rootdir", str(copy)]
    code = pytest.main([*flags, *files], plugins=[Notes()])
    end.send((int(code), red))


def main(arguments: list[str] | None = None) -> int:
    """From the shell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="parts of the names of modules; none: all")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    given = parser.parse_args(arguments)
    everything = faults()
    chosen = [f for f in everything if not given.words or any(w in f.module for w in given.words)]
    try:
        for fault in chosen:
            fault.planted((ROOT / path(fault.module)).read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"the list of faults does not fit: {error}", file=sys.stderr)
        return 2
    found = killers(chosen, given.jobs)
    alive = [f for f, red in zip(chosen, found, strict=True) if red is None]
    killed = len(chosen) - len(alive)
    print(f"{killed} of {len(chosen)} faults turn a test red ({killed / len(chosen):.0%})")
    for fault in alive:
        print(f"survives: {fault.module}: {fault.why}: {fault.survives or 'NOT EXPLAINED'}")
    if chosen == everything:
        from ssltheory.book import provenance

        rows = [asdict(f) | {"killed_by": red} for f, red in zip(chosen, found, strict=True)]
        made = {"date": datetime.now(UTC).date().isoformat(), **provenance.commit(ROOT)}
        text = json.dumps(made | {"faults": rows}, indent=1, ensure_ascii=False)
        (ROOT / "book" / "mutants.json").write_text(text + "\n", encoding="utf-8")
    return int(any(not fault.survives for fault in alive))


if __name__ == "__main__":
    sys.exit(main())

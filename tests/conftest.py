"""What several test files share: copies of the repository, a stub of a chapter's notebook, the command line."""

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = "01-linear-staircase"

# What the stub does beside saving a record, by its seed: 7 fails, 8 is killed, 9 and 10 wait until they may go on,
# 11 pauses once.
STUB = """
import os, signal, time
from pathlib import Path

if seed == 7:
    raise ZeroDivisionError("a planted fault")
if seed == 8:
    os.kill(os.getpid(), signal.SIGKILL)
if seed == 11 and not Path("once").exists():
    from ssltheory.errors import Paused

    Path("once").touch()
    raise Paused("time is up")
if seed in (9, 10):
    Path(f"kernel-{seed}.pid").write_text(str(os.getpid()))
    while not Path("go").exists():
        time.sleep(0.05)
"""
SAVE = f"""
import numpy as np
from ssltheory import data, losses, records
from ssltheory.theory import stepwise

run = records.begin("{CHAPTER}", {{"seed": seed, "out": out, **{{k: globals()[k] for k in settings}}}})
with np.load("arrays.npz") as arrays:
    run.save(**arrays)
"""


@pytest.fixture(scope="module", autouse=True)
def _few_threads_no_display():
    """No test opens a window, and no file leaves figures open or another number of threads behind."""
    plt.switch_backend("Agg")
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, 2))
    yield
    torch.set_num_threads(threads)
    plt.close("all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the run lies that a file's tests share."""
    return tmp_path_factory.mktemp("run")


def copy_repository(to: Path) -> Path:
    """The repository without what was built: package, notebooks, table of contents."""
    for folder in ("src", "notebooks"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "_toc.yml", to)
    return to


def notebook_of(repository: Path) -> Path:
    return repository / "notebooks" / f"{CHAPTER}.ipynb"


@pytest.fixture
def repo_copy(tmp_path: Path) -> Path:
    """A copy of the repository to change at will."""
    return copy_repository(tmp_path / "repository")


@pytest.fixture(scope="session")
def session_env():
    """An environment for runs that outlive one test: no data folder of the user's, no leftovers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield patch


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, session_env) -> Path:
    """Folder of a real run of chapter 01 at the tiny scale, made by the command itself."""
    out = tmp_path_factory.mktemp("tiny")
    call = command("run", CHAPTER, "--scale", "tiny", "--out", str(out))
    assert call.code == 0, call.err
    return out / CHAPTER


@pytest.fixture(scope="session")
def stub_repo(tmp_path_factory, tiny_run) -> Path:
    """A copy of the repository whose notebook takes a moment: see ``STUB``."""
    repository = copy_repository(tmp_path_factory.mktemp("stub") / "repository")
    path = notebook_of(repository)
    book = nbformat.read(path, as_version=4)
    parameters = next(c for c in book.cells if "parameters" in c.metadata.get("tags", []))
    names = [line.split(":")[0] for line in parameters.source.splitlines() if ":" in line]
    names = [name for name in names if name not in ("seed", "out")]
    cells = [STUB, f"settings = {names}\n{SAVE}"]
    book.cells = [parameters, *(nbformat.v4.new_code_cell(cell.strip()) for cell in cells)]
    nbformat.write(book, path)
    shutil.copy(tiny_run / "record.npz", repository / "arrays.npz")
    return repository


def command(*arguments: str) -> SimpleNamespace:
    """``ssltheory …`` in this process: exit code, stdout, stderr."""
    import contextlib
    import io

    from ssltheory import cli

    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["ssltheory", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
    finally:
        sys.argv = argv
        os.environ.pop("SSLTHEORY_WATCHED", None)
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


@pytest.fixture
def ssltheory():
    """The command line as a function."""
    return command


@pytest.fixture
def arrays(tiny_run: Path) -> dict[str, np.ndarray]:
    """The arrays of the tiny run."""
    with np.load(tiny_run / "record.npz") as file:
        return dict(file)

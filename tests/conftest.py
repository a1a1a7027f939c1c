"""What several test files share: copies of the repository, a stub of a notebook, the command line, the pages."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from filelock import FileLock

from ssltheory.book import cells, pdf, registry

ROOT = Path(__file__).resolve().parent.parent
PAGES = [f"{page}.html" for part in pdf.contents(ROOT).values() for page in part]
PAGES += ["search.html", "genindex.html", "404.html"]
# Without Jupyter these cannot run.
NEED_JUPYTER = [
    "cli",
    "malformed",
    "pages",
    "pages_doors",
    "pages_explorers",
    "pages_reading",
    "pdf",
    "prose",
    "runner",
    "sweeps",
]
collect_ignore = [] if find_spec("nbformat") else [f"test_{name}.py" for name in NEED_JUPYTER]
SCREEN = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
CHAPTER = "01-linear-staircase"
# Files whose tests one worker takes, because they share what is costly; another file is a group of its own.
GROUPS = dict.fromkeys(("pages", "pages_doors", "pages_explorers", "pages_reading", "pdf"), "site")
GROUPS |= dict.fromkeys(("cli", "compare", "malformed", "sweeps"), "commands")
# The groups that take longest, which begin first.
LONGEST = ("site", "runner", "chapter_01", "distributed", "commands")

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
from ssltheory import data, losses
from ssltheory.book import records
from ssltheory.theory import stepwise

run = records.begin("{CHAPTER}", {{"seed": seed, "out": out, **{{k: globals()[k] for k in settings}}}})
with np.load("arrays.npz") as arrays:
    run.save(**arrays)
"""


def group(nodeid: str) -> str:
    """Of a test: that of its file."""
    stem = Path(nodeid.partition("::")[0]).stem.removeprefix("test_")
    return GROUPS.get(stem, stem)


def pytest_collection_modifyitems(items):
    """The longest groups begin first."""
    items.sort(key=lambda item: (*LONGEST, name := group(item.nodeid)).index(name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A group stays on one worker. (The ``loadgroup`` of pytest-xdist 3.8 knows no group under pytest 9.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log)


@pytest.fixture(scope="module", autouse=True)
def _one_thread_no_display():
    """No test opens a window, and no file leaves figures open or another number of threads behind.

    One thread: what the tests compute is small, and two beside another process can take ten times as long.
    """
    plt.switch_backend("Agg")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    plt.close("all")


@pytest.fixture(scope="module")
def folder(request) -> Path:
    """Where the run lies that a file's tests share."""
    where = ROOT / "runs" / "tests" / request.path.stem.removeprefix("test_")
    where.mkdir(parents=True, exist_ok=True)
    return where


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
def shared(tmp_path_factory) -> Path:
    """A folder that all workers of a session share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


@pytest.fixture(scope="session")
def tiny_run(shared, session_env) -> Path:
    """Folder of a real run of chapter 01 at the tiny scale, made by the command itself."""
    pytest.importorskip("papermill")
    out = shared / "tiny"
    with FileLock(f"{out}.lock"):
        if not out.exists():
            call = command("run", CHAPTER, "--scale", "tiny", "--out", str(out))
            assert call.code == 0, call.err
    return out / CHAPTER


def plain_run(chapter: str) -> Path:
    """``runs/tiny/<chapter>``, made by plain papermill; a current run that it made before is reused."""
    from ssltheory.book import runner

    with contextlib.chdir(ROOT):
        job = runner.plan(chapter, "tiny", {})
        with FileLock(job.folder.with_name(f".{chapter}.lock")):
            if not (runner.current(job) and plainly_made(job.folder)):
                _by_papermill(job)
    return job.folder


def plainly_made(run: Path) -> bool:
    """Whether papermill was given the preset and the folder, and no more."""
    import nbformat
    import yaml

    given = nbformat.read(run / "notebook.ipynb", as_version=4).metadata.papermill["parameters"]
    return given == yaml.safe_load(preset(run.name)) | {"out": str(run)}


def preset(chapter: str) -> str:
    """What ``ssltheory preset`` prints of the tiny scale."""
    return cells.to_yaml(registry.find(chapter), "tiny")


def _by_papermill(job) -> None:
    draft = job.folder / "notebook.part.ipynb"
    with tempfile.TemporaryDirectory() as elsewhere:
        values = Path(elsewhere, "tiny.yaml")
        values.write_text(preset(job.chapter.id), encoding="utf-8")
        command = [sys.executable, "-m", "papermill", job.notebook, draft, "-f", values]
        command += ["-p", "out", job.folder, "--no-progress-bar"]
        done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    draft.replace(job.folder / "notebook.ipynb")


@pytest.fixture(scope="session")
def stub_repo(tmp_path_factory, tiny_run) -> Path:
    """A copy of the repository whose notebook takes a moment: see ``STUB``."""
    repository = copy_repository(tmp_path_factory.mktemp("stub") / "repository")
    path = notebook_of(repository)
    import nbformat

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
    import io

    from ssltheory.book import cli

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


def build_book(folder: Path, *options: str) -> Path:
    """``ssltheory book`` in a repository, as if it were not known where the pages will be: the HTML's folder."""
    where = ("SSLTHEORY_URL", "GITHUB_REPOSITORY")
    env = {name: value for name, value in os.environ.items() if name not in where}
    command = [sys.executable, "-m", "ssltheory", "book", *options]
    subprocess.run(command, cwd=folder, env=env, check=True)
    return folder / "_build" / "html"


@pytest.fixture(scope="session", params=["tiny", pytest.param("quick", marks=pytest.mark.slow)])
def built(request, tmp_path_factory) -> Path:
    """The HTML of the book: of the tiny runs, in a copy of the repository; in the slow tier as a reader builds it."""
    if request.param == "quick":
        return build_book(ROOT)
    repository = copy_repository(tmp_path_factory.mktemp("book") / "repository")
    for name in ("_config.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, repository)
    made = shutil.ignore_patterns("chapters", "generated", "__pycache__")
    shutil.copytree(ROOT / "book", repository / "book", ignore=made)
    for chapter in registry.all_chapters():
        run = plain_run(chapter.id)
        shutil.copytree(run, repository / "runs" / "tiny" / run.name)
    return build_book(repository, "--scale", "tiny")


@pytest.fixture(scope="session")
def site(built):
    """That book, served on loopback."""
    with pdf.served(built) as address:
        yield address


def small_toc(to: Path, *pages: str) -> Path:
    """A table of contents of a few pages, numbered as in the whole one."""
    import yaml

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["chapters"] = [page for page in part["chapters"] if page["file"] in pages]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    to.write_text(yaml.safe_dump(toc, sort_keys=False), encoding="utf-8")
    return to


@pytest.fixture(scope="session")
def needs_chromium():
    """Without Chromium a test is skipped, or fails where SSLTHEORY_REQUIRE_BROWSER is set."""
    if pdf.chromium() is None:
        message = "no chromium on the PATH: install it to test the pages"
        if os.environ.get("SSLTHEORY_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def browser(needs_chromium):
    """Headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=pdf.chromium(), args=pdf.FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, site):
    """A page that notes every console error, failed or foreign request in ``page.faults``."""
    context = browser.new_context(viewport=SCREEN)
    page = context.new_page()
    page.faults = []
    page.on("console", lambda m: m.type == "error" and page.faults.append(f"console: {m.text}"))
    page.on("pageerror", lambda error: page.faults.append(f"script: {error}"))
    page.on("requestfailed", lambda r: page.faults.append(f"failed: {r.url}"))
    page.on("response", lambda r: r.status >= 400 and page.faults.append(f"{r.status}: {r.url}"))
    page.on("request", lambda r: _foreign(r.url, site) and page.faults.append(f"foreign: {r.url}"))
    yield page
    context.close()


def visit(page, address: str) -> None:
    """Load a page whole, its formulas typeset."""
    page.goto(address)
    page.evaluate("window.MathJax?.startup?.promise")


def _foreign(url: str, site: str) -> bool:
    return not url.startswith((site, "data:", "blob:"))

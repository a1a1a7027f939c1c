"""Runs for real: what a run leaves, how one fails, what is left when it is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from conftest import CHAPTER, ROOT, copy_repository, notebook_of, plain_run, plainly_made

from ssltheory.book import records, registry, repository, runner
from ssltheory.errors import InputError, RunError

GOOD, OTHER, FAILS, KILLED, KILL_9, CTRL_C, PAUSES = 0, 1, 7, 8, 9, 10, 11  # seeds of the stub


def plan(seed: int, **values) -> runner.Job:
    return runner.plan(CHAPTER, "tiny", {"seed": seed} | values)


@pytest.fixture(scope="session")
def outcomes(stub_repo: Path, session_env) -> dict[int, runner.Outcome]:
    """Four runs of the stub, two at a time: two good ones, one that fails, one that is killed."""
    before = Path.cwd()
    os.chdir(stub_repo)
    try:
        seeds = (FAILS, GOOD, KILLED, OTHER)
        done = dict(zip(seeds, runner.run(map(plan, seeds), workers=2), strict=True))
        assert not list(stub_repo.glob("kernel-ipc*"))  # no sockets beside the reader's files
        return done
    finally:
        os.chdir(before)


@pytest.fixture
def stub(stub_repo: Path, outcomes, monkeypatch) -> Path:
    """The working folder is the stub's, where the four runs are done."""
    monkeypatch.chdir(stub_repo)
    return stub_repo


@pytest.fixture
def executed(monkeypatch) -> list[Path]:
    """Folders of the jobs that would be executed; none is."""
    folders = []
    monkeypatch.setattr(runner, "execute", lambda job: folders.append(job.folder))
    return folders


# What a run leaves


def test_tiny_run(tiny_run: Path):
    assert sorted(os.listdir(tiny_run)) == [
        "figure.png",
        "notebook.ipynb",
        "record.json",
        "record.npz",
    ]
    record = records.load(tiny_run)
    assert record.provenance["scale"] == "tiny"
    assert {"step-times", "eigenvalue-curves"} <= {
        c.id for c in record.claims if c.verdict == "holds"
    }
    book = nbformat.read(tiny_run / "notebook.ipynb", as_version=4)
    assert not [
        o for c in book.cells for o in c.get("outputs", []) if o.output_type in ("error", "stream")
    ]
    assert (
        sum("image/png" in o.get("data", {}) for c in book.cells for o in c.get("outputs", [])) >= 2
    )


# From the last, as the book's runs are made from the first: two workers seldom wait for the same one.
@pytest.mark.parametrize("chapter", [c.id for c in reversed(registry.all_chapters())])
def test_plain_papermill(chapter: str):
    """A preset is a parameters file of papermill's."""
    run = plain_run(chapter)
    assert records.load(run).provenance["scale"] == "tiny"
    assert plainly_made(run)
    assert not list(run.glob("*.part.ipynb"))


def test_plain_papermill_with_a_misspelt_name(tmp_path: Path):
    """Papermill itself only warns; the notebook's first cell stops."""
    import papermill

    values = {"n_image": 300, "out": str(tmp_path / "run")}
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(
            str(ROOT / f"notebooks/{CHAPTER}.ipynb"),
            str(tmp_path / "out.ipynb"),
            values,
            progress_bar=False,
        )
    assert caught.value.ename == "InputError"
    assert caught.value.evalue.startswith(
        f"{CHAPTER} has no parameter 'n_image'; did you mean n_images?"
    )
    assert not (tmp_path / "run").exists()


# Reuse


def test_each_setting_has_its_own_folder(stub: Path, outcomes):
    folders = [outcomes[seed].job.folder.relative_to(stub) for seed in (GOOD, OTHER)]
    assert list(map(str, folders)) == [f"runs/tiny/{CHAPTER}", f"runs/tiny/{CHAPTER},seed=1"]
    for seed in (GOOD, OTHER):
        assert not outcomes[seed].reused
        assert outcomes[seed].record.provenance["parameters"]["seed"] == seed
    custom = runner.plan(CHAPTER, "tiny", {"dim": 3, "seed": 2})
    assert custom.folder.parent.name == "custom"
    assert "dim=3" in custom.folder.name
    below = runner.plan(CHAPTER, "tiny", {"seed": 2}, stub / "elsewhere")
    assert below.folder == stub / f"elsewhere/{CHAPTER},seed=2"
    assert plan(OTHER).command == f"ssltheory run {CHAPTER} --scale tiny -p seed=1"


def test_current_run_is_reused(stub: Path, ssltheory, executed):
    call = ssltheory("run", CHAPTER, "--scale", "tiny", "--json")
    assert call.code == 0
    assert f"{CHAPTER}: current record reused ({stub}/runs/tiny/{CHAPTER})" in call.err
    (row,) = json.loads(call.out)
    assert (row["reused"], row["error"], row["chapter"]) == (True, None, CHAPTER)
    assert executed == []
    ssltheory("run", CHAPTER, "1", "--scale", "tiny", "--recompute")  # one job, named twice
    assert executed == [stub / f"runs/tiny/{CHAPTER}"]


@pytest.mark.parametrize("change", ["code", "data", "parameters", "record", "no notebook"])
def test_what_is_not_current_is_run_again(stub: Path, tmp_path: Path, monkeypatch, change: str):
    repository = copy_repository(tmp_path / "copy")
    shutil.copytree(stub / "runs", repository / "runs")
    shutil.copy(notebook_of(stub), notebook_of(repository))
    monkeypatch.chdir(repository)
    job = plan(GOOD)
    assert runner.current(job)
    record = records.load(job.folder)
    if change == "code":
        text = notebook_of(repository).read_text()
        notebook_of(repository).write_text(text.replace("seed == 7", "seed == 77"))
    elif change == "data":
        record.provenance["data"]["sha256"] = "0" * 64
    elif change == "parameters":
        record.provenance["parameters"]["dim"] = 3
    elif change == "record":
        (job.folder / "record.npz").write_bytes(b"")
    else:
        (job.folder / "notebook.ipynb").unlink()
    if change in ("data", "parameters"):
        records.save(job.folder, record)
    assert runner.current(plan(GOOD)) is None


# Failures


def test_failing_cell(stub: Path, outcomes):
    outcome = outcomes[FAILS]
    assert outcome.record is None
    assert isinstance(outcome.error, RunError)
    assert str(outcome.error).startswith(f"{CHAPTER} failed: ZeroDivisionError: a planted fault\n")
    assert sorted(os.listdir(outcome.job.folder)) == ["failure.ipynb", "failure.txt"]
    report = (outcome.job.folder / "failure.txt").read_text()
    assert f"ssltheory run {CHAPTER} --scale tiny -p seed=7 --recompute" in report
    assert "\n  n_images = 400\n" in report
    assert "\nFailing cell\n  import os, signal, time\n" in report
    assert "ZeroDivisionError: a planted fault" in report.split("Traceback\n")[1]
    assert "\x1b" not in report


def test_dead_kernel(outcomes):
    outcome = outcomes[KILLED]
    assert isinstance(outcome.error, RunError)
    assert "the kernel died, most often for want of memory: take fewer images" in str(outcome.error)
    assert sorted(os.listdir(outcome.job.folder)) == ["failure.ipynb", "failure.txt"]


def test_too_little_memory_is_said_before_a_kernel_starts(stub: Path, ssltheory, monkeypatch):
    def full(*_):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(runner.mmap, "mmap", full)
    call = ssltheory("run", CHAPTER, "--scale", "tiny", "-p", "seed=91")
    assert call.code == 1
    assert "too little memory for a run" in call.err
    assert not list(stub.rglob("*seed=91/*"))


def test_failures_stop_no_other(outcomes):
    assert [outcomes[seed].error for seed in (GOOD, OTHER)] == [None, None]


def test_failure_on_the_command_line(stub: Path, ssltheory):
    call = ssltheory("run", CHAPTER, "--scale", "tiny", "-p", f"seed={FAILS}")
    assert call.code == 1
    assert "ssltheory: 01-linear-staircase failed: ZeroDivisionError: a planted fault" in call.err
    assert f"report: {stub}/runs/tiny/{CHAPTER},seed=7/failure.txt" in call.err
    assert "Traceback" not in call.err


def test_a_run_that_pauses_exits_3_and_the_same_command_goes_on(stub, ssltheory):
    request = ("run", CHAPTER, "--scale", "tiny", "-p", f"seed={PAUSES}")
    first = ssltheory(*request)
    assert first.code == 3
    assert "paused: time is up" in first.err
    assert f"again:  ssltheory run {CHAPTER} --scale tiny -p seed={PAUSES}" in first.err
    (folder,) = Path("runs").rglob(f"*seed={PAUSES}")
    assert not [name for name in os.listdir(folder) if name.startswith(("failure", "record"))]
    second = ssltheory(*request)
    assert second.code == 0, second.err
    assert (folder / "record.json").exists()


def test_an_old_record_is_no_success_of_a_failed_run(stub: Path, monkeypatch):
    """A failed rerun leaves the earlier record whole; the next run does not take it for its own."""
    import papermill

    job = plan(GOOD, dataset="digits")
    kept = {name: (job.folder / name).read_bytes() for name in os.listdir(job.folder)}

    def full(source, target, *_, **__):
        Path(target).write_text("{}")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(papermill, "execute_notebook", full)
    (outcome,) = runner.run([job], recompute=True)
    assert isinstance(outcome.error, RunError)
    assert "No space left on device" in str(outcome.error)
    assert records.load(job.folder)
    assert runner.current(job) is None
    for name, blob in kept.items():
        (job.folder / name).write_bytes(blob)


def test_kernel_that_does_not_start(stub: Path, monkeypatch):
    import papermill

    def dead(*_, **__):
        raise RuntimeError("Kernel didn't respond in 60 seconds")

    monkeypatch.setattr(papermill, "execute_notebook", dead)
    failing, good = runner.run([plan(2), plan(OTHER)])
    assert "Kernel didn't respond" in str(failing.error)
    assert isinstance(failing.error, RunError)
    assert good.reused


def test_a_cell_that_fails_without_a_word(stub: Path, monkeypatch):
    import papermill
    from papermill.exceptions import PapermillExecutionError

    def wordless(source, target, *_, **__):
        Path(target).write_text("{}")
        raise PapermillExecutionError(1, 1, "run = ...", "CellExecutionError", "", [])

    monkeypatch.setattr(papermill, "execute_notebook", wordless)
    (failing,) = runner.run([plan(93)])
    assert "a cell failed without a word, most often for want of memory" in str(failing.error)


def test_data_that_vanishes_is_bad_input(stub: Path, monkeypatch):
    import papermill
    from papermill.exceptions import PapermillExecutionError

    def vanished(source, target, *_, **__):
        Path(target).write_text("{}")
        raise PapermillExecutionError(
            1, 1, "run = ...", "InputError", "no data at 'x': give the path", []
        )

    monkeypatch.setattr(papermill, "execute_notebook", vanished)
    (outcome,) = runner.run([plan(3)])
    assert isinstance(outcome.error, InputError)
    assert str(outcome.error) == "no data at 'x': give the path"
    assert os.listdir(outcome.job.folder) == []


def test_the_second_of_two_in_one_folder_waits(stub: Path, outcomes, executed, capfd):
    """It takes the record that appeared while it waited."""
    fcntl = pytest.importorskip("fcntl")
    folder = outcomes[OTHER].job.folder
    done = folder.rename(folder.with_name("done"))
    folder.mkdir()
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(runner.run, [plan(OTHER)])
        try:
            said = ""
            end = time.monotonic() + 60
            while "waits for another run" not in said and time.monotonic() < end:
                said += capfd.readouterr().err
                time.sleep(0.05)
            assert not second.done()
            for file in done.iterdir():
                file.rename(folder / file.name)
        finally:
            os.close(held)
        (outcome,) = second.result(timeout=60)
    done.rmdir()
    assert "waits for another run" in said
    assert (outcome.reused, outcome.error, executed) == (True, None, [])


def test_a_folder_that_cannot_be_used_is_a_failed_run(stub: Path, monkeypatch, ssltheory):
    def full(job):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "execute", full)
    call = ssltheory("run", CHAPTER, "--scale", "tiny", "-p", "seed=3")
    assert call.code == 1
    assert f"ssltheory: {CHAPTER} failed: [Errno 28] No space left on device" in call.err
    shutil.rmtree(plan(3).folder)


# Killed


@pytest.fixture
def waiting(stub: Path):
    """Two runs in processes of their own, in the middle of their notebooks: seed -> (process, id of its kernel)."""
    marks = {seed: stub / f"kernel-{seed}.pid" for seed in (KILL_9, CTRL_C)}
    command = [sys.executable, "-m", "ssltheory", "run", CHAPTER, "--scale", "tiny", "-p"]
    processes = {
        seed: subprocess.Popen(
            [*command, f"seed={seed}"], cwd=stub, stderr=subprocess.PIPE, text=True
        )
        for seed in marks
    }
    try:
        until(lambda: all(mark.exists() and mark.read_text() for mark in marks.values()))
        yield {seed: (processes[seed], int(mark.read_text())) for seed, mark in marks.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def until(condition, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_killed_in_mid_run(stub: Path, waiting, ssltheory):
    for seed, how in ((KILL_9, signal.SIGKILL), (CTRL_C, signal.SIGINT)):
        process, kernel = waiting[seed]
        process.send_signal(how)
        _, err = process.communicate(timeout=20)
        if how == signal.SIGINT:
            assert process.returncode == 130
            assert "ssltheory: interrupted" in err
        assert "Traceback" not in err
        until(lambda kernel=kernel: not alive(kernel), 20)  # no orphan goes on to write a record
        folder = stub / f"runs/tiny/{CHAPTER},seed={seed}"
        with pytest.raises(InputError, match="no record"):
            records.load(folder)
        call = ssltheory("verify", "--json", str(stub / "runs"))
        assert str(folder) not in {result["record"] for result in json.loads(call.out)}
    (stub / "go").touch()
    (outcome,) = runner.run([plan(KILL_9)])
    assert outcome.error is None
    assert sorted(os.listdir(outcome.job.folder)) == [
        "notebook.ipynb",
        "record.json",
        "record.npz",
    ]


def test_chapters_are_independent_of_the_working_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert repository.root() == ROOT

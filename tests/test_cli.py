"""The command line: bad input is one message and exit code 2 before anything runs; every verdict reaches a gate."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pytest
import yaml
from conftest import CHAPTER, notebook_of
from PIL import Image

from ssltheory.book import (
    claims,
    cli,
    figures,
    not_seen,
    pages,
    records,
    registry,
    repository,
    runner,
    scales,
)
from ssltheory.errors import RunError

RUN = ("run", CHAPTER)


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch):
    """Nothing here may start a kernel."""
    monkeypatch.setattr(runner, "execute", lambda job: pytest.fail("a kernel was started"))


@pytest.fixture
def refused(ssltheory, tmp_path: Path):
    """A command that must be refused before it ran: one message on stderr, exit code 2, nothing left behind."""

    def check(*arguments: str, words: tuple[str, ...], out: Path | None = None) -> None:
        out = out or tmp_path / "out"
        extra = ("--out", str(out)) if arguments and arguments[0] == "run" else ()
        call = ssltheory(*arguments, *extra)
        assert call.code == 2, call
        assert call.out == ""
        assert call.err.startswith("ssltheory: ")
        assert call.err.count("\n") == 1, call.err
        assert "Traceback" not in call.err
        for word in words:
            assert word in call.err, call.err
        assert not out.is_dir() or not list(out.rglob("*"))

    return check


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "linear-stairs"), ("no chapter 'linear-stairs'", f"did you mean {CHAPTER}?")),
        (("run", "zzz"), ("no chapter 'zzz'. `ssltheory list`",)),
        (("run",), ("name a chapter, or give --all",)),
        (("run", "--all", CHAPTER), ("name a chapter, or give --all",)),
        ((*RUN, "--scale", "tinny"), ("no scale 'tinny'", "did you mean tiny?", "quick")),
        (("preset", CHAPTER, "--scale", "long"), (f"{CHAPTER} has no scale 'long'", "tiny, quick")),
        ((*RUN, "-p", "foo"), ("-p foo", "name=value")),
        ((*RUN, "-p", "=3"), ("-p =3", "name=value")),
        ((*RUN, "-p", "n_image=3"), ("no parameter 'n_image'", "did you mean n_images?", "describe")),
        ((*RUN, "-p", "zzz=3"), ("no parameter 'zzz'. It takes dataset",)),
        ((*RUN, "-p", "n_images=abc"), ("n_images=abc", "integer", "int >= 2", "default 1797")),
        ((*RUN, "-p", "n_images=3.5"), ("n_images=3.5", "integer", "int >= 2")),
        ((*RUN, "-p", "n_images=true"), ("n_images=true", "integer")),
        ((*RUN, "-p", "n_images="), ("n_images=", "integer")),
        ((*RUN, "-p", "n_images=0"), ("n_images=0", "greater than or equal to 2")),
        ((*RUN, "-p", "n_images=1798"), ("n_images=1798", "digits has only 1797 images")),
        ((*RUN, "-p", "crop=9"), ("crop=9", "8×8", "at most 8")),
        ((*RUN, "-p", "dim=37"), ("dim=37", "m = 36", "at most m")),
        ((*RUN, "-p", "init_scale=-1e-3"), ("init_scale=-1e-3", "greater than 0", "float > 0 and < 1")),
        ((*RUN, "-p", "init_scale=nan"), ("init_scale=nan", "finite number")),
        ((*RUN, "-p", "init_scale=inf"), ("init_scale=inf", "default 1e-07")),
        ((*RUN, "-p", "init_scale=small"), ("init_scale=small", "number")),
        ((*RUN, "-p", "seed=-1"), ("seed=-1", "greater than or equal to 0")),
        ((*RUN, "-p", "device=gpu"), ("device=gpu", "one of auto, cpu, cuda, mps")),
        ((*RUN, "-p", "dataset="), ("dataset=", "at least 1 character")),
        ((*RUN, "-p", "dataset=digit"), ("unknown data set 'digit'", "did you mean 'digits'?")),
        ((*RUN, "-p", "dataset=nowhere/images"), ("no data at 'nowhere/images'", "give the path")),
        ((*RUN, "-p", "dataset=cifar10"), ("cifar10 is not in", "ssltheory data fetch cifar10")),
        (("describe", "zzz"), ("no chapter 'zzz'",)),
        (("verify", "nowhere"), ("no nowhere", "a record's folder")),
        (("keep", "nowhere"), ("no record in nowhere", "run the chapter")),
        (("data", "fetch", "mnist"), ("nothing to fetch for 'mnist'", "cifar10, stl10, imagenette")),
    ],
)  # fmt: skip
def test_bad_input(refused, arguments, words, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SSLTHEORY_DATA", str(tmp_path / "shelf"))
    monkeypatch.chdir(tmp_path)
    refused(*arguments, words=words)


def test_numbers_are_read_as_what_they_are():
    values = dict(map(cli._pair, ("init_scale=1e-2", "n_images=300", "dataset=a=b")))
    parameters = registry.find(CHAPTER).parse(values)
    assert (parameters.init_scale, parameters.n_images, parameters.dataset) == (0.01, 300, "a=b")
    preset = {"init_scale": "1e-7", "seed": 3}  # YAML reads 1e-7 as text
    assert registry.find("1").parse(preset).init_scale == 1e-7


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder of data sets, each damaged in its way."""
    np.savez(tmp_path / "nameless.npz", images=np.zeros((3, 8, 8), np.uint8))
    np.savez(tmp_path / "whole.npz", x=np.zeros((400, 8, 8), np.uint8))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-100])
    for name in ("text", "sizes"):
        (tmp_path / name).mkdir()
        for side in (8, 9):
            Image.new("RGB", (side, side)).save(tmp_path / name / f"{side}.png")
    (tmp_path / "text/note.jpg").write_text("hello")
    with tarfile.open(tmp_path / "cut.tar", "w") as tar:
        tar.add(tmp_path / "sizes", "sizes")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "cut.tar").read_bytes()[:600])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nameless.npz", ("no array 'x'", "save the images as x")),
        ("cut.npz", ("cut.npz is damaged", "copy it again")),
        ("text", ("note.jpg in text is not an image", "repair or remove it")),
        ("sizes", ("differ in size", "bring them to one size")),
        ("cut.tar", ("cut.tar is damaged", "copy it again")),
        ("nowhere", ("no data at", "give the path")),
    ],
)
def test_bad_data(refused, damaged: Path, name: str, words):
    refused(*RUN, "-p", f"dataset={damaged / name}", words=words)


def test_output_folder_that_cannot_be_made(refused, tmp_path: Path):
    (tmp_path / "file").touch()
    refused(*RUN, out=tmp_path / "file", words=("cannot write to", "give another `out`"))
    refused(*RUN, out=tmp_path / "file/below", words=("Not a directory", "give another `out`"))
    out = f"out={tmp_path / 'file'}"
    refused(*RUN, "-p", out, words=("cannot write to", "give another `out`"))


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_read_only_output_folder(refused, tmp_path: Path):
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(*RUN, out=tmp_path / "locked", words=("Permission denied", "give another `out`"))


@pytest.mark.parametrize("tags", [0, 2])
def test_notebook_without_its_parameters_cell(refused, repo_copy: Path, monkeypatch, tags: int):
    monkeypatch.chdir(repo_copy)
    book = nbformat.read(notebook_of(repo_copy), as_version=4)
    for k, cell in enumerate([c for c in book.cells if c.cell_type == "code"]):
        cell.metadata["tags"] = ["parameters"] if k < tags else []
    nbformat.write(book, notebook_of(repo_copy))
    refused(*RUN, words=(f"has {tags} cells tagged `parameters`", "tag the cell"))


def test_damaged_repository(refused, repo_copy: Path, monkeypatch):
    monkeypatch.chdir(repo_copy)
    notebook_of(repo_copy).write_text("{")
    refused(*RUN, words=("not a notebook that can be read", "restore it"))
    notebook_of(repo_copy).unlink()
    refused(*RUN, words=("is not in", "restore it"))


def test_usage_errors(ssltheory):
    for arguments in (
        ("run", "--bogus"),
        (*RUN, "--jobs", "0"),
        ("data", "list", "--jsn"),
        ("plot",),
    ):
        call = ssltheory(*arguments)
        assert (call.code, call.out) == (2, "")
        assert "Traceback" not in call.err


@pytest.mark.parametrize(
    "arguments", [("-m", "ssltheory"), ("-c", "from ssltheory.book.cli import main; main()")]
)
def test_real_process(arguments, tmp_path: Path):
    command = [
        sys.executable,
        *arguments,
        "run",
        CHAPTER,
        "-p",
        "n_image=3",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "ssltheory: 01-linear-staircase has no parameter 'n_image'; did you mean n_images?"
    )
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (MemoryError(), "too little memory"),
        (SystemError("no exception set"), "too little memory"),
        (RuntimeError("can't start new thread"), "too little memory"),
        (OSError(28, "No space left"), "No space"),
    ],
)
def test_what_the_machine_lacks_is_one_line(ssltheory, monkeypatch, error: Exception, word: str):
    monkeypatch.setattr(runner, "plan", mock.Mock(side_effect=error))
    call = ssltheory(*RUN)
    assert (call.code, call.out) == (1, "")
    assert call.err.startswith("ssltheory: ")
    assert word in call.err
    assert call.err.count("\n") == 1


# What can be asked


def test_list(ssltheory):
    rows = json.loads(ssltheory("list", "--json").out)
    assert [row["id"] for row in rows] == [c.id for c in registry.all_chapters()]
    assert all(row[key] for row in rows for key in ("title", "paper", "figure", "claim"))
    assert CHAPTER in ssltheory("list").out


@pytest.mark.parametrize("name", [CHAPTER, "1", "01", "linear-staircase", f"{CHAPTER}.ipynb"])
def test_describe(ssltheory, name: str):
    found = json.loads(ssltheory("describe", name, "--json").out)
    assert found["id"] == CHAPTER
    n_images = next(p for p in found["parameters"] if p["name"] == "n_images")
    assert (n_images["type"], n_images["default"], n_images["setting"]) == ("int >= 2", 1797, True)
    assert "int >= 2" in ssltheory("describe", name).out


def test_describe_shows_scales_side_by_side(ssltheory):
    out = ssltheory("describe", CHAPTER, "--scales").out
    row = next(line for line in out.splitlines() if line.startswith("n_images"))
    assert row.split()[:5] == ["n_images", "400", "1797", "2000", "500"]
    found = json.loads(ssltheory("describe", CHAPTER, "--json").out)
    assert list(found["scales"]) == ["tiny", "quick", "full", "paper"]
    dataset = next(p for p in found["parameters"] if p["name"] == "dataset")
    assert dataset["scales"] == {"tiny": "digits", "quick": "digits"} | dict.fromkeys(
        ["full", "paper"], "cifar10"
    )


def test_describe_shows_claims_of_a_run(ssltheory, here: Path):
    found = json.loads(ssltheory("describe", CHAPTER, "--json").out)
    assert "step-times" in [claim["id"] for claim in found["claims"]]


def test_data_commands(ssltheory, damaged: Path, monkeypatch):
    monkeypatch.setenv("SSLTHEORY_DATA", str(damaged))
    rows = {row["name"]: row for row in json.loads(ssltheory("data", "list", "--json").out)}
    assert rows["digits"]["images"] == 1797
    assert rows["whole"]["there"]
    assert "no array 'x'" in rows["nameless"]["why"]
    assert "data fetch" in rows["cifar10"]["why"]
    assert "1,797" in ssltheory("data", "list").out
    assert ssltheory("data", "path").out == f"{damaged}\n"
    assert "1,797 images" in ssltheory("data", "fetch", "digits").out


def test_a_figure_without_room_leaves_the_record_and_one_line(
    ssltheory, tmp_path: Path, tiny_run: Path, monkeypatch
):
    def full(chapter, arrays, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    done = records.load(tiny_run)
    monkeypatch.setattr(runner, "run", lambda jobs, *_: [runner.Outcome(job, done) for job in jobs])
    monkeypatch.setattr(figures, "save", full)
    call = ssltheory("run", CHAPTER, "--out", str(tmp_path))
    assert call.code == 1
    assert re.fullmatch(
        r"ssltheory: .*No space left on device\): make room; its record is whole\n", call.err
    )


# Gates: verify and keep


@pytest.fixture
def here(repo_copy: Path, tiny_run: Path, monkeypatch) -> Path:
    """A copy of the repository with one good run in it; the working folder. What theory says of so small a run that
    fails honestly is left out: these tests are of the gates."""
    monkeypatch.chdir(repo_copy)
    shutil.copytree(tiny_run, repo_copy / "runs/quick" / CHAPTER)
    held = {c.id for c in records.load(tiny_run).judged_today() if c.verdict != "fails"}
    assert "step-times" in held
    evaluate = claims.evaluate
    monkeypatch.setattr(claims, "evaluate", lambda *a: [c for c in evaluate(*a) if c.id in held])
    return repo_copy


def test_verify_good(ssltheory, here: Path):
    for arguments in (
        (),
        ("runs",),
        (f"runs/quick/{CHAPTER}",),
        (f"runs/quick/{CHAPTER}/record.json",),
    ):
        call = ssltheory("verify", "--strict", "--json", *arguments)
        (result,) = json.loads(call.out)
        assert call.code == 0, result
        assert (result["chapter"], result["error"], result["stale"]) == (CHAPTER, None, [])
        assert set(result["verdicts"]) <= {"holds", "undecided", "outside"}
        assert len(result["claims"]) == len(result["verdicts"]) > 5
    assert "holds" in ssltheory("verify").out


def test_verify_red(ssltheory, here: Path):
    folder = here / "runs/quick" / CHAPTER
    record = records.load(folder)
    record.arrays["step_times"] *= 1.5
    records.save(folder, record)
    call = ssltheory("verify", "--json")
    assert call.code == 1
    red = [c["id"] for c in json.loads(call.out)[0]["claims"] if c["verdict"] == "fails"]
    assert red == ["step-times"]
    assert "fails" in ssltheory("verify").out


def test_verify_asks_why_a_claim_is_not_seen(ssltheory, here: Path, monkeypatch):
    new = claims.Claim("x", "Gain", 1.0, 2.0, 0.0, "ours", "at least", observed=True)
    monkeypatch.setattr(claims, "evaluate", lambda *_: [new])
    for arguments in ((), ("runs",)):
        call = ssltheory("verify", *arguments)
        assert call.code == 1
        assert f"{CHAPTER}/quick: x is not seen (Gain: 1): find out why, and say it" in call.out
    path = here / not_seen.LIST
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{CHAPTER}/quick:\n  x: It is a test.\n", encoding="utf-8")
    call = ssltheory("verify")
    assert call.code == 0
    assert "not seen" in call.out
    path.write_text(path.read_text(encoding="utf-8") + "gone/kept:\n  x: No.\n", encoding="utf-8")
    assert "gone/kept: stands in" in ssltheory("verify").out
    assert ssltheory("verify", "runs").code == 0, "which says nothing of other records"


def test_verify_broken(ssltheory, here: Path):
    path = here / "runs/quick" / CHAPTER / "record.npz"
    path.write_bytes(path.read_bytes()[:-1])
    call = ssltheory("verify", "--json")
    (result,) = json.loads(call.out)
    assert call.code == 1
    assert result["record"].endswith(CHAPTER)
    assert "does not belong to it" in result["error"]
    assert "broken" in ssltheory("verify").out
    path.unlink()
    assert ssltheory("verify").code == 1


def test_verify_stale(ssltheory, here: Path):
    notebook = notebook_of(here)
    notebook.write_text(
        notebook.read_text(encoding="utf-8").replace("lr_fraction / (4", "lr_fraction / (5")
    )
    call = ssltheory("verify")
    assert call.code == 0
    assert f"stale runs/quick/{CHAPTER}: changed since: notebook" in call.out.replace(
        f"{here}/", ""
    )
    assert ssltheory("verify", "--strict").code == 1
    assert json.loads(ssltheory("verify", "--json").out)[0]["stale"] == ["notebook"]


def test_verify_with_an_infinite_prediction(ssltheory, here: Path, monkeypatch):
    odd = claims.Claim("odd", "a [b] c", np.inf, np.inf, 0.0, "ours", "at most")
    monkeypatch.setattr(claims, "evaluate", lambda *_: [odd])
    call = ssltheory("verify")
    assert call.code == 0
    assert "a [b] c" in call.out
    assert json.loads(ssltheory("verify", "--json").out)[0]["claims"][0]["predicted"] == "inf"


def test_verify_names_a_published_number_that_differs_and_fails_nothing(
    ssltheory, here: Path, monkeypatch
):
    state = claims.Group("ours", published_source="its Figure 1").equal
    planted = [state("a", "right", 1, 1, 0.5, published=1.25)]
    planted += [state("b", "wrong", 1, 1, 0.5, published=2.5), state("c", "none", 1, 1, 0.5)]
    monkeypatch.setattr(claims, "evaluate", lambda *_: planted)
    call = ssltheory("verify")
    assert call.code == 0
    assert "published" in call.out.splitlines()[0]
    assert "1.25 ✓ agrees" in call.out
    (line,) = re.findall(r".*published number differs.*", call.out)
    assert line == (
        f"{here / 'runs/quick' / CHAPTER}: the published number differs from theory: "
        "wrong: 2.5 (its Figure 1), theory 1 ± 0.5"
    )
    found = json.loads(ssltheory("verify", "--json").out)[0]["claims"]
    assert [c.get("published_verdict") for c in found] == ["agrees", "differs", None]
    planted[:] = planted[2:]
    head = ssltheory("verify").out.splitlines()[0].split()
    assert head == ["record", "claim", "measured", "theory", "verdict"]


def test_verify_nothing(ssltheory, repo_copy: Path, monkeypatch):
    monkeypatch.chdir(repo_copy)
    (repo_copy / "empty").mkdir()
    for arguments in ((), ("empty",)):
        call = ssltheory("verify", *arguments)
        assert call.code == 1
        assert "no record found in" in call.err
        assert "run a chapter first" in call.err


def test_keep(ssltheory, here: Path, monkeypatch):
    run, kept = f"runs/quick/{CHAPTER}", here / "book/records" / CHAPTER
    assert ssltheory("keep", run).out.startswith(f"kept book/records/{CHAPTER}/tiny (")
    assert ssltheory("keep", run, "--name", "tiny-other").code == 0
    assert sorted(os.listdir(kept)) == ["tiny", "tiny-other"]
    assert sorted(os.listdir(kept / "tiny")) == ["figure.png", "record.json", "record.npz"]
    assert records.load(kept / "tiny").provenance == records.load(run).provenance
    assert len(json.loads(ssltheory("verify", "--json").out)) == 3
    record = records.load(run)
    record.provenance["data"]["name"] = "mine"
    records.save(here / "other", record)
    assert f"{CHAPTER}/tiny-mine (" in ssltheory("keep", "other").out
    for name in ("../up", ".hidden", "a b", "", ".."):
        if name:
            assert "letters, digits" in ssltheory("keep", run, "--name", name).err
    assert sorted(os.listdir(kept)) == ["tiny", "tiny-mine", "tiny-other"]


def test_keep_refuses(ssltheory, here: Path, monkeypatch):
    run, kept = f"runs/quick/{CHAPTER}", here / "book/records" / CHAPTER
    assert ssltheory("keep", run).code == 0
    monkeypatch.setattr(cli, "KEPT_BYTES", 1000)
    call = ssltheory("keep", run)
    assert call.code == 1
    assert "save fewer arrays" in call.err
    assert records.load(kept / "tiny")  # the earlier one is still there
    path = here / run / "record.json"
    path.write_bytes(path.read_bytes().replace(b"digits", b"digitz"))
    call = ssltheory("keep", run, "--name", "broken")
    assert (call.code, os.listdir(kept)) == (2, ["tiny"])
    assert "make it again" in call.err


@pytest.mark.parametrize("scale", ["tiny", "quick"])
def test_a_red_claim_fails_the_build_of_any_book_but_of_one_of_tiny_runs(monkeypatch, scale: str):
    red = claims.Claim("x", "Something", 2.0, 1.0, 0.1, source="theory")
    assert red.verdict == "fails"
    run = mock.Mock(chapter=registry.find(CHAPTER), provenance={"scale": scale})
    run.judged_today.return_value = [red]
    monkeypatch.setattr(pages.scoreboard, "kept", lambda base: kept)
    monkeypatch.setattr(pages.not_seen, "load", lambda base: {})
    monkeypatch.setattr(pages.scoreboard, "rows", mock.Mock())
    for name in ("shutil", "appendices", "landing", "_jupyter_book", "_hold_to"):
        monkeypatch.setattr(pages, name, mock.Mock())
    for name in ("_write_chapter", "_write_downloads", "_write_scoreboard", "_write_sweeps"):
        monkeypatch.setattr(pages, name, mock.Mock())
    kept = []
    if scale == "tiny":
        assert pages.build(mock.MagicMock(), [run])
        monkeypatch.setattr(pages.scoreboard, "rank", lambda named: 0)
        kept = [("kept", run)]  # a kept record is judged whatever its scale
    with pytest.raises(RunError, match=f"a claim fails:\n  {CHAPTER} .*: Something"):
        pages.build(mock.MagicMock(), [run])


def test_the_tables_of_a_page_have_published_numbers_where_there_is_one(monkeypatch):
    monkeypatch.setattr(pages, "status", lambda record: "a scale")
    state = claims.Group("ours").equal
    plain, told = (state("a", "words", 1, 1, 0.5, published=number) for number in (None, 2.5))
    other = state("b", "more", 1, 1, 0.5)
    first, second = (
        mock.Mock(judged_today=lambda own=own: own) for own in ([plain, other], [told])
    )
    assert pages._kept_table([("x", first), ("y", second)]).splitlines() == [
        "| claim | theory | published | a scale | a scale |",
        "| --- | --- | --- | --- | --- |",
        "| words | 1 ± 0.5 | 2.5 ✗ differs | 1, holds | 1, holds |",
        "| more | 1 ± 0.5 |  | 1, holds | – |",
    ]
    assert "published" not in pages._kept_table([("x", first)])
    assert pages._claims_table(second).splitlines()[2] == (
        '| <span id="claim-a"></span>words | 1 | 1 ± 0.5 | holds | 2.5 ✗ differs |'
    )
    assert "published" not in pages._claims_table(first)


def test_a_table_of_kept_records_says_what_theory_asks_of_each(monkeypatch):
    monkeypatch.setattr(pages, "status", lambda record: "a scale")
    state = claims.Group("ours").at_least
    columns = [[state("a", "words", 3, bound), state("b", "more", 3, 1)] for bound in (2, 2.5)]
    named = [("x", mock.Mock(judged_today=lambda own=own: own)) for own in columns]
    assert pages._kept_table(named).splitlines()[2:] == [
        "| words | as each record says | 3 (theory ≥ 2), holds | 3 (theory ≥ 2.5), holds |",
        "| more | ≥ 1 | 3, holds | 3, holds |",
    ]


# Presets


@pytest.mark.parametrize("scale", ["tiny", "paper"])
def test_preset(ssltheory, scale: str):
    chapter = registry.find(CHAPTER)
    text = ssltheory("preset", CHAPTER, "--scale", scale).out
    assert yaml.safe_load(text) == scales.values(chapter, scale)
    assert chapter.scales[scale] in " ".join(text.replace("\n#", "").split())
    assert "init_scale: 1.0e-" in text
    assert "# images drawn, two random crops each" in text


def test_outside_a_clone(ssltheory, tmp_path: Path, monkeypatch):
    """An installed package without the repository says what is missing."""
    monkeypatch.setattr(repository, "root", lambda: None)
    monkeypatch.chdir(tmp_path)
    for arguments in ((*RUN,), (*RUN, "--scale", "tiny"), ("verify",)):
        call = ssltheory(*arguments)
        assert call.code == 2
        assert "inside" in call.err
        assert "clone" in call.err

"""Records: whole or refused, judged by number, and stale exactly when the code behind them means something else."""

import dataclasses
import errno
import getpass
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CHAPTER, ROOT, notebook_of

from ssltheory import data
from ssltheory.book import claims, fingerprint, provenance, records, registry, scales
from ssltheory.book.claims import Claim, Table
from ssltheory.book.records import Record
from ssltheory.errors import InputError, RunError


def claim(measured: float = 1.0, predicted: float = 1.0, tolerance: float = 0.1, **rest) -> Claim:
    return Claim("c", "a statement", measured, predicted, tolerance, "ours", **rest)


def some_record(**rest) -> Record:
    texts = dict.fromkeys(("scale", "commit", "device", "finished"), "")
    plain = {"parameters": {}, "code": {}, "versions": {}, "seeds": [0], "dirty": None}
    fields = {"schema": records.SCHEMA, "chapter": CHAPTER, "seconds": 0.25, "note": "α ≤ 1"}
    fields |= texts | plain | {"data": {"name": "", "sha256": ""}, "peak_memory_bytes": 0} | rest
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.normal(size=(3, 4)),
        "n": np.arange(3),
        "step_times": np.array([1.0, np.inf]),
    }
    return Record(arrays, Table([claim(), claim(np.nan), claim(np.inf, -np.inf)]), fields)


# Round trip and damage


def test_round_trip(tmp_path: Path):
    record = some_record()
    records.save(tmp_path / "new" / "folder", record)
    for path in (tmp_path / "new/folder", tmp_path / "new/folder/record.json"):
        again = records.load(path)
        assert again.provenance == record.provenance
        assert again.arrays.keys() == record.arrays.keys()
        for name, array in record.arrays.items():
            assert again.arrays[name].dtype == array.dtype
            assert np.array_equal(again.arrays[name], array)
        assert repr(again.claims) == repr(record.claims)
        assert [c.verdict for c in again.claims] == ["holds", "fails", "fails"]
    assert sorted(os.listdir(tmp_path / "new/folder")) == ["record.json", "record.npz"]
    strict = json.loads(
        (tmp_path / "new/folder/record.json").read_text(),
        parse_constant=lambda name: pytest.fail(name),
    )
    assert [c["measured"] for c in strict["claims"]] == [1.0, "nan", "inf"]


@pytest.mark.parametrize("name", ["record.json", "record.npz"])
def test_any_changed_byte_is_found(tmp_path: Path, name: str):
    records.save(tmp_path, some_record())
    path = tmp_path / name
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in range(len(whole)):
        other = (whole[at] + rng.integers(1, 256)) % 256
        path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
        with pytest.raises(InputError, match=r"is broken.*make it again"):
            records.load(tmp_path)
    changed = [
        whole[:-1],
        whole + b"\n",
        b"",
        whole[: len(whole) // 2],
        b"\xff" + whole,
        b"[" * 10**5,
    ]
    if name == "record.json":
        compact = json.dumps(json.loads(whole)).encode()
        changed += [
            whole.replace(b"\n", b"\r\n"),
            whole.replace(b" ", b"\t", 1),
            compact,
            b"{}",
            b"[]",
        ]
        changed += [whole.replace(b'"seconds": 0.25', b'"seconds": 25e-2')]
        changed += [whole.replace(b'"seconds": 0.25', b'"seconds": 1,\n   "seconds": 0.25')]
    for blob in changed:
        assert blob != whole
        path.write_bytes(blob)
        with pytest.raises(InputError, match=r"is broken.*make it again"):
            records.load(tmp_path)
    path.write_bytes(whole)
    assert records.load(tmp_path).provenance["chapter"] == CHAPTER


def test_halves_of_two_records_do_not_make_one(tmp_path: Path):
    for name in ("a", "b"):
        records.save(
            tmp_path / name, dataclasses.replace(some_record(), arrays={name: np.zeros(1)})
        )
    shutil.copy(tmp_path / "a/record.npz", tmp_path / "b")
    with pytest.raises(InputError, match=r"record\.npz does not belong to it"):
        records.load(tmp_path / "b")


def test_missing_and_foreign_records(tmp_path: Path):
    with pytest.raises(
        InputError, match=r"no record in .*record\.json is not there.*run the chapter"
    ):
        records.load(tmp_path)
    records.save(tmp_path, some_record())
    (tmp_path / "record.npz").unlink()
    with pytest.raises(InputError, match=r"record\.npz is not there"):
        records.load(tmp_path)
    records.save(tmp_path, some_record(schema=records.SCHEMA + 1))
    with pytest.raises(InputError, match="another layout"):
        records.load(tmp_path)
    assert records.find_all(tmp_path) == [tmp_path]


@pytest.mark.parametrize("full", [False, True])
def test_killed_between_its_two_files(tmp_path: Path, monkeypatch, full: bool):
    """With an old record there or without one: afterwards the old one or nothing is valid."""
    if full:
        records.save(tmp_path, some_record(seconds=1.0))
    write = records.write

    def killed(path: Path, blob: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write(path, blob)

    monkeypatch.setattr(records, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        records.save(tmp_path, dataclasses.replace(some_record(), arrays={"other": np.ones(9)}))
    with pytest.raises(InputError, match="does not belong to it" if full else "no record"):
        records.load(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk(tmp_path: Path, monkeypatch, call: str):
    records.save(tmp_path, some_record(seconds=1.0))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(RunError, match=r"No space left on device.*make room or give another `out`"):
        records.save(tmp_path, some_record(seconds=2.0))
    assert records.load(tmp_path).provenance["seconds"] == 1.0  # the old one, whole
    assert sorted(os.listdir(tmp_path)) == ["record.json", "record.npz"]


def test_arrays_of_every_kind_and_nan():
    tensors = [torch.ones(2, requires_grad=True), torch.zeros(2)]
    assert records._array("x", [tensors, tensors]).tolist() == [[[1, 1], [0, 0]]] * 2
    assert records._array("x", 3).shape == ()
    for value in (float("nan"), torch.tensor([1.0, float("nan")]), [np.complex64("nan")]):
        with pytest.raises(RunError, match=r"loss holds a NaN.*smaller learning rate"):
            records._array("loss", value)
    assert np.isinf(records._array("x", float("inf")))


# Verdicts


@pytest.mark.parametrize(
    ("measured", "relation", "verdict"),
    [
        (1.09, "equal", "holds"),
        (0.89, "equal", "fails"),
        (1.11, "equal", "fails"),
        (5.0, "at least", "holds"),
        (0.89, "at least", "fails"),
        (-5.0, "at most", "holds"),
        (1.11, "at most", "fails"),
        *((np.nan, relation, "fails") for relation in claims.RELATIONS),
        (np.inf, "equal", "fails"),
        (np.inf, "at most", "fails"),
    ],
)
def test_verdict(measured: float, relation: str, verdict: str):
    assert claim(measured, relation=relation).verdict == verdict
    assert claim(measured, relation=relation, inside=False).verdict == "outside"


def test_todays_theory_judges(tiny_run: Path, monkeypatch):
    record = records.load(tiny_run)
    assert record.judged_today() == record.claims
    missing = dataclasses.replace(record, arrays={"gamma": record.arrays["gamma"]})
    with pytest.raises(InputError, match=r"lacks what today's claims need.*make it again"):
        missing.judged_today()
    misshapen = record.arrays | {"gamma": record.arrays["gamma"][:, :2]}
    with pytest.raises(InputError, match="lacks what today's claims need"):
        dataclasses.replace(record, arrays=misshapen).judged_today()


# Provenance


def test_provenance_of_a_real_run(tiny_run: Path):
    p = records.load(tiny_run).provenance
    assert (p["chapter"], p["scale"], p["seeds"]) == (CHAPTER, "tiny", [0, 1])
    assert p["data"] == {"name": "digits", "sha256": data.find("digits").sha256}
    assert p["parameters"]["dataset"] == "digits"
    assert not {"out", "device"} & p["parameters"].keys()
    assert set(p["versions"]) == {"python", *provenance.LIBRARIES}
    assert p["seconds"] > 0
    assert p["peak_memory_bytes"] > 10**6
    assert {
        "notebook",
        "ssltheory.theory.stepwise",
        "ssltheory.data",
        "ssltheory.augmentations",
    } <= p["code"].keys()
    off = {f"ssltheory.{name}" for name in fingerprint.OFF_PATH}
    assert not {name for name in p["code"] if ".".join(name.split(".")[:2]) in off}


def test_record_tells_no_path_host_or_user(tiny_run: Path):
    text = (tiny_run / "record.json").read_text()
    assert not re.search(r'"[^"\n]*(/home|/tmp|/root|/usr|[A-Z]:\\)', text)
    for path in (ROOT, tiny_run, Path.home(), Path(sys.prefix)):
        assert str(path) not in text
    words = re.split(r"[^\w-]+", text)
    assert platform.node() not in words
    if getpass.getuser() != "root":  # a word of its own
        assert getpass.getuser() not in words


def test_commit(tmp_path: Path):
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    nowhere = provenance.commit(tmp_path)
    assert nowhere == {"commit": "no git checkout; ssltheory 0.1.0", "dirty": None}
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("a = 1\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/b.py").touch()
    git("init", "-q")
    assert provenance.commit(tmp_path) == nowhere  # nothing committed yet
    git("add", "src")
    git("commit", "-qm", "a")
    assert provenance.commit(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    assert provenance.commit(tmp_path / "other") == nowhere  # inside a checkout, not part of it
    (tmp_path / "src/a.py").write_text("a = 2\n")
    assert provenance.commit(tmp_path)["dirty"] is True


# Current or stale


def meaning(source: str) -> str:
    import ast

    tree = ast.parse(source)
    first = fingerprint.meaning(tree)
    assert fingerprint.meaning(tree) == first  # asking changes nothing
    return first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x=1", "x = (1)  # comment"),
        ("def f(a,b): return a", 'def f(\n    a,\n    b,\n):\n    """Docstring."""\n    return a'),
        ("class A: x = 1", 'class A:\n    """Docstring."""\n\n    x = 1'),
        ("x = 1", '"""Docstring."""\nx = 1'),
        ("x = 'a'", 'x = "a"'),
    ],
)
def test_layout_is_no_meaning(one: str, other: str):
    assert meaning(one) == meaning(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = ''", "x = None"),
        ("f('')", "f(None)"),
        ("x = '1'", "x = 1"),
        ("x = a + b", "x = a - b"),
        ("def f(a): pass", "def f(a=0): pass"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(): 'one'; 'two'", "def f(): 'one'"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("return_ = [1]", "return_ = [1, 2]"),
    ],
)
def test_meaning_differs(one: str, other: str):
    assert meaning(one) != meaning(other)


def test_meaning_is_the_same_on_every_python():
    """What later versions add to a tree (empty type_params, a kind) leaves no trace. Read on Python 3.11."""
    source = (
        "def f(x: int = 3, *a, **k) -> str:\n    return f'{x!r:>{k}}' if x else None\n\n"
        "class A(B, c=1): y = lambda z: -z[1:]"
    )
    assert "type_params" not in meaning(source)
    assert "kind" not in meaning("x = u'a'")
    assert fingerprint._hash(meaning(source)) == "e6423a61b2f3fa3a"


def test_package_imports_itself_by_full_name():
    """A relative import would hide a module from the measurement path."""
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"^\s*from \.", path.read_text(encoding="utf-8"), re.M), path


STALENESS = """
import json, sys
from pathlib import Path
from ssltheory import fingerprint, records
from ssltheory.book.claims import Table

assert fingerprint.PACKAGE == Path("src/ssltheory").resolve(), fingerprint.PACKAGE
notebook = Path("notebooks/{chapter}.ipynb")
record = records.Record({{}}, Table(), {{"chapter": "{chapter}", "code": fingerprint.code_hashes(notebook)}})
answers = [record.stale()]
for path, before, after in json.load(sys.stdin):
    path = Path(path)
    whole = path.read_text(encoding="utf-8")
    assert before in whole, (path, before)
    path.write_text(whole.replace(before, after, 1), encoding="utf-8")
    answers.append(record.stale())
    path.write_text(whole, encoding="utf-8")
notebook.unlink()
answers.append(len(record.stale()) > 3)
print(json.dumps(answers))
"""


def test_a_module_that_came_or_went_is_a_change():
    then, now = {"data": "1", "losses": "2"}, {"data": "1", "spectra": "3"}
    assert fingerprint.changes(then, now) == ["losses", "spectra"]
    assert fingerprint.changes(then, then) == []


def test_what_measures_is_on_the_path():
    found = fingerprint.code_hashes(notebook_of(ROOT))
    names = {name.removeprefix("ssltheory.") for name in found}
    assert {"notebook", "data", "augmentations", "losses", "spectra", "theory.stepwise"} <= names


def test_what_a_shared_module_does_beside_its_definitions_counts(tmp_path: Path, monkeypatch):
    cell = {
        "cell_type": "code",
        "metadata": {},
        "source": "from ssltheory import shared\nshared.f()",
    }
    notebook = tmp_path / "one.ipynb"
    notebook.write_text(json.dumps({"cells": [cell]}))
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    found = []
    for more in ("", "SIZES += [2]\n", "SIZES += [3]\n"):
        (tmp_path / "shared.py").write_text(f"SIZES = [1]\n{more}\n\ndef f():\n    return SIZES\n")
        found.append(fingerprint.code_hashes(notebook)["ssltheory.shared"])
    assert len(set(found)) == 3


def test_stale_when_meaning_changes_and_only_then(repo_copy: Path):
    package = repo_copy / "src/ssltheory"
    stepwise, figures = package / "theory/stepwise.py", package / "figures/__init__.py"
    losses = package / "losses.py"
    claims_file, encoders = package / "claims/linear_staircase.py", package / "encoders.py"
    notebook = notebook_of(repo_copy)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]

    def inside(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)[1:-1]

    prose = next(c["source"][0] for c in cells if c["cell_type"] == "markdown")
    edits = [
        # changed meaning
        (
            stepwise,
            "\nimport torch\n",
            "\nimport torch\n\nEXTRA = 1\n",
            ["ssltheory.theory.stepwise"],
        ),
        (
            package / "data/source.py",
            "TEST_SHARE = 0.2",
            "TEST_SHARE = 0.3",
            ["ssltheory.data.source"],
        ),
        (
            losses,
            "return (x.mT @ y)",
            "return 2 * (x.mT @ y)",
            ["ssltheory.losses"],
        ),  # two calls deep
        (notebook, "lr_fraction / (4", "lr_fraction / (5", ["notebook"]),
        (notebook, "repetitions = [", "%time repetitions = [", ["notebook"]),
        # not on the path, or no meaning
        (stepwise, "\nimport torch\n", "\n# a comment\nimport torch\n", []),
        (stepwise, '"""', '"""Said differently. ', []),
        (figures, '"lines.linewidth": 1.8', '"lines.linewidth": 2.8', []),
        (claims_file, "LEAKAGE = ", "LEAKAGE = 2 * ", []),
        (
            losses,
            "hinge = F.relu(",
            "hinge = 2 * F.relu(",
            [],
        ),  # of a loss that chapter 01 does not use
        (losses, "\nimport torch\n", "\nimport torch\n\ndef another_loss():\n    pass\n", []),
        (
            encoders,
            "\nimport torch\n",
            "\nimport torch\n\nEXTRA = 1\n",
            [],
        ),  # chapter 01 trains none
        (notebook, inside(prose), "Other words. " + inside(prose), []),
        (notebook, "n_images: int = 1797", "n_images: int = 1700", []),
        (notebook, '"repetitions = [', '"# a comment\\n",\n    "repetitions = [', []),
    ]
    done = subprocess.run(
        [sys.executable, "-c", STALENESS.format(chapter=CHAPTER)],
        input=json.dumps([[str(path), before, after] for path, before, after, _ in edits]),
        cwd=repo_copy,
        env=os.environ | {"PYTHONPATH": str(repo_copy / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], *(stale for *_, stale in edits), True]


# The first cell of a notebook


def test_begin_checks_what_it_is_given(tmp_path: Path):
    import math

    out = str(tmp_path / "run")
    with pytest.raises(InputError, match=r"no parameter 'n_image'; did you mean n_images?"):
        records.begin(CHAPTER, {"n_image": 3, "out": out})
    names = {"seed": 2, "n_seeds": 3, "out": out, "math": math, "In": [], "Out": {}, "_private": 1}
    run = records.begin(CHAPTER, names | {"function": len})
    assert run.seeds == [2, 3, 4]
    assert run.parameters.n_images == 1797
    assert run.folder == Path(out)


def test_a_live_notebook_can_be_run_again(tmp_path: Path):
    """Run all, change a number, run all: the names of the first run's results are no parameters."""
    names = {"seed": 2, "out": str(tmp_path)}
    names["run"] = records.begin(CHAPTER, names)
    again = records.begin(CHAPTER, names | {"repetitions": [], "scan_dim": 3, "seed": 5})
    assert again.seeds[0] == 5


def test_device():
    assert provenance.device("cpu").type == "cpu"
    assert provenance.device("auto").type in ("cpu", "cuda", "mps")
    absent = next(name for name in ("mps", "cuda") if not getattr(torch, name).is_available())
    with pytest.raises(InputError, match=f"device={absent}: not on this machine; device=auto"):
        provenance.device(absent)


def test_scales_follow_settings_alone():
    chapter = registry.find(CHAPTER)
    tiny = scales.values(chapter, "tiny")
    assert scales.scale_of(chapter, chapter.parse(tiny | {"seed": 9, "dataset": "x"})) == "tiny"
    assert scales.scale_of(chapter, chapter.parse({})) == "quick"
    assert scales.scale_of(chapter, chapter.parse(tiny | {"dim": 3})) == "custom"

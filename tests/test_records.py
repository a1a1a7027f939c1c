"""Records: whole or refused, judged by number, and with all that tells where they come from."""

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
from conftest import CHAPTER, ROOT

from ssltheory import data
from ssltheory.book import claims, provenance, records, registry, scales
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
    assert claim(measured, relation=relation, outside="ours: too large").verdict == "outside"


def test_a_published_number_is_stored_and_one_with_another_verdict_is_refused():
    stored = claim(published=1.5, published_source="Figure 1").to_dict()
    assert json.loads(json.dumps(stored)) == stored
    again = records._claim(stored)
    assert (again.published, again.published_source) == (1.5, "Figure 1")
    assert again.published_verdict == "differs"
    assert records._claim(claim(published=np.inf).to_dict()).published == np.inf
    unlike = [stored | {"published_verdict": "agrees"}, stored | {"published": None}]
    unlike += [{k: v for k, v in stored.items() if k != "published_verdict"}]
    unlike += [claim().to_dict() | {"published_verdict": "differs"}]
    for row in unlike:
        with pytest.raises(ValueError, match="one of its claims is incomplete or was changed"):
            records._claim(row)


def test_a_claim_stored_with_its_old_verdict_is_read():
    stored = claim().to_dict() | {"inside": False, "verdict": "outside"}
    del stored["observed"]
    assert records._claim(stored).verdict == "outside"
    assert records._claim(stored | {"inside": True, "verdict": "holds"}).verdict == "holds"


def test_a_record_without_published_numbers_is_judged_as_ever(tiny_run: Path, tmp_path: Path):
    record = records.load(tiny_run)
    bare = [dataclasses.replace(c, published=None, published_source="") for c in record.claims]
    records.save(tmp_path, dataclasses.replace(record, claims=Table(bare)))
    assert b"published" not in (tmp_path / "record.json").read_bytes()
    old = records.load(tmp_path)
    assert [c.verdict for c in old.judged_today()] == [c.verdict for c in record.claims]


def test_a_kept_record_is_written_again_as_the_same_bytes(tmp_path: Path):
    for folder in records.find_all(ROOT / "book" / "records"):
        records.save(tmp_path, records.load(folder))
        assert (tmp_path / "record.json").read_bytes() == (folder / "record.json").read_bytes()


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
    assert {"notebook", "cells", "gradient_descent", "Source", "crop_pair"} <= p["code"].keys()
    assert not {"begin", "draw", "InputError", "track"} & p["code"].keys()


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


def test_the_code_of_a_run_is_that_of_its_start(tmp_path: Path, monkeypatch):
    for at in ("start", "end"):
        hashes = {"notebook": at}
        monkeypatch.setattr(records.fingerprint, "code_hashes", lambda _, now=hashes: now)
        if at == "start":
            run = records.begin(CHAPTER, {"out": str(tmp_path)})
    assert run._provenance()["code"] == {"notebook": "start"}


def test_device():
    assert provenance.device("cpu").type == "cpu"
    assert provenance.device("auto").type in ("cpu", "cuda", "mps")
    absent = next(name for name in ("mps", "cuda") if not getattr(torch, name).is_available())
    with pytest.raises(
        InputError, match=f"device={absent}: this machine has no such device; device=auto"
    ):
        provenance.device(absent)


def test_scales_follow_settings_alone():
    chapter = registry.find(CHAPTER)
    tiny = scales.values(chapter, "tiny")
    assert scales.scale_of(chapter, chapter.parse(tiny | {"seed": 9, "dataset": "x"})) == "tiny"
    assert scales.scale_of(chapter, chapter.parse({})) == "quick"
    assert scales.scale_of(chapter, chapter.parse(tiny | {"dim": 3})) == "custom"

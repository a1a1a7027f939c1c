"""The faults to plant: each fits its module still, and one that no test notices is told from one that is."""

import json

import mutants
import pytest
from conftest import ROOT
from mutants import Fault

from ssltheory.book import appendices

TEST = """
from pathlib import Path

SOURCE = Path("src/ssltheory/small.py")


def test_something_else():
    assert SOURCE.is_file()


def test_the_number():
    assert "ONE = 1\\n" in SOURCE.read_text()
"""
NOTICED = Fault("small", "ONE = 1\n", "ONE = 2\n", "another number", ["test_small"])
UNSEEN = Fault("small", "TWO = 2\n", "TWO = 3\n", "a number without a test", ["test_small"])
EXPLAINED = Fault("small", "TWO = 2\n", "TWO = 3\n", "a number", ["test_small"], "nobody reads it")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A repository of one module and one file of tests."""
    for folder in ("src/ssltheory", "tests", "book"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src" / "ssltheory" / "small.py").write_text("ONE = 1\nTWO = 2\n")
    (tmp_path / "tests" / "test_small.py").write_text(TEST)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "NEEDED", ("src", "tests"))
    monkeypatch.setattr(mutants, "LARGE", ())
    return tmp_path


def test_every_text_occurs_once_and_every_test_is_there():
    listed = mutants.faults()
    for fault in listed:
        source = (ROOT / mutants.path(fault.module)).read_text(encoding="utf-8")
        compile(fault.planted(source), fault.module, "exec")
        assert fault.planted(source) != source
        for file, _, test in (named.partition("::") for named in fault.tests):
            text = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
            assert not test or f"def {test}(" in text, test
    modules = {fault.module for fault in listed}
    package = ROOT / "src/ssltheory"
    files = (p.relative_to(package) for p in package.glob("theory/**/[a-z]*.py"))
    theory = {str(file.with_suffix("")) for file in files}
    assert theory | {"losses", "measure/spectra", "book/claims"} <= modules
    assert len(listed) >= 40


def test_a_text_that_is_not_there_or_there_twice_is_refused():
    with pytest.raises(ValueError, match="holds 'ONE = 1\\\\n' 0 times instead of once"):
        NOTICED.planted("ONE = 3\n")
    with pytest.raises(ValueError, match="2 times"):
        NOTICED.planted("ONE = 1\nONE = 1\n")


def test_the_list_must_fit(small, monkeypatch, capsys):
    (small / "src" / "ssltheory" / "small.py").write_text("ONE = 0\n")
    monkeypatch.setattr(mutants, "faults", lambda: [NOTICED])
    assert mutants.main([]) == 2
    assert "the list of faults does not fit: small holds" in capsys.readouterr().err


def test_killed_and_surviving_faults(small):
    assert mutants.killers([NOTICED, UNSEEN], 2) == ["test_small::test_the_number", None]
    assert (small / "src" / "ssltheory" / "small.py").read_text() == "ONE = 1\nTWO = 2\n"


@pytest.mark.parametrize(("fault", "code"), [(NOTICED, 0), (UNSEEN, 1), (EXPLAINED, 0)])
def test_only_an_unexplained_survivor_is_a_failure(small, monkeypatch, fault, code):
    monkeypatch.setattr(mutants, "faults", lambda: [fault])
    assert mutants.main(["--jobs", "1"]) == code
    found = json.loads((small / "book" / "mutants.json").read_text())
    assert [f["killed_by"] is None for f in found["faults"]] == [fault is not NOTICED]


def test_tests_that_are_red_already_decide_nothing(small):
    (small / "src" / "ssltheory" / "small.py").write_text("ONE = 2\nTWO = 2\n")
    with pytest.raises(RuntimeError, match="red without any fault: test_small::test_the_number"):
        mutants.killers([UNSEEN], 1)


def test_the_books_table_is_that_of_the_list():
    kept = json.loads((ROOT / "book" / "mutants.json").read_text(encoding="utf-8"))
    rows = appendices.mutants(kept).splitlines()[4:]
    listed = mutants.faults()
    assert [row.split(" | ")[1] for row in rows] == [fault.why for fault in listed]
    kept = kept["faults"]
    fields = ("module", "text", "by", "why", "survives")
    assert [[row[f] for f in fields] for row in kept] == [
        [getattr(fault, f) for f in fields] for fault in listed
    ]
    assert all(row["killed_by"] or row["survives"] for row in kept)

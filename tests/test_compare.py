"""What differs between records: claims, arrays, parameters, and what is only on one side."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ssltheory.book import cli, compare, records
from ssltheory.book.claims import Group, Table
from ssltheory.errors import InputError

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "book" / "records" / "03-embedding-dimensions" / "network-digits"


@pytest.fixture
def pair(tmp_path):
    """A kept record and a copy of it with one array moved, in two folders."""
    before, after = tmp_path / "before" / "x", tmp_path / "after" / "x"
    shutil.copytree(KEPT, before)
    record = records.load(KEPT)
    return record, before, after


def _moved(record, name, factor):
    return replace(record, arrays=record.arrays | {name: record.arrays[name] * factor})


def test_a_record_does_not_differ_from_itself(pair):
    _, before, _ = pair
    (found,) = compare.differences(before, before)
    assert found.empty
    assert compare.to_markdown([found]) == "0 of 1 records differ.\n"


def test_an_array_that_moved_and_the_claims_that_follow_it(pair):
    record, before, after = pair
    name = "second_moment"
    records.save(after, _moved(record, name, 1.5))
    (found,) = compare.differences(before, after)
    (change,) = found.arrays
    assert change.name == name
    assert change.distance == pytest.approx(0.5, rel=1e-5)
    assert change.largest == pytest.approx(0.5 * np.abs(record.arrays[name]).max(), rel=1e-5)
    then = {claim.id: claim.measured for claim in record.judged_today()}
    assert found.claims
    assert all(c.after.measured != then[c.id] for c in found.claims)


@pytest.mark.parametrize(
    ("published", "expected"),
    [(1.0, "1 ✓ agrees → 1 ✗ differs"), (3.0, "3 ✗ differs"), (None, None)],
)
def test_published_numbers_have_a_column_where_a_changed_claim_has_one(
    pair, monkeypatch, published, expected
):
    record, before, after = pair
    name = "second_moment"
    records.save(after, _moved(record, name, 1.5))

    def judged(_, arrays, __):
        number = float(arrays[name].max() / record.arrays[name].max())
        state = Group("ours").equal
        with_one = state("a", "words", number, number, 0.25, published=published)
        return [with_one, state("b", "words", number, 1, 1)]

    monkeypatch.setattr(compare.claims, "evaluate", judged)
    (found,) = compare.differences(before, after)
    head, _, first, second = re.findall(r"^\|.*", compare.to_markdown([found]), re.M)[:4]
    assert head.endswith("| verdict | published |" if expected else "| theory asks | verdict |")
    assert first.endswith(f"| holds → holds | {expected} |" if expected else "| holds → holds |")
    assert second.endswith("| holds → holds |  |" if expected else "| holds → holds |")
    assert ("published" in found.to_dict()["claims"][0]["after"]) is bool(expected)


def test_a_bound_that_was_moved_since_is_shown(pair, monkeypatch):
    record, before, after = pair
    (one, *_) = record.claims
    state = Group("ours", observed=True).at_least
    made = [replace(c, measured=0.4, predicted=0.5, relation="at least") for c in (one,)]
    for folder in (before, after):
        records.save(folder, replace(record, claims=Table(made)))
    monkeypatch.setattr(compare.claims, "evaluate", lambda *_: [state(one.id, "words", 0.4, 0.3)])
    (found,) = compare.differences(before, after)
    assert not found.empty
    old, new = found.bounds[one.id]
    assert (old[:5], new) == ("≥ 0.5", "≥ 0.3")
    text = compare.to_markdown([found])
    assert f"- bound changed of {one.id}: {old} when the record was made, ≥ 0.3 today" in text


def test_shapes_and_names_and_parameters(pair):
    record, before, after = pair
    name, other = list(record.arrays)[:2]
    arrays = {n: a for n, a in record.arrays.items() if n != other} | {"new": np.zeros(3)}
    seed = record.provenance["parameters"]["seed"]
    provenance = record.provenance | {
        "parameters": record.provenance["parameters"] | {"seed": seed + 1}
    }
    records.save(after, replace(record, arrays=arrays, provenance=provenance))
    (found,) = compare.differences(before, after)
    changes = {c.name: c for c in found.arrays}
    assert changes["new"].before is None
    assert changes[other].after is None
    assert name not in changes
    assert found.origin == {"seed": (str(seed), str(seed + 1))}


def test_folders_by_place(pair, tmp_path):
    record, _, after = pair
    records.save(after, record)
    shutil.copytree(after, tmp_path / "after" / "y")
    found = compare.differences(tmp_path / "before", tmp_path / "after")
    assert [(f.name, f.there, f.empty) for f in found] == [
        ("x", "both", True),
        ("y", "only after", False),
    ]


def test_what_cannot_be_compared_is_refused(pair, tmp_path):
    _, before, _ = pair
    with pytest.raises(InputError, match="no record"):
        compare.differences(before, tmp_path / "nowhere")
    with pytest.raises(InputError, match="two records, or two folders"):
        compare.differences(before, tmp_path / "before")
    with pytest.raises(InputError, match="two of the same chapter"):
        compare.differences(before, ROOT / "book/records/01-linear-staircase/paper-cifar10")


def test_command_prints_markdown_and_json(pair):
    record, before, after = pair
    name = "second_moment"
    records.save(after, _moved(record, name, 2.0))
    text = CliRunner().invoke(cli.app, ["diff", str(before), str(after), "--markdown"]).output
    assert f"| `{name}` |" in text
    found = json.loads(
        CliRunner().invoke(cli.app, ["diff", str(before), str(after), "--json"]).output
    )
    assert found[0]["arrays"][0]["distance"] == pytest.approx(1.0, rel=1e-5)

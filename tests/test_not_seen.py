"""The list of claims that are not seen: each has a sentence, and a new one is noticed."""

from pathlib import Path

import pytest

from ssltheory.book import not_seen, scoreboard
from ssltheory.book.claims import Claim
from ssltheory.errors import InputError

ROOT = Path(__file__).parents[1]
RECORD = "09-kernel-regime/full-cifar10"


def claim(id_: str, measured: float, observed: bool = True) -> Claim:
    return Claim(id_, "Gain in accuracy", measured, 0.1, 0.0, "ours", "at least", observed=observed)


def test_a_new_one_is_a_problem_until_it_has_a_sentence():
    judged = {RECORD: [claim("gain", 0.05), claim("seen", 0.2), claim("deduced", 0.05, False)]}
    (problem,) = not_seen.problems({}, judged)
    assert problem.startswith(f"{RECORD}: gain is not seen (Gain in accuracy: 0.05)")
    assert not not_seen.problems({RECORD: {"gain": "Too few images."}}, judged)
    (problem,) = not_seen.problems(
        {RECORD: {"gain": "Why."}}, {RECORD: [claim("gain", 0.05), claim("new", 0)]}
    )
    assert ": new is not seen" in problem
    others = {"another": {"x": "Of a record that is not judged here."}}
    assert not not_seen.problems(others, {RECORD: [claim("seen", 0.2)]})


def test_a_line_too_many_is_a_problem(tmp_path):
    sentences = {RECORD: {"gain": "Too few images.", "gone": "It has no such claim."}}
    problems = not_seen.problems(sentences, {RECORD: [claim("gain", 0.2)]})
    assert [text.split()[1] for text in problems] == ["gain", "gone"]
    assert all("take its line away" in text for text in problems)
    (problem,) = not_seen.problems(sentences, {RECORD: [claim("gain", 0.05)]})
    assert problem.startswith(f"{RECORD}: gone stands in")
    (problem,) = not_seen.absent(tmp_path, sentences | {"01-linear-staircase/quick": {}})
    assert problem.startswith(f"{RECORD}: ")
    (tmp_path / "book" / "records" / RECORD).mkdir(parents=True)
    assert not not_seen.absent(tmp_path, sentences)


@pytest.mark.parametrize("text", ["- a list", "a/b: words", "a/b:\n  gain:", 'a/b:\n  gain: " "'])
def test_a_list_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "book").mkdir()
    (tmp_path / not_seen.LIST).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"not-seen.yaml: each record has lines `claim: sentence`"):
        not_seen.load(tmp_path)


def test_an_empty_list_and_none_list_nothing(tmp_path):
    assert not_seen.load(tmp_path) == {}
    (tmp_path / "book").mkdir()
    (tmp_path / not_seen.LIST).write_text("# nothing\n", encoding="utf-8")
    assert not_seen.load(tmp_path) == {}


def test_records_are_called_by_where_they_lie(tmp_path):
    kept = tmp_path / "book" / "records" / RECORD
    assert not_seen.name(tmp_path, kept) == RECORD
    quick = tmp_path / "runs" / "quick" / "09-kernel-regime"
    assert not_seen.name(tmp_path, quick) == "09-kernel-regime/quick"
    assert not_seen.name(tmp_path, tmp_path / "runs" / "tiny" / "09-kernel-regime") is None


def test_each_kept_claim_that_is_not_seen_is_listed_and_no_other():
    judged = {
        scoreboard.listed_as(name, record): record.judged_today()
        for name, record in scoreboard.kept(ROOT)
    }
    sentences = not_seen.load(ROOT)
    assert not_seen.problems(sentences, judged) + not_seen.absent(ROOT, sentences) == []

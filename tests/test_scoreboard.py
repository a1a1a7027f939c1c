"""The scoreboard: rows from records, its Markdown, JSON and badge."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ssltheory.book import records, scoreboard

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def kept():
    """Two kept records of the cheapest chapters."""
    return [
        (f"book/records/{chapter}/{name}", records.load(ROOT / "book" / "records" / chapter / name))
        for chapter, name in (
            ("01-linear-staircase", "paper-cifar10"),
            ("03-embedding-dimensions", "network-digits"),
        )
    ]


def test_a_row_a_claim(kept):
    rows = scoreboard.rows(kept)
    assert len(rows) == sum(len(record.judged_today()) for _, record in kept)
    first = rows[0]
    assert (first.chapter, first.claim) == ("01-linear-staircase", "step-times")
    assert first.setting == "paper scale"
    assert first.data == kept[0][1].provenance["data"]["name"]
    assert first.verdict == "holds"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", first.date)


def test_the_papers_settings_on_other_data_are_called_so(kept):
    _, record = kept[0]
    other = record.provenance | {"data": record.provenance["data"] | {"name": "stand-in"}}
    assert (
        scoreboard.setting(replace(record, provenance=other)) == "paper settings, substitute data"
    )


def test_markdown_links_to_the_line_and_cites(kept):
    rows = scoreboard.rows(kept)
    here = [replace(row, record=scoreboard.THIS_BUILD) for row in rows[:1]] + rows[1:]
    text = scoreboard.to_markdown(here, {"simon2023stepwise"})
    assert 'href="chapters/01-linear-staircase.html#claim-step-times"' in text
    assert text.count("#claim-") == 1, "an anchor where this build has none"
    assert "{cite:t}`simon2023stepwise`" in text
    assert len(re.findall(r"^\| \[\d\d\]", text, re.M)) == len(rows)


def test_json_is_whole(kept):
    rows = scoreboard.rows(kept)
    content = json.loads(scoreboard.to_json(rows))
    assert sum(content["counts"].values()) == len(content["claims"]) == len(rows)
    assert content["claims"][0]["predicted"] == 0.0
    assert "01-linear-staircase" not in content["missing_paper_scale"]
    assert "03-embedding-dimensions" in content["missing_paper_scale"]


def test_a_failing_claim_is_counted_and_turns_the_badge_red(kept):
    rows = scoreboard.rows(kept)
    good, bad = scoreboard.badge(rows), scoreboard.badge([replace(rows[0], verdict="fails"), *rows])
    assert "0 fail" in good
    assert "1 fail" in bad
    assert "#b3261e" in bad
    assert "#b3261e" not in good
    assert "1 fail" in scoreboard.summary([replace(rows[0], verdict="fails")])


def test_paper_scale_on_the_papers_data_is_not_missing(kept):
    rows = scoreboard.rows(kept)
    assert "01-linear-staircase" not in scoreboard.missing(
        [replace(row, setting="paper scale") for row in rows]
    )


def test_the_badge_in_git_is_that_of_the_kept_records():
    rows = scoreboard.rows(scoreboard.kept(ROOT))
    assert (ROOT / scoreboard.BADGE).read_text(encoding="utf-8") == scoreboard.badge(rows)

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


@pytest.fixture(scope="module")
def every():
    """The rows of all kept records."""
    return scoreboard.rows(scoreboard.kept(ROOT))


@pytest.fixture
def told(kept):
    """Three rows, two of them with a published number."""
    none = {"published": None, "published_verdict": "", "published_source": ""}
    rows = [replace(row, **none) for row in scoreboard.rows(kept)[:3]]
    rows[0] = replace(rows[0], published=10.0, published_verdict="agrees")
    return [rows[0], replace(rows[1], published=9.5, published_verdict="differs"), rows[2]]


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


def test_a_published_number_stands_beside_theory_with_its_own_verdict(told):
    assert "Of 2 published numbers, 1 agree with the theory." in scoreboard.summary(told)
    assert "published numbers" not in scoreboard.summary(told[2:])
    source = "simon2023stepwise, Figure 1 A, digitised"
    rows = [replace(told[0], published_source=source), *told[1:]]
    text = scoreboard.to_markdown(rows, {"simon2023stepwise"})
    head, _, *lines = re.findall(r"^\|.*\|$", text, re.M)
    names, *cells = ([cell.strip() for cell in line.split(" | ")] for line in (head, *lines[:3]))
    shown = [row[names.index("published")] for row in cells]
    assert shown == [
        '10 <span class="verdict-agrees">✓ agrees</span>',
        '9.5 <span class="verdict-differs">✗ differs</span>',
        "",
    ]
    assert "; published number: {cite:t}`simon2023stepwise`, Figure 1 A, digitised |" in lines[0]
    content = json.loads(scoreboard.to_json(rows))
    assert content["published"] == {"agrees": 1, "differs": 1}
    assert sum(content["counts"].values()) == 3
    shown = [(row["published"], row["published_verdict"]) for row in content["claims"]]
    assert shown == [(10.0, "agrees"), (9.5, "differs"), (None, "")]
    assert [row["published_source"] for row in content["claims"]] == [source, "", ""]


def test_a_published_number_counts_once_and_agrees_where_it_differs_nowhere(kept):
    row = replace(scoreboard.rows(kept)[0], published=2.0, published_verdict="agrees")
    assert scoreboard.published([row, row]) == {"agrees": 1, "differs": 0}
    wrong = replace(row, record="another", published_verdict="differs")
    assert scoreboard.published([row, wrong, row]) == {"agrees": 0, "differs": 1}


def test_the_page_chooses_by_that_verdict_and_sorts_by_the_number(told, browser):
    lines = re.findall(r"^\| (.*) \|$", scoreboard.to_markdown(told, set()), re.M)[:4]
    head, *body = (line.split(" | ") for line in lines)
    table = "<table><thead><tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr></thead>"
    table += "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) for row in body)
    script = (ROOT / "book" / "_static" / "scoreboard.js").read_text(encoding="utf-8")
    page = browser.new_page()
    page.set_content(f'<main id="scoreboard">{table}</table></main><script>{script}</script>')
    choice, column = page.get_by_label("published"), head.index("published")
    assert choice.locator("option").all_inner_texts() == ["all", "✓ agrees", "✗ differs"]
    choice.select_option("✗ differs")
    (row,) = page.locator("tbody tr:visible").all_inner_texts()
    assert "9.5 ✗ differs" in row
    choice.select_option("all")
    page.get_by_role("button", name="published").press("Enter")
    shown = page.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()
    assert shown == ["9.5 ✗ differs", "10 ✓ agrees", ""]
    page.close()


def test_every_published_number_says_where_it_was_read(every):
    silent = [row.claim for row in every if row.published_verdict and not row.published_source]
    assert not silent


def test_a_failing_claim_is_counted_and_turns_the_badge_red(kept):
    rows = scoreboard.rows(kept)
    good, bad = scoreboard.badge(rows), scoreboard.badge([replace(rows[0], verdict="fails"), *rows])
    assert "0 fail" in good
    assert "1 fail" in bad
    assert "#b3261e" in bad
    assert "#b3261e" not in good
    assert "1 fail" in scoreboard.summary([replace(rows[0], verdict="fails")])


def test_what_is_not_seen_is_counted_in_red_and_by_kind(kept):
    first, second, third, *_ = scoreboard.rows(kept)
    rows = [
        replace(first, verdict="not seen", kind="bound ours", why="Too few images."),
        replace(second, verdict="undecided", kind="ours", why="2 repetitions"),
        replace(third, verdict="holds", kind="paper"),
    ]
    text = scoreboard.summary(rows)
    assert text.startswith("**1 claims hold, 0 fail, 1 are not seen, 1 are undecided.**")
    table = scoreboard.by_kind(rows).splitlines()
    assert table[0] == "| statement | holds | fails | not seen | undecided | outside |"
    assert table[2:4] == [
        "| the paper's statement with the paper's number | 1 | 0 | 0 | 0 | 0 |",
        "| the paper's statement with a bound of ours | 0 | 0 | 1 | 0 | 0 |",
    ]
    badge = scoreboard.badge(rows)
    assert "1 hold, 1 not seen, 0 fail" in badge
    assert badge.count("#b3261e") == 1
    counts = json.loads(scoreboard.to_json(rows))["kinds"]
    assert counts["bound ours"]["not seen"] == counts["ours"]["undecided"] == 1


def test_what_did_not_hold_is_told_with_its_reason_the_worst_first(kept):
    first, second, third, *_ = scoreboard.rows(kept)
    rows = [
        replace(first, verdict="undecided", why="2 repetitions"),
        replace(second, verdict="not seen", why="Too few images."),
        replace(third, verdict="fails", why=""),
        replace(third, verdict="outside", why="simon2023stepwise: small starts"),
        replace(third, verdict="holds", why=""),
    ]
    lines = scoreboard.not_held(rows).splitlines()[8:]
    assert re.findall("<small>(.*)</small>", "\n".join(lines)) == [
        "theory or code is wrong",
        "Too few images.",
        "2 repetitions",
    ]
    assert 'class="verdict-not-seen">not seen<' in lines[1]
    assert scoreboard.not_held(rows[3:]).endswith("holds where it is made.\n")


def test_the_sentence_of_a_claim_that_is_not_seen_is_its_reason(kept, monkeypatch):
    name, record = kept[0]
    (claim, *_) = record.judged_today()
    unseen = replace(claim, measured=99.0, observed=True)
    monkeypatch.setattr(type(record), "judged_today", lambda self: [unseen])
    key = scoreboard.listed_as(name, record)
    (row,) = scoreboard.rows(kept[:1], {key: {claim.id: "Because."}})
    assert (key, row.verdict, row.why) == (
        "01-linear-staircase/paper-cifar10",
        "not seen",
        "Because.",
    )


def test_a_run_of_this_build_takes_no_sentence_of_a_kept_record(kept):
    _, record = kept[0]
    scales = {"quick": "01-linear-staircase/quick", "full": "", "tiny": ""}
    for scale, name in scales.items():
        run = replace(record, provenance=record.provenance | {"scale": scale})
        assert scoreboard.listed_as(scoreboard.THIS_BUILD, run) == name


def test_paper_scale_on_the_papers_data_is_not_missing(kept):
    rows = scoreboard.rows(kept)
    assert "01-linear-staircase" not in scoreboard.missing(
        [replace(row, setting="paper scale") for row in rows]
    )


def test_the_badge_in_git_is_that_of_the_kept_records(every):
    assert (ROOT / scoreboard.BADGE).read_text(encoding="utf-8") == scoreboard.badge(every)

"""The scoreboard: a row a claim of every record, as Markdown, as JSON and as a badge."""

import html
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from ssltheory.book import claims, not_seen, records, registry, scales
from ssltheory.book.claims import KINDS, VERDICTS
from ssltheory.book.parameters import SCALES
from ssltheory.book.records import Record

RANK = [*SCALES[:2], "custom", *SCALES[2:]][::-1]  # what says most about the paper first
#: A kind of statement in a table's cell.
WHOSE = {"paper": "paper", "bound ours": "paper, bound ours", "ours": "ours"}
#: What the records of a build's own runs are called; their claims have an anchor on the chapter's page.
THIS_BUILD = "this build"
#: Where ``ssltheory keep`` leaves the badge of all kept records.
BADGE = Path("book") / "records" / "badge.svg"


@dataclass(frozen=True)
class Row:
    """One claim of one record, judged today.

    Attributes:
        kind: of the statement, one of ``claims.KINDS``.
        theory: what theory asks of the measured number, in words, e.g. ``1 ± 0.02``.
        why: for a verdict other than "holds" and "fails", the reason in words.
        bound_set: when, and on which draws, the bound was set, where it depends on scale or data set.
        published: the number that the paper itself reports; None where it reports none.
        published_verdict: "agrees" or "differs", the published number against what theory asks; or "".
        setting: scale in words; a paper's settings on data that are not the paper's are called just that.
        record: folder of the record, or ``THIS_BUILD``.
    """

    chapter: str
    paper: str
    claim: str
    statement: str
    measured: float | str
    theory: str
    predicted: float | str
    tolerance: float | str
    relation: str
    verdict: str
    why: str
    kind: str
    bound_set: str
    published: float | str | None
    published_verdict: str
    published_source: str
    source: str
    setting: str
    data: str
    data_sha256: str
    seeds: list[int]
    device: str
    date: str
    commit: str
    stale: bool
    record: str


def rows(named: list[tuple[str, Record]], sentences: not_seen.Sentences | None = None) -> list[Row]:
    """The rows of named records, by chapter, the record of the largest scale first.

    Args:
        named: the records, each with its folder's name from the repository's root, or as ``THIS_BUILD``.
        sentences: from ``not_seen.load``, on claims that are not seen.
    """
    table = []
    for name, record in sorted(named, key=lambda item: (item[1].chapter.id, *rank(item))):
        p, stale = record.provenance, bool(record.stale())
        listed = (sentences or {}).get(listed_as(name, record), {})
        for claim in record.judged_today():
            fields = claim.to_dict()
            table.append(
                Row(
                    chapter=record.chapter.id,
                    paper=record.chapter.paper,
                    claim=claim.id,
                    statement=claim.statement,
                    why=listed.get(claim.id, "") if claim.verdict == "not seen" else claim.reason,
                    kind=claim.kind,
                    bound_set=claim.bound_set,
                    theory=claims.expectation(claim),
                    published=fields.get("published"),
                    published_verdict=claim.published_verdict,
                    published_source=claim.published_source,
                    setting=setting(record),
                    data=p["data"]["name"],
                    data_sha256=p["data"]["sha256"],
                    seeds=p["seeds"],
                    device=p["device"],
                    date=p["finished"][:10],
                    commit=p["commit"],
                    stale=stale,
                    record=name,
                    **{
                        key: fields[key]
                        for key in (
                            "measured",
                            "predicted",
                            "tolerance",
                            "relation",
                            "verdict",
                            "source",
                        )
                    },
                )
            )
    return table


def setting(record: Record) -> str:
    """The scale, or what else the record's settings are called."""
    scale, name = record.provenance["scale"], record.provenance["data"]["name"]
    if scale == "custom":
        return "custom settings"
    own = scales.standard(record.chapter, scale).dataset
    return f"{scale} scale" if name == own else f"{scale} settings, substitute data"


def listed_as(name: str, record: Record) -> str:
    """What ``not_seen`` calls a named record; "" for a run of this build that needs no line there."""
    if name == THIS_BUILD:
        return f"{record.chapter.id}/quick" if record.provenance["scale"] == "quick" else ""
    return name.removeprefix("book/records/")


def rank(item: tuple[str, Record]) -> tuple[int, bool, str]:
    """Sorts named records, the one that says most about the paper first."""
    name, record = item
    return RANK.index(record.provenance["scale"]), "substitute" in setting(record), name


def summary(rows: list[Row]) -> str:
    """How many claims have which verdict, and how many published numbers agree."""
    text = f"**{_counted(rows)}.**"
    numbers = published(rows)
    if total := sum(numbers.values()):
        text += f" Of {total} published numbers, {numbers['agrees']} agree with the theory."
    return text


def by_kind(rows: list[Row]) -> str:
    """The same by kind of statement: a table, as Markdown."""
    lines = [["statement", *VERDICTS], ["---", *["---:"] * len(VERDICTS)]]
    for kind, words in KINDS.items():
        counts = _counts([row for row in rows if row.kind == kind])
        lines.append([words, *map(str, counts.values())])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _counted(rows: list[Row]) -> str:
    """In words, e.g. "12 claims hold, 0 fail, 2 are not seen"; of verdicts other than these, those that there are."""
    held, failed, unseen, undecided, outside = _counts(rows).values()
    text = f"{held} claims hold, {failed} fail, {unseen} are not seen"
    text += f", {undecided} are undecided" if undecided else ""
    return text + (f", {outside} lie outside the theory's domain" if outside else "")


def _counts(rows: list[Row]) -> dict[str, int]:
    return {verdict: sum(row.verdict == verdict for row in rows) for verdict in VERDICTS}


def published(rows: list[Row]) -> dict[str, int]:
    """How many published numbers agree with theory in all records that carry them, and how many do not.

    A number counts once, however many records its claim is judged in.
    """
    told = {(r.chapter, r.claim, r.published) for r in rows if r.published_verdict}
    differ = {(r.chapter, r.claim, r.published) for r in rows if r.published_verdict == "differs"}
    return {"agrees": len(told - differ), "differs": len(differ)}


def missing(rows: list[Row]) -> list[str]:
    """Ids of the chapters without a record at the paper's scale on the paper's data."""
    done = {row.chapter for row in rows if row.setting == "paper scale"}
    return [c.id for c in registry.all_chapters() if c.id not in done]


def to_markdown(rows: list[Row], cited: set[str]) -> str:
    """The scoreboard's table, a summary above it, and what is missing below.

    Args:
        rows: of all the records shown.
        cited: keys of the bibliography, which become links to it.
    """
    head = ["chapter", "claim", "theory asks", "measured", "verdict", "published"]
    head += ["whose", "setting", "data", "device", "date", "source"]
    key = re.compile(
        r"\b(" + "|".join(map(re.escape, sorted(cited, key=len, reverse=True))) + r")\b"
    )
    anchored = {(row.chapter, row.claim) for row in rows if row.record == THIS_BUILD}
    lines = []
    for row in rows:
        anchor = f"#claim-{row.claim}" if (row.chapter, row.claim) in anchored else ""
        stale = ' <span class="stale">stale</span>' if row.stale else ""
        read_in = f"; published number: {row.published_source}" if row.published_source else ""
        source = row.source + read_in
        cells = [
            f"[{row.chapter[:2]}](chapters/{row.chapter}.ipynb)",
            f'<a href="chapters/{row.chapter}.html{anchor}">{html.escape(row.statement)}</a>',
            row.theory + _small(row.bound_set and f"bound set: {row.bound_set}"),
            _number(row.measured),
            verdict_cell(row.verdict) + stale + _small(row.why if row.verdict == "outside" else ""),
            _published_cell(row),
            WHOSE[row.kind],
            row.setting,
            row.data,
            row.device,
            row.date,
            key.sub(r"{cite:t}`\1`", source) if cited else source,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    absent = [f"- {chapter}: no record yet" for chapter in missing(rows)]
    if absent:
        absent = ["**At the paper's scale, on the paper's data:**", "", *absent]
    table = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]
    return "\n".join([summary(rows), "", *table, "", *absent]) + "\n"


def not_held(rows: list[Row]) -> str:
    """Counts by kind, then what failed, is not seen or undecided, with the reason under each statement, as Markdown."""
    bad = [row for verdict in VERDICTS[1:4] for row in rows if row.verdict == verdict]
    if not bad:
        return f"{by_kind(rows)}\nEvery claim of every record holds where it is made.\n"
    lines = [["chapter", "claim", "theory asks", "measured", "verdict", "whose", "record"]]
    lines += [["---"] * len(lines[0])]
    for row in bad:
        why = "theory or code is wrong" if row.verdict == "fails" else row.why
        lines.append(
            [
                f"[{row.chapter[:2]}](chapters/{row.chapter}.ipynb)",
                row.statement + _small(why),
                row.theory,
                _number(row.measured),
                verdict_cell(row.verdict),
                WHOSE[row.kind],
                f"{row.setting}, {row.data}",
            ]
        )
    told = ("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |\n" for line in lines)
    return by_kind(rows) + "\n" + "".join(told)


def verdict_cell(verdict: str) -> str:
    """A verdict in its colour, as HTML."""
    return f'<span class="verdict-{verdict.replace(" ", "-")}">{verdict}</span>'


def _small(words: str) -> str:
    return f"<br><small>{words}</small>" if words else ""


def _published_cell(row: Row) -> str:
    if row.published is None:
        return ""
    verdict = f"{claims.MARKS[row.published_verdict]} {row.published_verdict}"
    return (
        f'{_number(row.published)} <span class="verdict-{row.published_verdict}">{verdict}</span>'
    )


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def to_json(rows: list[Row]) -> str:
    """The same for a program: keys ``counts``, ``kinds`` and ``published``, ``missing_paper_scale`` and ``claims``.

    The first three count verdicts: of all claims, of the claims of each kind, of the published numbers.

    ``claims`` has a row for each claim with the fields of ``Row``; ``published`` is null where there is no such number.
    """
    content = {
        "counts": _counts(rows),
        "kinds": {kind: _counts([row for row in rows if row.kind == kind]) for kind in KINDS},
        "published": published(rows),
        "missing_paper_scale": missing(rows),
        "claims": [asdict(row) for row in rows],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def badge(rows: list[Row]) -> str:
    """A badge as SVG: how many claims hold, in green, and how many are not seen or fail, in red if any."""
    held, failed, unseen, *_ = _counts(rows).values()
    parts = [("claims", "#444"), (f"{held} hold", "#1a7f37")]
    parts += [(f"{unseen} not seen", "#b3261e")] if unseen else []
    parts += [(f"{failed} fail", "#b3261e" if failed else "#1a7f37")]
    text = ", ".join(words for words, _ in parts[1:])
    drawn, left = "", 0
    for words, color in parts:
        width = 7 * len(words) + 10
        drawn += f'<rect x="{left}" width="{width}" height="20" fill="{color}"/>'
        drawn += f'<text x="{left + width / 2}" y="14">{words}</text>'
        left += width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left}" height="20" role="img" aria-label="claims: {text}">'
        f"<title>claims: {text}</title>"
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{drawn}</g></svg>\n"
    )


def kept(base: Path) -> list[tuple[str, Record]]:
    """The kept records under a repository's root, each with its folder's name from there."""
    folder = base / "book" / "records"
    return [
        (path.relative_to(base).as_posix(), records.load(path)) for path in records.find_all(folder)
    ]

"""Makes the book's pages from executed notebooks and records, and builds them with Jupyter Book 1.x.

A chapter's page shows first the figure of its best kept record, then its cells as executed. Under each figure
stands where it comes from and the command that makes it again.
"""

import html
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ssltheory import chapters, claims, explorers, figures, records, runner
from ssltheory.claims import Claim
from ssltheory.errors import InputError, RunError
from ssltheory.records import Record

#: Replaced, in a chapter's prose, by a table of its claims over all kept records.
KEPT_MARK = "<!-- kept records -->"
RANK = ("paper", "full", "custom", "quick", "tiny")


def build(base: Path, quick: list[Record]) -> Path:
    """Write the pages from quick runs and kept records, build the HTML, and hold it to what it must show.

    Args:
        base: the repository's root.
        quick: one record a chapter.

    Returns:
        ``_build/html/index.html``.

    Raises:
        RunError: if the build fails or warns, a page or figure is missing, or a claim fails inside its domain.
    """
    shown = [
        (f"book/records/{folder.relative_to(base / 'book' / 'records')}", records.load(folder))
        for folder in records.find_all(base / "book" / "records")
    ]
    made, generated = base / "book" / "chapters", base / "book" / "generated"
    for folder in (made, generated):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for record in quick:
        kept = [(name, r) for name, r in shown if r.chapter.id == record.chapter.id]
        _write_chapter(made, record, sorted(kept, key=_rank))
    everything = [*shown, *(("this build", record) for record in quick)]
    (generated / "scoreboard.md").write_text(scoreboard(everything), encoding="utf-8")
    index = _jupyter_book(base)
    _hold_to(base, quick)
    red = [
        f"{r.chapter.id} ({name}): {c.statement}"
        for name, r in everything
        for c in r.judged_today()
        if c.verdict == "fails"
    ]
    if red:
        raise RunError("a claim fails inside its domain:\n  " + "\n  ".join(red))
    return index


def status(record: Record) -> str:
    """Scale and data set in words; settings of the paper on other data are called just that."""
    scale, name = record.provenance["scale"], record.provenance["data"]["name"]
    if scale == "custom":
        return f"custom settings on {name}"
    own = chapters.parse(record.chapter, chapters.preset(record.chapter, scale)).dataset
    if name == own:
        return f"{scale} scale on {name}"
    return f"{scale} settings, substitute data: {name}"


def strip(record: Record) -> str:
    """One paragraph of HTML: where a figure comes from, and the command that makes it again."""
    p = record.provenance
    scale = p["scale"] if p["scale"] in chapters.SCALES else "quick"
    standard = chapters.parse(record.chapter, chapters.preset(record.chapter, scale))
    seeds = p["seeds"]
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}–{seeds[-1]}"
    commit = p["commit"][:10] if p["dirty"] is not None else p["commit"]
    parts = [
        status(record),
        f"data sha256 {p['data']['sha256'][:10]}",
        span,
        p["device"],
        f"commit {commit}{' with local changes' if p['dirty'] else ''}",
        f"{p['seconds']:.0f} s",
        p["finished"][:10],
    ]
    command = runner.command(record.chapter, scale, standard, record.parameters)
    stale = record.stale()
    old = (
        f' <span class="stale">Stale: {html.escape(", ".join(stale))} changed since.</span>'
        if stale
        else ""
    )
    return f'<p class="provenance">{html.escape(" · ".join(parts))}.{old}<br><code>{html.escape(command)}</code></p>'


def scoreboard(shown: list[tuple[str, Record]]) -> str:
    """The scoreboard's table in Markdown: a row a claim of every record, and a summary above it."""
    rows, counts = [], {"holds": 0, "fails": 0, "outside": 0}
    for _, record in sorted(shown, key=lambda item: (item[1].chapter.id, *_rank(item))):
        for claim in record.judged_today():
            counts[claim.verdict] += 1
            cells = [
                f"[{record.chapter.id[:2]}](chapters/{record.chapter.id}.ipynb)",
                claim.statement,
                f"{claim.measured:.4g}",
                claims.expectation(claim),
                f'<span class="verdict-{claim.verdict}">{claim.verdict}</span>',
                status(record),
                record.provenance["device"],
                claim.source,
            ]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    head = [
        "chapter",
        "claim",
        "measured",
        "theory",
        "verdict",
        "scale and data",
        "device",
        "source",
    ]
    held, failed, outside = counts.values()
    summary = f"**{held} claims hold, {failed} fail, {outside} lie outside the theory's domain.**"
    table = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows]
    return "\n".join([summary, "", *table, "", *_missing(shown)]) + "\n"


def _missing(shown: list[tuple[str, Record]]) -> list[str]:
    """A line on every chapter without a record at the paper's scale on the paper's data."""
    done = {r.chapter.id for _, r in shown if status(r).startswith("paper scale")}
    lines = [f"- {c.id}: no record yet" for c in chapters.all_chapters() if c.id not in done]
    return ["**At the paper's scale, on the paper's data:**", "", *lines] if lines else []


def _rank(item: tuple[str, Record]) -> tuple[int, bool, str]:
    name, record = item
    return RANK.index(record.provenance["scale"]), "substitute" in status(record), name


def _write_chapter(made: Path, record: Record, kept: list[tuple[str, Record]]) -> None:
    """The source notebook's text and code, the run's outputs: prose that has changed needs no new run."""
    chapter = record.chapter
    run_folder = chapters.run_folder(chapter, chapters.parse(chapter, {}))
    executed = nbformat.read(run_folder / "notebook.ipynb", as_version=4)
    outputs = iter(
        cell.outputs
        for cell in executed.cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
    )
    notebook = nbformat.read(runner.notebook(chapter), as_version=4)
    cells = []
    for cell in notebook.cells:
        is_figure = "mystnb" in cell.metadata
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(KEPT_MARK, _kept_table(kept))
            if explorers.MARK in cell.source:
                block = explorers.block(chapter.id, made)
                cell.source = cell.source.replace(explorers.MARK, block)
        else:
            cell.outputs = _shown(next(outputs), is_figure)
        cells += [cell, nbformat.v4.new_markdown_cell(strip(record))] if is_figure else [cell]
    if kept:
        first = next(cell for cell in cells if "mystnb" in cell.metadata)
        cells.insert(1, _record_figure(made, kept[0][1], first.metadata["mystnb"]))
    notebook.cells = cells
    nbformat.write(notebook, made / f"{chapter.id}.ipynb")


def _shown(outputs: list[NotebookNode], is_figure: bool) -> list[NotebookNode]:
    """Outputs without warnings; of a figure's cell, the picture alone."""
    if is_figure:
        return [output for output in outputs if "image/png" in output.get("data", {})]
    return [output for output in outputs if output.get("name") != "stderr"]


def _record_figure(made: Path, record: Record, mystnb: dict) -> NotebookNode:
    path = made / "figures" / f"{record.chapter.id}.png"
    figures.save(record.chapter, record.arrays, path)
    figure = mystnb["figure"]
    text = (
        f"```{{figure}} figures/{path.name}\n:name: {figure['name']}-record\n:alt: {mystnb['image']['alt']}\n\n"
        f"{figure['caption']} Kept record: {status(record)}.\n```\n\n{strip(record)}"
    )
    return nbformat.v4.new_markdown_cell(text)


def _kept_table(kept: list[tuple[str, Record]]) -> str:
    """A row a claim, a column a kept record; a record may lack a claim of another."""
    if not kept:
        return ""
    judged = [{claim.id: claim for claim in record.judged_today()} for _, record in kept]
    every = {id_: claim for found in judged for id_, claim in found.items()}
    head = ["claim", "theory", *(status(record) for _, record in kept)]
    rows = [
        [
            claim.statement,
            claims.expectation(claim),
            *(_finding(found.get(id_)) for found in judged),
        ]
        for id_, claim in every.items()
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _finding(claim: Claim | None) -> str:
    return f"{claim.measured:.2g}, {claim.verdict}" if claim else "–"


def _jupyter_book(base: Path) -> Path:
    version = metadata.version("jupyter-book")
    if not version.startswith("1."):
        raise InputError(
            f"jupyter-book {version} reads another format: pip install 'jupyter-book>=1.0.4.post1,<2'"
        )
    shutil.rmtree(base / "_build", ignore_errors=True)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from jupyter_book.cli.main import main; main()",
            "build",
            str(base),
            "-W",
            "-n",
            "--keep-going",
        ],
        cwd=base,
        env=os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [
            line
            for line in (done.stdout + done.stderr).splitlines()
            if re.search("warning|error", line, re.I)
        ]
        raise RunError(
            "the pages could not be built:\n  "
            + "\n  ".join(lines[-30:] or done.stderr.splitlines()[-30:])
        )
    return base / "_build" / "html" / "index.html"


def _hold_to(base: Path, quick: list[Record]) -> None:
    """Every page of the table of contents is there, and every figure of every chapter is on its page."""
    site = base / "_build" / "html"
    for record in quick:
        page = site / "book" / "chapters" / f"{record.chapter.id}.html"
        source = nbformat.read(
            base / "book" / "chapters" / f"{record.chapter.id}.ipynb", as_version=4
        )
        wanted = sum("mystnb" in cell.metadata for cell in source.cells)
        wanted += sum("```{figure}" in cell.source for cell in source.cells)
        found = page.read_text(encoding="utf-8").count("<figure") if page.is_file() else 0
        if found != wanted:
            raise RunError(f"{page.name} shows {found} figures instead of {wanted}")
    if not (site / "index.html").is_file():
        raise RunError("the build wrote no index.html")

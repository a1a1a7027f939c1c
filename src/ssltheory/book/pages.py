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
from base64 import b64decode, b64encode
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from ssltheory.book import (
    appendices,
    claims,
    explorers,
    figures,
    fingerprint,
    landing,
    not_seen,
    records,
    registry,
    runner,
    scales,
    scoreboard,
    sweep_figures as sweep_plots,
    sweeps,
)
from ssltheory.book.claims import VERDICTS, Claim
from ssltheory.book.parameters import SCALES
from ssltheory.book.records import Record
from ssltheory.book.repository import repository_url
from ssltheory.errors import InputError, RunError

Named = tuple[str, Record]  # a record and what it is called

#: Replaced, in a chapter's prose, by a table of its claims over all kept records.
KEPT_MARK = "<!-- kept records -->"


def build(base: Path, runs: list[Record]) -> Path:
    """Write the pages from runs and kept records, build the HTML, and hold it to what it must show.

    Args:
        base: the repository's root.
        runs: one record a chapter; those of the tiny scale are shown, not judged.

    Returns:
        ``_build/html/index.html``.

    A ``RunError`` says that the build fails or warns, that a page or figure is missing, that a claim fails, or that one
    is not seen and not in the list of these.
    """
    named, sentences = scoreboard.kept(base), not_seen.load(base)
    chapters, generated = base / "book" / "chapters", base / "book" / "generated"
    for folder in (chapters, generated):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for record in runs:
        own = [(name, r) for name, r in named if r.chapter.id == record.chapter.id]
        own.sort(key=scoreboard.rank)
        _write_chapter(chapters, record, own)
        for name, drawn in [*own[:1], (scoreboard.THIS_BUILD, record)]:
            _write_downloads(generated / "site" / _download(name, drawn), drawn)
    this_build = [(scoreboard.THIS_BUILD, record) for record in runs]
    everything = [*named, *this_build]
    _write_scoreboard(base, generated, scoreboard.rows(everything, sentences))
    appendices.write(base, generated)
    landing.write(base, generated)
    _write_sweeps(base, generated)
    index = _jupyter_book(base)
    _hold_to(base, runs)
    _judge(base, named, this_build, sentences)
    return index


def _judge(
    base: Path, kept: list[Named], this_build: list[Named], sentences: not_seen.Sentences
) -> None:
    """``RunError`` for a claim that fails, or is not seen and not listed; tiny runs are not judged."""
    built = [own for own in this_build if own[1].provenance["scale"] != "tiny"]
    red = [
        f"{record.chapter.id} ({name}): {claim.statement}"
        for name, record in [*kept, *built]
        for claim in record.judged_today()
        if claim.verdict == "fails"
    ]
    if red:
        raise RunError("a claim fails:\n  " + "\n  ".join(red))
    quick = [own for own in built if own[1].provenance["scale"] == "quick"]
    judged = {scoreboard.listed_as(*own): own[1].judged_today() for own in [*kept, *quick]}
    wrong = not_seen.problems(sentences, judged) + not_seen.absent(base, sentences)
    if wrong:
        raise RunError(
            "the list of claims that are not seen is not right:\n  " + "\n  ".join(wrong)
        )


def _write_scoreboard(base: Path, generated: Path, rows: list[scoreboard.Row]) -> None:
    """The pages' tables, the index's sentence, and what lies beside the pages: JSON and a badge."""
    bibliography = (base / "book" / "references.bib").read_text(encoding="utf-8")
    cited = set(re.findall(r"^@\w+\{([^,\s]+)", bibliography, re.M))
    for name, text in {
        "scoreboard.md": scoreboard.to_markdown(rows, cited),
        "not-held.md": scoreboard.not_held(rows),
        "summary.md": scoreboard.summary(rows) + "\n",
        "site/scoreboard.json": scoreboard.to_json(rows),
        "site/badge.svg": scoreboard.badge(rows),
    }.items():
        (generated / name).parent.mkdir(exist_ok=True)
        (generated / name).write_text(text, encoding="utf-8")


def _write_sweeps(base: Path, generated: Path) -> None:
    """Of each kept sweep its figure (of what is measured beside the claims), its summary, and where it comes from."""
    for folder in sorted((base / "book" / "sweeps").glob("*/")):
        rows, manifest = sweeps.load(folder)
        free = list(dict.fromkeys(row["measure"] for row in rows if not row["verdict"]))
        drawn = sweep_plots.panels(rows, list(manifest["grid"]), free or None)
        figures.write(drawn, generated / "sweeps" / f"{folder.name}.png")
        lines = [
            f"| measure | least | greatest | {' | '.join(VERDICTS)} |",
            "|---|---|---|" + "---|" * len(VERDICTS),
        ]
        lines += [
            f"| {row['statement']} | {row['least']:.4g} | {row['greatest']:.4g} "
            f"| {' | '.join(str(row[verdict] or '') for verdict in VERDICTS)} |"
            for row in sweeps.summary(rows)
        ]
        text = "\n".join([*lines, "", _sweep_strip(folder.name, manifest)])
        (generated / "sweeps" / f"{folder.name}.md").write_text(text, encoding="utf-8")
        site = generated / "site" / "sweeps" / folder.name
        shutil.copytree(folder, site)


def _sweep_strip(name: str, manifest: dict) -> str:
    """As ``strip``, of a kept sweep."""
    notebook = runner.notebook(registry.find(manifest["chapter"]))
    stale = fingerprint.changes(manifest["code"], fingerprint.code_hashes(notebook))
    seeds = manifest["seeds"]
    parts = [
        f"{len(manifest['points'])} points on {manifest['data']['name']}",
        f"data sha256 {manifest['data']['sha256'][:10]}",
        f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}–{seeds[-1]}",
        *manifest["devices"],
        *map(_commit, manifest["commits"]),
        f"{manifest['seconds']:.0f} s in all",
        manifest["finished"][:10],
    ]
    doors = [
        f'<a href="../sweeps/{name}/{file}" download="{name}-{file}">{text}</a>'
        for text, file in (("table (CSV)", "sweep.csv"), ("origin (JSON)", "sweep.json"))
    ]
    return _origin(parts, stale, manifest["command"], doors)


def _download(name: str, record: Record) -> str:
    """Where, below the site's root, a record can be downloaded."""
    return f"records/{record.chapter.id}/{name.replace(' ', '-').rsplit('/')[-1]}"


def _write_downloads(folder: Path, record: Record) -> None:
    """The record, and what its main figure draws as a CSV."""
    records.save(folder, record)
    (folder / "figure.csv").write_text(
        figures.drawn_csv(record.chapter, record.arrays), encoding="utf-8"
    )


def status(record: Record) -> str:
    """Scale and data set in words; settings of the paper on other data are called just that."""
    setting, name = scoreboard.setting(record), record.provenance["data"]["name"]
    return f"{setting}: {name}" if "substitute" in setting else f"{setting} on {name}"


def strip(name: str, record: Record) -> str:
    """One paragraph of HTML: where a figure comes from, the command that makes it again, and its data.

    Args:
        name: of the record, as on the scoreboard.
        record: what the figure shows.
    """
    p = record.provenance
    scale = p["scale"] if p["scale"] in SCALES else "quick"
    standard = scales.standard(record.chapter, scale)
    seeds = p["seeds"]
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}–{seeds[-1]}"
    parts = [
        status(record),
        f"data sha256 {p['data']['sha256'][:10]}",
        span,
        p["device"],
        _commit(p),
        f"{p['seconds']:.0f} s",
        p["finished"][:10],
    ]
    command = runner.command(record.chapter, scale, standard, record.parameters)
    at = f"../../{_download(name, record)}"
    doors = [
        f'<a href="{at}/{file}" download="{record.chapter.id}-{file}">{text}</a>'
        for text, file in (
            ("drawn data (CSV)", "figure.csv"),
            ("arrays (NPZ)", "record.npz"),
            ("claims and origin (JSON)", "record.json"),
        )
    ]
    report = repository_url()
    if report:
        title = quote(f"Chapter {record.chapter.id}: ")
        body = quote(f"Seen on the page of {record.chapter.id}, {' · '.join(parts)}\n\n{command}\n")
        doors.append(
            f'<a href="{report}/issues/new?title={title}&amp;body={body}">report a problem</a>'
        )
    return _origin(parts, record.stale(), command, doors)


def _commit(origin: dict) -> str:
    known = origin["dirty"] is not None
    changed = " with local changes" if origin["dirty"] else ""
    return f"commit {origin['commit'][:10] if known else origin['commit']}{changed}"


def _origin(parts: list[str], stale: list[str], command: str, doors: list[str]) -> str:
    """The paragraph under a figure: what it was made of, what has changed since, the command, links to its data."""
    old = (
        f' <span class="stale">Stale: {html.escape(", ".join(stale))} changed since.</span>'
        if stale
        else ""
    )
    lines = [
        f"{html.escape(' · '.join(parts))}.{old}",
        f"<code>{html.escape(command)}</code>",
        f"Download: {' · '.join(doors)}",
    ]
    return f'<p class="provenance">{"<br>".join(lines)}</p>'


def _write_chapter(folder: Path, record: Record, named: list[tuple[str, Record]]) -> None:
    """The source notebook's text and code, the run's outputs: prose that has changed needs no new run."""
    chapter = record.chapter
    run_folder = scales.run_folder(chapter, record.parameters)
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
            cell.source = cell.source.replace(KEPT_MARK, _kept_table(named))
            if explorers.MARK in cell.source:
                block = explorers.block(chapter.id, folder)
                cell.source = cell.source.replace(explorers.MARK, block)
            cells.append(cell)
            continue
        made_here = next(outputs)
        judged = any(_is_claims(output, record) for output in made_here)
        cell.outputs = _shown(made_here, is_figure, record)
        cells.append(cell)
        if is_figure:
            cells.append(nbformat.v4.new_markdown_cell(strip(scoreboard.THIS_BUILD, record)))
        if is_figure and judged:
            cells.append(nbformat.v4.new_markdown_cell(_claims_table(record)))
    if named:
        first = next(cell for cell in cells if "mystnb" in cell.metadata)
        cells.insert(1, _record_figure(folder, *named[0], first.metadata["mystnb"]))
    notebook.cells = cells
    nbformat.write(notebook, folder / f"{chapter.id}.ipynb")


def _shown(outputs: list[NotebookNode], is_figure: bool, record: Record) -> list[NotebookNode]:
    """Outputs without warnings; of a figure's cell, the picture alone, made small."""
    if is_figure:
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        for output in pictures:
            small = figures.small_png(b64decode(output.data["image/png"]))
            output.data["image/png"] = b64encode(small).decode()
        return pictures
    for output in outputs:
        if _is_claims(output, record):
            output.data["text/markdown"] = _claims_table(record)
    return [output for output in outputs if output.get("name") != "stderr"]


def _is_claims(output: NotebookNode, record: Record) -> bool:
    plain = claims.Table(record.claims)._repr_markdown_()
    return output.get("data", {}).get("text/markdown") == plain


def _claims_table(record: Record) -> str:
    """The table of a record's claims, judged today, with an anchor a claim for the scoreboard to lead to."""
    judged = claims.Table(record.judged_today())
    head, rule, *lines = judged._repr_markdown_().splitlines()
    anchored = [
        line.replace("| ", f'| <span id="claim-{claim.id}"></span>', 1)
        for claim, line in zip(judged, lines, strict=True)
    ]
    return "\n".join([head, rule, *anchored])


def _record_figure(folder: Path, name: str, record: Record, mystnb: dict) -> NotebookNode:
    path = folder / "figures" / f"{record.chapter.id}.png"
    figures.save(record.chapter, record.arrays, path)
    figure = mystnb["figure"]
    text = (
        f"```{{figure}} figures/{path.name}\n:name: {figure['name']}-record\n:alt: {mystnb['image']['alt']}\n\n"
        f"{figure['caption']} Kept record: {status(record)}.\n```\n\n{strip(name, record)}"
    )
    return nbformat.v4.new_markdown_cell(text)


def _kept_table(named: list[tuple[str, Record]]) -> str:
    """A row a claim, a column a kept record; a record may lack a claim of another.

    A published number is that of the first record that has one.
    """
    if not named:
        return ""
    columns = [{claim.id: claim for claim in record.judged_today()} for _, record in named]
    every = {id_: claim for column in columns for id_, claim in column.items()}
    told = {
        claim.id: claims.reported(claim)
        for column in reversed(columns)
        for claim in column.values()
        if claim.published is not None
    }
    head = ["claim", "theory", *(["published"] if told else [])]
    head += [status(record) for _, record in named]
    rows = []
    for id_, claim in every.items():
        asked = {claims.expectation(c[id_]) for c in columns if id_ in c}
        one = asked.pop() if len(asked) == 1 else ""
        row = [
            claim.statement,
            one or "as each record says",
            *([told.get(id_, "")] if told else []),
        ]
        rows.append([*row, *(_finding(column.get(id_), says=not one) for column in columns)])
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _finding(claim: Claim | None, says: bool) -> str:
    """Number and verdict; with what theory asks of this one where it ``says`` so itself."""
    if claim is None:
        return "–"
    asks = f" (theory {claims.expectation(claim)})" if says else ""
    return f"{claim.measured:.2g}{asks}, {claim.verdict}"


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


def _hold_to(base: Path, runs: list[Record]) -> None:
    """Every page of the table of contents is there, and every figure of every chapter is on its page."""
    site = base / "_build" / "html"
    for record in runs:
        page = site / "book" / "chapters" / f"{record.chapter.id}.html"
        source = nbformat.read(
            base / "book" / "chapters" / f"{record.chapter.id}.ipynb", as_version=4
        )
        wanted = sum("mystnb" in cell.metadata for cell in source.cells)
        wanted += sum("```{figure}" in cell.source for cell in source.cells)
        count = page.read_text(encoding="utf-8").count("<figure") if page.is_file() else 0
        if count != wanted:
            raise RunError(
                f"{page.name} shows {count} figures instead of {wanted}: each cell with mystnb metadata must end in one"
            )
    if not (site / "index.html").is_file():
        raise RunError("the build wrote no index.html: name the first page as root in _toc.yml")

"""The command line: ``ssltheory list | describe | preset | run | sweep | keep | verify | diff | book | pdf | data``."""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from ssltheory import data
from ssltheory.book import cells, claims, machine, not_seen, records, registry, repository, scales
from ssltheory.book.claims import VERDICTS, Claim
from ssltheory.book.parameters import NOT_SETTINGS, SCALES, describe_type, value
from ssltheory.book.registry import Chapter
from ssltheory.errors import InputError, Paused, RunError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Executable reproductions of self-supervised-learning theory.",
)
data_app = typer.Typer(
    no_args_is_help=True, help="Data sets: what is there, fetch one, where it is kept."
)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Scale = Annotated[str, typer.Option(help=f"{', '.join(SCALES[:-1])} or {SCALES[-1]}.")]
Values = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Over the scale's own value."),
]
Jobs = Annotated[int, typer.Option(min=1, help="Runs at a time.")]
Recompute = Annotated[bool, typer.Option(help="Also where a current record is there.")]
Out = Annotated[Path | None, typer.Option(help="Parent of the runs' folders.")]
EngineName = Annotated[str, typer.Option("--engine", help="local or ray.")]
Address = Annotated[
    str | None,
    typer.Option(help="Of Ray: auto, host:port, ray://…, or none, which starts it here."),
]
Gpus = Annotated[float, typer.Option(min=0, help="Share of a GPU for each run, or whole GPUs.")]
KEPT_BYTES = 1_000_000  # a kept record is in git
COLORS = {"holds": "green", "fails": "bold red", "not seen": "red", "undecided": "yellow"}
COLORS |= {"outside": "yellow", "broken": "bold red", "agrees": "green", "differs": "bold red"}


@app.command("list")
def list_chapters(as_json: Json = False) -> None:
    """The chapters: id, paper, figure, what is claimed."""
    rows = [
        {"id": c.id, "title": c.title, "paper": c.paper, "figure": c.figure, "claim": c.claim}
        for c in registry.all_chapters()
    ]
    if as_json:
        _print_json(rows)
        return
    table = _table("chapter", "title", "paper", "claim")
    for row in rows:
        table.add_row(row["id"], row["title"], f"{row['paper']}, {row['figure']}", row["claim"])
    _console().print(table)


@app.command()
def describe(
    chapter: Annotated[str | None, typer.Argument(help="Id, number or slug.")] = None,
    of_machine: Annotated[
        bool, typer.Option("--machine", help="This machine, and how runs share it with other work.")
    ] = False,
    by_scale: Annotated[
        bool, typer.Option("--scales", help="The parameters' values at every scale, side by side.")
    ] = False,
    as_json: Json = False,
) -> None:
    """One chapter: its parameters, claims, paper and expected times. With --machine: the machine."""
    if of_machine:
        facts = machine.describe()
        if as_json:
            _print_json(facts)
            return
        table = _table("machine", "")
        for name, fact in facts.items():
            table.add_row(name, fact)
        _console().print(table)
        return
    if chapter is None:
        raise InputError("which chapter? `ssltheory list` shows them")
    entry = registry.find(chapter)
    model, columns = entry.parameters, scales.names(entry)
    parameters = [
        {
            "name": name,
            "type": describe_type(model, name),
            "default": field.default,
            "scales": {scale: value(model, name, scale) for scale in columns},
            "meaning": field.description,
            "setting": name not in NOT_SETTINGS,
        }
        for name, field in model.model_fields.items()
    ]
    judged = _best_known_claims(entry)
    if as_json:
        _print_json(
            {
                "id": entry.id,
                "title": entry.title,
                "paper": entry.paper,
                "figure": entry.figure,
                "claim": entry.claim,
                "scales": {scale: cells.about(entry, scale) for scale in columns},
                "seconds": entry.seconds,
                "parameters": parameters,
                "claims": [claim.to_dict() for claim in judged],
            }
        )
        return
    console = _console()
    console.print(f"{entry.id}  {entry.title}", style="bold")
    console.print(f"{entry.claim}\n{entry.paper}, {entry.figure}\n")
    if by_scale:
        table = _table("parameter", *columns, "meaning")
        for row in parameters:
            values = (str(value) or "(empty)" for value in row["scales"].values())
            table.add_row(row["name"], *values, row["meaning"])
        console.print(table)
        for scale in columns:
            console.print(f"{scale}: {cells.about(entry, scale)}")
    else:
        table = _table("parameter", "type and range", "default", "meaning")
        for row in parameters:
            default = str(row["default"]) or "(empty)"
            table.add_row(row["name"], row["type"], default, row["meaning"])
        console.print(table)
    if judged:
        table = _table("claim", "theory asks", "source")
        for claim in judged:
            table.add_row(claim.statement, claims.expectation(claim), claim.source)
        console.print(table)
    times = ", ".join(f"{scale} {seconds:.0f} s" for scale, seconds in entry.seconds.items())
    console.print(f"expected time: {times}")


@app.command()
def preset(chapter: str, scale: Scale = "quick") -> None:
    """Print the values of a scale as YAML, for plain papermill: `papermill NOTEBOOK OUT -f FILE`."""
    print(cells.to_yaml(registry.find(chapter), scale), end="")


@app.command()
def run(
    chapter: Annotated[
        list[str] | None, typer.Argument(help="Id, number or slug; several may be given.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every chapter.")] = False,
    scale: Scale = "quick",
    parameter: Values = None,
    jobs: Jobs = 1,
    recompute: Recompute = False,
    out: Out = None,
    engine: EngineName = "local",
    address: Address = None,
    gpus_per_run: Gpus = 0.0,
    as_json: Json = False,
) -> None:
    """Run chapters, draw figures, print claims. Verdicts do not change the exit code: `verify` is the gate."""
    from ssltheory.book import engines, figures, runner

    names = [c.id for c in registry.all_chapters()] if every else chapter or []
    if not names or (every and chapter):
        raise InputError("name a chapter, or give --all: `ssltheory list` names them")
    values = dict(_pair(text) for text in parameter or [])
    planned = {job.folder: job for job in (runner.plan(n, scale, values, out) for n in names)}
    with engines.start(engine, jobs, gpus_per_run, address) as started:
        outcomes = runner.run(planned.values(), started.workers, recompute, started.execute)
    errors = [outcome.error for outcome in outcomes if outcome.error]
    for outcome in outcomes:
        picture = outcome.job.folder / "figure.png"
        if outcome.record and not (outcome.reused and picture.exists()):
            try:
                figures.save(outcome.job.chapter, outcome.record.arrays, picture)
            except OSError as error:
                why = f"{picture} cannot be written ({error.strerror}): make room"
                errors.append(RunError(f"{why}; its record is whole"))
    if as_json:
        _print_json(
            [
                {
                    "chapter": o.job.chapter.id,
                    "folder": str(o.job.folder),
                    "reused": o.reused,
                    "error": str(o.error) if o.error else None,
                    "claims": [claim.to_dict() for claim in o.record.judged_today()]
                    if o.record
                    else [],
                }
                for o in outcomes
            ]
        )
    else:
        for outcome in outcomes:
            if outcome.record:
                _print_claims(outcome.job.chapter.id, outcome.record.judged_today())
                print(f"figure: {outcome.job.folder / 'figure.png'}\n")
    _end_with(errors)


@app.command()
def sweep(
    chapter: Annotated[str, typer.Argument(help="Id, number or slug.")],
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=V1,V2,…", help="Values of a parameter; several may be given."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="FIRST:END", help="0:5 is 0, 1, 2, 3, 4.")
    ] = None,
    scale: Scale = "quick",
    parameter: Values = None,
    jobs: Jobs = 1,
    recompute: Recompute = False,
    out: Annotated[
        Path | None, typer.Option(help="Parent of the runs' folders and of the table's.")
    ] = None,
    engine: EngineName = "local",
    address: Address = None,
    gpus_per_run: Gpus = 0.0,
    as_json: Json = False,
) -> None:
    """Run a chapter over a grid of parameters and seeds, and make one table and figure of it."""
    from ssltheory.book import engines, sweeps

    values = dict(_pair(text) for text in parameter or [])
    planned = sweeps.plan(chapter, scale, grid or [], seeds, values, out)
    with engines.start(engine, jobs, gpus_per_run, address) as started:
        outcomes = sweeps.run(planned, started.workers, recompute, started.execute)
    errors = [outcome.error for outcome in outcomes if outcome.error]
    done = [outcome for outcome in outcomes if outcome.record]
    rows = sweeps.save(planned, outcomes) if done else []
    if as_json:
        _print_json(
            {
                "chapter": planned.chapter.id,
                "folder": str(planned.folder),
                "points": [
                    planned.values(o.job)
                    | {
                        "folder": str(o.job.folder),
                        "reused": o.reused,
                        "error": str(o.error) if o.error else None,
                    }
                    for o in outcomes
                ],
                "measures": sweeps.summary(rows),
            }
        )
    elif done:
        table = _table("measure", "least", "greatest", *VERDICTS, title=planned.chapter.id)
        for row in sweeps.summary(rows):
            counts = [str(row[verdict] or "") for verdict in VERDICTS]
            ends = (f"{row[end]:.4g}" for end in ("least", "greatest"))
            table.add_row(row["statement"], *ends, *counts)
        _console().print(table)
        print(f"{len(done)} of {len(outcomes)} points: table and figure in {planned.folder}")
    _end_with(errors)


@app.command()
def keep(
    run_folder: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Folder of a run, e.g. runs/full/01-linear-staircase."),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="What it is, e.g. full; default: its scale, with its data set."),
    ] = None,
) -> None:
    """Copy a run's record to book/records/<chapter>/<name>/, where git keeps it, and draw its figure beside it."""
    from ssltheory.book import figures, scoreboard

    record = records.load(run_folder)
    base = _root()
    scale, dataset = record.provenance["scale"], record.provenance["data"]["name"]
    own = scales.standard(record.chapter, scale).dataset if scale in SCALES else None
    name = name or (scale if dataset == own else f"{scale}-{dataset}")
    if not name.replace("-", "").replace(".", "").replace("_", "").isalnum() or name.startswith(
        "."
    ):
        raise InputError(f"--name {name!r}: letters, digits, '-', '_' and '.' only")
    target = base / "book" / "records" / record.chapter.id / name
    with tempfile.TemporaryDirectory() as draft:
        records.save(Path(draft), record)
        figures.save(record.chapter, record.arrays, Path(draft) / "figure.png")
        size = sum(file.stat().st_size for file in Path(draft).iterdir())
        if size > KEPT_BYTES:
            raise RunError(
                f"the record takes {size / 1e6:.1f} MB; one that is kept has at most "
                f"{KEPT_BYTES / 1e6:.0f} MB: save fewer arrays"
            )
        target.mkdir(parents=True, exist_ok=True)
        for file in ("figure.png", "record.npz", "record.json"):  # the mark of success last
            shutil.copyfile(Path(draft) / file, target / file)
    badge = scoreboard.badge(scoreboard.rows(scoreboard.kept(base)))
    (base / scoreboard.BADGE).write_text(badge, encoding="utf-8")
    print(f"kept {target.relative_to(base)} ({size / 1000:.0f} kB)")


@app.command()
def verify(
    path: Annotated[
        list[Path] | None,
        typer.Argument(help="Records or folders of them; default: kept ones and runs."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A stale record fails, too.")] = False,
    as_json: Json = False,
) -> None:
    """Judge records' claims with today's theory. Exit 1: one fails, or is not seen and not listed."""
    whole = path is None
    if path is None:
        base = _root()
        path = [
            base / "book" / "records",
            *(base / "runs" / scale for scale in SCALES[1:]),
        ]
        path = [p for p in path if p.is_dir()]
    for p in path:
        if not p.exists():
            raise InputError(f"no {p}: give a record's folder, or a folder of them")
    folders = [folder for p in path for folder in records.find_all(p if p.is_dir() else p.parent)]
    results = [_verified(folder) for folder in folders]
    unlisted = _not_listed(results, whole)
    if as_json:
        _print_json([r | {"claims": [claim.to_dict() for claim in r["claims"]]} for r in results])
    else:
        _print_verified(results)
        for text in unlisted:
            _console().print(text, style="bold red", soft_wrap=True)
    if not results:
        raise RunError(
            f"no record found in {', '.join(map(str, path)) or 'book/records and runs'}: run a chapter first"
        )
    bad = any(r["error"] or (strict and r["stale"]) or "fails" in r["verdicts"] for r in results)
    raise typer.Exit(1 if bad or unlisted else 0)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="A record, or a folder of records.")],
    after: Annotated[Path, typer.Argument(help="The other one.")],
    as_json: Json = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a comment on a change.")
    ] = False,
) -> None:
    """What changed between two records: claims, judged with today's theory, arrays, parameters and data."""
    from ssltheory.book import compare

    differences = compare.differences(before, after)
    if as_json:
        _print_json([difference.to_dict() for difference in differences])
    elif as_markdown:
        print(compare.to_markdown(differences), end="")
    else:
        _console().print(Markdown(compare.to_markdown(differences)))


@app.command()
def book(
    jobs: Annotated[int, typer.Option(min=1, help="Chapters at a time.")] = 1,
    recompute: Annotated[bool, typer.Option(help="Also where a current record is there.")] = False,
    scale: Annotated[
        str, typer.Option(help="Of the runs; at tiny only the kept records are judged.")
    ] = "quick",
) -> None:
    """Run what is needed and build the HTML in _build/html."""
    from ssltheory.book import pages, runner

    outcomes = runner.run(
        [runner.plan(c.id, scale, {}) for c in registry.all_chapters()], jobs, recompute
    )
    errors = [outcome.error for outcome in outcomes if outcome.error]
    for error in errors:
        print(f"ssltheory: {error}", file=sys.stderr)
    if errors:
        raise RunError("the book was not built: a chapter failed")
    index = pages.build(_root(), [outcome.record for outcome in outcomes if outcome.record])
    print(f"the book is at {index}")


@app.command("pdf")
def make_pdf() -> None:
    """Print the built book as one PDF, with bookmarks; needs Chromium."""
    from ssltheory.book import pdf

    path = pdf.write(_root())
    print(f"the book is at {path} ({path.stat().st_size / 1e6:.1f} MB)")


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """The data sets that can be named here, and whether they are there."""
    rows: list[dict[str, Any]] = []
    for name in data.names():
        try:
            source = data.find(name)
            shape = "various sizes" if source.shape is None else "×".join(map(str, source.shape))
            rows.append(
                {
                    "name": name,
                    "there": True,
                    "images": len(source),
                    "shape": shape,
                    "sha256": source.sha256,
                    "version": source.version,
                }
            )
        except InputError as error:
            rows.append({"name": name, "there": False, "why": str(error)})
    if as_json:
        _print_json(rows)
        return
    table = _table("data set", "images", "channels×height×width", "sha256")
    for row in rows:
        if row["there"]:
            name = f"{row['name']} ({row['version']})" if row["version"] else row["name"]
            table.add_row(name, f"{row['images']:,}", row["shape"], row["sha256"][:16])
        else:
            table.add_row(row["name"], "no", row["why"], "")
    _console().print(table)


@data_app.command("fetch")
def data_fetch(name: str) -> None:
    """Download cifar10, stl10 or imagenette through torchvision, checksums verified."""
    source = data.fetch(name)
    print(f"{name}: {len(source):,} images in {data.folder()}")


@data_app.command("path")
def data_path() -> None:
    """The folder that holds the data sets; SSLTHEORY_DATA moves it."""
    print(data.folder())


class Interrupted(BaseException):
    """Ctrl-C; typer would take a KeyboardInterrupt for its own and wait for what is running."""


def _interrupt(*_) -> None:
    raise Interrupted


def main() -> None:
    """Entry point: every expected failure is one message and an exit code, 2 for bad input and 1 for a failed run."""
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except (InputError, RunError) as error:
        print(f"ssltheory: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (MemoryError, SystemError, OSError, ImportError, RuntimeError) as error:
        print(f"ssltheory: {_what_lacks(error)}", file=sys.stderr)
        sys.exit(1)
    except Interrupted:
        print(
            "ssltheory: interrupted; what was finished is kept, the same command goes on from there",
            file=sys.stderr,
        )
        sys.stderr.flush()
        os._exit(130)  # at once; kernels end with their parent
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with(errors: list[InputError | Paused | RunError]) -> None:
    """Print each error once and exit as they ask; 3, go on, only where nothing failed."""
    for message in dict.fromkeys(map(str, errors)):
        print(f"ssltheory: {message}", file=sys.stderr)
    if errors:
        raise typer.Exit(min((error.exit_code for error in errors), key=(2, 1, 3).index))


def _what_lacks(error: Exception) -> str:
    """In words; an error that is no want of memory, space or the like is raised again."""
    # A SystemError stands where not even a MemoryError could be made.
    no_memory = isinstance(error, MemoryError | SystemError)
    if no_memory or re.search("map segment|allocate memory|start new thread", str(error)):
        return f"too little memory ({error!r}): free some, or take fewer images or a smaller scale"
    if isinstance(error, ImportError | RuntimeError):
        raise error
    return str(error)


def _root() -> Path:
    base = repository.root()
    if base is None:
        raise InputError("this works on the book's repository: run it from inside a clone")
    return base


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InputError(f"-p {text}: write it as name=value, e.g. -p seed=1")
    return name.strip(), value


def _best_known_claims(chapter: Chapter) -> list[Claim]:
    base = repository.root()
    for place in ("book/records", "runs"):
        for folder in records.find_all(base / place) if base else []:
            try:
                record = records.load(folder)
                if record.chapter.id == chapter.id:
                    return record.judged_today()
            except InputError:
                continue
    return []


def _verified(folder: Path) -> dict:
    result: dict[str, Any] = {"record": str(folder), "error": None}
    result |= {"stale": [], "verdicts": [], "claims": []}
    try:
        record = records.load(folder)
        judged = record.judged_today()
        result |= {
            "chapter": record.chapter.id,
            "stale": record.stale(),
            "verdicts": [claim.verdict for claim in judged],
            "claims": judged,
        }
    except InputError as error:
        result["error"] = str(error)
    return result


def _not_listed(results: list[dict], whole: bool) -> list[str]:
    """What the list of claims that are not seen lacks of these records, or says too much."""
    base = repository.root()
    if base is None:
        return []
    sentences = not_seen.load(base)
    judged = {
        name: result["claims"]
        for result in results
        if not result["error"] and (name := not_seen.name(base, Path(result["record"])))
    }
    return not_seen.problems(sentences, judged) + (
        not_seen.absent(base, sentences) if whole else []
    )


def _print_verified(results: list[dict]) -> None:
    head, *rows = _cells([claim for result in results for claim in result["claims"]])
    table, ahead = _table("record", *head), iter(rows)
    for result in results:
        record = result["record"]
        if result["error"]:
            table.add_row(record, result["error"], "", "", _colored("broken"))
        for _ in result["claims"]:
            table.add_row(record, *next(ahead))
            record = ""
    console = _console()
    console.print(table)
    for result in results:
        if result["stale"]:
            console.print(
                f"stale {result['record']}: changed since: {', '.join(result['stale'])}",
                style="yellow",
                soft_wrap=True,
            )
        for text in map(_differing, result["claims"]):
            if text:
                console.print(f"{result['record']}: {text}", style="red", soft_wrap=True)


def _differing(claim: Claim) -> str:
    """In words, that the published number of a claim differs from theory; "" where it does not."""
    if claim.published_verdict != "differs":
        return ""
    source = claim.published_source or claim.source
    return (
        f"the published number differs from theory: {claim.statement}: "
        f"{claim.published:.4g} ({source}), theory {claims.expectation(claim)}"
    )


def _print_claims(title: str, judged: list[Claim]) -> None:
    head, *rows = _cells(judged)
    table = _table(*head, title=title)
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _cells(judged: list[Claim]) -> list[list]:
    """The rows of a table of claims, the heading's first, with the verdicts coloured."""
    head, *rows = claims.Table(judged).rows()
    return [head, *([*row[:3], *map(_colored, row[3:])] for row in rows)]


def _colored(verdict: str) -> Text:
    """A verdict, or a number that ends in one, in its colour."""
    return Text(verdict, style=next((c for v, c in COLORS.items() if verdict.endswith(v)), ""))


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _console() -> Console:
    width = None if sys.stdout.isatty() else 160
    return Console(width=width, markup=False, highlight=False)


def _print_json(value) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))

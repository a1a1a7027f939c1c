"""A chapter's notebook, run cell by cell in the test's own process, where faults can be planted."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from conftest import ROOT

from ssltheory.book import records
from ssltheory.book.claims import Claim
from ssltheory.book.records import Record
from ssltheory.book.registry import Chapter
from ssltheory.errors import InputError, Paused


def code_cells(chapter: Chapter) -> list[dict]:
    """The code cells of its notebook, as they stand in the file."""
    path = ROOT / "notebooks" / f"{chapter.id}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def is_parameters(cell: dict) -> bool:
    return "parameters" in cell["metadata"].get("tags", [])


def run_cells(
    chapter: Chapter,
    out: Path,
    before: Callable[[str, dict], str] | None = None,
    whole: bool = False,
    names: dict | None = None,
    **parameters,
) -> dict:
    """The names that the code cells make, ``record`` among them, run in one namespace.

    Args:
        chapter: whose notebook.
        out: folder of the record.
        before: called before each cell with its source and the names so far; returns the source to run.
        whole: also run the cells after the one that saves the record, which only draw.
        names: those that are there at first.
        parameters: in the place of the defaults.
    """
    names = dict(names or {})
    for cell in code_cells(chapter):
        source = "".join(cell["source"])
        if before is not None and not is_parameters(cell):
            source = before(source, names)
        exec(compile(source, f"{chapter.id}.ipynb", "exec"), names)
        if is_parameters(cell):
            names.update(parameters, out=str(out))
        if "run.save(" in source and not whole:
            break
    plt.close("all")
    return names


def rerun(
    names: dict,
    out: Path,
    *cells: str,
    before: Callable[[str, dict], str] | None = None,
    whole: bool = False,
    **parameters,
) -> dict:
    """The names of a run once more, of whose cells only some are executed again.

    Args:
        names: of the run, from ``run_cells``, whose other names and parameters stay.
        out: folder of the new record.
        cells: texts; a cell that holds one of them is executed, and always the first and the one that saves.
        before, whole: as in ``run_cells``, of the cells that are executed.
        parameters: in the place of those of the run.
    """
    record, missing = names["record"], set(cells)

    def chosen(source, so_far):
        found = {text for text in cells if text in source}
        missing.difference_update(found)
        drawing = "record" in so_far  # it is saved
        if found or drawing or "records.begin(" in source or "run.save(" in source:
            return before(source, so_far) if before else source
        return ""

    earlier = {name: value for name, value in names.items() if name != "record"}
    same = record.parameters.model_dump(exclude={"out"})
    again = run_cells(record.chapter, out, chosen, whole, earlier, **same | parameters)
    assert not missing, f"no cell of {record.chapter.id} holds {missing}"
    return again


def record_of(*arguments, **choices) -> Record:
    """The record of ``run_cells``, which takes the arguments."""
    return run_cells(*arguments, **choices)["record"]


def kept_record(chapter: Chapter, folder: Path, tests: str, **parameters) -> Record:
    """The record of the run that a file of tests shares, kept from one session to the next.

    It is made anew where its code or its claims are not today's, or the notebook or the tests have changed since.

    Args:
        chapter: whose notebook.
        folder: of the record.
        tests: the file of tests.
        parameters: in the place of the defaults.
    """
    asked = chapter.parse(parameters).model_dump(exclude={"out", "device"})
    sources = ROOT / "notebooks" / f"{chapter.id}.ipynb", Path(tests)
    with contextlib.suppress(InputError):  # there is none
        record, made = records.load(folder), (folder / "record.json").stat().st_mtime
        current = record.provenance["parameters"] == asked and not record.stale()
        current = current and all(source.stat().st_mtime < made for source in sources)
        if current and record.claims == record.judged_today():
            return record
    return record_of(chapter, folder, whole=True, **parameters)


def in_parts(run: Callable[..., Record], out: Path, **parameters) -> Record:
    """The record of a run that pauses whenever it may, called anew until it is done; then no checkpoint is left."""
    pauses = 0
    while True:
        try:
            record = run(out, **parameters, minutes=1e-9)
            break
        except Paused:
            pauses += 1
            assert (out / "checkpoints").exists()
            assert pauses < 30
    assert pauses
    assert not (out / "checkpoints").exists()
    return record


def verdicts(claims: list[Claim]) -> dict[str, str]:
    return {claim.id: claim.verdict for claim in claims}


def red(claims: list[Claim]) -> set[str]:
    return {claim.id for claim in claims if claim.verdict in ("fails", "not seen")}

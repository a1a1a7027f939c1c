"""A chapter's notebook, run cell by cell in the test's own process, where faults can be planted."""

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from conftest import ROOT

from ssltheory.book.registry import Chapter
from ssltheory.claims import Claim
from ssltheory.errors import Paused
from ssltheory.records import Record


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
    **parameters,
) -> dict:
    """The names that the code cells make, ``record`` among them, run in one namespace.

    Args:
        chapter: whose notebook.
        out: folder of the record.
        before: called before each cell with its source and the names so far; returns the source to run.
        whole: also run the cells after the one that saves the record, which only draw.
        parameters: in the place of the defaults.
    """
    names: dict = {}
    for cell in code_cells(chapter):
        source = "".join(cell["source"])
        if before is not None:
            source = before(source, names)
        exec(compile(source, f"{chapter.id}.ipynb", "exec"), names)
        if is_parameters(cell):
            names.update(parameters, out=str(out))
        if "run.save(" in source and not whole:
            break
    plt.close("all")
    return names


def record_of(*arguments, **choices) -> Record:
    """The record of ``run_cells``, which takes the arguments."""
    return run_cells(*arguments, **choices)["record"]


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
    return {claim.id for claim in claims if claim.verdict == "fails"}

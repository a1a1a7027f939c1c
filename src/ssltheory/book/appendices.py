"""Pages on the book itself, from what its campaigns and benchmarks left in ``book/``: tables, and a picture."""

import json
from pathlib import Path

from ssltheory.book import capacity, figures
from ssltheory.book.capacity_figures import main_figure


def write(base: Path, generated: Path) -> None:
    """Write what the pages on planted faults, on torture and on capacity include.

    Args:
        base: the repository's root.
        generated: ``book/generated``, whose ``site`` goes beside the pages.
    """
    documents = {
        name: json.loads((base / "book" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("mutants", "torture", "capacity")
    }
    for name, text in {
        "mutants.md": mutants(documents["mutants"]),
        "torture.md": torture(documents["torture"]),
        "capacity.md": capacity.to_markdown(documents["capacity"]),
        "chunks.md": capacity.chunks_to_markdown(documents["capacity"]),
        "capacity-runs.md": capacity.runs_to_markdown(documents["capacity"]),
        "site/mutants.json": json.dumps(documents["mutants"], indent=1),
    }.items():
        (generated / name).write_text(text, encoding="utf-8")
    curves = [capacity.Curve(**curve) for curve in documents["capacity"]["curves"]]
    figures.write(main_figure(curves), generated / "capacity.png")


def mutants(campaign: dict) -> str:
    """What ``make mutants`` wrote, as Markdown: a row a planted fault, with the test that it turned red."""
    killed = [fault for fault in campaign["faults"] if fault["killed_by"]]
    rows = []
    for fault in campaign["faults"]:
        noticed = f"`{fault['killed_by']}`" if fault["killed_by"] else f"none: {fault['survives']}"
        rows.append([f"`{fault['module']}`", fault["why"], noticed])
    return (
        f"On {campaign['date']}, at commit {campaign['commit'][:10]}, "
        f"{len(killed)} of {len(campaign['faults'])} turned a test red.\n\n"
        + _table(["module", "mistake", "first test that turned red"], rows)
    )


def torture(campaign: dict) -> str:
    """What ``make torture`` wrote, as Markdown: a row an experiment, below it where and when each was made."""
    rows = [
        [
            f"{row['experiment']}: {row['what']}",
            row["tried"] or "–",
            f"**{row['verdict']}**: {row['outcome']}",
            f"{row['seconds']}",
        ]
        for row in campaign["experiments"]
    ]
    groups: dict[str, list[str]] = {}
    for row in campaign["experiments"]:
        at = row["where"]
        commit = at["commit"][:10] + (" with local changes" if at["dirty"] else "")
        place = f"{at['date']}, version {at['version']}, commit {commit}, {at['device']}, {at['system']}"
        groups.setdefault(place, []).append(row["experiment"])
    where = [f"{', '.join(names)}: {place}." for place, names in groups.items()]
    return (
        _table(["experiment", "tried", "outcome", "seconds"], rows)
        + "\n"
        + "\n\n".join(where)
        + "\n"
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |\n"
        for line in lines
    )

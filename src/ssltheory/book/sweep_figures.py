"""The figure of a sweep, of any chapter: what was measured against the grid, with bands over the seeds."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import THEORY, ramp, style

MARKS = "osD^vP*X"
Rows = list[dict[str, Any]]


def panels(rows: Rows, grid: Sequence[str], measures: Sequence[str] | None = None) -> Figure:
    """A panel a measure, against the first parameter, a line for each value of the others.

    Args:
        rows: of the table of a sweep.
        grid: its parameters, in order.
        measures: those to draw; None: all.
    """
    style()
    measures = measures or list(dict.fromkeys(row["measure"] for row in rows))
    columns = min(len(measures), 3)
    lines = -(-len(measures) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.7 * columns, 3.1 * lines + 0.4), squeeze=False
    )
    for ax, name in zip(axes.flat, measures, strict=False):
        measure(ax, [row for row in rows if row["measure"] == name], grid)
    for ax in axes.flat[len(measures) :]:
        ax.set_axis_off()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    if len(handles) > 1:
        columns = min(len(handles), 2 * columns)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure


def measure(axes: Axes, rows: Rows, grid: Sequence[str]) -> Axes:
    """One measure: the mean over seeds as a line, from the least to the greatest as a band, theory dashed.

    The values of the first parameter stand side by side in their order, whatever lies between them.

    Args:
        axes: to draw on.
        rows: of this measure.
        grid: as above; empty: nothing but seeds was swept, which then take its place.
    """
    along, *others = grid or ["seed"]
    values = _in_order(row[along] for row in rows)
    lines = _in_order(tuple(row[name] for name in others) for row in rows)
    for n, (line, color) in enumerate(zip(lines, ramp(len(lines) + 1), strict=False)):
        here = [row for row in rows if tuple(row[name] for name in others) == line]
        label = ", ".join(
            f"{name} = {_text(value)}" for name, value in zip(others, line, strict=True)
        )
        at = [[row for row in here if row[along] == value] for value in values]
        there = [place for place, points in enumerate(at) if points]
        heights = [[point["measured"] for point in at[place]] for place in there]
        axes.fill_between(
            there, list(map(min, heights)), list(map(max, heights)), color=color, alpha=0.2, lw=0
        )
        mark = MARKS[n % len(MARKS)]
        axes.plot(
            there, list(map(np.mean, heights)), mark, ls="-", color=color, label=label or "mean"
        )
        asked = [_asked(points) for points in at]
        axes.plot(range(len(values)), asked, "--", color=THEORY, lw=1.1, label="_theory")
    axes.set_xticks(range(len(values)), [_text(value) for value in values])
    axes.set_xlabel(along)
    axes.set_title(_wrapped(rows[0]["statement"]), fontsize=9)
    return axes


def _asked(points: Rows) -> float:
    """What theory says of the points of a place, NaN where it says nothing or their seeds differ."""
    said = {point["predicted"] for point in points if point["verdict"] not in ("", "outside")}
    return said.pop() if len(said) == 1 else float("nan")


def _in_order(values) -> list:
    return list(dict.fromkeys(values))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _wrapped(statement: str) -> str:
    return "\n".join(textwrap.wrap(statement, 44))

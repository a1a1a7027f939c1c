"""One plot function a figure: arrays in, Axes out, nothing computed that a claim depends on.

Measurement is solid and coloured, theory dashed and dark, in every figure of the book. The colours are Okabe and
Ito's, told apart by colour-blind readers; eigenmodes take a ramp, so that their order is seen.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryLocator
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from PIL import Image

from ssltheory import records
from ssltheory.chapters import Chapter

Look = dict[str, Any]  # keyword arguments that matplotlib draws by

THEORY = "#1a1a1a"
#: Methods keep their colour through the book.
COLORS = {
    "barlow_twins": "#0072B2",
    "vicreg": "#009E73",
    "simclr": "#D55E00",
    "spectral_contrastive": "#CC79A7",
    "byol": "#E69F00",
    "simsiam": "#56B4E9",
    "control": "#7f7f7f",
}


def style() -> None:
    """Set the book's look for every figure drawn after it."""
    mpl.rcParams.update(
        {
            "figure.figsize": (7.2, 4.2),
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "legend.framealpha": 0.9,
            "legend.edgecolor": "none",
            "lines.linewidth": 1.8,
            "mathtext.fontset": "cm",
        }
    )


def ramp(n: int) -> np.ndarray:
    """n colours from dark to light, one an eigenmode, the first the darkest: ``(n, 4)``."""
    return mpl.colormaps["viridis"](np.linspace(0.2, 0.92, n))


def draw(chapter: Chapter, arrays: dict[str, np.ndarray]) -> Figure:
    """The chapter's main figure from the arrays of a record."""
    style()
    return import_module(f"ssltheory.figures.{chapter.module}").main_figure(arrays)


def save(chapter: Chapter, arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write the chapter's main figure as a PNG, the same bytes for the same arrays."""
    write(draw(chapter, arrays), path)


def write(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all, and close it; OSError as ``records.write``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, metadata={"Software": None})
    plt.close(figure)
    records.write(path, small_png(drawn.getvalue()))


def small_png(png: bytes) -> bytes:
    """The same picture in 256 colours, which are enough for a plot: a third of the bytes."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(256).save(small, "png", optimize=True)
    return small.getvalue()


def drawn_csv(chapter: Chapter, arrays: dict[str, np.ndarray]) -> str:
    """What the chapter's main figure draws, as CSV: a row a point, with its panel, axes and series.

    Curves, points, bars (their centre and height) and images (row, column and value) are there; bands and marks of
    theory that are drawn as areas are in the arrays of the record. Where an axis carries names instead of numbers,
    ``x_name`` and ``y_name`` give that of the nearest place.
    """
    figure, text = draw(chapter, arrays), io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = ["x_name", "y_name"]
    table.writerow(["panel", "x_axis", "y_axis", "kind", "series", *names, "x", "y", "value"])
    for panel, ax in enumerate(figure.axes):
        title = ax.get_title() or ax.get_title("left") or f"panel {panel + 1}"
        about = [title, ax.get_xlabel(), ax.get_ylabel()]
        x_names, y_names = _names(ax.xaxis), _names(ax.yaxis)
        for kind, series, points in _drawn(ax):
            for point in points:
                named = _nearest(x_names, point[0]), _nearest(y_names, point[1])
                numbers = [f"{number:.7g}" for number in point]
                table.writerow([*about, kind, series, *named, *[*numbers, ""][:3]])
    plt.close(figure)
    return text.getvalue()


def _drawn(ax: Axes) -> Iterator[tuple[str, str, Iterable[Sequence[float]]]]:
    """(kind, label, rows of x, y and, in an image, value) of everything on the Axes that is made of points."""
    for n, line in enumerate(ax.lines):
        yield "curve", _label(line, n), np.column_stack(line.get_data()).astype(float)
    for n, cloud in enumerate(ax.collections):
        if isinstance(cloud, PathCollection):
            yield "points", _label(cloud, n), np.asarray(cloud.get_offsets(), dtype=float)
    for n, bars in enumerate(c for c in ax.containers if isinstance(c, BarContainer)):
        tops = [(bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height()) for bar in bars]
        yield "bars", _label(bars, n), tops
    for n, image in enumerate(ax.images):
        values = np.asarray(image.get_array(), dtype=float)
        values = values.mean(-1) if values.ndim == 3 else values
        rows = [(x, y, value) for (y, x), value in np.ndenumerate(values)]
        yield "image", _label(image, n), rows


def _names(axis: Axis) -> dict[float, str]:
    """The ticks that say something else than their own place: ``{place: name}``."""
    if not isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator):
        return {}
    places = list(axis.get_majorticklocs())
    words = map(str, axis.get_major_formatter().format_ticks(places))
    ticks = {
        p: " ".join(text.split()).replace("−", "-") for p, text in zip(places, words, strict=True)
    }
    return {} if all(text in ("", f"{place:g}") for place, text in ticks.items()) else ticks


def _nearest(names: dict[float, str], place: float) -> str:
    return names[min(names, key=lambda tick: abs(tick - place))] if names else ""


def _label(artist, n: int) -> str:
    """Its name in the legend; without one, its number."""
    label = str(artist.get_label())
    return label if label and not label.startswith("_") else f"{n + 1}"


def single() -> Axes:
    """The Axes of a new figure with one panel."""
    style()
    return plt.subplots()[1]


class Markdown(str):
    """Text that a notebook shows as Markdown, a table mostly."""

    def _repr_markdown_(self) -> str:
        return str(self)

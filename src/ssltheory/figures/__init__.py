"""One plot function a figure: arrays in, Axes out, nothing computed that a claim depends on.

Measurement is solid and coloured, theory dashed and dark, in every figure of the book. The colours are Okabe and
Ito's, told apart by colour-blind readers; eigenmodes take a ramp, so that their order is seen.
"""

import io
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ssltheory.chapters import Chapter

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
    """Write a figure as a PNG and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, metadata={"Software": None})
    plt.close(figure)
    with Image.open(drawn) as picture:  # 256 colours are enough, and a third of the bytes
        picture.convert("RGB").quantize(256).save(path, optimize=True)


def single() -> Axes:
    """The Axes of a new figure with one panel."""
    style()
    return plt.subplots()[1]


class Markdown(str):
    """Text that a notebook shows as Markdown, a table mostly."""

    def _repr_markdown_(self) -> str:
        return str(self)

"""Figures of chapter 03."""

import base64
import json
import os
from importlib import resources
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, ramp, style
from ssltheory.chapters.embedding_dimensions import claims as theory

TIME = "time  t = learning rate × step"
SHAPES = ("a point", "a line", "a surface", "a solid")
AZIMUTH, ELEVATION = 0.95, 0.35  # from where the box is seen, as in the film
RINGS = 8  # images whose predicted place is drawn
CURVES = 12  # eigenvalues that are drawn
FRAMES = 13  # a second, in a GIF


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Loss, the embeddings at four moments in one fixed box, and their mean squares along the axes.

    As in Figure 1, right, of simon2023stepwise.
    """
    figure = plt.figure(figsize=(7.6, 5.6))
    rows = figure.subfigures(3, 1, squeeze=False, height_ratios=(1.2, 1.6, 0.95))[:, 0]
    staircase(rows[0].subplots(), arrays, seed)
    boxes = rows[1].subplots(1, len(SHAPES))
    bars = rows[2].subplots(1, len(SHAPES), sharey=True)
    for i in range(len(SHAPES)):
        cloud(boxes[i], arrays, i, seed)
        along_axes(bars[i], arrays, first_drawn(arrays) + i, seed)
    bars[0].set_ylabel("mean square\nof the embedding")
    return figure


def first_drawn(arrays: dict[str, np.ndarray]) -> int:
    """Number, from 0 on, of the first fixed axis and of the first snapshot that are drawn.

    The first axis of a network is the constant: all images agree there, and after one step they share a point still.
    """
    return 0 if "gamma" in arrays else 1


def staircase(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Loss against time, with the moments of the snapshots."""
    times, loss = arrays["times"][seed], arrays["loss"][seed]
    axes.plot(times, loss, color=COLORS["barlow_twins"], lw=3)
    for k, shape in enumerate(SHAPES, first_drawn(arrays)):
        if k > _taken(arrays, seed):
            break
        t = arrays["snapshot_times"][seed, k]
        axes.plot(t, loss[times.searchsorted(t)], "o", color=THEORY, ms=6)
        axes.annotate(
            shape,
            (t, loss[times.searchsorted(t)]),
            (0, 8),
            textcoords="offset points",
            ha="center",
        )
    axes.set(
        xscale="log",
        xlim=(_begin(arrays, seed), times[-1]),
        ylim=(loss.min() - 0.3, loss[0] + 1.2),
        xlabel=TIME,
        ylabel=r"loss  $\|C - I\|_F^2$",
    )
    return axes


def cloud(axes: Axes, arrays: dict[str, np.ndarray], i: int, seed: int = 0) -> Axes:
    """The embeddings when they have the i-th shape, on three fixed axes in a box that is the same for all."""
    k = first_drawn(arrays) + i
    box(axes, arrays, in_box(arrays, arrays["points"][seed, k], seed), seed)
    if "gamma" in arrays:
        rings = theory.predicted(arrays, seed)[k, :RINGS]
        rings = in_box(arrays, rings, seed)
        axes.scatter(*_flat(rings), s=24, facecolors="none", edgecolors=THEORY, lw=0.7, zorder=4)
    taken = min(k, _taken(arrays, seed))
    shape = SHAPES[i] if taken == k else "the end"
    axes.set_title(f"{shape}: {taken} step{'s' * (taken != 1)} taken")
    return axes


def box(axes: Axes, arrays: dict[str, np.ndarray], points: np.ndarray, seed: int = 0) -> Axes:
    """The box with points ``(n, 3)`` in its units, their shadows on floor and walls, and the origin."""
    for wall in range(3):
        shadow = points.copy()
        shadow[:, wall] = -1
        axes.scatter(*_flat(shadow), s=2, color="#c9c9c9", lw=0, zorder=1)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    for wall in range(3):
        axes.plot(*_flat(np.insert(corners, wall, -1, axis=1)), color="#9a9a9a", lw=0.6, zorder=0)
    origin = in_box(arrays, np.zeros((1, arrays["points"].shape[3])), seed)
    axes.plot(*_flat(origin), "+", color=THEORY, ms=7, mew=1, zorder=2)
    shades = colors(arrays["brightness"][seed])[: len(points)]
    axes.scatter(*_flat(points), s=7, c=shades, lw=0, alpha=0.9, zorder=3)
    for i in range(3):
        end = np.full((1, 3), -1.0)
        end[0, i] = 1.15 if i == 2 else 1.3
        (x,), (y,) = _flat(end)
        name = str(first_drawn(arrays) + i + 1)
        axes.text(x, y, name, ha="center", va="center", fontsize=8)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


def in_box(arrays: dict[str, np.ndarray], z: np.ndarray, seed: int = 0) -> np.ndarray:
    """Embeddings ``(..., d)`` on the three fixed axes that are drawn, in units of the box: ``(..., 3)``.

    The box, [−1, 1]³, is a cube around the origin and the clouds of all snapshots that are drawn.
    """
    first = first_drawn(arrays)
    q = theory.axes(arrays, seed)[:, first : first + 3]
    drawn = (arrays["points"][seed, : first + len(SHAPES)] @ q).reshape(-1, 3)
    low, high = np.minimum(drawn.min(0), 0), np.maximum(drawn.max(0), 0)
    return (z @ q - (low + high) / 2) / (0.53 * (high - low).max())


def along_axes(axes: Axes, arrays: dict[str, np.ndarray], k: int, seed: int = 0) -> Axes:
    """Mean square of the embeddings along each fixed axis on snapshot k."""
    q = theory.axes(arrays, seed)
    squares = np.diagonal(q.T @ arrays["second_moment"][seed, k] @ q)
    axes.bar(np.arange(1, len(squares) + 1), squares, color=ramp(len(squares)))
    axes.set(xlabel="fixed axis", xticks=range(1, len(squares) + 1))
    return axes


def colors(brightness: np.ndarray) -> np.ndarray:
    """A colour for each image by the rank of its mean pixel, dark to light."""
    return ramp(len(brightness))[brightness.argsort().argsort()]


class Film:
    """The cloud over time, which plays in a page or a notebook, drawn by a script from the arrays.

    Attributes:
        images: at most so many are drawn.
    """

    images = 230

    def __init__(self, arrays: dict[str, np.ndarray], still: str = "#fig-embedding-dimensions"):
        """Of a record's arrays; ``still`` is the address of its main moments as a picture."""
        self.arrays, self.still = arrays, still

    def __repr__(self) -> str:
        return "a film of the embeddings: open the notebook or the page in a browser"

    def frames(self) -> np.ndarray:
        """Which of the observed times the frames show, those from a quarter of the first step on."""
        times, n = self.arrays["times"][0], len(self.arrays["film"])
        at = np.arange(n) * (len(times) - 1) // (n - 1)
        return at[times[at] >= _begin(self.arrays)]

    def points(self) -> np.ndarray:
        """The embeddings on each frame in units of the box, ``(frames, images, 3)``."""
        film = self.arrays["film"][-len(self.frames()) :, : self.images]
        return in_box(self.arrays, film.astype(float))

    def shapes(self) -> list[str]:
        """What the cloud is after 0, 1, 2, … steps."""
        return [*["a point at the origin"] * first_drawn(self.arrays), *SHAPES]

    def shape_at(self, time: float) -> str:
        """What it is at a time."""
        taken = int((self.arrays["step_times"][0] <= time).sum())
        return [*self.shapes(), "more than can be drawn"][min(taken, len(self.shapes()))]

    def data(self) -> dict:
        """What the script draws, for JSON: points as 16-bit integers in base64, times, panels, colours."""
        arrays, frames = self.arrays, self.frames()
        times, shapes = arrays["times"][0][frames], self.shapes()
        points = np.rint(16384 * self.points().clip(-1.9, 1.9)).astype("<i2")
        steps = arrays["step_times"][0]
        loss, (of_c, of_z) = arrays["loss"][0][frames], spectra(arrays)
        return {
            "shape": points.shape[:2],
            "points": base64.b64encode(points.tobytes()).decode(),
            "origin": in_box(arrays, np.zeros(arrays["film"].shape[2])).round(3).tolist(),
            "axes": [first_drawn(arrays) + i + 1 for i in range(3)],
            "shapes": shapes,
            "times": [float(f"{t:.4g}") for t in times],
            "panels": [
                _panel("loss against t = learning rate × step (log)", loss[None]),
                _panel(
                    "eigenvalues of C (solid), of the covariance (dashed)",
                    of_c[frames].T,
                    of_z[frames].T,
                ),
            ],
            "steps": [float(f"{t:.4g}") for t in steps[np.isfinite(steps)]],
            "shots": np.searchsorted(times, arrays["snapshot_times"][0, : len(shapes)]).tolist(),
            "colors": [to_hex(c) for c in colors(arrays["brightness"][0])[: self.images]],
        }

    def _repr_html_(self) -> str:
        data = self.data()
        script = resources.files(__package__).joinpath("film.js").read_text("utf-8")
        row, half = "display: flex; flex-wrap: wrap; gap: 8px", "flex: 1 1 280px; min-width: 0"
        panel = '<canvas style="width: 100%; height: 150px; display: block" role="img" aria-label="'
        return (
            f'<div id="embedding-film"><div style="{row}"><canvas style="{half}; height: 300px" '
            'role="img" aria-label="The embeddings in a box, one dot an image"></canvas>'
            f'<div style="{half}">{panel}The loss staircase and the present moment"></canvas>'
            f'{panel}Eigenvalues of C and of the covariance, and the present moment"></canvas></div></div>'
            f'<div style="{row}; align-items: center">'
            '<button type="button" style="min-width: 5em">Play</button>'
            f'<input type="range" min="0" max="{data["shape"][0] - 1}" step="1" aria-label="time" '
            'style="flex: 1 1 160px"><output style="flex: 1 1 260px"></output></div>'
            f'<script type="application/json">{json.dumps(data, separators=(",", ":"))}</script>'
            "<noscript>The film needs JavaScript; its main moments are in "
            f'<a href="{self.still}">a figure</a>.</noscript>'
            f"</div><script>{script}</script>"
        )


def write_gif(arrays: dict[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write the film as a GIF for a talk: cloud, loss and spectrum, without a button.

    Args:
        arrays: of a record.
        path: of the file, e.g. "film.gif"; its folder is there. OSError if it cannot be written.

    Examples:
        ``write_gif(records.load("runs/quick/03-embedding-dimensions").arrays, "film.gif")``
    """
    style()
    film = Film(arrays)
    frames, points, loss = film.frames(), film.points(), arrays["loss"][0]
    times = arrays["times"][0]
    figure = plt.figure(figsize=(6.4, 3.2), dpi=100)
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    scene, (above, below) = left.subplots(), right.subplots(2, 1, sharex=True)
    above.plot(times[frames], loss[frames], color=COLORS["barlow_twins"])
    above.set(xscale="log", ylabel="loss")
    for lam, look in zip(spectra(arrays), ({}, {"ls": "--", "lw": 0.9}), strict=True):
        color = COLORS["control"] if look else COLORS["barlow_twins"]
        below.plot(times[frames], lam[frames], color=color, **look)
    below.set(xlabel="learning rate × step", ylabel="eigenvalues of C,\nof the covariance (- -)")
    marks = [axes.axvline(times[frames[0]], color=COLORS["simclr"]) for axes in (above, below)]

    def draw(i: int) -> list:
        scene.clear()
        box(scene, arrays, points[i])
        scene.set(xlim=(-1.75, 1.75), ylim=(-1.75, 1.75), title=film.shape_at(times[frames[i]]))
        for mark in marks:
            mark.set_xdata([times[frames[i]]] * 2)
        return marks

    draw(0)
    figure.canvas.draw()
    figure.set_layout_engine(
        "none"
    )  # as it is now, in all frames: to lay each out anew takes most of the time
    animation = FuncAnimation(figure, draw, frames=len(frames))
    animation.save(Path(path), PillowWriter(fps=FRAMES), dpi=120)
    plt.close(figure)


def spectra(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The leading eigenvalues of C and of the covariance in the first repetition, ``(T, modes)`` each."""
    return [arrays[name][0, :, :CURVES] for name in ("eigenvalues", "covariance")]


def _taken(arrays: dict[str, np.ndarray], seed: int) -> int:
    """How many steps were taken in the whole run."""
    return int(np.isfinite(arrays["step_times"][seed]).sum())


def _begin(arrays: dict[str, np.ndarray], seed: int = 0) -> float:
    """Where a logarithmic time axis begins: a quarter of the first step, or of the run if there was none."""
    return min(arrays["step_times"][seed, 0], arrays["times"][seed, -1]) / 4


def _panel(label: str, solid: np.ndarray, dashed: np.ndarray | None = None) -> dict:
    """Curves ``(curves, frames)`` and the range that shows them all."""
    every = solid if dashed is None else np.concatenate([solid, dashed])
    drawn = {"solid": solid, "dashed": every[len(solid) :]}
    lists = {name: curves.astype(float).round(3).tolist() for name, curves in drawn.items()}
    return lists | {
        "label": label,
        "low": float(np.floor(max(every.min(), 0))),
        "top": round(float(every.max()), 3),
    }


def _flat(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthographic projection of ``(n, 3)`` to the two coordinates of the paper, ``(n,)`` each."""
    x, y, z = np.asarray(points, dtype=float).T
    away = np.cos(AZIMUTH) * x + np.sin(AZIMUTH) * y
    across = np.cos(AZIMUTH) * y - np.sin(AZIMUTH) * x
    return across, np.cos(ELEVATION) * z - np.sin(ELEVATION) * away

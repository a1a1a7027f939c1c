"""Figures of chapter 03."""

import base64
import json
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, ramp
from ssltheory.chapters.embedding_dimensions import claims as theory

TIME = "time  t = learning rate × step"
SHAPES = ("a point", "a line", "a surface", "a solid")
AZIMUTH, ELEVATION = 0.95, 0.35  # from where the box is seen, as in the film
RINGS = 8  # images whose predicted place is drawn


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Loss, the embeddings at four moments in one fixed box, and their mean squares along the axes.

    As in Figure 1, right, of simon2023stepwise.
    """
    figure = plt.figure(figsize=(7.6, 5.6))
    rows = figure.subfigures(3, 1, squeeze=False, height_ratios=(1.2, 1.6, 0.95))[:, 0]
    staircase(rows[0].subplots(), arrays, seed)
    boxes = rows[1].subplots(1, len(SHAPES))
    bars = rows[2].subplots(1, len(SHAPES), sharey=True)
    for k in range(len(SHAPES)):
        cloud(boxes[k], arrays, k, seed)
        along_axes(bars[k], arrays, k, seed)
    bars[0].set_ylabel("mean square\nof the embedding")
    return figure


def staircase(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Loss against time, with the moments of the snapshots."""
    times, loss = arrays["times"][seed], arrays["loss"][seed]
    axes.plot(times, loss, color=COLORS["barlow_twins"], lw=3)
    for k, shape in enumerate(SHAPES):
        t = arrays["snapshot_times"][seed, k]
        axes.plot(t, loss[times.searchsorted(t)], "o", color=THEORY, ms=6)
        axes.annotate(
            shape,
            (t, loss[times.searchsorted(t)]),
            (0, 8),
            textcoords="offset points",
            ha="center",
        )
    first = arrays["step_times"][seed, 0]
    axes.set(
        xscale="log",
        xlim=(first / 4, times[-1]),
        ylim=(-0.3, loss[0] + 1.2),
        xlabel=TIME,
        ylabel=r"loss  $\|C - I\|_F^2$",
    )
    return axes


def cloud(axes: Axes, arrays: dict[str, np.ndarray], k: int, seed: int = 0) -> Axes:
    """The embeddings on snapshot k on the first three fixed axes, in a box that is the same for all k."""
    points = in_box(arrays, arrays["points"][seed, k], seed)
    for wall in range(3):
        shadow = points.copy()
        shadow[:, wall] = -1
        axes.scatter(*_flat(shadow), s=2, color="#c9c9c9", lw=0, zorder=1)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    for wall in range(3):
        axes.plot(*_flat(np.insert(corners, wall, -1, axis=1)), color="#9a9a9a", lw=0.6, zorder=0)
    origin = in_box(arrays, np.zeros((1, arrays["points"].shape[3])), seed)
    axes.plot(*_flat(origin), "+", color=THEORY, ms=7, mew=1, zorder=2)
    axes.scatter(
        *_flat(points), s=7, c=colors(arrays["brightness"][seed]), lw=0, alpha=0.9, zorder=3
    )
    if "gamma" in arrays:
        rings = theory.predicted(arrays, seed)[k, :RINGS]
        rings = in_box(arrays, rings, seed)
        axes.scatter(*_flat(rings), s=24, facecolors="none", edgecolors=THEORY, lw=0.7, zorder=4)
    for i in range(3):
        end = np.full((1, 3), -1.0)
        end[0, i] = 1.15 if i == 2 else 1.3
        (x,), (y,) = _flat(end)
        axes.text(x, y, str(i + 1), ha="center", va="center", fontsize=8)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(f"{SHAPES[k]}: {k} step{'s' * (k != 1)} taken")
    return axes


def in_box(arrays: dict[str, np.ndarray], z: np.ndarray, seed: int = 0) -> np.ndarray:
    """Embeddings ``(..., d)`` on the first three fixed axes, in units of the box: ``(..., 3)``.

    The box, [−1, 1]³, is a cube around the origin and the clouds of all snapshots that are drawn.
    """
    q = theory.axes(arrays, seed)[:, :3]
    drawn = (arrays["points"][seed, : len(SHAPES)] @ q).reshape(-1, 3)
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

    images = 200

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def __repr__(self) -> str:
        return "a film of the embeddings: open the notebook or the page in a browser"

    def data(self) -> dict:
        """What the script draws, for JSON: points as 16-bit integers in base64, times, loss, colours."""
        arrays = self.arrays
        frames = np.linspace(0, len(arrays["times"][0]) - 1, len(arrays["film"])).astype(int)
        times, loss = arrays["times"][0][frames], arrays["loss"][0][frames]
        seen = times >= arrays["step_times"][0, 0] / 4
        points = in_box(arrays, arrays["film"][seen, : self.images].astype(float))
        points = np.rint(16384 * points.clip(-1.9, 1.9)).astype("<i2")
        shots = np.searchsorted(times[seen], arrays["snapshot_times"][0, : len(SHAPES)])
        steps = arrays["step_times"][0]
        return {
            "shape": points.shape[:2],
            "points": base64.b64encode(points.tobytes()).decode(),
            "origin": in_box(arrays, np.zeros(arrays["film"].shape[2])).round(3).tolist(),
            "shapes": SHAPES,
            "times": [float(f"{t:.4g}") for t in times[seen]],
            "loss": [round(float(v), 3) for v in loss[seen]],
            "steps": [float(f"{t:.4g}") for t in steps[np.isfinite(steps)]],
            "shots": shots.tolist(),
            "colors": [to_hex(c) for c in colors(arrays["brightness"][0][: self.images])],
        }

    def _repr_html_(self) -> str:
        data = self.data()
        script = resources.files(__package__).joinpath("film.js").read_text("utf-8")
        half = "flex: 1 1 280px; min-width: 0; height: 300px"
        return (
            '<div id="embedding-film"><div style="display: flex; flex-wrap: wrap; gap: 8px">'
            f'<canvas style="{half}" role="img" aria-label="The embeddings in a box, one dot an image"></canvas>'
            f'<canvas style="{half}" role="img" aria-label="The loss staircase and the present moment"></canvas>'
            '</div><div style="display: flex; flex-wrap: wrap; gap: 8px; align-items: center">'
            '<button type="button" style="min-width: 5em">Play</button>'
            f'<input type="range" min="0" max="{data["shape"][0] - 1}" step="0.1" aria-label="time" '
            'style="flex: 1 1 160px"><output style="flex: 1 1 260px"></output></div>'
            f'<script type="application/json">{json.dumps(data, separators=(",", ":"))}</script>'
            "<noscript>The film needs JavaScript; its main moments are in "
            '<a href="#fig-embedding-dimensions">the figure above</a>.</noscript>'
            f"</div><script>{script}</script>"
        )


def _flat(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthographic projection of ``(n, 3)`` to the two coordinates of the paper, ``(n,)`` each."""
    x, y, z = np.asarray(points, dtype=float).T
    away = np.cos(AZIMUTH) * x + np.sin(AZIMUTH) * y
    across = np.cos(AZIMUTH) * y - np.sin(AZIMUTH) * x
    return across, np.cos(ELEVATION) * z - np.sin(ELEVATION) * away

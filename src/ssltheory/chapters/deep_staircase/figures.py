"""Figures of chapter 02."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ssltheory.book.figures import COLORS, ramp
from ssltheory.chapters.deep_staircase import claims as readings
from ssltheory.chapters.deep_staircase.claims import NAMES, SMALL, STANDARD, halfway, onsets

TIME = "time  t = learning rate × step"
STARTS = ("small start", "standard start")
ROWS = {
    "eigenvalues": "eigenvalues of $C$\n(uncentred)",
    "covariance": "eigenvalues of the\nembedding covariance",
}


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Loss above, spectra below; a column a method, or small against standard start if there is one method."""
    methods = range(len(arrays["methods"]))
    if len(methods) > 1:
        return panels(arrays, [(at, SMALL) for at in methods], seed)
    return panels(arrays, [(0, SMALL), (0, STANDARD)], seed)


def control_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """The same from the standard start, a column a method."""
    return panels(arrays, [(at, STANDARD) for at in range(len(arrays["methods"]))], seed)


def panels(arrays: dict[str, np.ndarray], columns: list[tuple[int, int]], seed: int) -> Figure:
    """Loss, eigenvalues of C and of the covariance for each (method, start)."""
    size = (max(4.4, 3.3 * len(columns)), 6.6)
    figure, axes = plt.subplots(3, len(columns), sharex="col", figsize=size, squeeze=False)
    for column, (at, start) in zip(axes.T, columns, strict=True):
        method = str(arrays["methods"][at])
        loss(column[0], arrays, at, start, seed)
        column[0].set_title(f"{NAMES[method]}, {STARTS[start]}")
        for row, name in zip(column[1:], ROWS, strict=True):
            spectrum(row, arrays, name, at, start, seed)
        column[2].set_xlabel(TIME)
    for row, label in zip(axes, ("loss", *ROWS.values()), strict=True):
        row[0].set_ylabel(label)
    return figure


def loss(axes: Axes, arrays: dict[str, np.ndarray], at: int, start: int, seed: int) -> Axes:
    """Loss against time; dotted: onsets of eigenvalues."""
    method = str(arrays["methods"][at])
    times = readings.times(arrays, method, start)
    _marks(axes, arrays, at, start, seed)
    values = arrays["loss"][at, start, seed]
    axes.plot(times, values, color=COLORS[method])
    axes.set_ylim(min(0, values.min()), 1.1 * min(values.max(), 3 * np.median(values) + 10))
    return axes


def spectrum(
    axes: Axes, arrays: dict[str, np.ndarray], name: str, at: int, start: int, seed: int
) -> Axes:
    """Eigenvalues against time, one colour a mode; dotted: when one of those the loss sees passes 0.1."""
    method = str(arrays["methods"][at])
    lam = readings.spectrum(arrays, method, start, name)[seed]
    times = readings.times(arrays, method, start)
    _marks(axes, arrays, at, start, seed)
    for k, color in enumerate(ramp(lam.shape[1])):
        axes.plot(times, lam[:, k], color=color, lw=1.5)
    top = lam[len(lam) // 4 :].max()
    axes.set_ylim(-0.05 * top, 1.15 * top)
    return axes


def middle_and_hidden(arrays: dict[str, np.ndarray], at: int = 0) -> Figure:
    """Half-way: a histogram of the eigenvalues; along the way: those of the hidden layers, small start."""
    layers = arrays["hidden"].shape[-2]
    figure, axes = plt.subplots(1, 1 + layers, figsize=(3.3 * (1 + layers), 3.3))
    middle(axes[0], arrays, at)
    for layer, panel in enumerate(axes[1:]):
        hidden(panel, arrays, layer, at)
        panel.sharey(axes[1])
    axes[1].set_ylabel("eigenvalues of its covariance")
    return figure


def middle(axes: Axes, arrays: dict[str, np.ndarray], at: int = 0) -> Axes:
    """log10 of the embedding covariance's eigenvalues when half of the modes are there, all seeds."""
    method = str(arrays["methods"][at])
    bins = np.linspace(-6, 2, 33).tolist()
    for start, color in ((STANDARD, COLORS["control"]), (SMALL, COLORS[method])):
        pooled = [
            lam[halfway(seen)]
            for lam, seen in zip(
                readings.spectrum(arrays, method, start, "covariance"),
                readings.spectrum(arrays, method, start),
                strict=True,
            )
        ]
        logs = np.log10(np.clip(np.concatenate(pooled), 1.1e-6, None))
        axes.hist(logs, bins, color=color, alpha=0.7, label=STARTS[start])
    axes.set(xlabel=r"$\log_{10}$ eigenvalue, embedding covariance", ylabel="count, all seeds")
    axes.set_title(f"{NAMES[method]}, half-way")
    axes.legend(loc="upper left")
    return axes


def hidden(axes: Axes, arrays: dict[str, np.ndarray], layer: int, at: int = 0) -> Axes:
    """Largest eigenvalues of a hidden layer's covariance against time, from the small start."""
    values, times = arrays["hidden"][at, SMALL, 0, :, layer], arrays["times"][at, SMALL]
    for k, color in enumerate(ramp(values.shape[1])):
        axes.plot(times, values[:, k], color=color, lw=1.3)
    _marks(axes, arrays, at, SMALL, 0)
    axes.set(yscale="log", xlabel=TIME, title=f"hidden layer {layer + 1}, small start")
    return axes


def _marks(axes: Axes, arrays, at: int, start: int, seed: int) -> None:
    for onset in _onsets(arrays, at, start, seed):
        axes.axvline(onset, color="#9a9a9a", lw=0.9, ls=(0, (1, 2)))
    _log_time(axes, arrays, at, start, seed)


def _onsets(arrays, at: int, start: int, seed: int) -> np.ndarray:
    method = str(arrays["methods"][at])
    seen = readings.spectrum(arrays, method, start)[seed].astype(float)
    when = onsets(readings.times(arrays, method, start).astype(float), seen)
    return when[np.isfinite(when) & (when > 0)]


def _log_time(axes: Axes, arrays, at: int, start: int, seed: int) -> None:
    times, marks = arrays["times"][at, start], _onsets(arrays, at, start, seed)
    late = start == SMALL and len(marks)
    left = min(marks.min() / 3, times[-1] / 30) if late else times[1]
    axes.set(xscale="log", xlim=(min(max(left, times[1]), times[-1] / 3), times[-1]))
    axes.xaxis.set_minor_formatter(NullFormatter())

"""Figures of chapter 02."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ssltheory.book.figures import COLORS, ramp
from ssltheory.chapters.deep_staircase import published, readings
from ssltheory.chapters.deep_staircase.claims import NAMES
from ssltheory.chapters.deep_staircase.readings import halfway, onsets

TIME = "time  t = learning rate × step"
TITLES = {"small": "small start", "standard": "standard start"}
ROWS = {
    "eigenvalues": "eigenvalues of $C$\n(uncentred)",
    "covariance": "eigenvalues of the\nembedding covariance",
}
#: What is kept of each run, beside the times.
CURVES = ("loss", "length", *ROWS, "hidden")


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Loss above, spectra below; a column a method, or small against standard start if there is one method."""
    methods = arrays["methods"].tolist()
    if len(methods) > 1:
        return panels(arrays, [(method, "small") for method in methods], seed)
    return panels(arrays, [(methods[0], start) for start in TITLES], seed)


def control_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """The same from the standard start, a column a method."""
    return panels(arrays, [(method, "standard") for method in arrays["methods"].tolist()], seed)


def panels(arrays: dict[str, np.ndarray], columns: list[tuple[str, str]], seed: int) -> Figure:
    """Loss, eigenvalues of C and of the covariance for each (method, start)."""
    size = (max(4.4, 3.3 * len(columns)), 6.6)
    figure, axes = plt.subplots(3, len(columns), sharex="col", figsize=size, squeeze=False)
    for column, (method, start) in zip(axes.T, columns, strict=True):
        loss(column[0], arrays, method, start, seed)
        column[0].set_title(f"{NAMES[method]}, {TITLES[start]}")
        for row, name in zip(column[1:], ROWS, strict=True):
            spectrum(row, arrays, name, method, start, seed)
        column[2].set_xlabel(TIME)
    for row, label in zip(axes, ("loss", *ROWS.values()), strict=True):
        row[0].set_ylabel(label)
    return figure


def loss(axes: Axes, arrays: dict[str, np.ndarray], method: str, start: str, seed: int = 0) -> Axes:
    """Loss against time; dotted: onsets of eigenvalues."""
    values = readings.losses(arrays, method, start)[seed]
    _marks(axes, arrays, method, start, seed)
    axes.plot(readings.times(arrays, method, start), values, color=COLORS[method])
    low, high = values.min(), values[1:].max()  # what a logarithmic axis of time shows
    margin = 0.08 * (high - low) or 1
    axes.set_ylim(low - margin, high + margin)
    return axes


def spectrum(
    axes: Axes, arrays: dict[str, np.ndarray], name: str, method: str, start: str, seed: int = 0
) -> Axes:
    """Eigenvalues against time, one colour a mode; dotted: onsets of those that the loss sees."""
    lam, times = (
        readings.spectrum(arrays, method, start, name)[seed],
        readings.times(arrays, method, start),
    )
    _marks(axes, arrays, method, start, seed)
    for k, color in enumerate(ramp(lam.shape[1])):
        axes.plot(times, lam[:, k], color=color, lw=1.5)
    top = lam[len(lam) // 4 :].max() or 1
    axes.set_ylim(-0.05 * top, 1.15 * top)
    return axes


def published_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """The published runs beside ours, mode by mode: onsets in units of the first, and the loss on each plateau."""
    methods = arrays["methods"].tolist()
    size = (max(4.4, 3.3 * len(methods)), 5.4)
    figure, axes = plt.subplots(2, len(methods), sharex="col", figsize=size, squeeze=False)
    for (above, below), method in zip(axes.T, methods, strict=True):
        theirs = np.array(published.ONSETS[method])
        modes = np.arange(1, len(theirs) + 1)
        above.plot(modes, theirs / theirs[0], "D", color="black", label="published")
        below.plot(*zip(*published.LOSS[method].items(), strict=True), "D", color="black")
        times = readings.times(arrays, method, "small")
        for loss, lam in zip(
            readings.losses(arrays, method, "small"),
            readings.spectrum(arrays, method, "small"),
            strict=True,
        ):
            when = onsets(times, lam, published.LEVEL[method])
            plateau = readings.plateaus(times, loss, when)
            when = np.sort(when[np.isfinite(when)])
            own = {"color": COLORS[method], "marker": "o", "mfc": "none", "ls": ""}
            above.plot(np.arange(1, len(when) + 1), when / when[:1], **own)
            below.plot(np.arange(len(plateau)), plateau, **own)
        above.plot([], [], **own, label="ours, each seed")
        above.set(yscale="log", title=NAMES[method])
        below.set_xlabel("mode $k$")
    axes[0, 0].legend()
    axes[0, 0].set_ylabel("onset, in units\nof the first mode's")
    axes[1, 0].set_ylabel("loss with $k$ modes")
    return figure


def middle_and_hidden(arrays: dict[str, np.ndarray]) -> Figure:
    """Of the first method, half-way: a histogram of the eigenvalues; along the way: those of the hidden layers."""
    method = str(arrays["methods"][0])
    layers = arrays[f"hidden_{method}_small"].shape[-2]
    figure, axes = plt.subplots(1, 1 + layers, figsize=(3.3 * (1 + layers), 3.3))
    middle(axes[0], arrays, method)
    for layer, panel in enumerate(axes[1:]):
        hidden(panel, arrays, method, layer)
        panel.sharey(axes[1])
    axes[1].set_ylabel("eigenvalues of its covariance")
    return figure


def middle(axes: Axes, arrays: dict[str, np.ndarray], method: str) -> Axes:
    """log10 of the embedding covariance's eigenvalues when half of the modes are there, all seeds."""
    bins = np.linspace(-6, 2, 33).tolist()
    for start, color in (("standard", COLORS["control"]), ("small", COLORS[method])):
        pooled = [
            lam[halfway(seen, readings.LEVELS[method])]
            for lam, seen in zip(
                readings.spectrum(arrays, method, start, "covariance"),
                readings.spectrum(arrays, method, start),
                strict=True,
            )
        ]
        logs = np.log10(np.clip(np.concatenate(pooled), 1.1e-6, None))
        axes.hist(logs, bins, color=color, alpha=0.7, label=TITLES[start])
    axes.set(xlabel=r"$\log_{10}$ eigenvalue, embedding covariance", ylabel="count, all seeds")
    axes.set_title(f"{NAMES[method]}, half-way")
    axes.legend(loc="upper left")
    return axes


def hidden(axes: Axes, arrays: dict[str, np.ndarray], method: str, layer: int) -> Axes:
    """Largest eigenvalues of a hidden layer's covariance against time, from the small start."""
    values = arrays[f"hidden_{method}_small"][0, :, layer]
    times = readings.times(arrays, method, "small")
    for k, color in enumerate(ramp(values.shape[1])):
        axes.plot(times, values[:, k], color=color, lw=1.3)
    _marks(axes, arrays, method, "small", 0)
    axes.set(yscale="log", xlabel=TIME, title=f"hidden layer {layer + 1}, small start")
    return axes


def _marks(axes: Axes, arrays, method: str, start: str, seed: int) -> None:
    when, times = _onsets(arrays, method, start, seed), readings.times(arrays, method, start)
    for onset in when:
        axes.axvline(onset, color="#9a9a9a", lw=0.9, ls=(0, (1, 2)))
    late = start == "small" and len(when)
    left = min(when.min() / 3, times[-1] / 30) if late else times[1]
    axes.set(xscale="log", xlim=(min(max(left, times[1]), times[-1] / 3), times[-1]))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _onsets(arrays, method: str, start: str, seed: int) -> np.ndarray:
    seen, times = (
        readings.spectrum(arrays, method, start)[seed],
        readings.times(arrays, method, start),
    )
    when = onsets(times, seen, readings.LEVELS[method])
    return when[np.isfinite(when) & (when > 0)]

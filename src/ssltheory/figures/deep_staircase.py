"""Figures of chapter 02."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.claims.deep_staircase import NAMES, SEES, SMALL, STANDARD, onsets
from ssltheory.figures import COLORS, ramp

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
    times, method = arrays["times"][at, start], str(arrays["methods"][at])
    _marks(axes, arrays, at, start, seed)
    values = arrays["loss"][at, start, seed]
    axes.plot(times, values, color=COLORS[method])
    axes.set_ylim(min(0, values.min()), 1.1 * min(values.max(), 3 * np.median(values) + 10))
    return axes


def spectrum(
    axes: Axes, arrays: dict[str, np.ndarray], name: str, at: int, start: int, seed: int
) -> Axes:
    """Eigenvalues against time, one colour a mode; dotted: when one of those the loss sees passes 0.1."""
    lam, times = arrays[name][at, start, seed], arrays["times"][at, start]
    _marks(axes, arrays, at, start, seed)
    for k, color in enumerate(ramp(lam.shape[1])):
        axes.plot(times, lam[:, k], color=color, lw=1.5)
    top = lam[len(lam) // 4 :].max()
    axes.set_ylim(-0.05 * top, 1.15 * top)
    return axes


def histograms(figure_arrays: dict[str, np.ndarray], at: int = 0) -> Figure:
    """log10 of the embedding covariance's eigenvalues half-way, and of a hidden layer's, by start."""
    arrays, method = figure_arrays, str(figure_arrays["methods"][at])
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4))
    bins = np.linspace(-6, 2, 41)
    for start, color in ((SMALL, COLORS[method]), (STANDARD, COLORS["control"])):
        lam = arrays["covariance"][at, start]
        halfway = [halfway_record(arrays[SEES[method]][at, start, s]) for s in range(len(lam))]
        pooled = np.concatenate([one[k] for one, k in zip(lam, halfway, strict=True)])
        logs = np.log10(np.clip(pooled, 1.1e-6, None))
        axes[0].hist(logs, bins, color=color, alpha=0.65, label=STARTS[start])
        hidden = arrays["hidden"][at, start, halfway[0], -1]
        rank = np.arange(1, len(hidden) + 1)
        axes[1].plot(rank, hidden / hidden[0], "o-", color=color, ms=4, label=STARTS[start])
    axes[0].set(
        xlabel=r"$\log_{10}$ eigenvalue of the embedding covariance", ylabel="eigenvalues, all seeds"
    )
    axes[1].set(
        yscale="log", xlabel="rank of the eigenvalue", ylabel="last hidden layer,\nshare of the largest"
    )
    axes[0].legend(loc="upper left")
    return figure


def hidden(arrays: dict[str, np.ndarray], at: int = 0) -> Figure:
    """Spectra of the hidden layers against time, from the small start."""
    values, times = arrays["hidden"][at, SMALL], arrays["times"][at, SMALL]
    layers = values.shape[1]
    figure, axes = plt.subplots(
        1, layers, figsize=(4.2 * layers, 3.2), squeeze=False, sharey=True, layout="constrained"
    )
    for layer, panel in enumerate(axes[0]):
        for k, color in enumerate(ramp(values.shape[2])):
            panel.plot(times, values[:, layer, k], color=color, lw=1.3)
        panel.set(xlabel=TIME, yscale="log", title=f"hidden layer {layer + 1}")
        _log_time(panel, arrays, at, SMALL, 0)
    axes[0, 0].set_ylabel("eigenvalues of its covariance")
    return figure


def halfway_record(eigenvalues: np.ndarray) -> int:
    """The first record at which half of the dimensions ``(T, d)`` are at half of their end."""
    middle = eigenvalues[:, (eigenvalues.shape[1] - 1) // 2]
    return int((middle >= middle[-1] / 2).argmax())


def _marks(axes: Axes, arrays, at: int, start: int, seed: int) -> None:
    for onset in _onsets(arrays, at, start, seed):
        axes.axvline(onset, color="#9a9a9a", lw=0.9, ls=(0, (1, 2)))
    _log_time(axes, arrays, at, start, seed)


def _onsets(arrays, at: int, start: int, seed: int) -> np.ndarray:
    seen = arrays[SEES[str(arrays["methods"][at])]][at, start, seed]
    when = onsets(arrays["times"][at, start].astype(float), seen.astype(float))
    return when[np.isfinite(when) & (when > 0)]


def _log_time(axes: Axes, arrays, at: int, start: int, seed: int) -> None:
    times, marks = arrays["times"][at, start], _onsets(arrays, at, start, seed)
    axes.set(xscale="log", xlim=(max(times[1], marks.min() / 3 if len(marks) else 0), times[-1]))

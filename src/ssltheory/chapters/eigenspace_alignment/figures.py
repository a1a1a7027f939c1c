"""Figures of chapter 05."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, Look, ramp
from ssltheory.chapters.eigenspace_alignment.claims import (
    active,
    antisymmetric,
    linear_model,
    mean_alignment,
)

TIME = "time  t = lr × step / (1 − momentum)"
NAMES = ("regular", "symmetric")
KINDS = (COLORS["byol"], "#44AA99")
DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.1}
SHOWN = 16  # modes


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """A row a predictor: eigenvalues of F and of W_p over time, and alignment against rank at five times."""
    figure, axes = plt.subplots(2, 3, figsize=(10, 6), sharex="col")
    for at, row in enumerate(axes):
        moment(row[0], arrays, at, seed)
        predictor(row[1], arrays, at, seed)
        alignment(row[2], arrays, at, seed)
        row[0].set_ylabel(f"{NAMES[at]} predictor\n\neigenvalues of $F$")
    for axis, label in zip(axes[1], (TIME, TIME, "rank $j$ of the mode in $F$"), strict=True):
        axis.set_xlabel(label)
    return figure


def moment(axes: Axes, arrays: dict[str, np.ndarray], at: int, seed: int = 0) -> Axes:
    """Eigenvalues of F over time, dead modes thin and grey."""
    s, times = arrays["s"][at, seed], arrays["times"]
    alive = active(s)
    axes.plot(times, s[:, ::4], color="#d0d0d0", lw=0.7)
    for k, color in enumerate(ramp(SHOWN)):
        if k < s.shape[1]:
            axes.plot(times, np.where(alive[:, k], s[:, k], np.nan), color=color, lw=1.8)
    axes.plot(times, 0.01 * s[:, 0], color=THEORY, lw=0.8, ls=":")
    axes.annotate(
        "1 % of the largest",
        (times[-1], 0.01 * s[-1, 0]),
        (0, -11),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    axes.set(yscale="log", ylim=(1e-4 * s[0, 0], 2 * s.max()))
    return axes


def predictor(axes: Axes, arrays: dict[str, np.ndarray], at: int, seed: int = 0) -> Axes:
    """Eigenvalues of the symmetric part of W_p over time."""
    p = arrays["p"][at, seed]
    for k, color in enumerate(ramp(p.shape[1])):
        axes.plot(arrays["times"], p[:, k], color=color, lw=1.0)
    axes.axhline(0, color=THEORY, lw=0.8)
    axes.set_ylabel("eigenvalues of $(W_p + W_p^\\top)/2$")
    return axes


def alignment(axes: Axes, arrays: dict[str, np.ndarray], at: int, seed: int = 0) -> Axes:
    """a_j against rank, light to dark in time; filled where the mode is active."""
    a, times = arrays["a"][at, seed], arrays["times"]
    alive = active(arrays["s"][at, seed])
    instants = [int(np.abs(times - share * times[-1]).argmin()) for share in (0, 0.2, 0.5, 1)]
    rank = 1 + np.arange(min(SHOWN, a.shape[1]))
    for when, color in zip(instants, ramp(4)[::-1], strict=True):
        values, on = a[when, : len(rank)], alive[when, : len(rank)]
        axes.plot(rank, values, color=color, lw=0.8, alpha=0.6)
        axes.plot(rank[on], values[on], "o", color=color, ms=5.5, label=f"$t = {times[when]:.3g}$")
        axes.plot(rank[~on], values[~on], "o", color=color, ms=3, mfc="white", mew=0.8)
    axes.axhline(1, **DASHED)
    axes.set(ylabel="alignment  $a_j$", ylim=(-0.55, 1.1))
    axes.legend(fontsize=8, loc="lower left", ncols=2)
    return axes


def summary(arrays: dict[str, np.ndarray]) -> Figure:
    """Mean alignment and number of active modes, asymmetry of W_p, and its antisymmetric part, all repetitions."""
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 3.2))
    times, aligned = arrays["times"], mean_alignment(arrays)
    curves = aligned, active(arrays["s"]).sum(-1), arrays["asymmetry"]
    labels = "mean alignment, active modes", "active modes", "asymmetry of $W_p$"
    for panel, values, label in zip(axes, curves, labels, strict=False):
        for at, color in enumerate(KINDS):
            panel.plot(times, values[at].T, color=color, lw=1.4)
            panel.plot([], [], color=color, label=NAMES[at])
        panel.set(ylabel=label)
    axes[1].set_ylim(0, 1.6 * curves[1][..., -1].max() + 4)
    axes[2].legend(fontsize=8, loc="center right")
    antisymmetric_part(axes[3], arrays)
    figure.supxlabel(TIME, fontsize=10)
    return figure


def antisymmetric_part(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """‖W_p − W_pᵀ‖ in units of its start, and what weight decay alone would leave of the peak (dashed)."""
    norms, times = antisymmetric(arrays), arrays["times"]
    axes.plot(times, norms.T, color=KINDS[0], lw=1.4)
    peak = int(norms.mean(0).argmax())
    rate = float(arrays["alpha_p"] * arrays["weight_decay"])
    later = times[peak:]
    decay = norms[:, peak].mean() * np.exp(-rate * (later - later[0]))
    axes.plot(later, decay, **DASHED, label=r"$\propto e^{-\alpha_p \eta t}$")
    axes.set(ylabel=r"$\| W_p - W_p^\top \|$ / its start", ylim=(0, 1.1 * norms.max()))
    axes.legend(fontsize=8, loc="lower left")
    return axes


def linear(arrays: dict[str, np.ndarray]) -> Figure:
    """The linear model: commutator under the bound of Theorem 3, alignment, asymmetry."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
    model, times = linear_model(arrays), arrays["linear_times"]
    for at, color in enumerate(KINDS):
        style = {"color": color, "lw": 2.4, "label": NAMES[at]}
        axes[1].plot(times, model["alignment"][at], **style)
        axes[2].plot(times, model["asymmetry"][at], **style)
    axes[0].plot(times, model["commutator"][1], color=KINDS[1], lw=2.4, label="symmetric")
    axes[0].plot(times, model["bound"][1], **DASHED, label="theory: bound")
    axes[0].set(yscale="log", xlim=(0, 20), ylabel=r"$\| F W_p - W_p F \|$", ylim=(1e-8, 20))
    axes[1].set(xlim=(-0.1, 8), ylabel="alignment, weighted by $s_j$")
    axes[2].set(ylabel="asymmetry of $W_p$")
    for panel in axes:
        panel.set_xlabel("time  t")
        panel.legend(fontsize=8)
    return figure

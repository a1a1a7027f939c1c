"""Figures and the table of chapter 11."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.claims import interval
from ssltheory.claims.pairwise_independence import dependence, end, scan, separation, start
from ssltheory.figures import COLORS, THEORY, Markdown, style

NONE, RANDOM, LEARNT = "#7f7f7f", "#0072B2", "#E69F00"
#: Name in words, colour and line of each variant.
LOOKS = {
    "none": ("no projector", NONE, "-"),
    "none_heavy": ("no projector, wide one's weight", NONE, ":"),
    "random_narrow": ("random, narrow", "#9CC7E4", "-"),
    "random_middle": ("random, middle", "#4A9CCB", "-"),
    "random_wide": ("random, wide", "#004C7F", "-"),
    "wide_light": ("random, wide, narrow one's weight", "#004C7F", ":"),
    "no_covariance": ("random, middle, no covariance term", "#CC79A7", "-"),
    "learnt_narrow": ("learnt, narrow", "#F5C76B", "-"),
    "learnt_middle": ("learnt, middle", LEARNT, "-"),
    "learnt_wide": ("learnt, wide", "#8A5A00", "-"),
    "linear": ("random, middle, 1 layer (linear)", "#56B4E9", "--"),
    "deep": ("random, middle, 3 layers", "#882255", "--"),
    "simclr": ("SimCLR, learnt, middle", COLORS["simclr"], "-"),
}
SHOWN: tuple[str, ...] = ("no_covariance", "none", "learnt_narrow", "learnt_middle", "learnt_wide")
SHOWN += ("random_narrow", "random_middle", "random_wide")


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Dependence of pairs over training, and at its end against the projector's width."""
    style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), width_ratios=(1.15, 1))
    over_training(left, arrays)
    against_width(right, arrays)
    return figure


def over_training(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Mean normalised HSIC against the step, mean over repetitions with its 95 % interval."""
    names, steps = arrays["names"].tolist(), arrays["steps"]
    for name in (name for name in SHOWN if name in names):
        label, color, line = LOOKS[name]
        pairs = dependence(arrays)(variant=name, among="pairs")
        mean, half = np.array([interval(column) for column in pairs.T]).T
        axes.plot(steps, mean, line, color=color, label=label)
        axes.fill_between(steps, mean - half, mean + half, color=color, alpha=0.2, lw=0)
    _levels(axes, arrays)
    axes.set(yscale="log", xlabel="step", ylabel="dependence of pairs  (mean normalised HSIC)")
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(0.85 * arrays["floor"][0], None)
    axes.minorticks_off()
    axes.legend(fontsize=7.5, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 0.07))
    return axes


def against_width(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Mean normalised HSIC at the end against the width, and at exchanged weights of the covariance."""
    names, widths = arrays["names"].tolist(), arrays["widths"]

    def points(group, at, shift=1.0, **look):
        mean, half = np.array([interval(end(arrays, name)) for name in group]).T
        axes.errorbar(np.array(at) * shift, mean, half, capsize=3, **look)

    for kind, color, label in (("random", RANDOM, "random"), ("learnt", LEARNT, "learnt")):
        group = [n for n in names if n.startswith(f"{kind}_")]
        at = [widths[names.index(n)] for n in group]
        points(group, at, marker="o", color=color, label=f"{label} projector")
    d, wide = int(arrays["dim"]), widths.max()
    squares = {"marker": "s", "ls": "", "mfc": "white", "ms": 8, "mew": 1.8}
    points(["none"], [d], 0.82, color=NONE, marker="s", ls="", ms=8, label="no projector")
    points(
        ["none_heavy"], [wide], 1.2, color=NONE, label="no projector, covariance × w/d", **squares
    )
    narrow = widths[names.index("random_narrow")]
    words = f"random, {wide} wide, covariance × {narrow}/{wide}"
    points(["wide_light"], [narrow], 1.2, color=RANDOM, label=words, **squares)
    if "simclr" in names:
        look = {"marker": "D", "ls": "", "color": COLORS["simclr"], "label": "SimCLR, learnt"}
        points(["simclr"], [widths[names.index("simclr")]], 1.15, **look)
    _levels(axes, arrays)
    axes.set(xscale="log", xlabel="width of the projector  $w$")
    axes.set_ylabel("dependence of pairs at the end of training")
    ticks = sorted(set(widths[widths > 0].tolist()))
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, None)
    axes.legend(fontsize=7.5, loc="best")
    return axes


def _levels(axes: Axes, arrays: dict[str, np.ndarray]) -> None:
    axes.axhline(start(arrays).mean(), color=THEORY, ls=":", lw=1.1, label="before training")
    axes.axhline(arrays["floor"][0], color=THEORY, ls="--", lw=1.1, label="independent")


def second_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """The scan over angles, six sources recovered, and triples against pairs."""
    style()
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(11, 3.7), width_ratios=(1.1, 1, 1.1)
    )
    angles(left, arrays)
    recovered(middle, arrays)
    triples(right, arrays)
    return figure


def angles(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Penalty over its mean against the angle, behind three projectors."""
    looks = (
        ("elementwise", "elementwise", RANDOM, 2.0),
        ("dense", "dense, ReLU", COLORS["simclr"], 4.0),
        ("linear", "linear", NONE, 1.6),
    )
    for projector, label, color, width in looks:
        rows = scan(arrays, projector)
        rows = rows / rows.mean(1, keepdims=True)
        axes.plot(arrays["scan_angles"], rows.T, color=color, lw=width, alpha=0.9)
        axes.plot([], [], color=color, label=label)
    axes.axvline(float(arrays["truth"]), color=THEORY, ls="--", lw=1.1, label="truth")
    axes.set(
        xlabel="angle of two whitened sources  (degrees)",
        ylabel="covariance penalty over its mean",
        ylim=(0, None),
    )
    axes.legend(fontsize=8, loc="lower right")
    return axes


def recovered(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Mean correlation with the sources, and Amari distance, of three solvers."""
    solvers = (
        ("penalty", "covariance\npenalty", RANDOM),
        ("fastica", "FastICA", LEARNT),
        ("linear", "linear\nprojector", NONE),
    )
    for place, (solver, _, color) in enumerate(solvers):
        mcc, amari = (separation(arrays, solver, score) for score in ("correlation", "amari"))
        spread = np.linspace(-0.08, 0.08, len(mcc)) if len(mcc) > 1 else np.zeros(1)
        axes.plot(place - 0.15 + spread, mcc, "o", color=color, ms=7)
        axes.plot(place + 0.15 + spread, amari, "v", color=color, ms=7)
    axes.plot([], [], "o", color=THEORY, label="mean correlation, 1 is exact")
    axes.plot([], [], "v", color=THEORY, label="Amari distance, 0 is exact")
    axes.set_xticks(range(3), [label for _, label, _ in solvers])
    axes.set(xlim=(-0.5, 2.5), ylim=(-0.05, 1.08), ylabel="score of six recovered sources")
    axes.legend(fontsize=8, loc="center left")
    return axes


def triples(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """dHSIC of triples against normalised HSIC of pairs, every network at the end of training."""
    names, measured = arrays["names"].tolist(), dependence(arrays)
    for name in names:
        _, color, line = LOOKS[name]
        marker = "o" if line == "-" else "s"
        fill = color if line != ":" else "white"
        axes.plot(*measured(variant=name, step=-1).T, marker, color=color, mfc=fill, ms=6)
    before = measured(variant=names[0], step=0)
    axes.plot(*before.T, "x", color=THEORY, ms=6, label="before training")
    axes.plot(*arrays["floor"], "+", color=THEORY, ms=10, label="independent")
    axes.set(
        xlim=(0, None),
        ylim=(0, None),
        xlabel="dependence of pairs  (normalised HSIC)",
        ylabel="dependence of triples  (dHSIC)",
    )
    axes.legend(fontsize=8)
    return axes


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """Dependence and accuracy at the end, and how long a network took."""
    rows = [
        "| projector | dependence of pairs | of triples | probe, % | seconds a network |",
        "|---|---|---|---|---|",
    ]
    columns = (arrays["names"].tolist(), arrays["accuracy"], arrays["seconds"])
    for name, accuracy, seconds in zip(*columns, strict=True):
        pairs, three = dependence(arrays)(variant=name, step=-1).mean(0)
        rows.append(
            f"| {LOOKS[name][0]} | {pairs:.3f} | {three:.4f} | {100 * accuracy.mean():.1f} | {seconds.mean():.1f} |"
        )
    return Markdown("\n".join(rows))

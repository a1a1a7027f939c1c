"""Figures of chapter 13."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import COLORS, THEORY, Look, Markdown, style
from ssltheory.chapters.guillotine.claims import (
    METHODS,
    NAMES,
    accuracy,
    backbone,
    points_lost,
    r2,
    sweep,
    theory_r2,
)

COLOR = {
    "simclr": COLORS["simclr"],
    "vicreg": COLORS["vicreg"],
    "labels": "#332288",
    "supervised": "#999933",
}
MARKER = {"simclr": "o", "vicreg": "s", "labels": "^", "supervised": "D"}
SWEPT = (
    ("rotation", "views turned by up to (degrees)", "SimCLR: misalignment"),
    ("covariance", "weight of the covariances", "VICReg: its weights"),
    ("temperature", "temperature", "SimCLR: its temperature"),
    ("depth", "linear layers of the projector", "SimCLR: depth"),
)
CUT = {"backbone": "#0072B2", "output": "#882255"}


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Accuracy above and R² below, a layer after another."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(7.4, 6.4), sharex=True)
    by_layer(above, arrays, 0, "accuracy of the class")
    by_layer(below, arrays, 1, "$R^2$ of what the\naugmentation did")
    above.legend(loc="lower left", fontsize=8.5)
    below.set(xlabel="layer that the probe reads, from the first to the last")
    return figure


def by_layer(axes: Axes, arrays: dict[str, np.ndarray], which: int, label: str) -> Axes:
    """Mean over seeds and its 95 % interval at every layer, a method a line; dotted: the pixels themselves."""
    names, at = layer_names(arrays), backbone(arrays)
    axes.axvspan(at + 0.5, len(names) - 0.5, color="#f1e4d3", zorder=0, lw=0)
    axes.axvline(at, color="#9a9a9a", lw=1.0, zorder=1)
    for k, method in enumerate(m for m in METHODS if m in arrays["methods"].tolist()):
        values = (accuracy, r2)[which](arrays, method)
        mean, half = (np.array(v) for v in zip(*map(interval, values.T), strict=True))
        axes.errorbar(
            np.arange(len(names)) + 0.05 * (k - 1.5),
            mean,
            np.nan_to_num(half),
            fmt=f"{MARKER[method]}-",
            color=COLOR[method],
            ms=5,
            capsize=2,
            elinewidth=1.0,
            label=NAMES[method],
        )
    pixels = arrays["pixels"].astype(float)
    level = (pixels[:, 0] if which == 0 else pixels[:, 1:].mean(1)).mean()
    axes.axhline(level, color=COLORS["control"], ls=":", lw=1.4, label="pixels")
    axes.set(
        xticks=range(len(names)), xticklabels=names, ylabel=label, xlim=(-0.5, len(names) - 0.5)
    )
    if which:
        axes.set_ylim(min(0, axes.get_ylim()[0]), None)
        place: Look = {"ha": "center", "va": "top", "fontsize": 8.5, "color": "#8a6d3b"}
        axes.text(
            (at + len(names)) / 2, axes.get_ylim()[1], "the projector, to be cut off", **place
        )
    return axes


def layer_names(arrays: dict[str, np.ndarray]) -> list[str]:
    """What the layers are called on an axis."""
    at, count = backbone(arrays), len(arrays["layers"])
    before = [f"layer {k + 1}" for k in range(at)]
    after = [f"projector {k + 1}" for k in range(count - at - 2)]
    return [*before, "backbone", *after, "output"]


def sweep_figure(arrays: dict[str, np.ndarray]) -> Figure | None:
    """Accuracy at backbone and output against four settings; the linear head and its closed form."""
    if "rotation" not in arrays:
        return None
    style()
    sweeps = [one for one in SWEPT if one[0] in arrays]
    columns = (len(sweeps) + 3) // 2
    figure, axes = plt.subplots(2, columns, figsize=(3.6 * columns, 6.2), squeeze=False)
    panels = list(axes.flat)
    for panel, one in zip(panels, sweeps, strict=False):
        swept(panel, arrays, *one)
    panels[0].legend(loc="lower left", fontsize=8.5)
    lost(panels[len(sweeps)], arrays)
    linear_head(panels[len(sweeps) + 1], arrays)
    return figure


def swept(axes: Axes, arrays: dict[str, np.ndarray], name: str, label: str, title: str) -> Axes:
    """Accuracy at backbone and output, means over seeds with 95 % intervals."""
    values = arrays[f"{name}_values"]
    places = np.arange(len(values))
    for cut in CUT:
        by_value = map(interval, sweep(arrays, name, cut))
        mean, half = (np.array(v) for v in zip(*by_value, strict=True))
        kind: Look = {"color": CUT[cut], "ms": 5, "capsize": 2, "elinewidth": 1.0, "label": cut}
        axes.errorbar(places, mean, np.nan_to_num(half), fmt="o-", **kind)
    means = (sweep(arrays, name, cut).mean(1) for cut in CUT)
    axes.fill_between(places, *means, color="#f1e4d3", lw=0)
    axes.set(xticks=places, xticklabels=[f"{value:g}" for value in values])
    axes.set(xlabel=label, ylabel="accuracy of the class", title=title)
    return axes


def lost(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Points lost by probing the output instead of the backbone, a method a row, a dot a seed."""
    methods = [m for m in METHODS if m in arrays["methods"].tolist()]
    for row, method in enumerate(methods):
        values = 100 * points_lost(arrays, method)
        mean, half = interval(values)
        axes.plot(values, np.full(len(values), row), ".", color=COLOR[method], alpha=0.5)
        axes.errorbar(
            mean, row, xerr=np.nan_to_num(half), fmt=MARKER[method], color=COLOR[method], capsize=3
        )
    axes.axvline(0, color="#9a9a9a", lw=1.0)
    axes.set(yticks=range(len(methods)), yticklabels=[NAMES[m] for m in methods])
    axes.set(xlabel="points of accuracy lost", title="what probing the output loses")
    axes.invert_yaxis()
    return axes


def linear_head(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """R² at the output of a linear head against ρ; dashed: the closed form."""
    rho, theta = arrays["linear_rho"], arrays["linear_theta"]
    fine = np.linspace(0, rho.max(), 400)
    colors = (COLORS["barlow_twins"], COLORS["byol"], COLORS["simclr"])
    for k, (value, color) in enumerate(zip(theta, colors, strict=True)):
        axes.plot(rho, arrays["linear_r2"][:, k], "o", color=color, label=f"θ = {value:g}")
        line = theory_r2(arrays, fine)[:, k]
        axes.plot(fine, line, color=THEORY, ls="--", lw=1.1, label=None if k else "closed form")
    axes.set(xlabel=r"weight of invariance, $\rho$", ylabel="$R^2$ at the output")
    axes.set(title="a linear head, content to style", ylim=(-0.05, 1.3))
    axes.legend(fontsize=8, ncols=2, loc="upper right")
    return axes


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """Seconds that a network took in each group that was trained together."""
    rows = ["| trained together | seconds a network |", "|---|---|"]
    pairs = zip(arrays["trained"].tolist(), arrays["seconds"], strict=True)
    return Markdown("\n".join([*rows, *(f"| {name} | {value:.2g} |" for name, value in pairs)]))

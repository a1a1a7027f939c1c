"""Figures of chapter 15."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import COLORS, THEORY, Look, Markdown, style
from ssltheory.chapters.batch_norm_partitions.claims import (
    accuracy,
    angles,
    control_gain,
    density,
    exact,
    gain,
    law,
    loss,
)
from ssltheory.chapters.batch_norm_partitions.experiment import BATCHES, FOLDED, GROUPS, TRAINED

NAMES = {
    "none": "nothing",
    "centre": "centring only",
    "scale": "scaling only",
    "bn": "both: BatchNorm",
    "full": "BatchNorm in every step",
}
COLOR = {
    "none": "#7f7f7f",
    "centre": "#56B4E9",
    "scale": "#E69F00",
    "bn": "#0072B2",
    "full": "#009E73",
    "he": "#D55E00",
}
DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.3}


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Partitions of the plane layer by layer, without BatchNorm above, with it below."""
    style()
    layers = int(arrays["bn_layer"].max()) + 1
    figure, axes = plt.subplots(2, layers, figsize=(2.65 * layers, 5.5), sharex=True, sharey=True)
    for row, (name, label) in zip(
        axes, (("none", "without BatchNorm"), ("bn", "with BatchNorm")), strict=True
    ):
        for layer, panel in enumerate(row):
            partition(panel, arrays, name, layer)
        row[0].set_ylabel(label, fontsize=11)
    for layer, panel in enumerate(axes[0]):
        panel.set_title(f"layer {layer + 1}", fontsize=11)
    return figure


def partition(axes: Axes, arrays: dict[str, np.ndarray], name: str, layer: int) -> Axes:
    """Cells, the smaller the darker; boundaries of one layer over those of the layers before; the data on top."""
    segments, of = arrays[f"{name}_segments"], arrays[f"{name}_layer"]
    polygons = np.split(arrays[f"{name}_vertices"], arrays[f"{name}_corners"].cumsum()[:-1])
    now = [p for p, depth in zip(polygons, arrays[f"{name}_depth"], strict=True) if depth == layer]
    small = np.array([-np.log10(max(area(polygon), 1e-9)) for polygon in now])
    tint = mpl.colormaps["YlOrBr"](np.clip((small + 1.0) / 5, 0, 0.75))
    axes.add_collection(PolyCollection(now, facecolors=tint, edgecolors="face", lw=0.2))
    before, drawn = of < layer, of == layer
    axes.add_collection(LineCollection(list(segments[before]), colors="#6f6f6f", lw=0.45))
    lines = LineCollection(segments[drawn], colors=COLORS["barlow_twins"], lw=1.2)
    axes.add_collection(lines)
    axes.plot(*arrays["cloud"].T, "o", color="black", ms=2.6, mec="white", mew=0.4, zorder=3)
    (left, low), (right, high) = arrays["window"]
    axes.set(xlim=(left, right), ylim=(low, high), aspect="equal", xticks=[], yticks=[])
    axes.grid(False)
    for side in axes.spines.values():
        side.set(visible=True, color="#9a9a9a", linewidth=0.8)
    return axes


def area(polygon: np.ndarray) -> float:
    """Of a polygon, ``(corners, 2)``."""
    x, y = (polygon - polygon[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def geometry_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Offsets, cells around the data, density by depth before and after training, folds and jitter."""
    style()
    figure, ((first, second, third), (fourth, fifth, sixth)) = plt.subplots(
        2, 3, figsize=(11.4, 7.0)
    )
    offsets(first, arrays)
    cells(second, arrays)
    bends(third, arrays)
    by_depth(fourth, arrays)
    by_depth(fifth, arrays, trained=True)
    fifth.sharey(fourth)
    shakes(sixth, arrays)
    return figure


def offsets(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """How far boundaries miss the data, by depth: root mean square over units, a line a seed."""
    kinds = (("none", "none", "nothing"), ("median", "he", "medians"), ("bn", "bn", "BatchNorm"))
    for name, color, label in kinds:
        for seed, each in enumerate(np.sqrt((exact(arrays, name, "offset") ** 2).mean(-1))):
            at = np.arange(1, len(each) + 1)
            axes.plot(at, each, color=COLOR[color], lw=1.2, label=None if seed else label)
    axes.set(yscale="log", xlabel="layer", ylabel=r"distance from the best hyperplane ($\sigma$)")
    axes.set(title="how far boundaries miss the data")
    axes.legend(fontsize=8.5)
    return axes


def cells(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Number of cells in the data's box, a dot a network, a bar the median."""
    counts = arrays["counts"]
    aside = np.linspace(-0.22, 0.22, len(counts))
    for k, name in enumerate(FOLDED):
        axes.plot(k + aside, counts[:, k], ".", color=COLOR[name], ms=5, alpha=0.6)
        middle = float(np.median(counts[:, k]))
        axes.plot([k - 0.32, k + 0.32], [middle, middle], color=COLOR[name], lw=3)
        axes.annotate(f"{middle:g}", (k + 0.35, middle), va="center", fontsize=9)
    labels = ("nothing", "centring\nonly", "scaling\nonly", "both:\nBatchNorm")
    axes.set(yscale="log", xlim=(-0.5, 3.8), ylabel="cells in the data's bounding box")
    axes.set_xticks(range(4), labels)
    axes.set_title("random networks on the plane")
    return axes


def by_depth(axes: Axes, arrays: dict[str, np.ndarray], trained: bool = False) -> Axes:
    """Share of a layer's boundaries near images and near noise; means and 95 % intervals over seeds."""
    lines = (
        ("torch", "full" if trained else "bn", COLOR["bn"], "BatchNorm", "o"),
        ("he", "none", COLOR["he"], "none, He's initialisation", "^"),
        ("torch", "none", COLOR["none"], "none, PyTorch's", "s"),
    )
    for init, name, color, label, marker in lines:
        for noise in (False, True):
            values = density(arrays, init, name, noise, trained)
            mean, half = np.array([interval(v) for v in values.T]).T
            look: Look = {"ls": ":", "mfc": "white"} if noise else {"ls": "-", "label": label}
            at = np.arange(1, len(mean) + 1)
            half = np.nan_to_num(half)
            axes.errorbar(at, mean, half, color=color, marker=marker, ms=4, capsize=2, **look)
    axes.plot([], [], ":", color="#555555", label="around noise")
    axes.set(xlabel="layer", ylabel="share of boundaries close by", ylim=(0, None))
    axes.set_title("after training" if trained else "before training")
    axes.set_xticks(range(1, len(mean) + 1, 1 + len(mean) // 12))
    if not trained:
        axes.legend(fontsize=8, loc="upper left")
    return axes


def bends(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Angles of the folds against σ: measured, and the closed form."""
    factors = arrays["fold_factors"]
    measured, predicted = angles(arrays)
    axes.plot(factors, measured, "o", color=COLOR["bn"], ms=7, label="measured")
    axes.plot(factors, predicted, **DASHED, label="closed form")
    axes.set(xscale="log", yscale="log", ylabel="angle of a fold (degrees)")
    axes.set(xlabel=r"$\sigma_j$, as a multiple of BatchNorm's", title="folds")
    axes.set_xticks(factors, [f"{f:g}" for f in factors])
    axes.minorticks_off()
    plain_ticks(axes, measured)
    axes.legend(fontsize=8.5)
    return axes


def plain_ticks(axes: Axes, values: np.ndarray) -> None:
    """Numbers in the place of powers of ten on a short logarithmic axis."""
    low, high = values.min(), values.max()
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low / 1.3 < t < high * 1.3]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])


def shakes(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """sd(μ_B)/σ by batch size, a dot a layer and repetition, and 1/√B."""
    shifts = arrays["scatter"].transpose(1, 0, 2).reshape(len(BATCHES), -1)
    for size, values in zip(BATCHES, shifts, strict=True):
        spread = size * np.exp(np.linspace(-0.09, 0.09, len(values)))
        axes.plot(spread, values, ".", color=COLOR["bn"], ms=4, alpha=0.5)
    axes.plot([], [], ".", color=COLOR["bn"], label="measured")
    fine = np.geomspace(6, 170, 50)
    axes.plot(fine, law(fine), **DASHED, label=r"$1/\sqrt{B}$")
    axes.set(xscale="log", yscale="log", xlabel="images in a mini-batch, $B$")
    axes.set(ylabel="shift of a boundary\n(RMS distances of the data)", title="jitter")
    axes.set_xticks(BATCHES, [str(b) for b in BATCHES])
    axes.minorticks_off()
    plain_ticks(axes, shifts)
    axes.legend(fontsize=8.5)
    return axes


def training_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Smart initialisation above; boundaries that shake, and margins, below."""
    style()
    figure, axes = plt.subplots(2, 3, figsize=(10.8, 6.6))
    (left, middle, right), (small, large, margin) = axes
    descent(left, arrays, "torch", "PyTorch's initialisation")
    descent(middle, arrays, "he", "He's initialisation")
    reached(right, arrays)
    for panel, size in ((small, BATCHES[0]), (large, BATCHES[-1])):
        realisations(panel, arrays, size)
    margins(margin, arrays)
    return figure


def descent(axes: Axes, arrays: dict[str, np.ndarray], init: str, title: str) -> Axes:
    """Training loss of the five variants: thin, a seed a line, and their mean; averaged over stretches of steps."""
    lowest = np.inf
    for name in TRAINED:
        losses = loss(arrays, init, name)
        parts = np.array_split(np.arange(len(losses)), min(25, len(losses)))
        at = [part.mean() for part in parts]
        each = np.stack([losses[part].mean(0) for part in parts])
        axes.plot(at, each, color=COLOR[name], lw=0.6, alpha=0.35)
        axes.plot(at, each.mean(1), color=COLOR[name], lw=2)
        lowest = min(lowest, each.min())
    axes.set(xlabel="step", ylabel="training loss", title=title)
    if lowest < 0.3:
        axes.set_yscale("log")
    return axes


def reached(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Test accuracy at the end, a dot a seed: PyTorch's initialisation filled, He's open; the names are the legend."""
    for row, name in enumerate(TRAINED):
        for init, shift, fill in (("torch", -0.13, COLOR[name]), ("he", 0.13, "white")):
            values = accuracy(arrays, init, name)
            axes.plot(values, np.full(len(values), row + shift), "o", color=COLOR[name], mfc=fill)
    labels = [NAMES[name].replace(" in ", "\nin ") for name in TRAINED]
    axes.set_yticks(range(len(TRAINED)), labels)
    for label, name in zip(axes.get_yticklabels(), TRAINED, strict=True):
        label.set(color=COLOR[name], fontweight="bold")
    axes.set(xlabel="test accuracy", title="at the end: ● PyTorch's, ○ He's", xlim=(0, 1.02))
    axes.invert_yaxis()
    return axes


def realisations(axes: Axes, arrays: dict[str, np.ndarray], size: int) -> Axes:
    """Decision boundaries with the statistics of random batches, and with those of all points."""
    x, y = arrays["moons_x"], arrays["moons_y"]
    for value, color in ((0, "#0072B2"), (1, "#009E73")):
        axes.plot(*x[y == value].T, "o", color=color, ms=2.5, mew=0)
    axes.plot(*arrays[f"edges_{size}"].astype(float).T, ".", color=COLOR["he"], ms=0.9, alpha=0.7)
    axes.plot(*arrays["edges"].T, ".", color=THEORY, ms=1.4)
    axes.set(xlim=(-1.7, 2.7), ylim=(-1.4, 1.9), xticks=[], yticks=[])
    axes.set_title(f"statistics of {size} points")
    axes.grid(False)
    return axes


def margins(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Gain of margin by size of the groups, and the law of the jitter on the other axis."""
    mean, half = np.array([interval(values) for values in gain(arrays, "margin")]).T
    axes.errorbar(GROUPS, mean, half, fmt="o-", color=COLOR["he"], capsize=3)
    control = interval(control_gain(arrays))
    axes.errorbar(GROUPS[-1], *control, fmt="X", color=COLORS["control"], ms=8, capsize=3)
    place: Look = {"fontsize": 8, "va": "center", "ha": "right", "color": "#555555"}
    axes.annotate("never redrawn", (GROUPS[-1] * 1.15, control[0]), **place)
    axes.axhline(0, color="#9a9a9a", lw=0.8)
    axes.set(xscale="log", xlabel="points in a group", ylabel="gain of margin", title="two moons")
    axes.set_xticks(GROUPS, [str(g) for g in GROUPS])
    axes.minorticks_off()
    axes.invert_xaxis()
    other = axes.twinx()
    fine = np.geomspace(GROUPS[-1], GROUPS[0], 100)
    other.plot(fine, law(fine, GROUPS[0]), **DASHED)
    other.set(ylabel="jitter (dashed)")
    other.grid(False)
    other.spines["right"].set_visible(True)
    low, high = axes.get_ylim()
    top = law(np.array([GROUPS[-1]]), GROUPS[0])[0] * high / max(mean[-1], 1e-9)
    other.set_ylim(top * low / high, top)  # zeros at one height, the smallest groups too
    other.set_yticks([tick for tick in (0, 0.1, 0.2, 0.3, 0.4) if tick <= top])
    return axes


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """Seconds of every part."""
    rows = ["| part | seconds |", "|---|---|"]
    pairs = zip(arrays["timed"].tolist(), arrays["seconds"], strict=True)
    return Markdown("\n".join([*rows, *(f"| {name} | {value:.2g} |" for name, value in pairs)]))

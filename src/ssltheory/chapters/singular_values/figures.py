"""Figures of chapter 16."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import COLORS, THEORY, Look, Markdown, ramp, style
from ssltheory.chapters.singular_values.claims import (
    ACTIVATIONS,
    NETWORKS,
    accuracies,
    at_depth,
    by_seed,
    edge_condition,
    measured_condition,
    scanned,
    spectrum,
)
from ssltheory.chapters.singular_values.readings import SLICED, of_slice, pieces

COLOR = {"ConvNet": "#882255", "ResNet": COLORS["barlow_twins"], "ResNet, He": COLORS["byol"]}
MARKER = {"ConvNet": "s", "ResNet": "o", "ResNet, He": "^"}
LABEL = {
    "ConvNet": "ConvNet",
    "ResNet": "ResNet, small branches",
    "ResNet, He": "ResNet, He's branches",
}
ACTIVATION_COLOR = ("#7f7f7f", COLORS["simclr"], COLORS["vicreg"], COLORS["spectral_contrastive"])
PARTS = ("one matrix", "many layers", "Hessians", "slices", "training, with four looks")


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """cond(ρI + σG) against ρ; cond(M) against depth; cond(M) of trained networks."""
    figure, axes = plt.subplots(1, 3, figsize=(11.4, 4.0))
    shift(axes[0], arrays)
    layers(axes[1], arrays)
    training(axes[2], arrays)
    return figure


def shift(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Draws (medians, 10th to 90th percentile), full order at ρ = 1 (stars), edges dashed, bounds dotted."""
    rhos, sigmas = arrays["rhos"], arrays["sigmas"]
    conditions, sure = scanned(arrays)
    fine = np.linspace(0.01, rhos.max(), 400)
    for k, (sigma, color) in enumerate(zip(sigmas, ramp(len(sigmas)), strict=True)):
        low, mid, high = np.quantile(conditions[k], (0.1, 0.5, 0.9), axis=-1)
        bars: Look = {"fmt": "o-", "ms": 4, "lw": 1.2, "capsize": 2, "elinewidth": 1.0}
        axes.errorbar(rhos, mid, (mid - low, high - mid), color=color, label=f"σ = {sigma}", **bars)
        edge = edge_condition(fine, sigma)
        label: Look = {"label": "infinite matrix"} if k == 0 else {}
        axes.plot(fine[fine > sigma], edge[fine > sigma], color=THEORY, ls="--", lw=1.1, **label)
        bound = np.median(sure[k], -1)
        label = {"label": "bound, from M and M + Mᵀ"} if k == 0 else {}
        axes.plot(rhos, bound, color=color, ls=":", lw=1.3, **label)
        full = measured_condition(arrays)[k].mean()
        axes.plot(1, full, "*", ms=11, color=color, mec="white", mew=0.6)
    axes.set(yscale="log", ylim=(1, 3e5), xlabel="weight of the identity, ρ")
    axes.set(ylabel="condition number", title="one matrix, $\\rho I + \\sigma G/\\sqrt{n}$")
    axes.legend(fontsize=7.5)
    return axes


def layers(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """ReLU: median condition of M against further layers; bars are the 10th to 90th percentile of the draws."""
    depths = arrays["depths"]
    for name in NETWORKS:
        draws = np.stack([at_depth(arrays, name, k).ravel() for k in depths.tolist()])
        low, mid, high = np.quantile(draws, (0.1, 0.5, 0.9), axis=-1)
        bars: Look = {"ms": 5, "capsize": 2, "elinewidth": 1.0, "color": COLOR[name]}
        axes.errorbar(
            depths, mid, (mid - low, high - mid), fmt=f"{MARKER[name]}-", label=LABEL[name], **bars
        )
    axes.set(xscale="log", yscale="log", xticks=depths, xticklabels=[str(k) for k in depths])
    axes.minorticks_off()
    axes.set(xlabel="further layers", ylabel="condition number of M", title="random layers, ReLU")
    axes.legend(fontsize=8)
    return axes


def training(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Condition of M in the course of training: filled, between blocks; open, to the outputs; 95 % intervals."""
    looks = np.arange(len(arrays["at"]))
    for name in NETWORKS:
        for which, fill, line in (("between", COLOR[name], "-"), ("outputs", "white", "-.")):
            logs = np.log10(by_seed(arrays, which, name))
            mean, half = (np.array(v) for v in zip(*map(interval, logs.T), strict=True))
            half = np.nan_to_num(half)
            low, mid, high = 10 ** (mean - half), 10**mean, 10 ** (mean + half)
            bars: Look = {
                "ms": 5,
                "capsize": 2,
                "elinewidth": 1.0,
                "color": COLOR[name],
                "mfc": fill,
            }
            axes.errorbar(
                looks, mid, (mid - low, high - mid), fmt=MARKER[name], ls=line, lw=1.4, **bars
            )
    axes.plot([], [], "ko-", ms=5, lw=1.4, label="to the last block")
    axes.plot([], [], "ko-.", ms=5, lw=1.4, mfc="white", label="to the outputs")
    axes.set(yscale="log", xticks=looks, xticklabels=arrays["at"].tolist())
    axes.set(xlabel="steps of training", ylabel="condition number of $M_x$")
    axes.set(title="trained networks, on images", ylim=(1, 40 * axes.get_ylim()[1]))
    axes.legend(fontsize=8)
    return axes


def second_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Spectra of D W and D W + I, accuracy; of two networks a slice, and a plane of steepest and flattest direction."""
    style()
    figure, axes = plt.subplots(2, 3, figsize=(11.4, 7.0))
    spectra(axes[0, 0], arrays, False, "$D W$")
    spectra(axes[0, 1], arrays, True, "$D W + I$")
    axes[0, 0].legend(fontsize=8)
    accuracy(axes[0, 2], arrays)
    one_line(axes[1, 0], arrays)
    for name, panel in zip(SLICED, axes[1, 1:], strict=True):
        bowl(panel, arrays, name)
    return figure


def spectra(axes: Axes, arrays: dict[str, np.ndarray], shifted: bool, title: str) -> Axes:
    """Singular values, largest first, by activation; first repetition. Dashed: of W, and what ReLU keeps at least."""
    for name, color in zip(ACTIVATIONS, ACTIVATION_COLOR, strict=True):
        values = spectrum(arrays, name, shifted)[0]
        place = np.arange(1, len(values) + 1)
        wide: Look = {"lw": 5, "alpha": 0.4} if name in ("identity", "leaky") else {"lw": 1.4}
        axes.plot(place, values, color=color, label=name, **wide)
    if not shifted:
        s, q = arrays["bare"][0], int(arrays["off"][0])
        bound: Look = {"color": THEORY, "ls": "--", "lw": 1.1}
        axes.plot(place[: len(s) - q], s[q:], label="lower bound, ReLU", **bound)
    axes.set(xlabel="place i", ylabel="singular value $s_i$", title=title, ylim=(0, None))
    return axes


def accuracy(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Accuracy on test images at the looks, mean and 95 % interval over repetitions."""
    looks = np.arange(len(arrays["at"]))
    for k, name in enumerate(NETWORKS):
        mean, half = (
            np.array(v) for v in zip(*map(interval, accuracies(arrays, name).T), strict=True)
        )
        bars: Look = {"ms": 5, "capsize": 2, "elinewidth": 1.0, "color": COLOR[name]}
        kind: Look = {"fmt": f"{MARKER[name]}-", "label": LABEL[name]}
        axes.errorbar(looks + 0.04 * (k - 1), mean, np.nan_to_num(half), **kind, **bars)
    axes.set(xticks=looks, xticklabels=arrays["at"].tolist(), xlabel="steps of training")
    axes.set(ylabel="accuracy, test images", title="the same share of the stable rate")
    axes.legend(fontsize=8)
    return axes


def one_line(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Slope of the loss along a random line, over the loss at its middle; dashed, that of the quadratic pieces."""
    t = arrays["t"]
    for name, rho in SLICED.items():
        loss = of_slice(arrays, "loss", 0, name)
        scale = loss[len(loss) // 2]
        middle = (t[1:] + t[:-1]) / 2
        slope = np.diff(loss) / np.diff(t) / scale
        axes.plot(middle, slope, color=COLOR[name], lw=3.2, alpha=0.45, label=LABEL[name])
        law = pieces(arrays, 0, name)
        knots, (_, c1, c2) = law.knots.numpy(), law.coefficients.numpy().T
        ends = np.stack([c1, c1 + 2 * c2 * np.diff(knots), np.full(len(c1), np.nan)], 1)
        at = np.stack([knots[:-1], knots[1:], knots[1:]], 1)
        label: Look = {"label": "quadratic pieces"} if rho else {}
        axes.plot(at.ravel(), ends.ravel() / scale, color=THEORY, ls="--", lw=1.1, **label)
    axes.set(xlabel="t, along a random line in W", ylabel="slope of the loss / loss at t = 0")
    axes.set(title="a slice: jumps where a unit flips")
    axes.legend(fontsize=8)
    return axes


def bowl(axes: Axes, arrays: dict[str, np.ndarray], name: str) -> Axes:
    """Contours of the squared change of the output around W, and the ellipses of the quadratic at W (dashed)."""
    around, loss = arrays["around"], of_slice(arrays, "plane", 0, name)
    steep, flat = of_slice(arrays, "axes", 0, name)
    quadratic = (steep * around) ** 2 + (flat * around[:, None]) ** 2
    levels = (steep * around.max()) ** 2 * np.array([0.02, 0.1, 0.25, 0.5, 0.8])
    axes.contour(around, around, loss, levels, colors=[COLOR[name]], linewidths=1.6)
    axes.contour(around, around, quadratic, levels, colors=THEORY, linestyles="--", linewidths=0.9)
    axes.set(xlabel="steepest direction", ylabel="flattest direction", aspect="equal")
    axes.set(title=f"{LABEL[name]}: cond = {steep / flat:.3g}")
    return axes


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """Seconds that each part took, and curvature at the start of the trained networks."""
    rows = ["| part | seconds |", "|---|---|"]
    pairs = zip(PARTS, arrays["seconds"].tolist(), strict=True)
    rows += [f"| {name} | {value:.2g} |" for name, value in pairs]
    curvature = arrays["curvature"].reshape(len(NETWORKS), -1).mean(1)
    rows += ["", "| trained network | curvature at the start, mean |", "|---|---|"]
    pairs = zip(NETWORKS, curvature.tolist(), strict=True)
    rows += [f"| {LABEL[name]} | {value:.3g} |" for name, value in pairs]
    return Markdown("\n".join(rows))

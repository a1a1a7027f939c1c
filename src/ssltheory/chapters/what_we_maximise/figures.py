"""Figures and the table of chapter 12."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import COLORS, THEORY, Look, Markdown, style
from ssltheory.chapters.what_we_maximise.claims import (
    LEVEL,
    METHODS,
    entropy,
    measured,
    split,
    touching,
)

#: Name in words, colour and marker of each network.
LOOKS = {
    "vicreg": ("VICReg", COLORS["vicreg"], "s"),
    "simclr": ("SimCLR", COLORS["simclr"], "o"),
    "supervised": ("supervised", "#999933", "D"),
    "random": ("before training", COLORS["control"], "v"),
}
SHADE, DEEPER = "#f1e4d3", "#e3cfae"
LOWER, UPPER, TRUTH, LOGDET = "#56B4E9", "#0072B2", THEORY, "#CC79A7"
NOISE = r"noise of the inputs  $\sigma$  (of a pixel's range)"


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """p-values and rejections above; the error of the covariance, and the draws in a region, beneath."""
    style()
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.8), height_ratios=(1.15, 1), sharex=True)
    p_values(axes[0, 0], arrays)
    rejections(axes[0, 1], arrays)
    covariance_error(axes[1, 0], arrays)
    in_region(axes[1, 1], arrays)
    return figure


def p_values(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Mean p-value solid with its interval, median dotted; dashed the ½ of Gaussian outputs."""
    _shaded(axes, arrays)
    _curves(axes, arrays, "normality", "mean")
    for method in METHODS:
        _, color, _ = LOOKS[method]
        medians = measured(arrays, "normality", method=method, what="median").mean(0)
        axes.plot(arrays["sigmas"], medians, ":", color=color, lw=1.2)
    axes.axhline(0.5, color=THEORY, ls="--", lw=1.3)
    axes.plot([], [], ":", color=THEORY, lw=1.2, label="medians")
    axes.plot([], [], "--", color=THEORY, lw=1.3, label="Gaussian outputs")
    axes.set(ylim=(0, 0.64), ylabel="mean p-value of a test for normality")
    axes.legend(fontsize=8, loc="lower left")
    return axes


def rejections(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Share of outputs that the test rejects, and its level."""
    _shaded(axes, arrays)
    _curves(axes, arrays, "normality", "rejected")
    axes.axhline(LEVEL, color=THEORY, ls="--", lw=1.3, label="level of the test")
    axes.set(yscale="log", ylim=(0.004, 1.6), ylabel=f"share rejected at level {LEVEL:g}")
    ticks = [0.01, 0.03, 0.1, 0.3, 1]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.legend(fontsize=8, loc="upper left", handles=axes.get_legend_handles_labels()[0][-1:])
    return axes


def covariance_error(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Relative error of σ²JJᵀ for the covariance of the outputs."""
    _shaded(axes, arrays)
    _curves(axes, arrays, "affine", "covariance")
    axes.set(yscale="log", ylim=(3e-4, 1.6), xlabel=NOISE)
    axes.set_ylabel("error of $\\sigma^2 J J^\\top$ for the\ncovariance of the outputs (relative)")
    return axes


def in_region(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Share of the draws that leave every ReLU on or off as it is at the image."""
    _shaded(axes, arrays, words=True)
    _curves(axes, arrays, "affine", "inside")
    axes.set(ylim=(-0.03, 1.05), xlabel=NOISE)
    axes.set_ylabel("share of draws that stay\nin the affine region of the image")
    return axes


def _curves(axes: Axes, arrays: dict[str, np.ndarray], array: str, what: str) -> None:
    """A line a network: mean over repetitions, its 95 % interval as a band."""
    sigmas = arrays["fine" if array == "affine" else "sigmas"]
    wide = sigmas >= 0.9 * arrays["sigmas"].min()
    for method in METHODS:
        label, color, marker = LOOKS[method]
        values = measured(arrays, array, method=method, what=what)
        mean, half = np.array([interval(column) for column in values.T])[wide].T
        x = sigmas[wide]
        axes.plot(x, mean, f"{marker}-", color=color, ms=4.5, label=label)
        low = np.maximum(mean - half, 1e-6)
        axes.fill_between(x, low, mean + half, color=color, alpha=0.2, lw=0)
    axes.set_xscale("log")
    axes.set_xlim(0.8 * arrays["sigmas"].min(), 1.25 * arrays["sigmas"].max())


def _shaded(axes: Axes, arrays: dict[str, np.ndarray], words: bool = False) -> None:
    balls, gaussians = touching(arrays)
    axes.axvspan(balls, gaussians, color=SHADE, zorder=0, lw=0)
    axes.axvspan(gaussians, 1e3, color=DEEPER, zorder=0, lw=0)
    if words:
        look: Look = {"rotation": 90, "va": "top", "ha": "left", "fontsize": 8, "color": "#7a5c2e"}
        axes.text(1.06 * balls, 1.0, "neighbours' balls overlap", **look)
        axes.text(1.06 * gaussians, 1.0, "and their Gaussians", **look)


def second_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Entropies and the terms along training, and entropies against the components' deviation at its end."""
    style()
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.2))
    along_training(axes[0, 0], arrays)
    conditional(axes[0, 1], arrays)
    against_noise(axes[1, 0], arrays)
    regularisers(axes[1, 1], arrays)
    return figure


def along_training(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Entropy above that of a component, by four estimators, at every recorded step."""
    _estimators(axes, arrays["steps"], arrays, "entropy")
    _steps(axes, arrays)
    axes.set_ylabel("entropy of the mixture above\nthat of a component  (nats)")
    axes.set_title(f"along training, $s$ = {float(arrays['read_noise']):g}")
    axes.legend(fontsize=8, loc="upper left")
    return axes


def against_noise(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """The same after training against the deviation of a component."""
    _estimators(axes, arrays["scales"], arrays, "entropy_scales")
    axes.set(xscale="log", yscale="log", ylim=(0.01, 200))
    axes.set_xlabel("deviation of a component  $s$")
    axes.set_ylabel("entropy of the mixture above\nthat of a component  (nats)")
    axes.set_title("after training: apart on the left, overlapping on the right")
    return axes


def _estimators(axes: Axes, x: np.ndarray, arrays: dict[str, np.ndarray], name: str) -> None:
    looks = (
        ("logdet", LOGDET, "^-", "LogDet, upper bound"),
        ("upper", UPPER, "v-", "pairwise upper bound"),
        ("monte carlo", TRUTH, "o-", "Monte Carlo"),
        ("lower", LOWER, "^-", "pairwise lower bound"),
    )
    for estimate, color, line, label in looks:
        values = entropy(arrays, name, estimate)
        mean, half = np.array([interval(column) for column in values.T]).T
        axes.plot(x, mean, line, color=color, ms=4.5, label=label)
        low = np.maximum(mean - half, 1e-6)
        axes.fill_between(x, low, mean + half, color=color, alpha=0.2, lw=0)
    limit = np.log(float(arrays["points"]))
    axes.axhline(limit, color=THEORY, ls="--", lw=1.2, label=r"$\log n$: images told apart")


def conditional(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """The two terms of E log q that a network can change."""
    names = (r"invariance  $\frac{1}{2}\Vert\mu - \mu'\Vert^2$", r"noise  $\operatorname{tr} S$")
    for place, (color, name) in enumerate(zip((COLORS["vicreg"], "#882255"), names, strict=True)):
        values = -arrays["terms"][..., place]
        mean, half = np.array([interval(column) for column in values.T]).T
        axes.plot(arrays["steps"], mean, "o-", color=color, ms=4.5, label=name)
        axes.fill_between(
            arrays["steps"],
            np.maximum(mean - half, 1e-6),
            mean + half,
            color=color,
            alpha=0.2,
            lw=0,
        )
    _steps(axes, arrays)
    axes.set(yscale="log", ylabel="price in $-E \\log q$  (nats)")
    axes.set_ylim(0.4 * -arrays["terms"][..., 1].max(), None)
    axes.set_title(f"conditional term, $\\sigma$ = {float(arrays['sigma']):g}")
    axes.legend(fontsize=8.5, loc="lower left")
    return axes


def regularisers(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """The parts of ½ log det S, and VICReg's covariance term in the place of the second."""
    looks = (
        (COLORS["vicreg"], "o-", r"$\frac{1}{2}\sum_k \log S_{kk}$"),
        ("#0072B2", "s-", r"$\frac{1}{2}\log\det R$"),
        ("#0072B2", "s:", r"$-\frac{1}{4}\sum_{i \neq j} R_{ij}^2$, VICReg's"),
    )
    shift = float(arrays["outputs"]) * np.log(float(arrays["read_noise"]))
    variances, correlations, second_order = split(arrays)
    parts = (variances - shift, correlations, second_order)
    for values, (color, line, label) in zip(parts, looks, strict=True):
        mean, half = np.array([interval(column) for column in values.T]).T
        axes.plot(arrays["steps"], mean, line, color=color, ms=4.5, label=label)
        axes.fill_between(arrays["steps"], mean - half, mean + half, color=color, alpha=0.2, lw=0)
    axes.axhline(0, color=THEORY, lw=0.8)
    _steps(axes, arrays)
    axes.set_ylabel("part of LogDet  (nats)")
    axes.set_title("variances and correlations")
    axes.legend(fontsize=8.5, loc="lower left")
    return axes


def _steps(axes: Axes, arrays: dict[str, np.ndarray]) -> None:
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(-0.15, 1.2 * arrays["steps"].max())
    axes.set_xlabel("step")


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """The toy's entropies, then how long each network took."""
    rows = [
        "| spread of the centres | lower | Monte Carlo | upper | LogDet |",
        "|---|---|---|---|---|",
    ]
    for spread, (lower, exact, upper, logdet, error) in zip(
        arrays["toy_spreads"], arrays["toy"].mean(0), strict=True
    ):
        rows.append(
            f"| {spread:g} | {lower:.2f} | {exact:.2f} ± {error:.2f} | {upper:.2f} | {logdet:.2f} |"
        )
    seconds = ", ".join(
        f"{LOOKS[name][0]} {float(s):.1f}"
        for name, s in zip(METHODS, arrays["seconds"], strict=False)
    )
    return Markdown("\n".join([*rows, "", f"Seconds to train a network: {seconds}."]))

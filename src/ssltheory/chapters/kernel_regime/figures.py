"""Figures of chapter 09."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, style
from ssltheory.chapters.kernel_regime.claims import LABELS, accuracies, cases, descended, induced

METHODS = (
    ("vicreg", "non-contrastive", COLORS["vicreg"], "o-"),
    ("contrastive", "contrastive", COLORS["spectral_contrastive"], "s-"),
)


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """The spirals, and accuracies against the number of views and of labels."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.6, 3.9), width_ratios=(1, 1, 1))
    spirals(left, arrays)
    against_views(middle, arrays)
    against_labels(right, arrays)
    return figure


def spirals(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """The one induced dimension over the plane, and the points that made it."""
    field = arrays["spiral_field"]
    reach = np.abs(arrays["spiral_vicreg"]).max()
    edge = float(arrays["spiral_edge"])
    axes.imshow(
        field,
        origin="lower",
        extent=(-edge, edge, -edge, edge),
        cmap="RdBu",
        vmin=-1.6 * reach,
        vmax=1.6 * reach,
        interpolation="bilinear",
    )
    for arm, color in ((0, "#053061"), (1, "#67001f")):
        points = arrays["spiral_points"][arrays["spiral_arm"] == arm]
        axes.plot(*points.T, "o-", color=color, ms=3, lw=0.6)
    axes.set(
        xlabel="first input",
        ylabel="second input",
        title=r"colour: the induced dimension $z(x)$, d = 1",
        xticks=[-1, 0, 1],
        yticks=[-1, 0, 1],
    )
    axes.grid(False)
    return axes


def against_views(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Accuracy against the number of views, a few labels a class."""
    views = arrays["views"]
    for method, words, color, marker in METHODS:
        by_views = np.stack([accuracies(arrays, f"{method} {m}", LABELS) for m in views])
        _line(axes, views, by_views, color, marker, f"induced, {words}")
    for name, words, ls in (
        ("base", "base kernel", "-"),
        ("base with views", "base kernel, labelled views", ":"),
    ):
        level = accuracies(arrays, name, LABELS).mean()
        axes.axhline(level, color=COLORS["control"], ls=ls, lw=1.6, label=words)
    axes.set(
        xscale="log",
        xticks=views,
        xticklabels=[str(m) for m in views],
        xlabel="views of each image",
        ylabel="accuracy",
        title=f"{LABELS} labels a class",
    )
    axes.minorticks_off()
    axes.margins(y=0.25)
    axes.legend(loc="upper left", fontsize=7.5)
    return axes


def against_labels(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Accuracy against the number of labels a class."""
    labels, most = arrays["labels"], arrays["views"][-1]
    for method, _, color, marker in METHODS:  # named in the panel before
        _line(axes, labels, accuracies(arrays, f"{method} {most}").T, color, marker, None)
    _line(axes, labels, accuracies(arrays, "base").T, COLORS["control"], "^-", "base kernel")
    full_rank = accuracies(arrays, "full rank").T
    _line(axes, labels, full_rank, COLORS["simclr"], "v-", "induced, d = n − 1")
    _line(axes, labels, accuracies(arrays, "shuffled").T, THEORY, "x-", "views linked at random")
    axes.set(
        xscale="log",
        xticks=labels,
        xticklabels=[str(m) for m in labels],
        xlabel="labels a class",
        ylabel="accuracy",
        ylim=(0, 1.02),
        title=f"{most} views of each image",
    )
    axes.minorticks_off()
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.53), fontsize=7.5)
    return axes


def second_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Entries of the induced kernels after descent against the closed form."""
    style()
    runs = list(zip(cases(arrays), descended(arrays, seed), induced(arrays, seed), strict=True))
    figure, panels = plt.subplots(1, len(runs), figsize=(3.4 * len(runs), 3.4))
    for axes, ((method, beta), descent, expected) in zip(panels, runs, strict=True):
        color = COLORS["vicreg" if method == "vicreg" else "spectral_contrastive"]
        for z, closed, marker, fill, label in (
            (descent[0], expected[0], "o", color, "training views"),
            (descent[1], expected[1], "s", "none", "held-out images"),
        ):
            x, y = ((v @ v.mT).numpy().ravel() for v in (closed, z))
            axes.plot(x, y, marker, color=color, mfc=fill, ms=4, label=label)
        reach = axes.get_xlim()
        axes.plot(reach, reach, color=THEORY, ls="--", lw=1.1, label="theory")
        name = rf"non-contrastive, $\beta$ = {beta:g}" if method == "vicreg" else "contrastive"
        axes.set(xlabel=r"closed form of $k^*(x, x')$", title=name)
    panels[0].set_ylabel(r"$k^*(x, x')$ after descent")
    panels[0].legend(fontsize=8)
    return figure


def _line(
    axes: Axes, x: np.ndarray, values: np.ndarray, color: str, marker: str, label: str | None
) -> None:
    """Means over repetitions ``(points, n_seeds)`` with their standard errors."""
    mean, error = values.mean(1), _error(values)
    axes.errorbar(x, mean, error, fmt=marker, color=color, ms=5, capsize=2, lw=1.8, label=label)


def _error(values: np.ndarray) -> np.ndarray:
    n = values.shape[-1]
    return values.std(-1, ddof=1) / n**0.5 if n > 1 else np.zeros(values.shape[:-1])

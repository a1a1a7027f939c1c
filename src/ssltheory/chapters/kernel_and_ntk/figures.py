"""Figures of chapter 07."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, Look, style
from ssltheory.chapters.kernel_and_ntk.claims import (
    OPERATORS,
    alignments,
    gram_errors,
    predicted_errors,
)

OPERATOR_COLORS = (COLORS["barlow_twins"], COLORS["control"], COLORS["byol"])
REGIMES = ("lazy", "rich", "control:\nlarge start")
PAIRS = ("Barlow Twins\nSimCLR", "Barlow Twins\nVICReg", "SimCLR\nVICReg")
DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.1}


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Kernel machines, networks and methods, a panel each."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.4, 3.9))
    gram_entries(left, arrays)
    networks(middle, arrays)
    methods(right, arrays)
    return figure


def small_print(arrays: dict[str, np.ndarray]) -> Figure:
    """What a finite start leaves, and the networks on held-out crops."""
    style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.7))
    corrections(left, arrays)
    networks(right, arrays, "held-out")
    return figure


def gram_entries(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Inner products of held-out embeddings, gradient descent against each candidate."""
    descent, *candidates = arrays["grams"]
    pairs = np.triu_indices(len(descent))
    order = zip(OPERATORS, OPERATOR_COLORS, candidates, strict=True)
    for name, color, gram in reversed(list(order)):
        axes.plot(gram[pairs], descent[pairs], ".", ms=2.5, color=color, alpha=0.5, rasterized=True)
        axes.plot([], [], "o", ms=5, color=color, label=name)
    ends = [descent.min(), descent.max()]
    axes.plot(ends, ends, **DASHED)
    axes.set(
        xlabel=r"predicted  $f(x) \cdot f(y)$",
        ylabel=r"gradient descent  $f(x) \cdot f(y)$",
        title="kernel machine, held-out crops",
    )
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left", fontsize=8)
    return axes


def networks(axes: Axes, arrays: dict[str, np.ndarray], points: str = "training") -> Axes:
    """Alignment of each network with what its kernels predict, one marker a repetition."""
    aligned = alignments(arrays, points=points)
    n, regimes, _ = aligned.shape
    jitter = np.linspace(-0.09, 0.09, n) if n > 1 else np.zeros(1)
    color = COLORS["barlow_twins"]
    for k, (side, label, face) in enumerate(
        ((-0.17, "kernel at the start", "white"), (0.17, "kernel after training", color))
    ):
        x = np.arange(regimes) + side
        axes.plot(
            (x[None] + jitter[:, None]).ravel(),
            aligned[:, :, k].ravel(),
            "o",
            ms=6,
            mec=color,
            mfc=face,
            label=label,
        )
        mean = aligned[:, :, k].mean(0)
        axes.hlines(mean, x - 0.14, x + 0.14, color=color, lw=1.4)
    axes.axhline(1, **DASHED)
    axes.annotate(
        "theory", (regimes - 0.55, 1), (0, 3), textcoords="offset points", ha="right", fontsize=8
    )
    chance = arrays["learnt"].mean() / len(arrays["grams"][0])
    axes.axhline(chance, color="#9a9a9a", lw=0.9, ls=(0, (1, 2)))
    axes.annotate("chance", (-0.45, chance), (0, 3), textcoords="offset points", fontsize=8)
    axes.set(
        xticks=range(regimes),
        xticklabels=REGIMES,
        xlim=(-0.5, regimes - 0.5),
        ylim=(0, 1.09),
        ylabel="alignment with the prediction",
        title=f"network, {points} crops",
    )
    axes.grid(False, axis="x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.1), fontsize=8)
    return axes


def methods(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Similarity of two methods' embeddings, and by chance."""
    similar, chance = arrays["similar"], arrays["chance"]
    n = len(similar)
    jitter = np.linspace(-0.09, 0.09, n) if n > 1 else np.zeros(1)
    for k, (side, label, color) in enumerate(
        (
            (-0.17, "subspace alignment", COLORS["vicreg"]),
            (0.17, "CKA", COLORS["spectral_contrastive"]),
        )
    ):
        x = np.arange(len(PAIRS)) + side
        axes.plot(
            (x[None] + jitter[:, None]).ravel(),
            similar[..., k].ravel(),
            "o",
            ms=6,
            color=color,
            label=label,
        )
        low, high = chance[..., k].min((0, 2)), chance[..., k].max((0, 2))
        axes.bar(
            x,
            high - low,
            0.28,
            low,
            color="#cfcfcf",
            label="images shuffled" if k else None,
            zorder=1.5,
        )
    axes.set(
        xticks=range(len(PAIRS)),
        xticklabels=PAIRS,
        xlim=(-0.5, len(PAIRS) - 0.5),
        ylim=(0, 1.09),
        ylabel="similarity of the embeddings",
        title="three methods, training crops",
    )
    axes.grid(False, axis="x")
    axes.legend(loc="upper right", fontsize=8)
    return axes


def corrections(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Error of the Gram matrix against the first correction, one marker a machine."""
    expected = predicted_errors(arrays)
    measured = gram_errors(arrays, "closed form", points="training")
    for k, (name, marker) in enumerate((("RBF", "o"), ("NTK of a wide network", "s"))):
        axes.plot(
            expected[:, k], measured[:, k], marker, color=COLORS["barlow_twins"],
            mfc="white" if k else None, ms=6, label=name,
        )  # fmt: skip
    ends = np.array([expected.min() / 2, expected.max() * 2])
    axes.plot(ends, ends, **DASHED, label="theory, first order")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="foreseen error of the Gram matrix",
        ylabel="measured, training crops",
        title="what a finite start leaves",
    )
    axes.legend(loc="upper left", fontsize=8)
    return axes

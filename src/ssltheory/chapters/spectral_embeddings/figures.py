"""Figures of chapter 10."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, Look, style
from ssltheory.chapters.spectral_embeddings.claims import (
    ALIGNED,
    MISALIGNED,
    free_optima,
    probed,
    twins,
    variances,
)

DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.1}
PAIRS = ((ALIGNED, "#009E73", 15), (MISALIGNED, "#882255", -20))


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Variances of modes by method, and rank and accuracy against the weight of invariance."""
    figure = plt.figure(figsize=(9.6, 4.5))
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.1), height_ratios=(1, 2))
    mode_variances(figure.add_subplot(grid[:, 0]), arrays, seed)
    top, bottom = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
    ranks(top, arrays, seed)
    accuracies(bottom, arrays)
    top.tick_params(labelbottom=False)
    return figure


def mode_variances(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Variance of each mode after descent, and the laws of theory, against θ."""
    theta = arrays["theta"][seed]
    theta = theta[theta < 1 - 1e-6]
    fine = np.linspace(0, 1, 200)
    rhos = arrays["linear_rho"]
    labels = [rf"VICReg, $\rho$ = {rho:g}" for rho in rhos] + ["SimCLR", "Barlow Twins, whitened"]
    colors = [COLORS["vicreg"]] * len(rhos) + [COLORS["simclr"], COLORS["barlow_twins"]]
    runs = zip(
        arrays["mode_gram"][seed], variances(fine, rhos), labels, colors, "osDv^", strict=True
    )
    for gram, law, label, color, marker in runs:
        axes.plot(theta, gram.diagonal()[: len(theta)], marker, color=color, ms=6, label=label)
        axes.plot(fine, law, **DASHED)
    axes.plot([], [], **DASHED, label="theory")
    axes.set(
        xlim=(0, 1),
        ylim=(-0.04, 1.12),
        xlabel=r"disagreement of pairs in a mode  $\theta_k$",
        ylabel="variance of the mode in the embedding",
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.39), fontsize=7.5)
    return axes


def ranks(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Rank of the closed-form embeddings, and the number of modes with θ < 1/ρ."""
    rhos = arrays["sweep_rho"]
    measured = probed(arrays, ALIGNED, "rank")[seed, : len(rhos)]
    fine = np.geomspace(rhos[0], rhos[-1], 2000)
    theta = arrays["theta"][seed][: int(measured.max())]
    expected = [(variances(theta, [rho])[0] > 1e-6).sum() for rho in fine]
    axes.plot(rhos, measured, "o", color=COLORS["vicreg"], ms=4)
    axes.plot(fine, expected, **DASHED, label=r"number of $\theta_k < 1/\rho$")
    axes.set(xscale="log", ylabel="rank", ylim=(0, None))
    axes.legend(loc="upper right", fontsize=8)
    return axes


def accuracies(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Accuracy with few labels against ρ, aligned and misaligned."""
    rhos = arrays["sweep_rho"]
    for pairs, color, above in PAIRS:
        accuracy = probed(arrays, pairs, "few")
        mean, spread = accuracy.mean(0), accuracy.std(0)
        vicreg = slice(len(rhos))
        low, high = mean - spread, mean + spread
        axes.fill_between(rhos, low[vicreg], high[vicreg], color=color, alpha=0.2, lw=0)
        axes.plot(rhos, mean[vicreg], color=color, lw=2.6)
        axes.annotate(
            f"VICReg, {pairs} pairs",
            (rhos[0], mean[0]),
            (0, above),
            textcoords="offset points",
            color=color,
            fontsize=8.5,
        )
        for place, at, marker, name in (
            (len(rhos), 1.0, "v", "simclr"),
            (len(rhos) + 1, rhos[0] / 1.35, "^", "barlow_twins"),
        ):
            axes.errorbar(
                at, mean[place], spread[place], fmt=marker, color=COLORS[name], ms=8, mec="white"
            )
    for marker, name, label in (
        ("v", "simclr", r"SimCLR, drawn at $\rho$ = 1"),
        ("^", "barlow_twins", r"Barlow Twins, whitened, drawn at $\rho \to 0$"),
    ):
        axes.plot([], [], marker, color=COLORS[name], ms=7, label=label)
    axes.set(
        xscale="log",
        ylim=(0, 1.08),
        xlabel=r"weight of invariance over variance  $\rho$",
        ylabel="accuracy, few labels",
    )
    axes.legend(loc="upper left", fontsize=7.5)
    return axes


def second_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Free embeddings of one graph, and Barlow Twins with its own normalisation."""
    style()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.4, 3.6))
    *vicreg, contrastive = free_optima(
        arrays["graph"][seed], arrays["free_z"].shape[-1], arrays["free_rho"]
    )
    graph = arrays["graph"][seed]
    rho = arrays["free_rho"][0]
    free_map(left, arrays["free_z"][seed, 0], vicreg[0], graph, COLORS["vicreg"])
    left.set_title(rf"VICReg, $\rho$ = {rho:g}: Laplacian eigenmaps")
    free_map(middle, arrays["free_z"][seed, -1], contrastive, graph, COLORS["simclr"])
    middle.set_title("SimCLR, squared error: classical scaling")
    units(right, arrays)
    return figure


def free_map(
    axes: Axes, z: np.ndarray, expected: torch.Tensor, graph: np.ndarray, color: str
) -> Axes:
    """Two leading dimensions: descent turned onto the closed form, and the closed form."""
    closed = expected.numpy()
    if np.abs(closed.mean(0)).max() < 1e-9:
        z = z - z.mean(0)
    u, _, vt = np.linalg.svd(z.T @ closed)
    z = (z @ u @ vt)[:, :2]
    for i, j in np.argwhere(np.triu(graph)):
        axes.plot(*z[[i, j]].T, color="#c9c9c9", lw=0.4, zorder=1)
    axes.plot(*z.T, "o", color=color, ms=3, label="descent on the loss", zorder=2)
    axes.plot(
        *closed[:, :2].T,
        "o",
        mfc="none",
        mec=THEORY,
        ms=6,
        mew=0.6,
        label="closed form",
        zorder=3,
    )
    axes.set(xlabel="first dimension of the embedding", ylabel="second")
    axes.legend(fontsize=8)
    return axes


def units(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Smallest singular value of Barlow Twins' unit weights against λ."""
    lambdas = arrays["twin_lambda"]
    for row in twins(arrays)(what="units"):
        axes.plot(lambdas, row, "o-", color=COLORS["barlow_twins"], lw=1.2, ms=5)
    axes.plot([], [], "o-", color=COLORS["barlow_twins"], label="its own normalisation")
    axes.axhline(1, **DASHED, label="whitened")
    axes.axvline(0.0051, color="#9a9a9a", ls=":", label="the authors' λ")
    axes.set(
        xscale="log",
        ylim=(0, 1.08),
        xlabel=r"weight of the off-diagonal  $\lambda$",
        ylabel="smallest singular value of the units",
        title="Barlow Twins: CCA only if whitened",
    )
    axes.legend(fontsize=8)
    return axes

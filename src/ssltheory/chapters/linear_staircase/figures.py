"""Figures of chapter 01."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from ssltheory.book.figures import COLORS, THEORY, Look, ramp
from ssltheory.chapters.linear_staircase import published
from ssltheory.chapters.linear_staircase.claims import (
    IMAGES,
    OVERLAPS,
    distances,
    exponents,
    foreseen_times,
    solution,
)

TIME = "time  t = learning rate × step"
PUBLISHED, RANGE = "#D55E00", "#9ecae1"
PAIRS = ("#0072B2", "#56B4E9", "#CC79A7", "#009E73", "#1a1a1a")
WORDS = {
    "shift": "second crop at most {} pixels away",
    "border": "no crop within {} pixels of the border",
    "area": "resized crops, area {:.0%} or more",
    "images": "{} images, independent crops",
}


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Loss above, eigenvalues below, of one repetition (Figure 1 A, B of simon2023stepwise).

    Where the run can be compared with the published one, its step times stand beside ours, and a third panel
    compares the γ.
    """
    if not arrays["comparable"]:
        figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7.2, 5.4))
    else:
        layout: Look = {"figsize": (7.2, 8.6), "height_ratios": (1.3, 1, 1.2)}
        figure, (top, bottom, last) = plt.subplots(3, 1, **layout)
        bottom.sharex(top)
        top.tick_params(labelbottom=False)
        published_steps(top, arrays)
        spectra_of_pairs(last, arrays)
    loss(top, arrays, seed)
    eigenvalues(bottom, arrays, seed)
    top.set_xlabel("")
    if arrays["comparable"]:
        top.set_xlim(right=max(arrays["times"].max(), foreseen_times(arrays).max()))
    return figure


def published_steps(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Half-way down each step of the loss: the published step times, and the range of theory's for our draws."""
    ours = foreseen_times(arrays)
    heights = ours.shape[1] - np.arange(ours.shape[1]) - 0.5
    label = f"theory: {len(ours)} draws, first to last"
    axes.hlines(heights, ours.min(0), ours.max(0), color=RANGE, lw=5, label=label)
    look: Look = {"marker": "D", "ls": "", "ms": 5, "mec": PUBLISHED, "zorder": 4}
    measured, foreseen = published.STEP_TIMES, published.STEP_TIMES_FORESEEN
    axes.plot(foreseen, heights, **look, mfc="white", label="published: theory")
    axes.plot(measured, heights, **look | {"ms": 3}, mfc=PUBLISHED, label="published: measured")
    return axes


def spectra_of_pairs(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """γ_j of pairs taken in other ways over the published γ_j, overlaps where they come nearest.

    Without a published spectrum they are divided by that of all images and independent crops, and the number in the
    middle of each way's is drawn.
    """
    own, n_images = arrays["images_gamma"][-1], arrays["images_tried"][-1]
    compared = bool(arrays["comparable"])
    reference = published.GAMMA if compared else own.mean(0)
    over = r"published $\gamma_j$" if compared else "independent crops"
    axes.axhline(1, color=PUBLISHED if compared else THEORY, lw=1.2)
    drawn = [(WORDS["images"].format(n_images), own), *_chosen(arrays, compared)]
    modes = np.arange(1, own.shape[1] + 1)
    for k, ((words, gamma), color) in enumerate(zip(drawn, PAIRS, strict=False)):
        log = np.log(np.where(gamma > 0, gamma, np.nan) / reference)
        middle, spread = np.exp(log.mean(0)), log.std(0, ddof=1 if len(log) > 1 else 0)
        bars = middle * (1 - np.exp(-spread)), middle * (np.exp(spread) - 1)
        look: Look = {"fmt": "o-", "ms": 4, "lw": 1, "elinewidth": 2, "color": color}
        axes.errorbar(modes + 0.1 * (k - 2), middle, bars, label=words, **look)
    axes.set(yscale="log", xlabel="mode $j$", ylabel=rf"$\gamma_j$ / {over}", xticks=modes)
    axes.yaxis.set_major_locator(LogLocator(2, (1, 2**0.5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.2g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(top=1.8 * axes.get_ylim()[1])
    axes.legend(fontsize=8, ncols=2, loc="upper left")
    return axes


def _chosen(arrays: dict[str, np.ndarray], compared: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Words and γ, ``(n_seeds, d)``, of each way of taking pairs, at one of the numbers tried."""
    for way, words in WORDS.items():
        gammas, tried = arrays[f"{way}_gamma"], arrays[f"{way}_tried"]
        place = len(tried) // 2
        if compared and way in OVERLAPS:
            place = int(np.argmin([distances(gamma)[0] for gamma in gammas]))
        elif IMAGES in tried:
            place = list(tried).index(IMAGES)
        if way in OVERLAPS or place < len(tried) - 1:  # the last are all images
            yield words.format(tried[place]), gammas[place]


def loss(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Loss against time, the step times of theory marked."""
    times, closed = arrays["times"][seed], solution(arrays, seed)
    for k, tau in enumerate(closed.step_times.numpy()):
        label = r"theory: step times $\tau_j$" if k == 0 else None
        axes.axvline(tau, color="#9a9a9a", lw=0.9, ls=(0, (1, 2)), label=label)
    axes.plot(times, arrays["loss"][seed], color=COLORS["barlow_twins"], lw=3, label="measured")
    predicted = closed.loss(torch.from_numpy(times)).numpy()
    axes.plot(times, predicted, color=THEORY, ls="--", lw=1.2, label="theory: closed form")
    axes.set(
        ylabel=r"loss  $\|C - I\|_F^2$", xlabel=TIME, ylim=(-0.4, arrays["start"].shape[1] + 0.4)
    )
    _log_time(axes, times)
    axes.legend(loc="lower left")
    return axes


def eigenvalues(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Eigenvalues of C against time, one colour a mode."""
    times, closed = arrays["times"][seed], solution(arrays, seed)
    measured = arrays["eigenvalues"][seed]
    predicted = closed.eigenvalues(torch.from_numpy(times)).numpy()
    for k, color in enumerate(ramp(measured.shape[1])):
        axes.plot(times, measured[:, k], color=color, lw=3, label="measured" if k == 0 else None)
        axes.plot(
            times,
            predicted[:, k],
            color=THEORY,
            ls="--",
            lw=1.2,
            label="theory" if k == 0 else None,
        )
    axes.set(ylabel=r"eigenvalues of $C$", xlabel=TIME, ylim=(-0.05, 1.1))
    _log_time(axes, times)
    return axes


def error_against_scale(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Error of the aligned approximation against α, with the predicted power laws through the last point."""
    scales, fitted_predicted = arrays["scan_scales"], np.stack(exponents(arrays), 1)
    markers = "osD^v"
    for k, (fitted, predicted) in enumerate(fitted_predicted):
        errors = np.exp(np.log(arrays["scan_errors"][k]).mean(0))
        color = list(COLORS.values())[k]
        axes.plot(
            scales, errors, markers[k], color=color, ms=6, label=f"measured, exponent {fitted:.2f}"
        )
        line = errors[-1] * (scales / scales[-1]) ** predicted
        axes.plot(scales, line, color=THEORY, ls="--", lw=1.2)
        axes.annotate(
            rf"$\alpha^{{{predicted:.1f}}}$",
            (scales[2], line[2]),
            (0, 9),
            textcoords="offset points",
        )
    axes.plot(
        [], [], color=THEORY, ls="--", lw=1.2, label=r"theory, $1 - \max_j\,\gamma_{j+1}/\gamma_j$"
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=r"initial scale  $\alpha$",
        ylabel=r"largest distance  $\sup_t\,\|W - W^*\|_F$",
    )
    axes.legend(loc="lower right")
    return axes


def _log_time(axes: Axes, times: np.ndarray) -> None:
    axes.set(xscale="log", xlim=(times[times > 0].min(), times.max()))

"""Figures of chapter 01."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, Look, ramp
from ssltheory.chapters.linear_staircase import published
from ssltheory.chapters.linear_staircase.claims import (
    distances,
    exponents,
    foreseen_times,
    solution,
)

TIME = "time  t = learning rate × step"
PUBLISHED, RANGE = "#D55E00", "#9ecae1"
WORDS = {
    "shift": "second crop at most {} pixels from the first",
    "border": "no crop within {} pixels of the border",
    "area": "resized crops of {:.0%} of the area or more",
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
        figure, (top, bottom, last) = plt.subplots(
            3, 1, figsize=(7.2, 8.4), height_ratios=(1.3, 1, 1.1)
        )
        bottom.sharex(top)
        published_steps(top, arrays)
        spectra_of_pairs(last, arrays)
    loss(top, arrays, seed)
    eigenvalues(bottom, arrays, seed)
    top.set_xlabel("")
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
    """γ_j of pairs taken in other ways over the published γ_j, each way where it comes nearest.

    Without a published spectrum they are divided by that of all images and independent crops, and the number in the
    middle of each way's is drawn.
    """
    own = arrays["images_gamma"][-1]
    reference = published.GAMMA if arrays["comparable"] else own.mean(0)
    drawn = [(WORDS["images"].format(arrays["images_tried"][-1]), own)]
    for way, words in WORDS.items():
        gammas, tried = arrays[f"{way}_gamma"], arrays[f"{way}_tried"]
        place = len(tried) // 2
        if arrays["comparable"]:
            place = int(np.argmin([distances(gamma)[0] for gamma in gammas]))
        drawn.append((words.format(tried[place]), gammas[place]))
    modes = np.arange(1, own.shape[1] + 1)
    axes.axhline(1, color=PUBLISHED if arrays["comparable"] else THEORY, lw=1.2)
    for k, ((words, gamma), color) in enumerate(zip(drawn, COLORS.values(), strict=False)):
        log = np.log(np.where(gamma > 0, gamma, np.nan) / reference)
        middle, spread = np.exp(log.mean(0)), log.std(0, ddof=1 if len(log) > 1 else 0)
        bars = middle * (1 - np.exp(-spread)), middle * (np.exp(spread) - 1)
        look: Look = {
            "fmt": "o-",
            "ms": 4,
            "lw": 1,
            "elinewidth": 2,
            "color": color,
            "label": words,
        }
        axes.errorbar(modes + 0.1 * (k - 2), middle, bars, **look)
    over = r"published $\gamma_j$" if arrays["comparable"] else "independent crops"
    axes.set(yscale="log", xlabel="mode $j$", ylabel=rf"$\gamma_j$ / {over}", xticks=modes)
    axes.legend(fontsize=8)
    return axes


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

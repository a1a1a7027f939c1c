"""Figures of chapter 01."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, ramp
from ssltheory.chapters.linear_staircase.claims import exponents, solution

TIME = "time  t = learning rate × step"


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Loss above, eigenvalues below, of one repetition (Figure 1 A, B of simon2023stepwise)."""
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7.2, 5.4))
    loss(top, arrays, seed)
    eigenvalues(bottom, arrays, seed)
    top.set_xlabel("")
    return figure


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

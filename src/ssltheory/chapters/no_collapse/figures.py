"""Figures of chapter 04."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, Look, ramp
from ssltheory.chapters.no_collapse.claims import (
    curriculum,
    decayed,
    log_norms,
    modes,
    rates,
    settings,
)
from ssltheory.theory import directpred

TIME = "time  t = learning rate × step"
ALIVE, DEAD = COLORS["simsiam"], COLORS["simclr"]
DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.1}
RUNS = ("predictor and stop-gradient", "no predictor", "no stop-gradient", "neither")


def main_figure(arrays: dict[str, np.ndarray], seed: int = 0) -> Figure:
    """Phase portrait of one repetition, and what its ablations do to ‖W‖."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.4), width_ratios=(1.25, 1))
    phase_portrait(left, arrays, seed)
    ablations(right, arrays, seed)
    return figure


def phase_portrait(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Modes in the plane of (p, s), the collapse basin shaded."""
    constants = settings(arrays)
    p, s = arrays["p"][seed], arrays["s"][seed]
    right, top = 1.1 * max(p.max(), 0.5), 1.3 * max(s.max(), 0.25)
    grid_p, grid_s = np.meshgrid(
        np.linspace(min(p.min(), 0) - 0.04, right, 150), np.linspace(1e-3, top, 150)
    )
    dead = ~directpred.survives(grid_p, grid_s, **constants)
    axes.contourf(grid_p, grid_s, dead, levels=[0.5, 1.5], colors=["#f3d3bf"])
    d_p, d_s, _ = directpred.mode_velocity(grid_p, grid_s, **constants)
    axes.streamplot(
        grid_p, grid_s, d_p, d_s, color="#c4c4c4", linewidth=0.5, arrowsize=0.6, density=0.9
    )
    theory = modes(arrays, seed)
    predicted = directpred.survives(p[0], s[0], **constants)
    for j, alive in enumerate(predicted):
        axes.plot(p[:, j], s[:, j], color=ALIVE if alive else DEAD, lw=2.6, zorder=3)
        axes.plot(theory.p[:, j], theory.s[:, j], **DASHED, zorder=4)
    axes.plot(p[0], s[0], "o", color="white", mec=THEORY, ms=4, zorder=5)
    points = directpred.fixed_points(constants["weight_decay"], constants["noise"])
    axes.plot(points.p_plus, points.s_plus, "o", color=THEORY, ms=7, zorder=6)
    axes.plot(points.p_minus, points.p_minus**2, "X", color=THEORY, ms=7, zorder=6)
    for color, label in ((ALIVE, "measured: survives"), (DEAD, "measured: collapses")):
        axes.plot([], [], color=color, lw=2.6, label=label)
    axes.plot([], [], **DASHED, label="theory")
    axes.fill_between([], [], color="#f3d3bf", label="theory: collapse basin")
    axes.set(
        xlim=(grid_p.min(), right),
        ylim=(0, top),
        xlabel="eigenvalue of the predictor  $p_j$",
        ylabel="eigenvalue of the embedding's moment  $s_j$",
    )
    axes.grid(False)
    axes.legend(loc="upper left", fontsize=8)
    return axes


def ablations(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Norm of the encoder against time, with and without its two safeguards."""
    colors = (ALIVE, COLORS["control"], COLORS["spectral_contrastive"], COLORS["vicreg"])
    times = arrays["times"]
    start = log_norms(arrays, "both")[seed, 0]
    for label, color, norm in zip(RUNS, colors, arrays["log_norms"][seed], strict=True):
        axes.plot(times, np.exp(norm - start), color=color, lw=2.6, label=label)
    for theory in decayed(arrays, seed):
        axes.plot(times, np.exp(theory - start), **DASHED)
    axes.plot([], [], **DASHED, label="theory")
    axes.set(
        yscale="log",
        ylim=(1e-9, 4),
        xlabel=TIME,
        ylabel=r"norm of the encoder  $\|W(t)\| / \|W(0)\|$",
    )
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.93), fontsize=8)
    return axes


def threshold(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Where the predictor ends against weight decay."""
    noise, eta = float(arrays["noise"]), arrays["sweep_weight_decay"]
    edge = float(directpred.collapse_threshold(noise))
    fine = np.linspace(0, edge, 200)
    points = directpred.fixed_points(fine, noise)
    label: str | None = "measured: matrices from a random start"
    for row in arrays["sweep_p"]:
        axes.plot(eta, row, "o", color=ALIVE, ms=7, label=label)
        label = None
    axes.plot(fine, points.p_plus, **DASHED, label="theory: $p_+$, where a mode rests")
    axes.plot(
        fine, points.p_minus, **(DASHED | {"ls": ":"}), label="theory: $p_-$, edge of the basin"
    )
    axes.plot([edge, 1.1 * eta.max()], [0, 0], **DASHED)
    axes.axvline(edge, color="#9a9a9a", lw=1, ls=(0, (1, 2)))
    axes.annotate(r"$\eta = 1/4(1+\sigma^2)$", (edge, 0.4), (6, 0), textcoords="offset points")
    axes.set(
        xlabel=r"weight decay  $\eta$",
        ylabel="largest eigenvalue of the predictor",
        ylim=(-0.05, 1),
    )
    axes.legend(loc="upper right", fontsize=8)
    return axes


def roles(arrays: dict[str, np.ndarray]) -> Figure:
    """What a moving average and a faster predictor do."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.5))
    colors = (ALIVE, COLORS["byol"], COLORS["simclr"])
    labels = ("no moving average", r"$\beta = 0.4$", r"$\beta = 0.04$")
    rows = zip(
        arrays["ema_times"], arrays["ema_p"], arrays["ema_s"], arrays["ema_tau"], strict=True
    )
    for row, theory, color, label in zip(rows, curriculum(arrays), colors, labels, strict=True):
        times, p, s, tau = row
        axes[0].plot(times, p, color=color, lw=2.6, label=label)
        axes[0].plot(times, theory.p, **DASHED)
        axes[1].plot(times, rates(arrays, p, s, tau), color=color, lw=2.6)
        axes[1].plot(times, rates(arrays, theory.p, theory.s, theory.tau), **DASHED)
    axes[1].axhline(0, color=THEORY, lw=0.8)
    axes[0].plot([], [], **DASHED, label="theory")
    for panel in axes[:2]:
        panel.set(xscale="log", xlabel="time  t", xlim=(0.5, arrays["ema_times"].max()))
    axes[0].set(ylabel="eigenvalue of the predictor  $p$", ylim=(0, 1.25))
    axes[1].set(ylabel="alignment rate  $K$")
    axes[0].legend(loc="upper left", fontsize=8)
    _shares(axes[2], arrays)
    return figure


def _shares(axes: Axes, arrays: dict[str, np.ndarray]) -> None:
    edge = float(directpred.collapse_threshold(float(arrays["noise"])))
    fine = np.linspace(0.02, 1.05, 104) * edge
    p, s = arrays["basin_p"], arrays["basin_s"]
    for color, alpha_p, alive in zip(
        ramp(len(arrays["basin_alpha_p"])),
        arrays["basin_alpha_p"],
        arrays["basin_alive"],
        strict=True,
    ):
        share = 100 * (1 - alive.mean(1))
        label = rf"$\alpha_p = {alpha_p:g}$"
        axes.plot(arrays["basin_weight_decay"], share, "o", color=color, ms=7, label=label)
        theory = [
            100
            * ~directpred.survives(
                p, s, weight_decay=eta, noise=float(arrays["noise"]), alpha_p=float(alpha_p)
            )
            for eta in fine
        ]
        axes.plot(fine, np.mean(theory, 1), **DASHED)
    axes.set(xlabel=r"weight decay  $\eta$", ylabel="starts that collapse  (%)", ylim=(-4, 104))
    axes.legend(loc="upper left", fontsize=8)

"""Figures of chapter 08."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.figures import COLORS, THEORY, Look, Markdown
from ssltheory.chapters.faster_ssl.claims import (
    FULL,
    HALF,
    LR,
    METHODS,
    NAMES,
    SMALL,
    STANDARD,
    alignments,
    dimensions,
    goals,
    milliseconds,
    predicted_steps,
    recipes,
    solution,
    speed_ups,
    steps_to_accuracy,
    steps_to_rank,
)

STARTS = ("small start", "standard start")
PRECONDITIONED = "_preconditioned"
RECIPES = {
    ("plain", 0.0): ("plain", COLORS["control"]),
    ("left", 0.1): ("left, ε = 0.1", COLORS["barlow_twins"]),
    ("left", 0.01): ("left, ε = 0.01", "#56B4E9"),
    ("right", 0.01): ("right, ε = 0.01", "#D55E00"),
    ("right", 0.001): ("right, ε = 0.001", "#E69F00"),
}
COLOR = {"isoloss": "#882255"} | {
    name: COLORS[name.removesuffix(PRECONDITIONED)] for name in METHODS if name != "isoloss"
}


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """The linear model above, against its closed forms; networks from the small start below."""
    figure, axes = plt.subplots(2, 2, figsize=(9.2, 7.0))
    linear_loss(axes[0, 0], arrays)
    linear_speed_up(axes[0, 1], arrays)
    rank(axes[1, 0], arrays, SMALL)
    accuracy(axes[1, 1], arrays, SMALL)
    axes[1, 0].legend(loc="upper left", fontsize=8)
    return figure


def standard_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """The same networks from the standard start, and the log-det loss in the linear model."""
    figure, axes = plt.subplots(1, 3, figsize=(11.6, 3.6))
    rank(axes[0], arrays, STANDARD)
    accuracy(axes[1], arrays, STANDARD)
    log_det(axes[2], arrays)
    axes[0].legend(loc="upper left", fontsize=8)
    return figure


def linear_loss(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Loss against steps of each recipe, one draw; dashed: its closed form."""
    ends = 1.05 * predicted_steps(arrays)[seed]
    for k, name in enumerate(recipes(arrays)):
        label, color = RECIPES.get(name, (f"{name[0]}, ε = {name[1]:g}", "#000000"))
        steps, p = arrays["linear_at"][seed, k], arrays["linear_eigenvalues"][seed, k]
        axes.plot(steps, np.square(1 - p).sum(-1), color=color, lw=3, label=label)
        at = np.geomspace(1, ends[k], 300)
        times = torch.from_numpy(at * LR)
        theory = solution(arrays, seed, *name).loss(times).numpy()
        axes.plot(at, theory, color=THEORY, ls="--", lw=1.1, label=None if k else "closed form")
    top = arrays["start"].shape[1]
    axes.set(xscale="log", xlim=(1, None), ylim=(-0.03 * top, 1.05 * top))
    axes.set(xlabel="step", ylabel=r"loss  $\|C - I\|_F^2$", title="linear model, one draw")
    axes.legend(loc="lower left", fontsize=7, handlelength=1.2)
    return axes


def linear_speed_up(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Measured against predicted speed-up, all draws; the alignment written beside."""
    measured, predicted = speed_ups(arrays)
    edges, aligned = np.array([3.0, 3000.0]), alignments(arrays)
    axes.plot(edges, edges, color=THEORY, ls="--", lw=1.2, label="as the closed forms foretell")
    for k, name in enumerate(recipes(arrays)):
        if name[0] == "plain":
            continue
        label, color = RECIPES.get(name, (name[0], "#000000"))
        axes.plot(predicted[:, k], measured[:, k], "o", color=color, ms=6, alpha=0.8)
        low, high = aligned[:, k].min(), aligned[:, k].max()
        place = (predicted[:, k].max(), measured[:, k].min())
        right = name[0] == "right"
        axes.annotate(
            f"{label}\nalignment {low:.3f}–{high:.3f}",
            place,
            (-8, 10) if right else (8, -16),
            textcoords="offset points",
            ha="right" if right else "left",
            color=color,
            fontsize=8,
        )
    axes.set(xscale="log", yscale="log", xlim=edges, ylim=edges)
    axes.set(
        xlabel="speed-up foretold", ylabel="speed-up measured", title="linear model, every draw"
    )
    axes.legend(loc="upper left", fontsize=8)
    return axes


def log_det(axes: Axes, arrays: dict[str, np.ndarray], seed: int = 0) -> Axes:
    """Eigenvalues of C under the log-det loss in continuous time: no waiting."""
    times, p = arrays["log_det_times"][seed], arrays["log_det_eigenvalues"][seed]
    theory = solution(arrays, seed, "log-det", 0.0).eigenvalues(torch.from_numpy(times)).numpy()
    for k, (curve, line) in enumerate(zip(p.T, theory.T, strict=True)):
        names = ("flow", "closed form") if k == 0 else (None, None)
        axes.plot(times, curve, color=COLORS["barlow_twins"], lw=2.5, label=names[0])
        axes.plot(times, line, color=THEORY, ls="--", lw=1.1, label=names[1])
    axes.set(xscale="log", xlim=(times[times > 0][0], times[-1]), title="log-det loss, linear")
    axes.set(xlabel="time, gradient flow", ylabel="eigenvalues of $C$", ylim=(-0.03, 1.25))
    axes.legend(loc="upper left", fontsize=8, ncols=2)
    return axes


def rank(axes: Axes, arrays: dict[str, np.ndarray], start: int) -> Axes:
    """Dimensions that the embedding uses against steps: median over seeds, and their range."""
    dim = arrays["spectrum"].shape[-1]
    _curves(axes, arrays, dimensions(arrays)[:, start])
    for share in (HALF, FULL):
        axes.axhline(share * dim, color="#9a9a9a", lw=0.9, ls=(0, (1, 2)))
    axes.set(ylim=(0.8, 1.35 * dim), ylabel="dimensions used\n(participation ratio)")
    axes.set_title(f"networks, {STARTS[start]}")
    return axes


def accuracy(axes: Axes, arrays: dict[str, np.ndarray], start: int) -> Axes:
    """Accuracy of a ridge probe on the embedding against steps; dotted: the goal."""
    _curves(axes, arrays, 100 * arrays["accuracy"][:, start])
    goal = 100 * goals(arrays)[start].mean()
    axes.axhline(goal, color="#9a9a9a", lw=0.9, ls=(0, (1, 2)))
    axes.set(ylabel="probe accuracy on $z$ (%)", title=f"networks, {STARTS[start]}")
    return axes


def _curves(axes: Axes, arrays: dict[str, np.ndarray], values: np.ndarray) -> None:
    for name, curves in zip(arrays["methods"].tolist(), values, strict=True):
        pulled = name.endswith(PRECONDITIONED) or name == "isoloss"
        style: Look = {"color": COLOR[name], "lw": 2.4 if pulled else 1.4}
        middle = np.median(curves, 0)
        axes.plot(
            arrays["steps"], middle, label=NAMES[name], alpha=1.0 if pulled else 0.65, **style
        )
        axes.fill_between(
            arrays["steps"], curves.min(0), curves.max(0), color=COLOR[name], alpha=0.13, lw=0
        )
    axes.set_xscale("symlog", linthresh=10)
    axes.set(xlim=(0, arrays["steps"][-1]), xlabel="step")


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """Steps and seconds to rank and to the probe's goal: median over seeds, in brackets the range.

    A run that never gets there is not left out: its steps are "more than" the budget.
    """
    longest, cost = int(arrays["steps"][-1]), milliseconds(arrays)
    columns = [steps_to_rank(arrays, HALF), steps_to_rank(arrays, FULL), steps_to_accuracy(arrays)]
    dims, end = dimensions(arrays)[..., -1], 100 * arrays["accuracy"][..., -1]

    def steps(values: np.ndarray, scale: float = 1.0) -> str:
        def one(value: float) -> str:
            value, more = (value, "") if np.isfinite(value) else (longest, "> ")
            return more + (f"{value:.0f}" if scale == 1 else f"{value * scale:.2g}")

        low, middle, high = np.quantile(values, (0, 0.5, 1), method="nearest")
        return f"{one(middle)} ({one(low)} … {one(high)})"

    def spread(values: np.ndarray) -> str:
        return f"{np.median(values):.1f} ({values.min():.1f} … {values.max():.1f})"

    rows = [
        "| start | method | ms a step | steps to d/2 | seconds | steps to 3d/4 | steps to the probe's goal "
        "| dimensions at the end | probe at the end, % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for start, words in enumerate(STARTS):
        for k, name in enumerate(arrays["methods"].tolist()):
            half, full, probe = (column[k, start] for column in columns)
            rows.append(
                f"| {words} | {NAMES[name]} | {cost[k]:.2g} | {steps(half)} | {steps(half, cost[k] / 1e3)} "
                f"| {steps(full)} | {steps(probe)} | {spread(dims[k, start])} | {spread(end[k, start])} |"
            )
    return Markdown("\n".join(rows))

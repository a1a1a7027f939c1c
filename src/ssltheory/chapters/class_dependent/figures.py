"""Figures and the table of chapter 14."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import THEORY, Look, Markdown, style
from ssltheory.chapters.class_dependent.claims import (
    changed,
    effect,
    knobs,
    paired,
    ridge_step,
    toy,
)

MEAN = "#1a1a1a"
#: Classes by what the strongest setting does to them: pays, cannot be told, gains.
HUES = {-1: "#D55E00", 0: "#9a9a9a", 1: "#0072B2"}
WORDS = {-1: "pays", 0: "cannot be told", 1: "gains"}
AXES = {
    "area": "smallest crop  $s$  (share of the image's area)",
    "jitter": "strength of colour jitter",
    "decay": "weight decay of the network",
}
KNOBS = {"area": "smallest crop", "jitter": "colour jitter", "decay": "weight decay"}
DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.1}


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Accuracy of each class against each regulariser, a panel each; with several knobs, who pays for each below."""
    swept = knobs(arrays)
    rows, several = len(swept) // 2 + 1, len(swept) > 1
    heights = [4.4 * rows, *[3.6] * several]
    figure = plt.figure(figsize=(10, sum(heights)))
    upper, *lower = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights).flat
    places = upper.subplots(rows, 2).flat
    sweep(next(places), arrays, swept[0])
    ridge(next(places), arrays)
    for name in swept[1:]:
        sweep(next(places), arrays, name)
    for unused in places:
        unused.remove()
    for part in lower:
        for axes, name in zip(part.subplots(1, len(swept)), swept, strict=True):
            who_pays(axes, arrays, name)
    return figure


def sweep(axes: Axes, arrays: dict[str, np.ndarray], name: str) -> Axes:
    """The networks: one knob, from left to right more regularisation."""
    values, accuracy = arrays[f"{name}s"], arrays[f"{name}_accuracy"]
    at = np.arange(len(values))
    classes(axes, at, accuracy, effect(arrays, name))
    axes.set_xticks(at, [f"{v:g}" for v in values])
    return _finish(axes, at, AXES[name])


def ridge(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Ridge regression, λ on a logarithmic axis; colours by the step from the best λ to the next."""
    lambdas, accuracy = arrays["ridge_lambdas"], arrays["ridge_accuracy"]
    at = np.log10(lambdas)
    classes(axes, at, accuracy, ridge_step(arrays))
    ticks = np.arange(np.ceil(at[0]), at[-1] + 0.1)
    axes.set_xticks(ticks, [f"$10^{{{t:.0f}}}$" for t in ticks])
    return _finish(axes, at, r"weight of ridge regression  $\lambda$")


def classes(axes: Axes, at: np.ndarray, accuracy: np.ndarray, change: np.ndarray) -> Axes:
    """A thin line a class with a star at its best, and the mean over classes with its interval."""
    means, verdicts = accuracy.mean(1), changed(change)
    for k, line in enumerate(means.T):
        color = HUES[int(verdicts[k])]
        axes.plot(at, line, color=color, lw=1.1)
        axes.plot(at[line.argmax()], line.max(), "*", color=color, ms=10, mec="white", mew=0.6)
    mean, half = np.array([interval(runs.mean(1)) for runs in accuracy]).T
    axes.errorbar(at, mean, half, color=MEAN, lw=3, capsize=3, elinewidth=1.2, zorder=3)
    axes.plot(at[mean.argmax()], mean.max(), "*", color=MEAN, ms=14, mec="white", zorder=4)
    spread = at[-1] - at[0]
    for k, height in zip(range(means.shape[1]), apart(means[-1], np.ptp(means) / 28), strict=True):
        color = HUES[int(verdicts[k])]
        axes.annotate(
            str(k), (at[-1] + 0.025 * spread, height), color=color, fontsize=8, va="center"
        )
    for sign, color in HUES.items():
        if (verdicts == sign).any():
            axes.plot([], [], color=color, lw=1.4, label=f"class {WORDS[sign]}")
    axes.plot([], [], color=MEAN, lw=3, label="mean of the classes")
    axes.margins(y=0.24)  # room for the legend
    axes.legend(fontsize=7.5, loc="lower left")
    return axes


def apart(heights: np.ndarray, least: float) -> np.ndarray:
    """Heights of labels moved so that neighbours are at least so far apart, their middle kept."""
    order = heights.argsort()
    placed = heights[order].copy()
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + least)
    placed -= (placed - heights[order]).mean()
    moved = np.empty_like(placed)
    moved[order] = placed
    return moved


def _finish(axes: Axes, at: np.ndarray, label: str) -> Axes:
    margin = at[-1] - at[0]
    axes.set(
        xlabel=label,
        ylabel="accuracy of the class",
        xlim=(at[0] - 0.04 * margin, at[-1] + 0.08 * margin),
    )
    return axes


def second_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """The toy, who pays, and average against worst class."""
    style()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.6, 3.9))
    gaussians(left, arrays)
    who_pays(middle, arrays, "area")
    average_and_worst(right, arrays)
    return figure


def gaussians(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Two Gaussian classes: simulation as dots, theory dashed."""
    tau = arrays["toy_tau"]
    fine = np.linspace(0, tau.max(), 200)
    axes.plot(fine, toy(arrays, fine), **DASHED)
    axes.plot([], [], **DASHED, label="theory")
    for k, (name, color) in enumerate((("A, inside", HUES[1]), ("B, outside", HUES[-1]))):
        axes.plot(tau, arrays["toy_accuracy"][:, k], "o", color=color, ms=6, label=f"class {name}")
    mean = arrays["toy_accuracy"].mean(1)
    axes.plot(tau, mean, "o-", color=MEAN, ms=4, lw=1.2, label="mean")
    axes.set(
        xlabel=r"strength of the augmentation  $\tau$",
        ylabel="accuracy on clean data",
        ylim=(0, 1.04),
    )
    axes.legend(fontsize=7.5, loc="upper right", bbox_to_anchor=(1.02, 0.93))
    return axes


def who_pays(axes: Axes, arrays: dict[str, np.ndarray], name: str) -> Axes:
    """Change of each class by one knob with its interval, the average below."""
    values, change = arrays[f"{name}s"], effect(arrays, name)
    mean, half, _, _ = paired(change)
    for k, verdict in enumerate(changed(change)):
        color = HUES[int(verdict)]
        fill = color if verdict else "white"
        axes.errorbar(mean[k], k, xerr=half[k], fmt="o", color=color, mfc=fill, capsize=3, ms=6)
    average, its = interval(change.mean(1))
    axes.errorbar(average, len(mean), xerr=its, fmt="D", color=MEAN, capsize=4, ms=7)
    axes.axvline(0, color=THEORY, lw=0.8)
    axes.locator_params(axis="x", nbins=5)
    axes.set_yticks(range(len(mean) + 1), [*map(str, range(len(mean))), "mean"])
    axes.set(
        xlabel=f"change of accuracy,\n{KNOBS[name]} {values[0]:g} to {values[-1]:g}",
        ylabel="class",
        ylim=(len(mean) + 0.6, -0.6),
    )
    return axes


def average_and_worst(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Average accuracy, and that of the class that is worst at each setting, with intervals over repetitions."""
    accuracy, at = arrays["area_accuracy"], np.arange(len(arrays["areas"]))
    worst = accuracy.mean(1).argmin(1)
    for place, k in zip(at, worst, strict=True):
        where = (place, accuracy[place, :, k].mean())
        axes.annotate(str(k), where, (5, 4), textcoords="offset points", color=HUES[-1])
    for values, color, marker, label in (
        (accuracy.mean(2), MEAN, "D", "mean of the classes"),
        (accuracy[at, :, worst], HUES[-1], "v", "worst class, by its number"),
    ):
        mean, half = np.array([interval(runs) for runs in values]).T
        axes.errorbar(at, mean, half, color=color, fmt=f"{marker}-", capsize=3, ms=6, label=label)
    axes.set_xticks(at, [f"{v:g}" for v in arrays["areas"]])
    low, high = axes.get_ylim()
    axes.set(xlabel="smallest crop  $s$", ylabel="accuracy", ylim=(low - 0.15 * (high - low), high))
    axes.legend(fontsize=8, loc="lower left")
    return axes


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """Every setting: average, best and worst class, and the seconds that its repetitions took."""
    rows = [
        "| smallest crop | jitter | weight decay | mean ± 95 % | worst class | seconds |",
        "|---|---|---|---|---|---|",
    ]
    accuracy = [runs for name in knobs(arrays) for runs in arrays[f"{name}_accuracy"]]
    for (area, jitter, decay, seconds), runs in zip(arrays["seconds"], accuracy, strict=True):
        mean, half = interval(runs.mean(1))
        of_class = runs.mean(0)
        worst = f"{of_class.argmin()}: {of_class.min():.3f}"
        rows.append(
            f"| {area:g} | {jitter:g} | {decay:g} | {mean:.3f} ± {half:.3f} | {worst} | {seconds:.1f} |"
        )
    splits = arrays["ridge_accuracy"].shape[1]
    rows.append(f"| ridge regression, {splits} splits | | | | | {arrays['ridge_seconds']:.1f} |")
    return Markdown("\n".join(rows))

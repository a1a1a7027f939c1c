"""Figures and the table of chapter 06."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import COLORS, THEORY, Look, Markdown
from ssltheory.chapters.directpred.claims import at_end, gain, linear_ends, of_method

NAMES = {
    "directpred": "DirectPred",
    "directpred_5": "DirectPred, every 5 steps",
    "directcopy": "DirectCopy",
    "byol_linear": "learnt linear predictor",
    "byol": "BYOL, two layers",
    "simsiam": "SimSiam, two layers",
    "no_predictor": "no predictor",
    "no_stop_gradient": "no stop-gradient",
}
HUES = {
    "directpred": "#882255",
    "directpred_5": "#CC6677",
    "directcopy": "#AA4499",
    "byol_linear": COLORS["byol"],
    "byol": "#8A5A00",
    "simsiam": COLORS["simsiam"],
    "no_predictor": COLORS["control"],
    "no_stop_gradient": "#3c3c3c",
}
DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.1}
SWEEPS = {
    "eps": r"DirectPred's  $\varepsilon$",
    "weight_decay": r"weight decay  $\eta$",
    "average": r"moving average  $1 - \gamma_a$",
    "alpha_p": r"predictor's rate  $\alpha_p$",
}
#: Top-1 in per cent, read in the paper: Table 8 (100 epochs, ResNet-18, five seeds, linear probe).
TABLE_8 = {
    "directpred": ("85.21 ± 0.23", "77.86 ± 0.16"),
    "directpred_5": ("84.93 ± 0.29", "77.54 ± 0.11"),
    "byol_linear": ("84.49 ± 0.20", "75.06 ± 0.52"),
}
#: Table 3 (regular, no bias; BYOL with the moving average, SimSiam without): STL-10 alone.
TABLE_3 = {"byol": ("", "78.85 ± 0.25"), "simsiam": ("", "65.98 ± 0.71")}


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Spread of the embedding over training, and accuracy at its end, a colour a method."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1, 1.1))
    spread(left, arrays).set_title("colours as on the right")
    accuracies(right, arrays)
    return figure


def spread(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """q against the step, one line a repetition, in the colours of ``accuracies``, which names them."""
    for method in arrays["methods"].tolist():
        values = of_method(arrays, "spread", method)
        axes.plot(arrays["steps"], values.T, color=HUES[method], lw=1.5)
    axes.set(xlabel="step", ylabel="spread of the embedding  $q$", ylim=(0, 1.05))
    return axes


def accuracies(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Accuracy at the end: repetitions as dots, mean and 95 % interval as a bar; dashed: before training."""
    methods = arrays["methods"].tolist()
    for place, method in enumerate(methods):
        ends = 100 * at_end(arrays, "accuracy", method)
        axes.plot(ends, np.full(len(ends), place), "o", color=HUES[method], ms=6, alpha=0.6)
        mean, half = interval(ends)
        if len(ends) > 1:
            bar: Look = {"color": HUES[method], "fmt": "|", "ms": 12, "capsize": 4}
            axes.errorbar(mean, place + 0.25, xerr=half, **bar)
    untrained = 100 * arrays["accuracy"][..., 0].mean()
    axes.axvline(untrained, **DASHED)
    axes.annotate(
        "untrained",
        (untrained, len(methods) - 0.45),
        (3, 0),
        textcoords="offset points",
        fontsize=8,
    )
    mean, half = interval(gain(arrays))
    if np.isfinite(half):
        between = f"{mean - half:.1f} to {mean + half:.1f}"
        axes.set_title(f"DirectPred over learnt: {mean:.1f} points (95 %: {between})")
    axes.set_yticks(range(len(methods)), [NAMES[m] for m in methods])
    axes.set(
        xlabel=f"accuracy of a ridge probe on {int(arrays['n_labels'])} labels  (%)",
        ylim=(len(methods) - 0.4, -0.6),
    )
    return axes


def sweeps(arrays: dict[str, np.ndarray]) -> Figure | None:
    """q and accuracy against ε, weight decay, moving average and predictor's rate; None without ablations."""
    if "eps_values" not in arrays:
        return None
    figure, axes = plt.subplots(2, 4, figsize=(11, 5), sharex="col", sharey="row")
    for (top, bottom), (name, label) in zip(axes.T, SWEEPS.items(), strict=True):
        values = arrays[f"{name}_values"]
        values = 1 - values if name == "average" else values
        place = np.arange(len(values))
        color = HUES["directpred" if name == "eps" else "byol_linear"]
        for panel, what, factor in ((top, "spread", 1), (bottom, "accuracy", 100)):
            ends = factor * arrays[f"{name}_{what}"]
            panel.plot(place, ends, "o", color=color, ms=5, alpha=0.6)
            panel.plot(place, ends.mean(1), color=color)
        bottom.set_xticks(place, [f"{v:.3g}" for v in values])
        bottom.set_xlabel(label)
    axes[0, 0].set(ylabel="spread  $q$", ylim=(0, 1.05))
    axes[1, 0].set_ylabel("accuracy  (%)")
    return figure


def linear_window(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """The linear model: where a small start ends against ε, and what theory says."""
    eps, scale = arrays["linear_eps"], arrays["linear_scale"]
    axes.plot(eps, scale, "o", color=HUES["directpred"], ms=7, label="linear flow")
    fine = np.linspace(0, 1.1 * eps.max(), 400)
    axes.plot(fine, linear_ends(arrays, fine), **DASHED, label="theory")
    axes.set(
        xlabel=r"$\varepsilon$ in  $W_p = F + \varepsilon I$",
        ylabel="feature direction of $W$ at the end",
        ylim=(-0.05, 1),
    )
    axes.legend()
    return axes


def table(arrays: dict[str, np.ndarray], dataset: str) -> Markdown:
    """Ours beside the published numbers.

    Args:
        arrays: of the record; dataset: the name of its data set.
    """
    rows = [
        f"| method | **ours**: {dataset}, q | **ours**: {dataset}, accuracy % "
        "| *theirs*: CIFAR-10, % | *theirs*: STL-10, % |",
        "|---|---|---|---|---|",
    ]
    for method in arrays["methods"].tolist():
        q, accuracy = at_end(arrays, "spread", method), 100 * at_end(arrays, "accuracy", method)
        std = f" ± {accuracy.std(ddof=1):.1f}" if len(accuracy) > 1 else ""
        theirs = (TABLE_8 | TABLE_3).get(method, ("", ""))
        cells = NAMES[method], f"{q.mean():.2f}", f"{accuracy.mean():.1f}{std}", *theirs
        rows.append(f"| {' | '.join(cell or '–' for cell in cells)} |")
    return Markdown("\n".join(rows))

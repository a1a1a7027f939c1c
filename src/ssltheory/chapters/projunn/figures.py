"""Figures and the table of chapter 17."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import THEORY, Look, Markdown, ramp, style
from ssltheory.chapters.projunn.claims import COPIED, FREE, WHOLE, by_rank, speeds
from ssltheory.chapters.projunn.experiment import WAYS
from ssltheory.theory import projunn as theory

T, D, PLAIN, EXPONENTIAL, POLAR = "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7"
WAY = tuple(zip(WAYS, (T, PLAIN, EXPONENTIAL, POLAR), "osD^", strict=True))
NETS = (
    ("projUNN-T, rank 1", T, "-"),
    ("unconstrained, same rate", PLAIN, "-"),
    ("unconstrained, a 4th of it", "#F0A070", "-"),
    ("unconstrained, a 16th of it", "#B8B8B8", "-"),
)


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Why rank one may do, what it costs in speed and saves in time, and what it is good for."""
    style()
    figure, axes = plt.subplots(2, 2, figsize=(9.6, 7.2))
    low_rank(axes[0, 0], arrays)
    law(axes[0, 1], arrays)
    price(axes[1, 0], arrays)
    copying(axes[1, 1], arrays)
    return figure


def low_rank(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Share of the gradient's squared norm in its first k singular directions, over training; bands: range of seeds."""
    share, steps = arrays["gradient_share"].swapaxes(0, 1), arrays["gradient_steps"]
    k = np.arange(1, share.shape[-1] + 1)
    for rows, step, color in zip(share, steps, ramp(len(steps)), strict=True):
        axes.plot(k, rows.mean(0), color=color, lw=1.5, label=f"after {step} steps")
        _range(axes, k, rows, color)
    random, words = arrays["gradient_random"], "random, same\nsize and rank"
    axes.plot(k, random.mean(0), color=THEORY, ls="--", lw=1.2, label=words)
    _range(axes, k, random, THEORY)
    axes.set(xscale="log", ylim=(0, 1.03), xlabel="singular directions  $k$")
    axes.set(ylabel="share of the squared norm", title="(a) a gradient has few directions")
    _ticks(axes, [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= share.shape[-1]])
    axes.legend(fontsize=7.5, loc="lower right")
    return axes


def law(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Loss of the toy against time, a rank a line, bands: range of seeds; dashed: 1 − tanh(f t / 2)."""
    t, losses = arrays["toy_times"], by_rank(arrays, arrays["toy_loss"])
    colors = [*ramp(len(losses) - 1), "#D55E00"]
    for (k, rows), f, color in zip(losses.items(), speeds(arrays).values(), colors, strict=True):
        line, name = (":", k) if k == WHOLE else ("-", f"k = {k}")
        f = f.mean()
        axes.plot(t[1:], rows.mean(0)[1:], line, color=color, label=name, lw=2.4)
        _range(axes, t[1:], rows[:, 1:], color)
        axes.plot(t[1:], theory.remaining(torch.from_numpy(f * t[1:])), "--", color=THEORY, lw=1.0)
    axes.plot([], [], "--", color=THEORY, lw=1.0, label=r"$1 - \tanh(f_k t / 2)$")
    axes.set(xscale="log", ylim=(0, 1.03), xlabel="t = learning rate × step")
    axes.set(ylabel=r"$\Vert U - U_{tar} \Vert_F^2 / 2n$")
    axes.set_title("(b) rank $k$ learns $k$ times as fast")
    ticks = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
    _ticks(axes, [tick for tick in ticks if t[1] <= tick <= t[-1]])
    axes.legend(fontsize=7.5, loc="lower left")
    return axes


def price(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Seconds of a step against the width, minima over the rounds."""
    widths, seconds = arrays["widths"], 1e3 * arrays["step_seconds"]
    for k, (name, color, marker) in enumerate(WAY):
        there = np.isfinite(seconds[:, k, 0])
        least = seconds[there, k].min(-1)
        axes.plot(widths[there], least, f"{marker}-", color=color, ms=5, label=name)
        most = seconds[there, k].max(-1)
        axes.vlines(widths[there], least, most, color=color, lw=1.0)
    axes.set(xscale="log", yscale="log", xlabel="width  $n$", ylabel="milliseconds a step")
    axes.set(title="(c) the price of a step")
    _ticks(axes, widths)
    axes.legend(fontsize=7.5, loc="upper left")
    return axes


def copying(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Loss of the copying task over the trivial one, mean over seeds with its 95 % interval."""
    at, trivial = arrays["copy_steps"], float(arrays["copy_trivial"])
    for loss, (name, color, line) in zip(arrays["copy_loss"], NETS, strict=False):
        rows = loss.astype(float) / trivial
        mean, half = (np.array(v) for v in zip(*map(interval, rows.T), strict=True))
        axes.plot(at, mean, line, color=color, label=name)
        if len(rows) > 2:
            low, high = mean - np.nan_to_num(half), mean + np.nan_to_num(half)
            axes.fill_between(at, low, high, color=color, alpha=0.18, lw=0)
        else:
            axes.plot(at, rows.T, line, color=color, lw=0.7, alpha=0.7)
    axes.axhline(1, color=THEORY, ls="--", lw=1.2)
    for bound in (COPIED, FREE):
        axes.axhline(bound, color=THEORY, ls=":", lw=1.2)
    place: Look = {"fontsize": 8, "va": "bottom", "color": THEORY}
    axes.text(at[-1], 1.01, "trivial answer", ha="right", **place)
    axes.text(at[0], FREE + 0.01, "bounds of the claims", ha="left", **place)
    axes.set(ylim=(0, 1.6), xlim=(0, at[-1]), xlabel="step", ylabel="loss over the trivial loss")
    axes.set(title=f"(d) copying letters over {int(arrays['delay'])} steps")
    axes.legend(fontsize=7.5, loc="upper right")
    return axes


def second_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """Drift off the unitary matrices, speed against rank, and the whole gradient against its flow."""
    style()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.4, 3.7))
    drift(left, arrays)
    speed(middle, arrays)
    whole(right, arrays)
    return figure


def drift(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """‖UᴴU − I‖_F against the step."""
    steps, k = arrays["toy_steps"], int(arrays["drift_rank"])
    ours, published = arrays["drift_error"]
    rows = (
        ("projUNN-D, as published", published, D, ":"),
        ("projUNN-D, small polar factor", ours, D, "-"),
        ("projUNN-T", by_rank(arrays, arrays["toy_error"])[k], T, "-"),
    )
    for name, error, color, line in rows:
        axes.plot(steps[1:], error.T[1:], line, color=color, lw=1.8)
        lost = "" if np.isfinite(error).all() else ": lost"
        axes.plot([], [], line, color=color, label=name + lost)
    axes.set(yscale="log", xlabel="step", ylabel=r"$\Vert U^H U - I \Vert_F$")
    axes.set(title=f"off the unitary matrices, k = {k}")
    axes.legend(fontsize=7.5, loc="upper left")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 100)
    return axes


def speed(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """f_k against k, dots are seeds; dashed: f_1 k."""
    measured, ranks = speeds(arrays), arrays["ranks"]
    axes.plot(ranks, [measured[k] for k in ranks], "o", color=T, ms=5)
    axes.plot(ranks, measured[1].mean() * ranks, "--", color=THEORY, lw=1.2, label="$k f_1$")
    axes.axhline(measured[WHOLE].mean(), color="#D55E00", ls=":", lw=2, label="whole gradient")
    axes.set(xscale="log", yscale="log", xlabel="rank  $k$", ylabel="speed  $f_k$")
    axes.set(title="speed is rank, up to the batch")
    _ticks(axes, ranks)
    axes.legend(fontsize=8)
    return axes


def whole(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Loss under the whole gradient against t, with the flow from the same start and the law of Haar starts."""
    t = arrays["whole_times"]
    axes.plot(t, arrays["whole_loss"].T, color=T, lw=2.4)
    axes.plot([], [], color=T, lw=2.4, label="measured, C = I")
    axes.plot(t, arrays["whole_flow"].T, "--", color=THEORY, lw=1.0)
    axes.plot([], [], "--", color=THEORY, lw=1.0, label="flow from that start")
    axes.plot(t, theory.remaining(torch.from_numpy(t)), ":", color="#D55E00", lw=1.8)
    axes.plot([], [], ":", color="#D55E00", lw=1.8, label=r"$1 - \tanh(t/2)$")
    axes.set(xlabel="t = learning rate × step", ylabel=r"$\Vert U - U_{tar} \Vert_F^2 / 2n$")
    axes.set(ylim=(0, 1.05), title="the whole gradient")
    axes.legend(fontsize=8)
    return axes


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """How long the parts took."""
    rows = ["| part | seconds |", "|---|---|"]
    words = {"toy": "toy, all ranks", "clocks": "clocks", "gradients": "gradients of a network"}
    words |= {f"copy{k}": f"copying task, {net[0]}, all seeds" for k, net in enumerate(NETS)}
    for name, label in words.items():
        if f"{name}_seconds" in arrays:
            rows.append(f"| {label} | {float(arrays[f'{name}_seconds']):.2g} |")
    return Markdown("\n".join(rows))


def _range(axes: Axes, x: np.ndarray, rows: np.ndarray, color: str) -> None:
    axes.fill_between(x, rows.min(0), rows.max(0), color=color, alpha=0.25, lw=0)


def _ticks(axes: Axes, values) -> None:
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()

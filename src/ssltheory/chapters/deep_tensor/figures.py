"""Figures of chapter 18."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssltheory.book.claims import interval
from ssltheory.book.figures import COLORS, THEORY, Look, Markdown, style
from ssltheory.chapters.deep_tensor.claims import METHODS, at_stop, largest_cube, stops

COLOR = {
    "deep": COLORS["barlow_twins"],
    "permuted": COLORS["simclr"],
    "mlp": COLORS["byol"],
    "svd": COLORS["control"],
    "oracle": THEORY,
    "nmf": COLORS["spectral_contrastive"],
    "unet": COLORS["vicreg"],
}
LEVELS = ("Poisson\nτ = 5", "Poisson\nτ = 100", "none", "Gaussian\nσ = 0.2")
OFFICIAL = ("no structure", "piecewise constant")


def main_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """PSNR against iteration, gains against noise, and below one band of the cube."""
    figure = plt.figure(figsize=(9.2, 7.0))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.45, 1))[:, 0]
    left, right = above.subplots(1, 2, width_ratios=(1.55, 1))
    curves(left, arrays)
    gains(right, arrays)
    pictures(below.subplots(1, 4), arrays)
    return figure


def curves(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Mean over seeds with its 95 % interval; lines are what takes no iterations, dots the stops."""
    psnr, at = arrays["main_psnr"].astype(float), stops(arrays, "main")
    names = ("DeepTensor", "rows, columns permuted")
    for k, (key, name) in enumerate(zip(("deep", "permuted"), names, strict=True)):
        mean, half = (np.array(v) for v in zip(*map(interval, psnr[k].T), strict=True))
        step, half = np.arange(len(mean)), np.nan_to_num(half)
        axes.fill_between(step, mean - half, mean + half, color=COLOR[key], alpha=0.18, lw=0)
        axes.plot(step, mean, color=COLOR[key], label=name)
        stopped = at_stop(arrays, "main")[k]
        axes.plot(at[k], stopped, "o", color=COLOR[key], ms=5, mec="white", mew=0.7, zorder=3)
    alone = arrays["pointwise_psnr"][0].astype(float).mean(0)
    axes.plot(alone, color=COLOR["mlp"], lw=1.3, label="no convolution")
    axes.plot([], [], "o", color="#555555", ms=5, label="discrepancy stop, a seed each")
    lines = {
        "oracle": ("SVD, best rank", arrays["main_oracle"][0], "--"),
        "nmf": ("NMF", arrays["nmf"], "-."),
        "svd": ("SVD, same rank", arrays["main_svd"][0], "--"),
    }
    for key, (name, values, dashes) in lines.items():
        axes.axhline(values.mean(), color=COLOR[key], ls=dashes, lw=1.3, label=name)
    low = min(arrays["main_noisy"].mean(), arrays["main_svd"].mean()) - 2
    axes.set(xlabel="iteration", ylabel="PSNR (dB)", ylim=(low, None), xlim=(0, psnr.shape[-1]))
    axes.legend(fontsize=7.5, ncols=2, loc="lower right")
    return axes


def gains(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """dB over the SVD of the same rank (filled) and of the best (open) at each noise."""
    stopped, svd, oracle = (
        np.concatenate([main[:1], other[: len(LEVELS)]])
        for main, other in zip(_three(arrays, "main"), _three(arrays, "levels"), strict=True)
    )
    names = ("Poisson\nτ = 20", *LEVELS)
    order = [1, 0, 2, 4]  # without noise nothing is to be gained: it is told, not drawn
    for place, k in enumerate(order):
        for shift, reference, mark in ((-0.12, svd, "o"), (0.12, oracle, "D")):
            mean, half = interval(stopped[k] - reference[k])
            look: Look = {"fmt": mark, "color": COLOR["deep"], "capsize": 3}
            look |= {"mfc": COLOR["deep"] if mark == "o" else "white"}
            axes.errorbar(place + shift, mean, np.nan_to_num(half), **look)
    axes.axhline(0, color=THEORY, lw=1.0)
    axes.plot([], [], "o", color=COLOR["deep"], label="same rank")
    axes.plot([], [], "D", color=COLOR["deep"], mfc="white", label="best rank")
    axes.legend(fontsize=8, title="over the SVD of the", title_fontsize=8, loc="upper right")
    axes.set(xticks=range(len(order)), xlim=(-0.5, len(order) - 0.5), ylabel="gain (dB)")
    axes.set_xticklabels([names[k] for k in order], fontsize=8)
    text = f"no noise: SVD {svd[3].mean():.0f} dB, DeepTensor {stopped[3].mean():.0f} dB"
    axes.set_title(text, fontsize=8.5)
    return axes


def _three(arrays: dict[str, np.ndarray], part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return at_stop(arrays, part), arrays[f"{part}_svd"], arrays[f"{part}_oracle"]


def pictures(axes: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """One band of the cube: clean, noisy, SVD of the same rank, DeepTensor; PSNR of the whole cube."""
    values = [float(arrays[f"cube_{key}"]) for key in ("noisy", "svd", "psnr")]
    pairs = zip(("noisy", "SVD", "DeepTensor"), values, strict=True)
    names = ["clean", *(f"{name}, {value:.1f} dB" for name, value in pairs)]
    for panel, image, name in zip(axes, arrays["cube_band"].astype(float), names, strict=True):
        panel.imshow(image, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        panel.set_title(name, fontsize=9.5)
        panel.set_axis_off()
    return axes


def second_figure(arrays: dict[str, np.ndarray]) -> Figure:
    """The official signals, the images, and the time of a step."""
    style()
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 3.6), width_ratios=(1, 1, 0.9, 1.1))
    for k, panel in enumerate(axes[:2]):
        official(panel, arrays, k)
    axes[0].legend(fontsize=7.5, loc="lower right")
    images(axes[2], arrays)
    seconds(axes[3], arrays)
    return figure


def official(axes: Axes, arrays: dict[str, np.ndarray], kind: int) -> Axes:
    """PSNR against iteration on one of the official signals; dots are stops, of fits that reached the level."""
    psnr, at = arrays["official_psnr"][kind].astype(float), stops(arrays, "official")[kind]
    mean, half = (np.array(v) for v in zip(*map(interval, psnr.T), strict=True))
    step, half = np.arange(len(mean)), np.nan_to_num(half)
    axes.fill_between(step, mean - half, mean + half, color=COLOR["deep"], alpha=0.18, lw=0)
    axes.plot(step, mean, color=COLOR["deep"], label="DeepTensor, rank 32")
    reached = at < psnr.shape[-1] - 1
    stopped = at_stop(arrays, "official")[kind][reached]
    axes.plot(at[reached], stopped, "o", color=COLOR["deep"], ms=5, mec="white", mew=0.7)
    for key, name in (("oracle", "SVD, best rank"), ("svd", "SVD, rank 32")):
        level = arrays[f"official_{key}"][kind].mean()
        axes.axhline(level, color=COLOR[key], ls="--", lw=1.3, label=name)
    low = arrays["official_svd"][kind].mean() - 1.5
    axes.set(xlabel="iteration", ylim=(low, None), title=OFFICIAL[kind])
    axes.set_ylabel("PSNR (dB)" if kind == 0 else "")
    return axes


def images(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Mosaics of the data set's images: PSNR of each method, dots are seeds."""
    rows = {
        "noisy": ("noisy", arrays["levels_noisy"][-1], "#9a9a9a"),
        "svd": ("SVD\nrank 8", arrays["levels_svd"][-1], COLOR["svd"]),
        "oracle": ("SVD\nbest rank", arrays["levels_oracle"][-1], COLOR["oracle"]),
        "deep": ("Deep-\nTensor", at_stop(arrays, "levels")[-1], COLOR["deep"]),
    }
    for place, (_, values, color) in enumerate(rows.values()):
        mean, half = interval(values)
        axes.plot(np.full(len(values), place), values, ".", color=color, alpha=0.5)
        axes.errorbar(place + 0.2, mean, np.nan_to_num(half), fmt="o", color=color, capsize=3)
    axes.set(xticks=range(len(rows)), xlim=(-0.5, len(rows) - 0.3), title="mosaics of real images")
    axes.set_xticklabels([name for name, *_ in rows.values()], fontsize=7.5)
    axes.set_ylabel("PSNR (dB)")
    return axes


def seconds(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """Seconds of a step against the side of the cube."""
    sides, took, keys = arrays["step_sides"], arrays["step_seconds"], ("deep", "nmf", "unet")
    for name, key, values in zip(METHODS, keys, took.T, strict=True):
        axes.loglog(sides, values, "o-", color=COLOR[key], label=name, ms=5)
    axes.set(xlabel="side of the cube", ylabel="seconds a step", xticks=sides, title="time")
    axes.set_xticklabels([str(side) for side in sides])
    axes.xaxis.minorticks_off()
    side, on_largest = largest_cube(arrays)
    three, unet = on_largest["three 1-D nets"], on_largest["3-D U-Net"]
    axes.text(side, (three * unet) ** 0.5, f"×{unet / three:.0f} ", ha="right", fontsize=9)
    axes.legend(fontsize=7.5, loc="upper left")
    return axes


def table(arrays: dict[str, np.ndarray]) -> Markdown:
    """What each part of the chapter took."""
    rows = ["| part | fits side by side | iterates | seconds |", "|---|---|---|---|"]
    columns = (arrays[f"part_{key}"].tolist() for key in ("names", "members", "steps", "seconds"))
    lines = (f"| {a} | {b} | {c} | {d:.3g} |" for a, b, c, d in zip(*columns, strict=True))
    return Markdown("\n".join([*rows, *lines]))

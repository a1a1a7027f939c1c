"""Cost against size: what was measured, and the model that knows the smaller sizes alone."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ssltheory.book.capacity import Curve
from ssltheory.book.figures import COLORS, THEORY, style


def main_figure(curves: list[Curve]) -> Figure:
    """One panel a curve, seconds against size on logarithmic axes."""
    style()
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 6.0))
    for ax, curve in zip(axes.flat, curves, strict=False):
        sizes, seconds = np.array(curve.sizes), np.array(curve.seconds)
        known = len(sizes) - curve.held_out
        fine = np.geomspace(sizes[0], 2 * sizes[-1], 100)
        color = COLORS["barlow_twins"]
        ax.loglog(fine, [curve.foretold(s) for s in fine], "--", color=THEORY, label="model")
        ax.loglog(sizes[:known], seconds[:known], "o", color=color, label="measured, fitted")
        hollow = {"mfc": "white", "color": color, "label": "measured, held out"}
        ax.loglog(sizes[known:], seconds[known:], "s", **hollow)
        ax.set(title=curve.name, xlabel=curve.unit, ylabel="seconds")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    for ax in axes.flat[len(curves) :]:
        ax.axis("off")
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure

"""The sliders of chapter 04, and what they show where they start."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ssltheory.book.explorers import DOTTED, Explorer, Slider
from ssltheory.book.figures import THEORY
from ssltheory.chapters.no_collapse.figures import DASHED
from ssltheory.theory import directpred

EXPLORER = Explorer(
    ("directpred.js",),
    (
        Slider("weight_decay", "weight decay η", 0, 0.3, 0.005, 0.17),
        Slider("noise", "augmentation σ<sup>2</sup>", 0, 1, 0.05, 0.25),
        Slider("tau", "target τ, below 1 in a moving average that lags", 0.2, 1, 0.05, 1),
        Slider("alpha_p", "predictor’s learning rate α<sub>p</sub>", 0.5, 5, 0.1, 1),
        Slider("p_0", "start p(0)", -0.25, 1.1, 0.01, 0.1),
        Slider("s_0", "start s(0)", 0.01, 1, 0.01, 0.15),
    ),
    "The plane of p and s with its flow. A shaded basin on the left and along the bottom runs to the origin; "
    "outside it streamlines fall onto a parabola and along it to one resting point. A dashed curve leads from a "
    "ring, the start, to where it ends.",
    "The basin of collapse (shaded), the parabola s = p<sup>2</sup>/α<sub>p</sub> (dotted), the resting points "
    "0 and p<sub>+</sub> (dots), the saddle p<sub>−</sub> (cross), and the way of one start (ring, dashed); tap "
    "the plane to move it. All of it is theory; the ways are integrated numerically.",
)


def picture(p_0: float, s_0: float, **settings: float) -> Figure:
    """The plane of (p, s), its fixed points, the basin of collapse, and where one start goes."""
    figure, axes = plt.subplots(figsize=(7.2, 4.6))
    p, s = np.meshgrid(np.linspace(-0.25, 1.1, 150), np.linspace(1e-3, 1, 150))
    dead = ~directpred.survives(p, s, **settings)
    axes.contourf(p, s, dead, levels=[0.5, 1.5], colors=["#f3d3bf"])
    d_p, d_s, _ = directpred.mode_velocity(p, s, **settings)
    axes.streamplot(p, s, d_p, d_s, color="#c4c4c4", linewidth=0.6, arrowsize=0.7)
    axes.plot(p[0], p[0] ** 2 / settings["alpha_p"], **DOTTED | {"color": THEORY})
    way = directpred.mode_flow(p_0, s_0, np.linspace(0, 60, 600), **settings)
    axes.plot(way.p, way.s, **DASHED | {"lw": 2})
    axes.plot(p_0, s_0, "o", color="white", mec=THEORY, ms=8)
    points = directpred.fixed_points(**settings)
    axes.plot(
        [0, float(points.p_plus)], [0, float(points.s_plus)], "o", color=THEORY, ms=8, clip_on=False
    )
    axes.plot(points.p_minus, points.p_minus**2 / settings["alpha_p"], "X", color=THEORY, ms=8)
    axes.set(
        xlim=(-0.25, 1.1),
        ylim=(0, 1),
        xlabel="eigenvalue of the predictor  $p$",
        ylabel="eigenvalue of the embedding's moment  $s$",
    )
    axes.grid(False)
    return figure

"""The sliders of chapter 08, and what they show where they start."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from ssltheory.book.explorers import SPECTRUM, Explorer, Slider
from ssltheory.book.figures import COLORS, THEORY
from ssltheory.theory import preconditioned, stepwise

EXPLORER = Explorer(
    ("stepwise.js", "preconditioned.js"),
    (
        Slider("exponent", SPECTRUM, 0, 3, 0.05, 2),
        Slider("dim", "dimension <i>d</i>", 1, 12, 1, 10),
        Slider("init_scale", "initial scale α", -12, -1, 0.5, -5, log=True),
        Slider("eps_left", "ε on the left", -4, 1, 0.25, -1, log=True),
        Slider("eps_right", "ε on the right", -4, 1, 0.25, -2, log=True),
    ),
    "Loss over logarithmic time, four curves. The plain one is a staircase that comes down last; those with a "
    "preconditioner on the left or on the right and that of the log-det loss come down earlier.",
    "The loss in gradient flow: plain, under the left and the right preconditioner, and of the log-det loss. All "
    "of it is theory, from an aligned start; nothing is measured. Time is that of the flow: what a recipe costs in "
    "stability, when steps are taken, is not seen.",
)


def picture(
    exponent: float, dim: float, init_scale: float, eps_left: float, eps_right: float
) -> Figure:
    """The loss under three recipes and without any, for γ_j = j^−exponent."""
    gamma = torch.arange(1, int(dim) + 1, dtype=torch.float64) ** -exponent
    start = torch.diag(torch.full_like(gamma, init_scale))
    plain = stepwise.linear_barlow_twins(torch.diag(gamma), int(dim), w0=start)
    whitened, scaled = preconditioned.whiten(gamma, start, eps_right)
    right = stepwise.linear_barlow_twins(torch.diag(whitened), int(dim), w0=scaled)
    left = preconditioned.left(gamma, start.diagonal(), eps_left)
    log_det = preconditioned.log_det(gamma, start.diagonal())
    longest = float(plain.step_times[-1] + 10 / (8 * gamma[-1]))
    times = torch.logspace(np.log10(0.05), np.log10(longest), 400)
    figure, axes = plt.subplots()
    for name, solution, color, dash in (
        ("plain", plain, THEORY, "--"),
        ("left", left, COLORS["barlow_twins"], (0, (7, 2))),
        ("right", right, COLORS["simclr"], ":"),
        ("log-det", log_det, COLORS["vicreg"], "-."),
    ):
        axes.plot(times, solution.loss(times), color=color, ls=dash, label=name)
    axes.set(xscale="log", xlim=times[[0, -1]], xlabel="time  t of the gradient flow")
    axes.set(ylabel=r"loss  $\|C - I\|_F^2$")
    axes.legend(loc="lower left")
    return figure

"""The sliders of chapter 01, and what they show where they start."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from ssltheory.book.explorers import DASHED, DOTTED, SPECTRUM, Explorer, Slider
from ssltheory.book.figures import ramp
from ssltheory.chapters.linear_staircase.figures import TIME
from ssltheory.theory import stepwise

EXPLORER = Explorer(
    ("stepwise.js",),
    (
        Slider("exponent", SPECTRUM, 0, 3, 0.05, 2),
        Slider("dim", "dimension <i>d</i>", 1, 12, 1, 10),
        Slider("init_scale", "initial scale α", -12, -1, 0.5, -7, log=True),
        Slider(
            "lr_fraction", "learning rate, of its limit 1/4γ<sub>1</sub>", 0.01, 0.99, 0.01, 0.1
        ),
    ),
    "Two stacked plots over logarithmic time. Top: the loss comes down a staircase from d to zero. "
    "Bottom: the eigenvalues of C rise from zero to one, one after another, and dotted lines mark where each "
    "passes one half.",
    "Loss (top, over steps) and eigenvalues of <i>C</i> (bottom, over time); dotted lines mark the step times "
    "τ<sub>j</sub>. All of it is theory, from an aligned start; nothing is measured.",
)


def picture(exponent: float, dim: float, init_scale: float, lr_fraction: float) -> Figure:
    """Loss and eigenvalues over time, for γ_j = j^−exponent."""
    gamma = torch.arange(1, int(dim) + 1, dtype=torch.float64) ** -exponent
    solution = stepwise.linear_barlow_twins(
        torch.diag(gamma), int(dim), init_scale=init_scale, lr=lr_fraction / (4 * float(gamma[0]))
    )
    tau = solution.step_times
    settled = tau[-1] + 10 / (8 * solution.growth[-1])
    first, last = torch.log10(torch.stack([tau[0] / 2, settled])).tolist()
    times = torch.logspace(first, last, 500)
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7.2, 5.0))
    for axes in (above, below):
        for t in tau:
            axes.axvline(float(t), **DOTTED)
    above.plot(times, solution.loss(times), **DASHED)
    for p, color in zip(solution.eigenvalues(times).T, ramp(int(dim)), strict=True):
        below.plot(times, p, **DASHED | {"color": color})
    above.set(ylabel=r"loss  $\|C - I\|_F^2$")
    below.set(
        ylabel=r"eigenvalues of $C$",
        xlabel=TIME,
        xscale="log",
        xlim=times[[0, -1]],
    )
    return figure

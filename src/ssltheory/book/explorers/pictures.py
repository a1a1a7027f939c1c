"""What an explorer shows at the starts of its sliders, drawn from the Python closed form."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from ssltheory.book import explorers, figures
from ssltheory.book.figures import COLORS, THEORY, ramp
from ssltheory.chapters.linear_staircase import figures as linear_staircase
from ssltheory.chapters.no_collapse import figures as no_collapse
from ssltheory.theory import directpred, preconditioned, stepwise

DASHED: figures.Look = {"color": THEORY, "ls": "--", "lw": 1.6}
DOTTED: figures.Look = {"color": "#9a9a9a", "lw": 1.1, "ls": (0, (1, 2))}


def save(chapter: str, path: Path) -> None:
    """Write the picture of the chapter's explorer."""
    values = {slider.name: slider.value for slider in explorers.EXPLORERS[chapter].sliders}
    figures.style()
    figures.write(PICTURES[chapter](**values), path)


def staircase(exponent: float, dim: float, init_scale: float, lr_fraction: float) -> Figure:
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
        xlabel=linear_staircase.TIME,
        xscale="log",
        xlim=times[[0, -1]],
    )
    return figure


def plane(p_0: float, s_0: float, **given: float) -> Figure:
    """The plane of (p, s), its fixed points, the basin of collapse, and where one start goes."""
    figure, axes = plt.subplots(figsize=(7.2, 4.6))
    p, s = np.meshgrid(np.linspace(-0.25, 1.1, 150), np.linspace(1e-3, 1, 150))
    dead = ~directpred.survives(p, s, **given)
    axes.contourf(p, s, dead, levels=[0.5, 1.5], colors=["#f3d3bf"])
    d_p, d_s, _ = directpred.mode_velocity(p, s, **given)
    axes.streamplot(p, s, d_p, d_s, color="#c4c4c4", linewidth=0.6, arrowsize=0.7)
    axes.plot(p[0], p[0] ** 2 / given["alpha_p"], **DOTTED | {"color": THEORY})
    way = directpred.mode_flow(p_0, s_0, np.linspace(0, 60, 600), **given)
    axes.plot(way.p, way.s, **no_collapse.DASHED | {"lw": 2})
    axes.plot(p_0, s_0, "o", color="white", mec=THEORY, ms=8)
    points = directpred.fixed_points(**given)
    axes.plot(
        [0, float(points.p_plus)], [0, float(points.s_plus)], "o", color=THEORY, ms=8, clip_on=False
    )
    axes.plot(points.p_minus, points.p_minus**2 / given["alpha_p"], "X", color=THEORY, ms=8)
    axes.set(
        xlim=(-0.25, 1.1),
        ylim=(0, 1),
        xlabel="eigenvalue of the predictor  $p$",
        ylabel="eigenvalue of the embedding's moment  $s$",
    )
    axes.grid(False)
    return figure


def recipes(
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


PICTURES: dict[str, Callable[..., Figure]] = {
    "01-linear-staircase": staircase,
    "04-no-collapse": plane,
    "08-faster-ssl": recipes,
}

"""Signals, noise, and the references for a factorisation by networks (chapter 18).

Signals are matrices and cubes of low rank in [0, 1]. References are the truncated SVD at a given rank and at the
best one, non-negative matrix factorisation, free factors under gradient descent, factors from networks without
convolution, and a 3-D U-Net for the time of a step. Leading axes of matrices are repetitions.
"""

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import NMF
from torch import Generator, Tensor, nn

from ssltheory.deep_tensor import factorize

# Signals


def smooth(side: int, rank: int, generator: Generator) -> Tensor:
    """A matrix ``(side, side)`` of the given rank with smooth, non-negative factors; its largest entry is 1.

    Each factor is the sum of three Gaussian bumps, with centres uniform in [0, 1] and widths uniform in [0.03, 0.12] of
    the axis (widths ours).
    """
    return _largest_one(_bumps(side, rank, generator).mT @ _bumps(side, rank, generator))


def gaussian(side: int, rank: int, generator: Generator) -> Tensor:
    """The official signal without structure: factors N(0, 1), with their product min-max scaled to [0, 1]."""
    return _min_max(
        _normal(side, rank, generator=generator) @ _normal(rank, side, generator=generator)
    )


def piecewise(side: int, rank: int, generator: Generator, jumps: int = 10) -> Tensor:
    """The official piecewise constant signal: the cumulated sum of ten random jumps in each factor; min-max scaled."""

    def factor() -> Tensor:
        at = torch.rand(rank, side, generator=generator, device=generator.device).argsort(1)
        heights = _normal(rank, side, generator=generator)
        return torch.where(at < jumps, heights, 0.0).cumsum(1)

    return _min_max(factor().mT @ factor())


def voronoi_cube(side: int, bands: int, materials: int, generator: Generator) -> Tensor:
    """A toy hyperspectral image ``(side, side, bands)``: cells of the plane, each with one smooth spectrum.

    Each material has four cells; its spectrum is three bumps as in ``smooth``. The largest entry is 1.
    """
    random: dict[str, Any] = {"generator": generator, "device": generator.device}
    seeds = torch.rand(4 * materials, 2, **random)
    at = (torch.arange(side, device=generator.device) + 0.5) / side
    nearest = torch.cdist(torch.cartesian_prod(at, at), seeds).argmin(1)
    spectra = _bumps(bands, materials, generator)
    return _largest_one(spectra[nearest % materials].view(side, side, bands))


# Noise


def observe(
    x: Tensor, kind: str, level: float, generator: Generator, readout: float = 2.0
) -> tuple[Tensor, Tensor]:
    """A noisy observation and its expected squared error, which is computed from the observation alone.

    ``"poisson"``: y = (Poisson(τx) + ρ N(0, 1)) / τ with τ = ``level`` and ρ = ``readout``. Its variance is
    x / τ + (ρ / τ)², whose mean is estimated by mean(y) / τ + (ρ / τ)². ``"gaussian"``: y = x + σ N(0, 1).

    Args:
        x: ``(..., n, m)``, not below 0 for Poisson noise; the mean is over the last two axes.
        kind: ``"poisson"`` or ``"gaussian"``.
        level: τ, infinite for no noise, or σ.
        generator: on the device of x.
        readout: ρ, in counts.

    Returns:
        y with the shape of x, and the expected squared error of an entry, ``(...)``.
    """
    normal = torch.randn(x.shape, generator=generator, device=x.device)
    if kind == "gaussian":
        return x + level * normal, torch.full(x.shape[:-2], level**2, device=x.device)
    if math.isinf(level):
        return x.clone(), torch.zeros(x.shape[:-2], device=x.device)
    y = (torch.poisson(level * x, generator=generator) + readout * normal) / level
    return y, y.mean((-2, -1)) / level + (readout / level) ** 2


def psnr(x: Tensor, estimate: Tensor) -> Tensor:
    """10 log10(1 / MSE) in dB over the last two axes, for signals in [0, 1]: ``(..., n, m)`` to ``(...)``.

    The official code has max(x) instead of 1, not its square; for these signals that is the same.
    """
    return -10 * (x - estimate).double().square().mean((-2, -1)).log10()


# References


def truncated_svd(y: Tensor, rank: int) -> Tensor:
    """The matrix of the given rank nearest to y, ``(..., n, m)``, float64."""
    u, s, vt = torch.linalg.svd(y.double(), full_matrices=False)
    return (u[..., :rank] * s[..., None, :rank]) @ vt[..., :rank, :]


def oracle_svd(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The best PSNR among all truncated SVDs of y, chosen with the clean x, and its rank: each ``(...)``."""
    u, s, vt = torch.linalg.svd(y.double(), full_matrices=False)
    estimate, ratios = torch.zeros_like(y, dtype=torch.float64), []
    for k in range(s.shape[-1]):
        estimate = estimate + s[..., k, None, None] * u[..., k, None] * vt[..., None, k, :]
        ratios.append(psnr(x, estimate))
    best, at = torch.stack(ratios).max(0)
    return best, at + 1


def nmf(y: Tensor, rank: int, seed: int = 0) -> Tensor:
    """scikit-learn's non-negative factorisation of y clipped at 0, ``(..., n, m)``."""
    rows = y.clamp(min=0).cpu().double().numpy().reshape(-1, *y.shape[-2:])
    estimates = []
    for one in rows:
        model = NMF(rank, init="nndsvda", max_iter=1000, tol=1e-3, random_state=seed)
        estimates.append(model.fit_transform(one) @ model.components_)
    return torch.from_numpy(np.stack(estimates)).reshape(y.shape).to(y.device)


def free_factors(y: Tensor, rank: int, generator: Generator, steps: int = 300) -> Tensor:
    """U V after descent on ‖y − U V‖² without any network: L-BFGS, float64, ``(..., n, m)``."""
    shapes = (*y.shape[:-1], rank), (*y.shape[:-2], rank, y.shape[-1])
    random: dict[str, Any] = {"generator": generator, "device": y.device, "dtype": torch.float64}
    u, v = (torch.randn(shape, **random).div_(10).requires_grad_() for shape in shapes)
    optimizer = torch.optim.LBFGS(
        [u, v], max_iter=steps, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def squared_distance() -> Tensor:
        optimizer.zero_grad()
        loss = (y - u @ v).square().sum()
        loss.backward()
        return loss

    optimizer.step(squared_distance)
    return (u @ v).detach()


def pointwise(members: int, rank: int, lengths: Sequence[int], channels: int) -> nn.Sequential:
    """Factor networks that see no neighbours: four layers on each entry of z alone, with BatchNorm between them."""
    convolution, norm = (
        (nn.Conv1d, nn.BatchNorm1d) if len(lengths) == 1 else (nn.Conv2d, nn.BatchNorm2d)
    )
    layers: list[nn.Module] = []
    width = rank
    for _ in range(3):
        layers += [convolution(members * width, members * channels, 1, groups=members)]
        layers += [norm(members * channels, track_running_stats=False), nn.LeakyReLU(0.2)]
        width = channels
    return nn.Sequential(*layers, convolution(members * width, members * rank, 1, groups=members))


class UNet3d(nn.Module):
    """The usual 3-D U-Net for the whole cube, ``(1, 1, n, n, n)`` to the same: three scales, two 3³ convolutions each.

    Channels double from scale to scale, and BatchNorm and ReLU follow every convolution. (The sizes are ours: we could
    not read with which 3-D network the paper compares its time.)
    """

    def __init__(self, width: int = 16, scales: int = 3) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(scales)]
        self.down = nn.ModuleList(
            _pair(into, out) for into, out in zip([1, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(_pair(low + high, high) for high, low in pairwise(widths))
        self.last = nn.Conv3d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for k, pair in enumerate(self.down):
            x = pair(F.max_pool3d(x, 2) if k else x)
            skips.append(x)
        for pair, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode="trilinear")
            x = pair(torch.cat([x, skip], 1))
        return self.last(x)


def step_seconds(side: int, rank: int, rounds: int, device: torch.device) -> Tensor:
    """Seconds of a step of gradient descent on a cube of the given side, the least of interleaved rounds: ``(3,)``.

    The three are three 1-D networks, a 2-D and a 1-D network (all of ``rank``, 32 channels), and a 3-D U-Net of width
    16.
    """
    y = torch.rand(side, side, side, generator=Generator().manual_seed(0)).to(device)
    net, z = UNet3d().to(device), torch.rand(1, 1, *y.shape, device=device) / 10
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def unet(tick: Callable[[int, Tensor | None], None]) -> None:
        for step in range(2):
            tick(step, None)
            optimizer.zero_grad()
            (net(z)[0, 0] - y).square().mean().backward()
            optimizer.step()
        tick(2, None)

    def factors(*axes: list[int]) -> Callable:
        return lambda tick: factorize(y, rank, axes, steps=4, callback=tick)

    contenders = factors([0], [1], [2]), factors([0, 1], [2]), unet
    least = [math.inf] * len(contenders)
    for _ in range(rounds):
        for k, contender in enumerate(contenders):
            ticks: list[float] = []

            def tick(step: int, estimate: Tensor | None, ticks: list[float] = ticks) -> None:
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                ticks.append(time.perf_counter())

            contender(tick)
            least[k] = min(least[k], *(b - a for a, b in pairwise(ticks)))
    return torch.tensor(least, dtype=torch.float64)


def _pair(into: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (into, out):
        layers += [nn.Conv3d(width, out, 3, padding=1), nn.BatchNorm3d(out), nn.ReLU()]
    return nn.Sequential(*layers)


def _bumps(side: int, rank: int, generator: Generator) -> Tensor:
    random: dict[str, Any] = {"generator": generator, "device": generator.device}
    at = torch.linspace(0, 1, side, device=generator.device)
    centre, width = torch.rand(2, rank, 3, 1, **random)
    width = 0.03 + 0.09 * width
    return torch.exp(-((at - centre) ** 2) / (2 * width**2)).sum(1)


def _normal(*shape: int, generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _largest_one(x: Tensor) -> Tensor:
    return x / x.amax()


def _min_max(x: Tensor) -> Tensor:
    return (x - x.amin()) / (x.amax() - x.amin())

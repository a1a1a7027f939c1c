"""A noisy matrix or tensor as a product of untrained networks' outputs: DeepTensor (saragadam2022deeptensor).

    from ssltheory.deep_tensor import factorize

    found = factorize(y, rank=8, noise_variance=0.01)  # y: a noisy matrix
    clean, (u, v) = found.estimate, found.factors

Only y itself is learnt from: there are no clean data and no training set. Each factor is the output of a randomly
initialised convolutional encoder-decoder for a random input. It fits what neighbours have in common first and noise
last, so that stopping in time is the regulariser. The lengths of the axes and the units of y are free. Convolution
along an axis makes sense if neighbours on it resemble each other.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ssltheory.errors import InputError, RunError
from ssltheory.progress import track

KINDS = {1: (nn.Conv1d, nn.BatchNorm1d, "linear"), 2: (nn.Conv2d, nn.BatchNorm2d, "bilinear")}
SCALES, SKIP, SLOPE = 5, 4, 0.2  # official: scales, channels that skip the scales below, LeakyReLU
SHORTEST = 3  # axis: one scale leaves two entries of it, the fewest that BatchNorm takes
LOOK = 25  # steps between two checks whether all have stopped: each waits for the GPU

#: ``(members, rank, lengths, channels)`` -> a module that takes and returns ``(1, members * rank, *lengths)``.
Network = Callable[[int, int, Sequence[int], int], nn.Module]


@dataclass(frozen=True)
class Factorization:
    """What ``factorize`` found. For several arrays at once, everything has a leading axis of members.

    Attributes:
        estimate: of the shape of y, in its units.
        factors: one for each group of axes, ``(*lengths, rank)``; their products, summed over the rank, are the
            estimate.
        history: ``(iterates,)`` mean squared distance of each iterate from y, in the units of y squared, the untrained
            one first.
        step: int64 ``()``, the iterate that was kept.
        stopped: bool ``()``, whether the level of the noise was reached.
    """

    estimate: Tensor
    factors: tuple[Tensor, ...]
    history: Tensor
    step: Tensor
    stopped: Tensor


def factorize(
    y: Any,
    rank: int,
    axes: Sequence[Sequence[int]] | None = None,
    *,
    noise_variance: float | Tensor | None = None,
    steps: int = 1000,
    lr: float = 1e-3,
    loss: Literal["l2", "l1"] = "l2",
    nonnegative: bool | Sequence[bool] = False,
    input_noise: float = 0.0,
    channels: int = 32,
    network: Network | None = None,
    seed: int | Sequence[int] = 0,
    device: str | torch.device | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Factorization:
    """Fit the outputs of untrained networks to one noisy array: y ≈ Σ_r u_r ∘ v_r (∘ w_r).

    Each group of axes has its own network, whose r output channels are the factors along it, and its own input z,
    uniform in [0, 0.1]. Adam minimises the distance from y over all parameters and inputs. The iterate nearest to y is
    kept, as in the official code, or, with ``noise_variance``, the first whose mean squared distance from y is not
    above it (the discrepancy stop, ours).

    Args:
        y: two axes or more, a tensor or anything that can become one; with several seeds ``(members, ...)``.
        rank: r, the number of terms.
        axes: which axes share a network, one or two each: ``[[0], [1]]`` for a matrix, ``[[0], [1], [2]]`` for CP,
            ``[[0, 1], [2]]`` for image × spectrum. None: each axis has its own. The axis of members does not count.
        noise_variance: expected squared error of an entry of y, a number or ``(members,)``. For Gaussian noise σ²; for
            (Poisson(τx) + ρ N(0, 1)) / τ it is mean(y) / τ + (ρ / τ)². None: no stop, all steps are done.
        steps: the most iterates.
        lr: learning rate of Adam.
        loss: mean squared or mean absolute distance from y.
        nonnegative: softplus behind the networks; one value for all of them or one for each.
        input_noise: standard deviation of the noise added to z at every step (official for images: 1/30).
        channels: of every layer (official: 128).
        network: builds the networks instead of ``encoder_decoder``.
        seed: of the start. With several, y holds as many arrays along a leading axis, which are fitted side by side,
            each as it would be alone. On one CPU core, 16 matrices of 64 × 64 took a quarter of the time that they
            take one after another.
        device: where to compute; None: where y is. The result is there.
        callback: called with every iterate, ``(step, estimate)``.

    Returns:
        The estimate, the factors and the history.

    Raises:
        InputError: for a NaN in y, a complex y, an axis too short, axes or a rank that do not fit, or a setting out
            of range.
        RunError: if the distance from y becomes infinite or NaN.

    Examples:
        >>> y = torch.outer(torch.linspace(1, 2, 8), torch.linspace(1, 3, 6))  # no noise, rank 1
        >>> found = factorize(y, rank=1, steps=20, channels=4)
        >>> u, v = found.factors
        >>> torch.allclose(u @ v.mT, found.estimate, atol=1e-4)
        True
        >>> bool(found.history[found.step] < found.history[0])
        True
        >>> factorize(y, rank=1, channels=4, noise_variance=1e3).step.item()  # already in the noise
        0
    """
    alone = not isinstance(seed, Iterable)
    seeds = list(seed) if isinstance(seed, Iterable) else [seed]
    y = torch.as_tensor(y, device=device)
    if y.is_complex():
        raise InputError(f"y is {y.dtype}: factorise its real and its imaginary part")
    y = y.float()
    y = y.unsqueeze(0) if alone else y
    groups = _groups(y, seeds, axes)
    lengths = [[y.shape[1 + axis] for axis in group] for group in groups]
    positive = [nonnegative] * len(groups) if isinstance(nonnegative, bool) else nonnegative
    _check(lengths, rank, steps, lr, loss, positive, input_noise, channels)

    order = [axis for group in groups for axis in group]
    target = y.permute(0, *(1 + axis for axis in order))
    ordered = target.shape
    target = target.reshape(len(seeds), -1, prod(lengths[-1]))
    rms = target.square().mean((1, 2), keepdim=True).sqrt()
    unit = torch.where(rms > 0, 2 * rms, 1.0)  # in which y is like an image in [0, 1]
    target = target / unit

    def array(factors: Sequence[Tensor]) -> Tensor:
        x = (unit * product(factors)).view(ordered)
        x = x.permute(0, *(1 + order.index(axis) for axis in range(len(order))))
        return x[0] if alone else x

    build = network or encoder_decoder
    with torch.random.fork_rng(devices=[]):  # PyTorch's own draws, which are replaced
        nets = [build(len(seeds), rank, length, channels) for length in lengths]
    model = _Factors(nets, lengths, rank, positive, seeds).to(y.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    draws = [Generator(y.device).manual_seed(s) for s in seeds]
    best = _Best(_level(noise_variance, unit))
    with track(steps, "DeepTensor") as bar:
        for step in range(steps):
            factors = model(input_noise, draws)
            x = product(factors)
            mse = (x - target).square().mean((1, 2))
            best.update(mse.detach(), [u.detach() for u in factors])
            if callback is not None:
                callback(step, array([u.detach() for u in factors]))
            bar.update()
            if best.done:
                break
            distance = mse if loss == "l2" else (x - target).abs().mean((1, 2))
            optimizer.zero_grad()
            distance.sum().backward()
            optimizer.step()
    history = torch.stack(best.history, 1) * unit[:, 0].square()
    if not history.isfinite().all():
        first = int((~history.isfinite()).any(0).nonzero()[0])
        raise RunError(f"the distance from y became infinite at step {first}: take lr below {lr:g}")
    scaled = [unit * best.factors[0], *best.factors[1:]]
    pairs = zip(scaled, lengths, strict=True)
    tall = [u.mT.reshape(len(seeds), *length, rank) for u, length in pairs]
    if alone:
        tall, history = [u[0] for u in tall], history[0]
    at, stopped = (part[0] if alone else part for part in (best.step, ~best.running))
    return Factorization(array(best.factors), tuple(tall), history, at, stopped)


def product(factors: Sequence[Tensor]) -> Tensor:
    """Σ_r u_r ∘ v_r (∘ w_r) of factors ``(members, rank, entries)``, as a matrix: rows run along the last factor."""
    *others, last = factors
    rows = reduce(lambda u, v: (u.unsqueeze(-1) * v.unsqueeze(-2)).flatten(-2), others)
    return rows.mT @ last


def stop_step(history: Tensor, noise_variance: float | Tensor) -> Tensor:
    """The discrepancy stop: the first iterate whose squared distance from y is not above the noise's, or the last.

    Args:
        history: ``(..., iterates)``.
        noise_variance: a number or ``(...)``.

    Returns:
        int64 ``(...)``.
    """
    level = torch.as_tensor(noise_variance, device=history.device)
    below = history <= level.unsqueeze(-1)
    return torch.where(below.any(-1), below.int().argmax(-1), history.shape[-1] - 1)


def encoder_decoder(
    members: int, rank: int, lengths: Sequence[int], channels: int = 32
) -> nn.Sequential:
    """The official default, a convolutional encoder-decoder with skips, for several members side by side.

    It has up to five scales, each with a convolution of stride 2 and one of stride 1 on the way down, and two on the
    way up; four channels skip the scales below. Edges are reflected, and every convolution but the last, which is
    linear, is followed by BatchNorm over the entries and LeakyReLU. The official network takes only multiples of 32
    from 64 on. So, unlike there, as many scales are used as leave two entries of the shortest axis, and odd lengths
    are rounded up on the way down and interpolated back on the way up.

    Args:
        members: number of networks, which share nothing.
        rank: channels of input and output.
        lengths: of the one or two axes.
        channels: of every layer between.

    Returns:
        A module from ``(1, members * rank, *lengths)`` to the same.
    """
    scales = min(SCALES, (min(lengths) - 1).bit_length() - 1)
    below: nn.Module = nn.Identity()
    for scale in reversed(range(scales)):
        below = _Scale(members, channels if scale else rank, channels, len(lengths), below)
    convolution, _, _ = KINDS[len(lengths)]
    last = convolution(members * channels, members * rank, 1, groups=members)
    return nn.Sequential(below, last)


class _Scale(nn.Module):
    """One scale and all below it: ``(1, members * channels_in, ...)`` to ``(1, members * channels, ...)``."""

    def __init__(
        self, members: int, channels_in: int, channels: int, axes: int, below: nn.Module
    ) -> None:
        super().__init__()
        convolution, norm, self.mode = KINDS[axes]
        self.members = members

        def layer(into: int, out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
            sizes = members * into, members * out, kernel, stride, kernel // 2
            edges: Literal["reflect", "zeros"] = "reflect" if kernel > 1 else "zeros"
            conv = convolution(*sizes, groups=members, padding_mode=edges)
            return [conv, *normed(out), nn.LeakyReLU(SLOPE)]

        def normed(width: int) -> list[nn.Module]:
            return [norm(members * width, track_running_stats=False)]

        self.skip = nn.Sequential(*layer(channels_in, SKIP, 1))
        down = layer(channels_in, channels, stride=2) + layer(channels, channels)
        self.down = nn.Sequential(*down, below)
        wide = SKIP + channels
        up = normed(wide) + layer(wide, channels) + layer(channels, channels, 1)
        self.up = nn.Sequential(*up)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        deep = F.interpolate(self.down(x), size=size, mode=self.mode)
        parts = [part.view(self.members, -1, *size) for part in (self.skip(x), deep)]
        return self.up(torch.cat(parts, 1).view(1, -1, *size))


class _Factors(nn.Module):
    """All that is trained: networks, inputs and, from three groups on, the core c_r of CP."""

    def __init__(
        self,
        nets: Sequence[nn.Module],
        lengths: Sequence[Sequence[int]],
        rank: int,
        positive: Sequence[bool],
        seeds: Sequence[int],
    ) -> None:
        super().__init__()
        self.nets, self.positive, self.shape = nn.ModuleList(nets), positive, (len(seeds), rank)
        members = len(seeds)
        draws = [Generator().manual_seed(s) for s in seeds]
        for net in nets:
            _initialise(net, draws)
        shapes = [(members * rank, *length) for length in lengths]
        inputs = [0.1 * _drawn(torch.rand, shape, draws) for shape in shapes]
        self.z = nn.ParameterList([nn.Parameter(z.unsqueeze(0)) for z in inputs])
        self.core = nn.Parameter(torch.ones(members, rank, 1)) if len(nets) > 2 else None

    def forward(self, noise: float, draws: Sequence[Generator]) -> list[Tensor]:
        """``(members, rank, entries)`` for each group; the first includes the core."""
        factors = []
        for net, z, positive in zip(self.nets, self.z, self.positive, strict=True):
            if noise:
                z = z + noise * _drawn(torch.randn, z.shape[1:], draws)
            u = net(z).reshape(*self.shape, -1)
            factors.append(F.softplus(u) if positive else u)
        return factors if self.core is None else [factors[0] * self.core, *factors[1:]]


class _Best:
    """The iterate nearest to y so far, for each member; a member stops once it is as close to y as the noise."""

    def __init__(self, level: Tensor) -> None:
        self.level = level
        self.history: list[Tensor] = []
        self.factors: list[Tensor] = []
        self.smallest = torch.full_like(level, torch.inf)
        self.step = torch.zeros_like(level, dtype=torch.long)
        self.running = torch.ones_like(level, dtype=torch.bool)

    def update(self, mse: Tensor, factors: list[Tensor]) -> None:
        better = self.running & (mse < self.smallest)
        pairs = zip(factors, self.factors or factors, strict=True)
        self.factors = [torch.where(better[:, None, None], *pair) for pair in pairs]
        self.smallest = torch.where(better, mse, self.smallest)
        self.step = torch.where(better, len(self.history), self.step)
        self.running = self.running & ~(mse <= self.level)
        self.history.append(mse)

    @property
    def done(self) -> bool:
        """Whether all members have stopped, or one has diverged."""
        if self.level.device.type != "cpu" and len(self.history) % LOOK:
            return False
        return not (self.running.any() and self.history[-1].isfinite().all())


def _drawn(draw: Callable, shape: Sequence[int], generators: Sequence[Generator]) -> Tensor:
    """``draw`` of the shape; its first axis is cut into equal parts, one from each generator."""
    size = shape[0] // len(generators), *shape[1:]
    return torch.cat([draw(size, generator=g, device=g.device) for g in generators])


@torch.no_grad()
def _initialise(net: nn.Module, generators: Sequence[Generator]) -> None:
    """PyTorch's start of convolutions, weights and biases U(±1/√fan_in), each member from its own generator."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            for part in layer.parameters():
                part.copy_(bound * (2 * _drawn(torch.rand, part.shape, generators) - 1))


def _level(noise_variance: float | Tensor | None, unit: Tensor) -> Tensor:
    """The noise's variance for each member in units of the fit; below every distance if none is given."""
    level = -1.0 if noise_variance is None else noise_variance
    level = torch.as_tensor(level, dtype=unit.dtype, device=unit.device)
    if noise_variance is not None and not (level.isfinite() & (level >= 0)).all():
        raise InputError(f"noise_variance={noise_variance} must be finite and not below 0")
    if level.ndim > 1 or (level.ndim and len(level) != len(unit)):
        raise InputError(
            f"noise_variance is one number, or one for each of the {len(unit)} seeds, got {tuple(level.shape)}"
        )
    return level / unit.view(-1).square()


def _groups(
    y: Tensor, seeds: Sequence[int], axes: Sequence[Sequence[int]] | None
) -> list[list[int]]:
    if not seeds or len(seeds) != len(y):
        raise InputError(
            f"a list of seeds takes y with as many arrays along its first axis, "
            f"got {len(seeds)} seeds and y of {tuple(y.shape)}"
        )
    count = y.ndim - 1
    groups = [[axis] for axis in range(count)] if axes is None else [list(g) for g in axes]
    once = sorted(axis for group in groups for axis in group) == list(range(count))
    if not once or len(groups) < 2 or not all(1 <= len(group) <= 2 for group in groups):
        raise InputError(
            f"axes={axes} must name each of the {count} axes of y once, in two groups or more of one or two axes, "
            f"e.g. [[0], [1]] for a matrix, [[0, 1], [2]] for image × spectrum"
        )
    if y.numel() == 0 or not y.isfinite().all():
        raise InputError("y is empty, or holds a NaN or an infinity: fill in what is missing first")
    return groups


def _check(
    lengths: Sequence[Sequence[int]],
    rank: int,
    steps: int,
    lr: float,
    loss: str,
    positive: Sequence[bool],
    input_noise: float,
    channels: int,
) -> None:
    sizes = [prod(length) for length in lengths]
    largest = min(prod(sizes) // size for size in sizes)
    short = min(map(min, lengths))
    faults = {
        f"an axis of y has {short} entries: a convolutional network takes axes of {SHORTEST} and more": (
            short < SHORTEST
        ),
        f"rank={rank} must be in [1, {largest}] for these axes": not 1 <= rank <= largest,
        f"steps={steps} and channels={channels} must be at least 1": min(steps, channels) < 1,
        f"lr={lr} must be above 0": not lr > 0,
        f"loss={loss!r} is 'l2' or 'l1'": loss not in ("l2", "l1"),
        f"nonnegative is one truth value, or one for each of {len(lengths)} groups": (
            len(positive) != len(lengths)
        ),
        f"input_noise={input_noise} must not be below 0": not input_noise >= 0,
    }
    for message, wrong in faults.items():
        if wrong:
            raise InputError(message)

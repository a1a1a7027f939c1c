"""BatchNorm taken apart: folded into weights once, or taken over groups of a batch (balestriero2022batchnorm).

``network`` builds plain networks; ``fold_`` puts into their weights what BatchNorm would do on given data, so that no
normalisation remains; ``crossed`` counts the boundaries near a point; ``trained`` trains several side by side.
``GhostNet`` normalises over groups of a batch; it learns the ``moons``.
"""

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import Generator, Tensor, nn

from ssltheory import train
from ssltheory.errors import InputError, RunError
from ssltheory.models import encoders
from ssltheory.train.supervised import Classifier, cross_entropy, labelled

#: A network folded: with nothing, with the mean only, with the deviation only, with both as BatchNorm has them.
FOLDED = ("none", "centre", "scale", "bn")
#: What is trained: these, and BatchNorm in every step.
TRAINED = (*FOLDED, "full")
INITS = ("torch", "he")
GROUPS = (256, 64, 16, 8)  # over which BatchNorm's statistics are taken, of 256 points
BATCHES = (8, 32, 128)

Centre = Callable[[Tensor], Tensor]
#: How ``fold_`` is called for BatchNorm, for its parts, and for a wrong one with medians instead of means.
FOLDS: dict[str, dict[str, Any]] = {
    "centre": {"scale": False},
    "scale": {"centre": None},
    "bn": {},
    "median": {"centre": lambda h: h.median(0).values},
}


def network(
    encoder: Literal["mlp", "conv"],
    shape: tuple[int, ...],
    depth: int,
    width: int,
    outputs: int,
    slope: float = 0.1,
    batch_norm: bool = False,
    init: Literal["torch", "he"] = "torch",
    seed: int = 0,
) -> nn.Sequential:
    """``depth`` layers with leaky ReLU, each after BatchNorm if wanted, and a linear layer.

    Args:
        encoder: ``mlp``, or ``conv``: 3×3 convolutions, the second and every third after it of stride 2, then the
            average.
        shape: of one input, ``(c, h, w)`` or ``(m,)``.
        depth: number of hidden layers.
        width: units or channels of each.
        outputs: of the linear layer; 0: there is none.
        slope: η of the leaky ReLU.
        batch_norm: BatchNorm with a gain and a shift, with torch's running averages.
        init: of weights and biases. ``torch``: both uniform in ±1/√fan_in, torch's default; ``he``: N(0, 2/fan_in) and
            zero.
        seed: of the draw.
    """
    conv = encoder == "conv"
    layers: list[nn.Module] = [] if conv or len(shape) == 1 else [nn.Flatten()]
    inputs = shape[0] if conv else math.prod(shape)
    for i in range(depth):
        stride = 2 if i % 3 == 1 else 1
        layers += [
            nn.Conv2d(inputs, width, 3, stride, padding=1) if conv else nn.Linear(inputs, width)
        ]
        if batch_norm:
            layers += [nn.BatchNorm2d(width) if conv else nn.BatchNorm1d(width)]
        layers += [nn.LeakyReLU(slope)]
        inputs = width
    if outputs:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if conv else []
        layers += [nn.Linear(width, outputs)]
    net = encoders.finish_(nn.Sequential(*layers), outputs or width, seed)
    if init == "torch":
        _torch_default_(net, seed)
    return net


@torch.no_grad()
def _torch_default_(net: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            for part in layer.parameters():
                part.copy_(bound * (2 * torch.rand(part.shape, generator=generator) - 1))


def mean(h: Tensor) -> Tensor:
    """What BatchNorm subtracts, ``(n, units) -> (units,)``."""
    return h.mean(0)


@torch.no_grad()
def fold_(
    net: nn.Sequential, x: Tensor, centre: Centre | None = mean, scale: bool = True
) -> nn.Sequential:
    """Put into weights and biases, in place, what BatchNorm before each activation would do to ``x``.

    Layer by layer, weights become w/σ and biases (c − μ)/σ, with the mean and the biased standard deviation of that
    layer's pre-activations (over images and places for a convolution). Without BatchNorm the network is then the same
    function as with BatchNorm, gain 1, shift 0 and these statistics. The last layer, which has no activation, does not
    change.

    Args:
        net: from ``network``, without BatchNorm.
        x: the data, ``(n, ...)``.
        centre: ``(n, units) -> (units,)``, the value to subtract; None: nothing.
        scale: whether to divide by σ.

    Returns:
        The network.

    Raises:
        InputError: if a unit is constant on the data.
    """
    z = x
    for layer, following in pairwise(net):
        z_out = layer(z)
        if isinstance(following, nn.LeakyReLU):
            h = z_out.movedim(1, -1).flatten(0, -2)
            w, c = layer.get_parameter("weight"), layer.get_parameter("bias")
            sigma = h.std(0, correction=0) if scale else torch.ones_like(c)
            if not bool((sigma > 0).all()):
                raise InputError(
                    "a unit is constant on this data, so that its σ is 0: give other data, or scale=False"
                )
            mu = torch.zeros_like(sigma) if centre is None else centre(h)
            w.div_(sigma.view(-1, *[1] * (w.ndim - 1)))
            c.sub_(mu).div_(sigma)
            z_out = layer(z)
        z = z_out
    return net


def layers(net: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
    """``(w, c)`` of the layers before an activation, in order."""
    return [
        (layer.get_parameter("weight").detach(), layer.get_parameter("bias").detach())
        for layer, following in pairwise(net)
        if isinstance(following, nn.LeakyReLU)
    ]


def preactivations(net: nn.Sequential, x: Tensor) -> list[Tensor]:
    """The input of each activation, ``(n, units)`` for each layer; every place of a convolution counts as a unit.

    There are no gradients, and BatchNorm uses its running averages.
    """
    inputs = []
    with encoders.measuring(net):
        for module in net:
            if isinstance(module, nn.LeakyReLU):
                inputs.append(x.flatten(1))
            x = module(x)
    return inputs


def crossed(
    net: nn.Sequential, x: Tensor, radius: float, directions: int, generator: Generator
) -> Tensor:
    """Share of each layer's units whose boundary is crossed on the way from a point to a sphere around it.

    A unit counts if its pre-activation at one of ``directions`` random places at distance ``radius`` has a different
    sign than at the point itself. That estimates, from below, the share of boundaries that pass within the radius. The
    places relative to the point are the same for all points.

    Args:
        net: any with ``LeakyReLU`` between its layers.
        x: the points, ``(n, ...)``.
        radius: in units of the input.
        directions: number of places, uniform on the sphere.
        generator: draws them, on the device.

    Returns:
        ``(layers,)`` float64, the mean over points and units.
    """
    u = torch.randn(
        directions, *x.shape[1:], generator=generator, device=x.device, dtype=torch.float64
    )
    u = F.normalize(u.flatten(1), dim=1).view(u.shape).to(x.dtype)
    sides = [h > 0 for h in preactivations(net, x)]
    hit = [torch.zeros_like(side) for side in sides]
    for step in u:
        for h, side, seen in zip(preactivations(net, x + radius * step), sides, hit, strict=True):
            seen |= (h > 0) != side
    return torch.stack([seen.double().mean() for seen in hit])


def scatter(h: Tensor, batch_size: int, batches: int, generator: Generator) -> Tensor:
    """sd(μ_B)/σ over random mini-batches, drawn with replacement: ``(layers, n, units) -> (layers,)``.

    It is the root mean square over the units of a layer.

    Args:
        h: pre-activations on the whole data set.
        batch_size: B.
        batches: number of batches drawn, the same for all layers.
        generator: draws them, on the device of ``h``.
    """
    rows = torch.randint(h.shape[1], (batches, batch_size), generator=generator, device=h.device)
    counts = h.new_zeros(batches, h.shape[1])
    counts.scatter_add_(1, rows, torch.ones_like(rows, dtype=h.dtype))
    mu = counts @ h / batch_size
    shift = (mu - h.mean(1, keepdim=True)).square().mean(1) / h.var(1, correction=0)
    return shift.mean(1).sqrt()


def folds(
    w_out: Tensor, w: Tensor, c: Tensor, sigma: Tensor, along: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    """Gradients of second-layer units on both sides of each first-layer boundary, by differentiation.

    Args:
        w_out: weights of the second layer, ``(out, units)``.
        w: weights of the first layer before division by σ, ``(units, 2)``.
        c: its biases, ``(units,)``. The boundaries are where ⟨w, z⟩ + c = 0.
        sigma: ``(units, units)``; row j has the σ of all units for the boundary of unit j.
        along: a point of the plane. The gradients are taken beside the point of each boundary nearest to it, moved by
            one along the boundary. No other boundary may lie within a millionth of there.
        slope: η.

    Returns:
        On the negative and on the positive side, each ``(units, out, 2)``.
    """
    normal = F.normalize(w, dim=1)
    distance = (w @ along + c) / w.norm(dim=1)
    on = along - distance[:, None] * normal + torch.stack([-normal[:, 1], normal[:, 0]], 1)

    def second_layer(z: Tensor, sigma: Tensor) -> Tensor:
        return w_out @ F.leaky_relu((w @ z + c) / sigma, slope)

    gradient = torch.func.vmap(torch.func.jacrev(second_layer))
    return gradient(on - 1e-6 * normal, sigma), gradient(on + 1e-6 * normal, sigma)


def trained(
    nets: Sequence[nn.Sequential],
    x: Tensor,
    y: Tensor,
    batch_size: int,
    recipe: train.Recipe,
    **options,
) -> train.Result:
    """Train ``variants × seeds`` classifiers of one shape in place, the variants of a seed on the same batches.

    Args:
        nets: in the order of variants, then seeds; a single one is not stacked.
        x: images ``(seeds, n, c, h, w)``.
        y: labels ``(seeds, n)``.
        batch_size: images for each step and network.
        recipe: of the training.
        options: of ``train.train``.

    Returns:
        The result of ``train.train``.
    """
    alone, variants = len(nets) == 1, len(nets) // len(y)
    model = nets[0] if alone else encoders.stack(nets)
    batches = labelled(x, y, lambda images, generator: images, batch_size)

    def draw(generator: Generator) -> tuple[Tensor, Tensor]:
        images, labels = batches(generator)
        if alone:
            return images[0], labels[0]
        return images.repeat(variants, 1, 1, 1, 1), labels.repeat(variants, 1)

    result = train.train(Classifier(model), draw, cross_entropy, recipe, **options)
    if not alone:
        state = model.get_submodule("member").state_dict()
        for k, net in enumerate(nets):
            net.load_state_dict({name: value[k] for name, value in state.items()})
    return result


def moons(n: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Two interleaving half circles with Gaussian noise of 0.15: points ``(seeds, n, 2)``, their moons ``(seeds, n)``.

    Args:
        n: points in each set.
        seeds: of the sets, each taken modulo 2³².
    """
    sets = [make_moons(n, noise=0.15, random_state=seed % 2**32) for seed in seeds]
    x, y = (torch.tensor(np.stack(part)).float() for part in zip(*sets, strict=True))
    return x, y


class GhostNet(nn.Module):
    """Networks of one shape with BatchNorm over groups of a batch, side by side along a first axis of seeds.

    Args:
        widths: of the layers, from the inputs to the outputs.
        seeds: of the initial weights, uniform in ±1/√fan_in as in torch's default; biases (shifts) are zero, gains one.
        slope: η.
        eps: added to every variance.
    """

    def __init__(
        self, widths: tuple[int, ...], seeds: list[int], slope: float = 0.1, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.slope, self.eps = slope, eps
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]

        def each(shape: tuple[int, int]) -> nn.Parameter:
            return nn.Parameter(
                torch.stack([2 * torch.rand(shape, generator=g) - 1 for g in draws])
                / shape[1] ** 0.5
            )

        shapes = [(units, inputs) for inputs, units in pairwise(widths)]
        self.weights = nn.ParameterList(each(shape) for shape in shapes)
        column = [torch.zeros(len(seeds), units, 1) for units, _ in shapes]
        self.shifts = nn.ParameterList(nn.Parameter(c) for c in column)
        self.gains = nn.ParameterList(nn.Parameter(1 + c) for c in column[:-1])

    def member(self, k: int) -> "GhostNet":
        """A copy of the k-th network, as a stack of one."""
        one = copy.deepcopy(self)
        for parameter in one.parameters():
            parameter.data = parameter.data[k : k + 1].clone()
        return one

    def forward(self, x: Tensor, group: int) -> Tensor:
        """Normalise each ``group`` of consecutive rows by itself: ``(seeds, n, inputs) -> (seeds, n, d)``.

        Raises:
            InputError: if the groups do not fill the batch.
        """
        if x.shape[-2] % group:
            raise InputError(
                f"a batch of {x.shape[-2]} cannot be split into groups of {group}: take a divisor of it"
            )

        def normalised(i: int, h: Tensor) -> Tensor:
            return F.layer_norm(h.unflatten(-1, (-1, group)), (group,), eps=self.eps).flatten(-2)

        return self._run(x, normalised)

    def statistics(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and standard deviation of every hidden layer with ``x`` as one batch, each ``(seeds, units, 1)``."""
        moments: list[tuple[Tensor, Tensor]] = []

        def normalised(i: int, h: Tensor) -> Tensor:
            variance, mu = torch.var_mean(h, -1, correction=0, keepdim=True)
            moments.append((mu, (variance + self.eps).sqrt()))
            return (h - mu) / moments[-1][1]

        with torch.no_grad():
            self._run(x, normalised)
        return moments

    def evaluate(self, x: Tensor, statistics: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Outputs for given statistics, without gradients; ``x`` is ``(n, inputs)`` or ``(seeds, n, inputs)``."""
        with torch.no_grad():
            return self._run(x, lambda i, h: (h - statistics[i][0]) / statistics[i][1])

    def accuracy(self, x: Tensor, y: Tensor, statistics: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Share of each network's points for which the sign of its one output is right: ``(seeds,)``."""
        return ((self.evaluate(x, statistics)[..., 0] > 0) == (y > 0)).float().mean(1)

    def _run(self, x: Tensor, normalised: Callable[[int, Tensor], Tensor]) -> Tensor:
        z = x.mT  # the batch last, so that a group is contiguous
        for i, gain in enumerate(self.gains):
            z = normalised(i, self.weights[i] @ z) * gain + self.shifts[i]
            z = F.leaky_relu(z, self.slope)
        return (self.weights[-1] @ z + self.shifts[-1]).mT


def train_ghost(
    net: GhostNet,
    x: Tensor,
    y: Tensor,
    group: int,
    steps: int,
    lr: float,
    generator: Generator,
    redrawn: bool = True,
) -> None:
    """Adam on the logistic loss of all data in every step, with statistics from random groups of the data.

    Args:
        net: with one output; trained in place.
        x: ``(seeds, n, inputs)``.
        y: 0 or 1, ``(seeds, n)``.
        group: number of points whose statistics are taken together, a divisor of n.
        steps: number of steps.
        lr: learning rate.
        generator: draws the groups, on the device.
        redrawn: draw the groups anew in every step; otherwise only once, so that boundaries do not jitter.
    """
    descent = torch.optim.Adam(net.parameters(), lr=lr)
    for step in range(steps):
        if redrawn or not step:
            order = torch.rand(y.shape, generator=generator, device=y.device).argsort(1)
        z = net(x.gather(1, order[..., None].expand_as(x)), group)[..., 0]
        each = F.binary_cross_entropy_with_logits(z, y.gather(1, order), reduction="none")
        for parameter in net.parameters():
            parameter.grad = None
        each.mean(1).sum().backward()
        descent.step()


def decision_boundary(
    net: GhostNet, statistics: list[tuple[Tensor, Tensor]], low: Tensor, high: Tensor, side: int
) -> list[Tensor]:
    """Where each network of two inputs and one output is zero within a box: for each network, points ``(p, 2)``.

    Args:
        net: the networks.
        statistics: with which they are evaluated.
        low: a corner of the box, ``(2,)``.
        high: the opposite corner.
        side: number of grid points along each side.

    Returns:
        The points of each network.

    Raises:
        RunError: if a network is zero nowhere in the box.
    """
    x, y = (torch.linspace(float(a), float(b), side) for a, b in zip(low, high, strict=True))
    grid = torch.cartesian_prod(x, y).to(net.weights[0].device)
    values = net.evaluate(grid, statistics)[..., 0]
    edges = [boundary(value.view(side, side), low, high) for value in values]
    if not all(len(edge) for edge in edges):
        raise RunError("a network has no decision boundary in the box: train it for longer")
    return edges


def margin(
    net: GhostNet,
    x: Tensor,
    statistics: list[tuple[Tensor, Tensor]],
    low: Tensor,
    high: Tensor,
    side: int,
) -> Tensor:
    """Mean distance of the points ``x``, ``(seeds, n, 2)``, from ``decision_boundary``: ``(seeds,)``."""
    edges = decision_boundary(net, statistics, low, high, side)
    pairs = zip(x, edges, strict=True)
    return torch.stack([torch.cdist(z, edge).amin(1).mean() for z, edge in pairs])


def boundary(values: Tensor, lows: Tensor, highs: Tensor) -> Tensor:
    """Points of the zero set of a function on a grid, by linear interpolation along grid edges: ``(p, 2)``.

    Args:
        values: ``(nx, ny)`` on an even grid from ``lows`` to ``highs``, both ``(2,)``.
    """
    places = [
        torch.linspace(float(a), float(b), n, dtype=values.dtype, device=values.device)
        for a, b, n in zip(lows, highs, values.shape, strict=True)
    ]
    points = []
    for axis in (0, 1):
        v, along = (values, places[axis]) if axis == 0 else (values.mT, places[axis])
        here, there = v[:-1], v[1:]
        i, j = ((here > 0) != (there > 0)).nonzero(as_tuple=True)
        share = here[i, j] / (here[i, j] - there[i, j])
        moving, fixed = along[i] + share * (along[i + 1] - along[i]), places[1 - axis][j]
        points.append(torch.stack([moving, fixed] if axis == 0 else [fixed, moving], -1))
    return torch.cat(points)

"""What BatchNorm does to the partition of a piecewise affine network (balestriero2022batchnorm).

A layer is ``z ↦ a(W z + c)`` with ``a`` of slope 1 on positive and η on negative pre-activations. The network is
then affine on each cell of a partition of its input space, and a unit's *boundary* is where its pre-activation is
zero. BatchNorm at its start, with gain 1 and shift 0, turns h = W z + c into (h − μ)/σ. That is a layer again, with the
weights W/σ and the biases (c − μ)/σ: a network with BatchNorm and given statistics equals one without, and the
functions here take layers ``(w, c)`` of either kind.

The claims are those of the paper's abstract; only it and the beginning of the text could be read. The formulas are
derived here, except for the total least squares itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssltheory.errors import InputError

Layers = Sequence[tuple[Tensor, Tensor]]


def total_least_squares(h: Tensor, w: Tensor, m: Tensor | float) -> Tensor:
    """L_k(m) = Σ_n (⟨w_k, z_n⟩ − m)² / ‖w_k‖²: squared distances of the data to the hyperplane ⟨w_k, z⟩ = m.

    Args:
        h: ⟨w_k, z_n⟩, ``(n, units)``; if it includes a bias, the hyperplane is ⟨w_k, z⟩ + c_k = m.
        w: ``(units, inputs)``.
        m: ``(units,)``, or one number for all.

    Returns:
        ``(units,)``. Smallest at the mean of h, where it is n σ²/‖w_k‖² with the biased variance σ².

    Examples:
        >>> h, w = torch.tensor([[0.0], [4.0]]), torch.tensor([[2.0]])
        >>> total_least_squares(h, w, 2.0).tolist()  # (2² + 2²) / 2²
        [2.0]
    """
    return (h - m).square().sum(-2) / w.square().sum(-1)


def variance(h: Tensor, w: Tensor, m: Tensor | float) -> Tensor:
    """‖w_k‖² L_k(m) / n, ``(units,)``: at the mean of h it is BatchNorm's σ².

    Examples:
        >>> h, w = torch.tensor([[0.0], [4.0]]), torch.tensor([[2.0]])
        >>> variance(h, w, h.mean(0)).tolist()  # of 0 and 4
        [4.0]
    """
    return w.square().sum(-1) * total_least_squares(h, w, m) / h.shape[-2]


def nearest(h: Tensor, w: Tensor) -> Tensor:
    """The m with the least ``total_least_squares``, ``(units,)``: the vertex of the parabola through three values.

    The values are taken at the first h, and at that h plus and minus the range of h.

    Examples:
        >>> h, w = torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[3.0]])
        >>> [round(m, 4) for m in nearest(h, w).tolist()]  # the mean of h
        [2.0]
    """
    at, reach = h[..., 0, :], h.amax(-2) - h.amin(-2)
    below, middle, above = (total_least_squares(h, w, at + k * reach) for k in (-1, 0, 1))
    return at + reach * (below - above) / (2 * (below - 2 * middle + above))


def offset(h: Tensor) -> Tensor:
    """Mean over standard deviation of pre-activations, ``(n, units) -> (units,)``: how far a boundary misses the data.

    Its square is the excess of L_k at the boundary over its minimum, in units of that minimum. It does not depend on
    the scale of weights and inputs, so it can be compared between layers and networks. (The raw L_k cannot: without
    BatchNorm, activations shrink with depth, and distances with them.) BatchNorm makes it zero for every unit.

    Examples:
        >>> offset(torch.tensor([[0.0, -1.0], [4.0, 1.0]])).tolist()  # 2 / 2, and a boundary in the middle
        [1.0, 0.0]
    """
    return h.mean(-2) / h.std(-2, correction=0)


def jitter(batch_size: Tensor | float, n: int | None = None) -> Tensor:
    """How far a boundary moves with the mini-batch: sd(μ_B)/σ = 1/√B, whatever the weights.

    The unit is the data's RMS distance from the boundary.

    Args:
        batch_size: B.
        n: size of the data set if batches are drawn without replacement, which multiplies the result by
            √((n − B)/(n − 1)); None: with replacement.

    Examples:
        >>> jitter(4).item(), jitter(100, n=100).item()  # 1/√4; all data in one batch
        (0.5, 0.0)
    """
    size = torch.as_tensor(batch_size, dtype=torch.float64)
    return (1 / size).sqrt() if n is None else ((n - size) / (n - 1) / size).sqrt()


def fold(w_out: Tensor, w: Tensor, sigma: Tensor, slope: float) -> Tensor:
    """The change of a second-layer boundary's normal where it crosses a first-layer boundary.

    From the negative to the positive side of unit j, the gradient of second-layer unit k with respect to the input
    changes by W'_kj (1 − η) W_j / σ_j; divide by the σ of unit k if that unit is normalised too.

    Args:
        w_out: W', ``(out, units)``.
        w: W of the first layer before normalisation, ``(units, inputs)``.
        sigma: σ of the first layer, ``(units,)``; ones without BatchNorm.
        slope: η.

    Returns:
        ``(out, units, inputs)``.

    Examples:
        >>> w_out, w, sigma = torch.tensor([[2.0]]), torch.tensor([[3.0, 0.0]]), torch.tensor([0.5])
        >>> fold(w_out, w, sigma, slope=0.0).tolist()  # 2 · 3 / 0.5
        [[[12.0, 0.0]]]
    """
    return (1 - slope) * w_out[..., None] * (w / sigma[:, None])


def turning_angle(normal: Tensor, change: Tensor) -> Tensor:
    """Angle between a normal before and after the change, in degrees: ``(..., inputs) -> (...)``.

    Examples:
        >>> turning_angle(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])).round().item()
        45.0
    """
    other = normal + change
    cosine = (normal * other).sum(-1)
    sine = (normal.square().sum(-1) * other.square().sum(-1) - cosine.square()).clamp_min(0).sqrt()
    return torch.atan2(sine, cosine).rad2deg()


@dataclass(frozen=True)
class Partition:
    """The cells of a network with two inputs within a box, and the boundaries between them.

    Attributes:
        vertices: corners of all cells of all layers, one cell's after another's, ``(v, 2)`` float64.
        corners: how many of them each cell has, ``(cells,)`` int64.
        depth: the layer up to which the network has this cell, ``(cells,)`` int64, rising from 0.
        segments: pieces of boundaries, each by its two ends, ``(s, 2, 2)`` float64.
        layer: the layer of each segment's unit, ``(s,)`` int64, rising from 0.
        unit: the unit of each segment, ``(s,)`` int64.

    Examples:
        >>> cross = partition([(torch.eye(2), torch.zeros(2))], slope=0.0, box=[[-1, -1], [1, 1]])
        >>> cross.corners.tolist()  # four squares
        [4, 4, 4, 4]
        >>> cross.unit.tolist()  # one boundary was cut first, and cuts the other in two
        [0, 1, 1]
    """

    vertices: np.ndarray
    corners: np.ndarray
    depth: np.ndarray
    segments: np.ndarray
    layer: np.ndarray
    unit: np.ndarray


def partition(layers: Layers, slope: float, box: Sequence[Sequence[float]]) -> Partition:
    """Cut a box along every unit's boundary, layer after layer; exact, without a grid.

    On a cell all pre-activations of the next layer are affine, so each unit cuts it along a straight line or not at
    all. Slivers thinner than 1e-9 of the box are not cut.

    Args:
        layers: ``(w, c)`` of each layer, ``(units, inputs)`` and ``(units,)``; the first has two inputs.
        slope: η, other than 1.
        box: lower and upper corner, ``(2, 2)``.

    Raises:
        InputError: if the network does not have two inputs.

    Examples:
        >>> w, c = torch.tensor([[1.0, 0.0]]), torch.tensor([-0.5])  # a boundary at x = 0.5
        >>> halves = partition([(w, c)], slope=0.0, box=[[0, 0], [1, 1]])
        >>> halves.segments.tolist()
        [[[0.5, 0.0], [0.5, 1.0]]]
    """
    if layers[0][0].shape[-1] != 2:
        raise InputError(
            f"the network has {layers[0][0].shape[-1]} inputs, but only a plane can be partitioned: "
            "give one with two"
        )
    (left, low), (right, high) = np.asarray(box, dtype=float)
    thin = 1e-9 * max(right - left, high - low)
    whole = np.array([[left, low], [right, low], [right, high], [left, high]])
    cells = [(whole, np.eye(2), np.zeros(2))]
    polygons, depth, cuts = [], [], []
    for number, layer in enumerate(layers):
        w, c = (part.detach().cpu().double().numpy() for part in layer)
        after = []
        for polygon, slopes, constants in cells:
            slopes, constants = w @ slopes, w @ constants + c
            pieces = [polygon]
            distances = _distances(polygon, slopes, constants)
            for unit in np.flatnonzero((distances.min(0) < -thin) & (distances.max(0) > thin)):
                halves = [_cut(p, slopes[unit], constants[unit], thin) for p in pieces]
                pieces = [piece for parts, _ in halves for piece in parts]
                cuts += [(number, unit, *ends) for _, ends in halves if ends is not None]
            for piece in pieces:
                gain = np.where(slopes @ piece.mean(0) + constants > 0, 1.0, slope)
                after.append((piece, gain[:, None] * slopes, gain * constants))
        cells = after
        polygons += [polygon for polygon, *_ in cells]
        depth += [number] * len(cells)
    return Partition(
        vertices=np.concatenate(polygons),
        corners=np.array([len(polygon) for polygon in polygons]),
        depth=np.array(depth),
        segments=np.array([ends for _, _, *ends in cuts]).reshape(-1, 2, 2),
        layer=np.array([number for number, *_ in cuts], dtype=np.int64),
        unit=np.array([unit for _, unit, *_ in cuts], dtype=np.int64),
    )


def _distances(points: np.ndarray, slopes: np.ndarray, constants: np.ndarray | float) -> np.ndarray:
    """Signed distances of points from lines, ``(points, lines)``."""
    length = np.sqrt((slopes**2).sum(-1))
    return (points @ slopes.T + constants) / np.maximum(length, 1e-300)


def _cut(
    polygon: np.ndarray, slope: np.ndarray, constant: float, thin: float
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """A convex polygon's parts on both sides of a line, and the two ends of the cut; itself and None if not cut."""
    distance = _distances(polygon, slope[None], constant)[:, 0]
    if distance.min() >= -thin or distance.max() <= thin:
        return [polygon], None
    distance[np.abs(distance) <= thin] = 0.0
    points, sides = [], []
    for here, there, d, e in zip(
        polygon, np.roll(polygon, -1, 0), distance, np.roll(distance, -1), strict=True
    ):
        points.append(here)
        sides.append(d)
        if d * e < 0:
            points.append(here + d / (d - e) * (there - here))
            sides.append(0.0)
    corners, side = np.array(points), np.array(sides)
    return [corners[side <= 0], corners[side >= 0]], corners[side == 0]


def regions(layers: Layers, slope: float, box: Sequence[Sequence[float]]) -> int:
    """Number of cells of the whole network in the box: see ``partition``.

    Examples:
        >>> regions([(torch.eye(2), torch.zeros(2))], slope=0.0, box=[[-1, -1], [1, 1]])  # a cross
        4
    """
    depth = partition(layers, slope, box).depth
    return int((depth == depth[-1]).sum())

"""What BatchNorm does to the partition of a piecewise affine network (balestriero2022batchnorm).

A layer is ``z ↦ a(W z + c)`` with ``a`` of slope 1 on positive and η on negative pre-activations. The network is
then affine on each cell of a partition of its input space, and a unit's *boundary* is where its pre-activation is
zero. BatchNorm at its start, gain 1 and shift 0, turns h = W z + c into (h − μ)/σ, which is a layer again, with the
weights W/σ and the biases (c − μ)/σ: a network with BatchNorm and given statistics is a network without, and the
functions here take layers ``(w, c)`` of either kind.

The claims are of the paper's abstract; it and the beginning of the text could be read. The formulas are derived
here, but for the total least squares itself.
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
        h: ⟨w_k, z_n⟩, ``(n, units)``; with a bias in it the hyperplane is ⟨w_k, z⟩ + c_k = m.
        w: ``(units, inputs)``.
        m: ``(units,)``, or one number for all.

    Returns:
        ``(units,)``. Smallest at the mean of h, where it is n σ²/‖w_k‖² with the biased variance σ².
    """
    return (h - m).square().sum(-2) / w.square().sum(-1)


def variance(h: Tensor, w: Tensor, m: Tensor | float) -> Tensor:
    """‖w_k‖² L_k(m) / n, ``(units,)``: at the mean of h it is BatchNorm's σ²."""
    return w.square().sum(-1) * total_least_squares(h, w, m) / h.shape[-2]


def nearest(h: Tensor, w: Tensor) -> Tensor:
    """The m with the least ``total_least_squares``, from three of its values: the vertex of the parabola, ``(units,)``.

    The values are taken at a typical h and its like to both sides, as far as h reaches.
    """
    at, reach = h[..., 0, :], h.amax(-2) - h.amin(-2)
    below, middle, above = (total_least_squares(h, w, at + k * reach) for k in (-1, 0, 1))
    return at + reach * (below - above) / (2 * (below - 2 * middle + above))


def offset(h: Tensor) -> Tensor:
    """Mean over standard deviation of pre-activations, ``(n, units) -> (units,)``: how far a boundary misses the data.

    Its square is the excess of L_k at the boundary over its minimum, in units of that minimum: free of the scale of
    weights and inputs, so that it may be compared between layers and networks (the raw L_k may not: without BatchNorm
    activations shrink with depth, and distances with them). BatchNorm makes it zero for every unit.
    """
    return h.mean(-2) / h.std(-2, correction=0)


def jitter(batch_size: Tensor | float, n: int | None = None) -> Tensor:
    """How far a boundary moves with the mini-batch: sd(μ_B)/σ = 1/√B, whatever the weights.

    In units of the data's RMS distance from the boundary.

    Args:
        batch_size: B.
        n: size of the data set where batches are drawn without replacement, which makes it √((n − B)/(n − 1)) times
            as much; None: with replacement.
    """
    size = torch.as_tensor(batch_size, dtype=torch.float64)
    return (1 / size).sqrt() if n is None else ((n - size) / (n - 1) / size).sqrt()


def fold(w_out: Tensor, w: Tensor, sigma: Tensor, slope: float) -> Tensor:
    """The change of a second-layer boundary's normal where it crosses a first-layer boundary.

    From the negative to the positive side of unit j the gradient of second-layer unit k, a function of the input,
    changes by W'_kj (1 − η) W_j / σ_j. Divided by the σ of unit k if it is normalised too.

    Args:
        w_out: W', ``(out, units)``.
        w: W of the first layer before normalisation, ``(units, inputs)``.
        sigma: σ of the first layer, ``(units,)``; ones without BatchNorm.
        slope: η.

    Returns:
        ``(out, units, inputs)``.
    """
    return (1 - slope) * w_out[..., None] * (w / sigma[:, None])


def turning_angle(normal: Tensor, change: Tensor) -> Tensor:
    """Angle between a normal and the same after the change, in degrees: ``(..., inputs) -> (...)``."""
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
        depth: the layer after which the cell is one, ``(cells,)`` int64, rising from 0.
        segments: pieces of boundaries by their two ends, ``(s, 2, 2)`` float64.
        layer: of each segment's unit, ``(s,)`` int64, rising from 0.
        unit: of each segment, ``(s,)`` int64.
    """

    vertices: np.ndarray
    corners: np.ndarray
    depth: np.ndarray
    segments: np.ndarray
    layer: np.ndarray
    unit: np.ndarray


def partition(layers: Layers, slope: float, box: Sequence[Sequence[float]]) -> Partition:
    """Cut a box by every unit's boundary, layer after layer: exact, no grid.

    On a cell all pre-activations of the next layer are affine, so that each unit cuts it along a straight line or not
    at all. Slivers thinner than 1e-9 of the box are not cut.

    Args:
        layers: ``(w, c)`` of each, ``(units, inputs)`` and ``(units,)``; two inputs of the first.
        slope: η, other than 1.
        box: lower and upper corner, ``(2, 2)``.

    Raises:
        InputError: if the network has not two inputs.
    """
    if layers[0][0].shape[-1] != 2:
        raise InputError(
            f"a partition is drawn of a network with two inputs, this has {layers[0][0].shape[-1]}"
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
    """A convex polygon's parts on both sides of a line, and the cut's two ends; itself and None if it is not cut."""
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
    """Number of cells of the whole network in the box: see ``partition``."""
    depth = partition(layers, slope, box).depth
    return int((depth == depth[-1]).sum())

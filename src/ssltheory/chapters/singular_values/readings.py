"""Readings of chapter 16's record: the loss as a function of one layer's weights."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch

from ssltheory.book.named import Named
from ssltheory.theory import singular_values as theory

SLOPES = {"identity": 1.0, "ReLU": 0.0, "leaky": 0.1, "abs": -1.0}
BENT = ("ReLU", "leaky", "abs")  # activations of the random networks
SLICED = {"ConvNet": 0.0, "ResNet": 1.0}  # networks cut by a slice, and their ρ


def tensor(array: np.ndarray) -> torch.Tensor:
    """In float64."""
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


def hessians(arrays: dict[str, np.ndarray]) -> Iterator[tuple[torch.Tensor, ...]]:
    """Of every network: M and the layer's input at each image, the Hessian over all images, and at the first."""
    axes = {"seed": None, "images": ("all", "first"), "rho": (0, 1), "activation": BENT}
    measured = Named(arrays["hessian_measured"], **axes, row=None, column=None)
    parts = [tensor(arrays[f"hessian_{part}"]) for part in ("z", "weights", "biases", "readout")]
    for seed, (z, weights, biases, readout) in enumerate(zip(*parts, strict=True)):
        for rho, name in product((0, 1), BENT):
            slopes = theory.forward(z, weights, biases, SLOPES[name], rho)[1]
            m = readout @ theory.local_matrices(weights, slopes, rho)
            yield m, z, *tensor(measured(seed=seed, rho=rho, activation=name))


def hessian_error(m: torch.Tensor, z: torch.Tensor, hessian: torch.Tensor) -> float:
    """Distance of a Hessian from its closed form, relative."""
    return _relative((hessian - theory.layer_hessian(m, z)).norm(), hessian.norm())


def curvature_error(m: torch.Tensor, z: torch.Tensor, hessian: torch.Tensor) -> float:
    """Largest distance of its eigenvalues at the first image from 2 s_i(M)² |z|², over its largest entry."""
    predicted = torch.linalg.svdvals(m[0]).square() * 2 * z[0].square().sum()
    left = torch.linalg.eigvalsh(hessian).flip(0)
    left[: len(predicted)] -= predicted
    return _relative(left.abs().max(), hessian.abs().max())


def _relative(distance: torch.Tensor, size: torch.Tensor) -> float:
    """Zero where both are: behind closed gates there is no curvature to predict."""
    return float(distance / size) if distance else 0.0


def of_slice(arrays: dict[str, np.ndarray], what: str, seed: int, name: str) -> np.ndarray:
    """An array of the slice through a network, "ConvNet" or "ResNet"."""
    values = arrays[f"slice_{what}"]
    by_network = values.reshape(-1, len(SLICED), *values.shape[1:])
    return by_network[seed, list(SLICED).index(name)]


def pieces(arrays: dict[str, np.ndarray], seed: int, name: str) -> theory.Pieces:
    """The loss along the slice through a network in closed form."""
    names = ("direction", "z", "y", "weights", "biases", "readout")
    direction, z, y, weights, biases, readout = (
        tensor(of_slice(arrays, what, seed, name)) for what in names
    )
    eta, rho, reach = float(arrays["eta"]), SLICED[name], float(arrays["t"].max())
    return theory.loss_along(direction, z, y, weights, biases, readout, eta, rho, reach)


def slice_errors(
    arrays: dict[str, np.ndarray], seed: int, name: str
) -> tuple[float, float, np.ndarray, int]:
    """How piecewise quadratic the loss is along the slice through a network, relative to its largest value.

    Returns:
        Its largest distance from the closed form, its largest third difference inside a piece, that across each knot
        that bends it, ``(k,)``, and the number of knots.
    """
    t, loss, law = arrays["t"], of_slice(arrays, "loss", seed, name), pieces(arrays, seed, name)
    knots = law.knots[1:-1].numpy()
    inside, across = third_differences(t, loss, knots)
    distance = np.abs(law(tensor(t)).numpy() - loss).max() / loss.max()
    return distance, inside, across[bends(law)], len(knots)


def third_differences(t: np.ndarray, loss: np.ndarray, knots: np.ndarray):
    """Of the loss over its largest value: the largest inside a piece, and the largest across each knot ``(k,)``."""
    third = np.abs(np.diff(loss, n=3)) / loss.max()
    piece = np.searchsorted(knots, t)
    across = [third[max(at - 3, 0) : at].max(initial=0.0) for at in np.searchsorted(t, knots)]
    return third[piece[:-3] == piece[3:]].max(), np.array(across)


def bends(loss: theory.Pieces) -> np.ndarray:
    """Which inner knots change the slope of the loss at all: a unit behind closed gates does not; ``(k,)`` bool."""
    _, slope, bend = loss.coefficients.T
    jump = slope[1:] - (slope + 2 * bend * loss.knots.diff())[:-1]
    return (jump.abs() > 1e-9 * slope.abs().max()).numpy()

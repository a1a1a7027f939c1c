"""Claims of chapter 16.

bound                          | set when, on which seeds | seen there, and at the low end of the 95 % interval
------------------------------ | ------------------------ | ----------------------------------------------------------
hessian, curvatures, edges,    | before any run here      |
absolute, activation-bounds,   |                          |
rank, eccentric, erratic,      |                          |
slice, inside, knots           |                          |
no-skip, shift-bounds          | ours                     | four standard errors; rounding, as the statement is exact
affine                         | ours                     | rounding; one network of fifteen had 1.2e-8 while eight
                               |                          | images at once had to keep their sides, which makes the
                               |                          | step small; since then it is taken at one image
branch                         | seeds 10 to 14           |
between, first draft 100       | seeds 10 to 14           | 2,300 to 50,000, and 859
between-he                     | seeds 10 to 14           | 41 to 63, and 38
outputs, first draft 1.5       | seeds 10 to 14           | 2.3 to 3.7, and 2.0
early, first draft 0.1         | seeds 10 to 14           | 0.45 to 0.63, and 0.13
early-he, first draft 0.1      | seeds 10 to 14           | 0.38 to 0.65, and 0.10

Seeds 10 to 14 were run on digits (240 steps) and CIFAR-10 (400) before seeds 0 to 4 were run in full. The drafts were
lowered after that look: intervals of three repetitions are wide, and on CIFAR-10 the accuracies are closer. Bounds of
trained networks were set for ReLU; no source limits the statements to it, and they judge other slopes as well.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ssltheory.book.claims import Claim, Group, interval, unless
from ssltheory.book.named import Named
from ssltheory.chapters.singular_values import Parameters
from ssltheory.chapters.singular_values.readings import (
    BENT,
    SLICED,
    SLOPES,
    curvature_error,
    hessian_error,
    hessians,
    slice_errors,
    tensor,
)
from ssltheory.theory import singular_values as theory

PAPER = "riedi2022singular"
NETWORKS = ("ConvNet", "ResNet", "ResNet, He")
ACTIVATIONS = tuple(SLOPES)
EIGHTH = 1  # of the looks at trained networks: after an eighth of the steps
LARGE = 1000  # smallest matrix that counts as large
WIDE = 64  # smallest width of the networks whose condition the bounds are for
SMALL_BRANCH = 0.25  # largest σ at which branches count as small
TRAINED = 200  # fewest steps after which trained networks are judged
ROUNDING = 1e-12
#: Of the trained ReLU networks: ratios of the median condition of M, and points of accuracy at an eighth of the steps.
BETWEEN, BRANCH, OUTPUTS, EARLY = 30.0, 10.0, 1.3, 0.03
SMALLER_BRANCH = "ours: the benefit needs a branch smaller than the skip"


# Readings; those of a layer's loss are in a module of their own


def measured_condition(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """cond(I + σG) at full order, ``(σ, seeds)``."""
    low, high = np.moveaxis(arrays["edges"], -1, 0)
    return (high / low).T


def edge_condition(rho, sigma) -> np.ndarray:
    """cond(ρI + σG) of an infinite matrix; infinite where the lower edge is zero."""
    low, high = theory.shifted_edges(rho, sigma)
    return (high / low).numpy()


def scan(arrays: dict[str, np.ndarray], what: str) -> np.ndarray:
    """Of every ρI + σG that was drawn, ``(σ, ρ, seeds · draws)``.

    Args:
        arrays: of the record.
        what: "low" or "high", its extreme singular values; "lower" or "upper", their bounds from M and M + Mᵀ; or
            "outside", how far any singular value lies outside its bounds.
    """
    kinds = ("low", "high", "lower", "upper", "outside")
    values = Named(arrays["scan"], seed=None, shift=None, what=kinds, draw=None)(what=what)
    return np.moveaxis(values, 0, 1).reshape(len(arrays["sigmas"]), len(arrays["rhos"]), -1)


def scanned(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """cond(ρI + σG), and the largest that the bounds admit: each ``(σ, ρ, seeds · draws)``."""
    with np.errstate(divide="ignore"):
        condition = scan(arrays, "high") / scan(arrays, "low")
        return condition, scan(arrays, "upper") / scan(arrays, "lower")


def spectrum(arrays: dict[str, np.ndarray], activation: str, shifted: bool = False) -> np.ndarray:
    """Singular values of D W, or of D W + I, largest first: ``(seeds, n)``."""
    axes = {"seed": None, "activation": ACTIVATIONS, "shifted": (False, True), "place": None}
    return Named(arrays["spectra"], **axes)(activation=activation, shifted=shifted)


def outside_activation_bounds(arrays: dict[str, np.ndarray]) -> float:
    """How far any singular value of D W lies outside its bounds, 0 if none does."""
    distances = [0.0]
    for name, eta in SLOPES.items():
        rows = zip(spectrum(arrays, name), arrays["bare"], arrays["off"].tolist(), strict=True)
        for row, bare, off in rows:
            lower, upper = theory.activation_bounds(tensor(bare), eta, 0 if eta == 1 else off)
            s = tensor(row)
            distances.append(float(torch.maximum(lower - s, s - upper).max()))
    return float(np.max(distances))


def at_depth(arrays: dict[str, np.ndarray], name: str, depth: int = 4) -> np.ndarray:
    """Condition of M of ReLU networks with so many further layers, ``(seeds, draws)``."""
    depths = arrays["depths"].tolist()
    axes = {"seed": None, "activation": BENT, "network": NETWORKS, "depth": depths, "draw": None}
    return Named(arrays["deep"], **axes)(activation="ReLU", network=name, depth=depth)


def jumps(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Median of the largest jump of a singular value over s₁ as one unit flips, ReLU: mean over seeds, by network."""
    axes = {"seed": None, "activation": BENT, "network": NETWORKS, "unit": None, "draw": None}
    each = Named(arrays["jumps"], **axes)(activation="ReLU")
    return np.median(each.reshape(*each.shape[:2], -1), -1).mean(0)


def by_seed(arrays: dict[str, np.ndarray], which: str, name: str) -> np.ndarray:
    """Median over images of the condition of M of a trained network, ``(seeds, looks)``; "between" or "outputs"."""
    axes = {"network": NETWORKS, "seed": None, "look": None, "image": None}
    return np.median(Named(arrays[which], **axes)(network=name), -1)


def accuracies(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Test accuracy of a trained network, ``(seeds, looks)``."""
    return Named(arrays["accuracy"], network=NETWORKS, seed=None, look=None)(network=name)


# Claims


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """One matrix, many layers, a layer's loss on images, networks that were trained."""
    return [
        *_quadratic(arrays),
        *_matrix(arrays, parameters),
        *_layers(arrays, parameters),
        *_slice(arrays),
        *_trained(arrays, parameters),
    ]


def _quadratic(arrays) -> Iterator[Claim]:
    networks = list(hessians(arrays))
    note = f"6 networks, {len(arrays['hessian_measured'])} draws"
    claim = Group(f"{PAPER}, abstract: piecewise quadratic; formula standard", note=note)
    error = np.max([hessian_error(m, z, hessian) for m, z, hessian, _ in networks])
    words = "Hessian of the squared error in a layer's weights: relative error of 2 Σ (MᵀM) ⊗ (zzᵀ)"
    yield claim.equal("hessian", words, error, 0, 1e-10)

    source = f"{PAPER}, abstract: shape governed by singular values; formula standard"
    error = np.max([curvature_error(m, z, first) for m, z, _, first in networks])
    words = "Its eigenvalues at one image: distance from 2 s_i(M)² |z|², over the largest entry"
    yield claim.equal("curvatures", words, error, 0, 1e-8, source=source)


def _matrix(arrays, parameters) -> Iterator[Claim]:
    measured = measured_condition(arrays).mean(1)
    predicted = edge_condition(1.0, arrays["sigmas"])
    distance = np.abs(measured / predicted - 1).max()
    pairs = ", ".join(f"{m:.3f} of {p:.3f}" for m, p in zip(measured, predicted, strict=True))
    note = f"order {parameters.dim}, {len(arrays['edges'])} draws: {pairs}"
    small = f"standard: the edges are those of an infinite matrix, and order {parameters.dim} is below {LARGE}"
    large = unless(parameters.dim >= LARGE, small)
    claim = Group("standard: identity plus noise", note, outside=large)
    words = "Condition of I + σG: largest relative distance from the edges of an infinite matrix, three σ"
    yield claim.equal("edges", words, distance, 0, 0.06)

    n = arrays["bare"].shape[1]
    condition, _ = scanned(arrays)
    logs = np.log(condition[0, arrays["rhos"].tolist().index(0)])
    expected = theory.mean_log_condition(n) - float(np.log(n))
    error = logs.std(ddof=1) / len(logs) ** 0.5
    note = f"order {n}, {len(logs)} draws; tolerance: four standard errors"
    small = f"edelman1988eigenvalues, abstract: a limit of large matrices, and order {n} is small"
    claim = Group("edelman1988eigenvalues, abstract", note, outside=unless(n >= 20, small))
    words = "Mean of ln cond(G) minus ln n, without a skip"
    yield claim.equal("no-skip", words, logs.mean() - np.log(n), expected, 4 * error)

    outside = max(scan(arrays, "outside").max(), 0.0)
    words = "Singular values of ρI + σG: largest distance outside the bounds from M and M + Mᵀ"
    yield Group("standard: Weyl").equal("shift-bounds", words, outside, 0, ROUNDING)

    claim = Group("standard")
    change = np.abs(spectrum(arrays, "abs") - arrays["bare"]).max()
    words = "Absolute value: largest change of a singular value of W by D"
    yield claim.equal("absolute", words, change, 0, ROUNDING)
    outside = outside_activation_bounds(arrays)
    words = "Singular values of D W, four activations: largest distance outside their bounds"
    yield claim.equal("activation-bounds", words, outside, 0, ROUNDING)
    relu = spectrum(arrays, "ReLU")
    rank = (relu > n * np.finfo(relu.dtype).eps * relu[:, :1]).sum(1)
    excess = np.abs(rank - (n - arrays["off"])).max()
    words = "ReLU: rank of D W minus the number of units that are on, largest"
    yield claim.equal("rank", words, excess, 0, 0)


def _layers(arrays, parameters) -> Iterator[Claim]:
    conv, small, he = (np.median(at_depth(arrays, name)) for name in NETWORKS)
    grows = (
        "standard: the condition of a random matrix grows with its order, and the bound is for layers of "
        f"{WIDE} units; here are {parameters.width}"
    )
    outside = _large_branch(parameters)
    narrow = outside or unless(parameters.width >= WIDE, grows)
    drawn = f"{at_depth(arrays, 'ConvNet').size} draws, width {parameters.width}"
    note = f"{conv:.3g} and {small:.3g}; {drawn}; {_over_small(arrays, 'ConvNet')}"
    source = f"{PAPER}, abstract: less eccentric; bound ours"
    claim = Group(source, note, observed=True, outside=narrow)
    words = (
        "ReLU, four further layers: median condition of M, ConvNet over ResNet with small branches"
    )
    yield claim.at_least("eccentric", words, conv / small, 100)

    note = f"{he:.3g} and {small:.3g}; {_over_small(arrays, 'ResNet, He')}"
    claim = Group(SMALLER_BRANCH, note, observed=True, outside=narrow)
    words = "The same, ResNet with branches of He's size over ResNet with small ones"
    yield claim.at_least("branch", words, he / small, 5)

    conv, small, he = jumps(arrays)
    note = f"{conv:.3g} and {small:.3g}; He's size: {he:.3g}"
    source = f"{PAPER}, abstract: less erratic; bound ours"
    claim = Group(source, note, observed=True, outside=outside)
    words = "One unit flipped: median of the largest jump of a singular value over s₁, ConvNet over ResNet"
    yield claim.at_least("erratic", words, conv / small, 3)


def _large_branch(parameters) -> str:
    sigma = parameters.sigma
    large = f"ours: a skip protects from smaller branches only, up to σ = {SMALL_BRANCH} here; this has {sigma:g}"
    return unless(sigma <= SMALL_BRANCH, large)


def _over_small(arrays, name: str) -> str:
    """The condition over that of the ResNet with small branches: mean logarithm and its 95 % interval."""
    over, small = (np.median(at_depth(arrays, each), 1) for each in (name, "ResNet"))
    mean, half = interval(np.log10(over / small))
    return f"{len(small)} seeds" + (f", 10^({mean:.2f} ± {half:.2f})" if len(small) > 1 else "")


def _slice(arrays) -> Iterator[Claim]:
    seeds = range(len(arrays["slice_loss"]) // len(SLICED))
    slices = [slice_errors(arrays, seed, name) for seed in seeds for name in SLICED]
    distances, inside, across, knots = zip(*slices, strict=True)
    convnets, resnets = np.reshape(knots, (-1, len(SLICED))).mean(0)
    at_knots = np.concatenate(across)

    quadratic = f"{PAPER}, abstract: piecewise quadratic"
    note = f"knots: ConvNets {convnets:.0f}, ResNets {resnets:.0f}"
    claim = Group(f"{quadratic}; formula standard", note=note)
    words = "Loss along a line in a layer's weights: distance from its quadratic pieces, over its largest value"
    yield claim.equal("slice", words, np.max(distances), 0, ROUNDING)
    claim = Group(quadratic)
    words = "Its third differences inside pieces, over its largest value: largest"
    yield claim.equal("inside", words, np.max(inside), 0, ROUNDING)
    words = "Its third differences across a knot that bends the loss: least over knots"
    note = f"{len(at_knots)} knots, median {np.median(at_knots):.2g}"
    yield claim.at_least("knots", words, min(at_knots, default=0.0), 1e-8, note=note)


def _trained(arrays, parameters) -> Iterator[Claim]:
    words = "Trained networks: relative distance of f from affine in a block's weights, no unit changing its side"
    exact = Group(f"{PAPER}, abstract: exact local linear representation")
    yield exact.equal("affine", words, arrays["affine"].max(), 0, 1e-8)

    steps = parameters.steps
    condition = Group(
        f"{PAPER}, abstract: smaller condition number; bound ours",
        observed=True,
        undecided=unless(steps >= TRAINED, f"{steps} steps; the networks learn in {TRAINED}"),
        outside=_large_branch(parameters),
    )
    branch = replace(condition, source=SMALLER_BRANCH)
    end = ", low end of its 95 % interval" if arrays["accuracy"].shape[1] > 1 else ""
    block = "Trained networks, condition of M between the first block and the"
    ratio, note = _condition(arrays, "between", "ConvNet")
    words = f"{block} last, ConvNet over ResNet with small branches{end}"
    yield condition.at_least("between", words, ratio, BETWEEN, note=note)
    ratio, note = _condition(arrays, "between", "ResNet, He")
    words = f"{block} last, ResNet with branches of He's size over ResNet with small ones{end}"
    yield branch.at_least("between-he", words, ratio, BRANCH, note=note)
    ratio, note = _condition(arrays, "outputs", "ConvNet")
    words = f"{block} outputs, ConvNet over ResNet with small branches{end}"
    yield condition.at_least("outputs", words, ratio, OUTPUTS, note=note)

    easier = replace(condition, source=f"{PAPER}, abstract: easier to optimise; bound ours")
    early = "Accuracy at an eighth of the steps: ResNet with small branches minus"
    gain, note = _early_gain(arrays, "ConvNet")
    yield easier.at_least("early", f"{early} ConvNet{end}", gain, EARLY, note=note)
    gain, note = _early_gain(arrays, "ResNet, He")
    early = f"{early} one with branches of He's size{end}"
    yield branch.at_least("early-he", early, gain, EARLY, note=note)


def _condition(arrays, which: str, name: str) -> tuple[float, str]:
    """Median condition of M of a trained network over the ResNet with small branches: low end, and a note."""
    over, small = (by_seed(arrays, which, network)[:, -1] for network in (name, "ResNet"))
    medians = ", ".join(f"{10 ** np.log10(m).mean():.3g}" for m in (over, small))
    low = _low_end(np.log10(over / small))
    return float(10**low), f"medians {medians}; {len(small)} repetitions"


def _early_gain(arrays, name: str) -> tuple[float, str]:
    """Accuracy of the ResNet with small branches minus a network's, an eighth through training: low end, and a note."""
    gains = (accuracies(arrays, "ResNet") - accuracies(arrays, name))[:, EIGHTH]
    mean, half = interval(gains)
    return _low_end(gains), f"{mean:.3f} ± {half:.2g}" if len(gains) > 1 else "one repetition"


def _low_end(values: np.ndarray) -> float:
    """Of the 95 % interval of their mean; of one value, that value."""
    mean, half = interval(values)
    return mean - half if len(values) > 1 else mean

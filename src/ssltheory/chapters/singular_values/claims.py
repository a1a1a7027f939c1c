"""Claims of chapter 16.

Those on the Hessian and its eigenvalues (1e-10, 1e-8), the edges (6 %), activations (1e-12), the condition of
products and flips (factors of 100 and 3) and third differences (1e-12, 1e-8) were given before anything was run here.
The others are ours: rounding where the statement is exact, four standard errors for the mean logarithm, and, for
trained networks and the size of branches, bounds set on seeds 10 to 14 before seeds 0 to 4 were run in full. There,
on digits (240 steps) and on CIFAR-10 (400), condition between blocks, ConvNet over ResNet: 2,300 to 50,000 and 859 at
the low end of the interval; with large branches over small ones 41 to 63 and 38 at that end; up to the outputs 2.3 to
3.7 and 2.0; accuracy at an eighth of the steps 0.45 to 0.63 and 0.13 more than the ConvNet, 0.38 to 0.65 and 0.10
more than with large branches. First drafts of the bounds on trained networks, 100, 10, 1.5 and 0.1, were lowered, but
for the second, after that look at seeds 10 to 14: three repetitions have wide intervals, and on CIFAR-10 the
accuracies are closer. The rounding of ``affine`` was met by one network of fifteen not quite (1.2e-8) when eight
images at once had to keep their sides, which makes the step small; it is taken at one image since.
"""

import numpy as np
import torch

from ssltheory.book.claims import Claim, interval
from ssltheory.chapters.singular_values import Parameters
from ssltheory.theory import singular_values as theory

PAPER = "riedi2022singular"
NETWORKS = ("ConvNet", "ResNet", "ResNet, He")
WORDS = {"ConvNet": "ConvNet", "ResNet, He": "one with branches of He's size"}
ACTIVATIONS = ("identity", "ReLU", "leaky", "abs")
SLOPES = (1.0, 0.0, 0.1, -1.0)
LARGE = 1000  # order of the matrices from which on the edges are claimed
WIDE = 64  # width from which on products are
SMALL_BRANCH = 0.25  # σ up to which small branches are claimed to be that
TRAINED = 200  # steps below which nothing is claimed of training
ROUNDING = 1e-12
#: Of the trained ReLU networks: ratios of the median condition of M, and points of accuracy at an eighth of the steps.
BETWEEN, BRANCH, OUTPUTS, EARLY = 30.0, 10.0, 1.3, 0.03


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """One matrix, many layers, a layer's loss on images, networks that were trained."""
    return [
        *_quadratic(arrays),
        *_matrix(arrays, parameters),
        *_layers(arrays, parameters),
        *_slice(arrays),
        *_trained(arrays, parameters),
    ]


def tensor(array: np.ndarray) -> torch.Tensor:
    """In float64."""
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


def measured_condition(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """cond(I + σG) at full order, ``(σ, seeds)``."""
    return (arrays["edges"][..., 1] / arrays["edges"][..., 0]).T


def edge_condition(rho, sigma) -> np.ndarray:
    """cond(ρI + σG) of an infinite matrix; infinite where the lower edge is zero."""
    low, high = theory.shifted_edges(rho, sigma)
    return (high / low).numpy()


def scanned(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """cond(ρI + σG), and the largest that the bounds admit: each ``(σ, ρ, seeds · draws)``."""
    shape = len(arrays["sigmas"]), len(arrays["rhos"]), -1
    low, high, lower, upper, _ = np.moveaxis(arrays["scan"], (2, 0), (0, 2))
    with np.errstate(divide="ignore"):
        return (high / low).reshape(shape), (upper / lower).reshape(shape)


def at_depth(arrays: dict[str, np.ndarray], name: str, depth: int = 4) -> np.ndarray:
    """Condition of ReLU networks with so many further layers, ``(seeds, draws)``."""
    k = arrays["depths"].tolist().index(depth)
    return arrays["deep"][:, 0, NETWORKS.index(name), k]


def _seeds(arrays: dict[str, np.ndarray], over: str) -> str:
    """The condition over that of the ResNet with small branches, in words: mean logarithm and its 95 % interval."""
    found, small = (np.median(at_depth(arrays, name), 1) for name in (over, "ResNet"))
    mean, half = interval(np.log10(found / small))
    return f"{len(small)} seeds" + (f", 10^({mean:.2f} ± {half:.2f})" if len(small) > 1 else "")


def by_seed(arrays: dict[str, np.ndarray], which: str, name: str) -> np.ndarray:
    """Median over images of the condition of M of a trained network, ``(seeds, looks)``; "between" or "outputs"."""
    return np.median(arrays[which][NETWORKS.index(name)], -1)


def pieces(arrays: dict[str, np.ndarray], seed: int, network: int) -> theory.Pieces:
    """The loss along the slice in closed form; 0 is the ConvNet, 1 the ResNet."""
    k = 2 * seed + network
    names = ("direction", "z", "y", "weights", "biases", "readout")
    direction, z, y, weights, biases, readout = (
        tensor(arrays[f"slice_{name}"][k]) for name in names
    )
    eta, reach = float(arrays["eta"]), float(arrays["t"].max())
    return theory.loss_along(direction, z, y, weights, biases, readout, eta, float(network), reach)


def third_differences(t: np.ndarray, loss: np.ndarray, knots: np.ndarray):
    """Of the loss over its largest value: the largest inside a piece, and the largest across each knot ``(k,)``."""
    third = np.abs(np.diff(loss, n=3)) / loss.max()
    piece = np.searchsorted(knots, t)
    across = [third[max(at - 3, 0) : at].max(initial=0.0) for at in np.searchsorted(t, knots)]
    return third[piece[:-3] == piece[3:]].max(), np.array(across)


def bends(found: theory.Pieces) -> np.ndarray:
    """Which inner knots change the slope of the loss at all: a unit behind closed gates does not; ``(k,)`` bool."""
    _, slope, bend = found.coefficients.T
    jump = slope[1:] - (slope + 2 * bend * found.knots.diff())[:-1]
    return (jump.abs() > 1e-9 * slope.abs().max()).numpy()


def _quadratic(arrays) -> list[Claim]:
    names = ("z", "y", "weights", "biases", "readout")
    worst, curvatures = 0.0, 0.0
    for seed, measured in enumerate(tensor(arrays["hessian_measured"])):
        z, _, weights, biases, readout = (tensor(arrays[f"hessian_{n}"][seed]) for n in names)
        for rho in (0, 1):
            for k, eta in enumerate(SLOPES[1:]):
                slopes = theory.forward(z, weights, biases, eta, rho)[1]
                m = readout @ theory.local_matrices(weights, slopes, rho)
                every, first = measured[:, rho, k]
                error = (every - theory.layer_hessian(m, z)).norm() / every.norm()
                s = torch.linalg.svdvals(m[0]).square() * 2 * z[0].square().sum()
                found = torch.linalg.eigvalsh(first).flip(0)
                found[: len(s)] -= s
                worst = max(worst, float(error))
                curvatures = max(curvatures, float(found.abs().max() / first.abs().max()))
    settings = f"6 networks, {len(arrays['hessian_measured'])} draws"
    return [
        Claim(
            "hessian",
            "Hessian of the squared error in a layer's weights: relative error of 2 Σ (MᵀM) ⊗ (zzᵀ)",
            worst,
            0.0,
            1e-10,
            f"{PAPER}, abstract: piecewise quadratic; formula standard",
            note=settings,
        ),
        Claim(
            "curvatures",
            "Its eigenvalues at one image: distance from 2 s_i(M)² |z|², over the largest entry",
            curvatures,
            0.0,
            1e-8,
            f"{PAPER}, abstract: shape governed by singular values; formula standard",
            note=settings,
        ),
    ]


def _matrix(arrays, parameters) -> list[Claim]:
    measured = measured_condition(arrays).mean(1)
    predicted = edge_condition(1.0, arrays["sigmas"])
    away = np.abs(measured / predicted - 1).max()
    scan, _ = scanned(arrays)
    logs, n = np.log(scan[0, arrays["rhos"].tolist().index(0)]), arrays["bare"].shape[1]
    spectra, bare = tensor(arrays["spectra"][:, :, 0]), tensor(arrays["bare"])
    outside, off = [], arrays["off"]
    for k, eta in enumerate(SLOPES):
        for found, s, q in zip(spectra[:, k], bare, off.tolist(), strict=True):
            lower, upper = theory.activation_bounds(s, eta, 0 if eta == 1 else q)
            outside.append(float(torch.maximum(lower - found, found - upper).max()))
    relu, absolute = spectra[:, 1], spectra[:, 3]
    rank = (relu > n * torch.finfo(relu.dtype).eps * relu[:, :1]).sum(1).numpy()
    shown = ", ".join(f"{m:.3f} of {p:.3f}" for m, p in zip(measured, predicted, strict=True))
    return [
        Claim(
            "edges",
            "Condition of I + σG: largest relative distance from the edges of an infinite matrix, three σ",
            float(away),
            0.0,
            0.06,
            "standard: identity plus noise",
            inside=parameters.dim >= LARGE,
            note=f"order {parameters.dim}, {len(arrays['edges'])} draws: {shown}",
        ),
        Claim(
            "no-skip",
            "Mean of ln cond(G) minus ln n, without a skip",
            float(logs.mean() - np.log(n)),
            theory.mean_log_condition(n) - float(np.log(n)),
            float(4 * logs.std(ddof=1) / len(logs) ** 0.5),
            "edelman1988eigenvalues, abstract",
            inside=n >= 20,
            note=f"order {n}, {len(logs)} draws; tolerance: four standard errors",
        ),
        Claim(
            "shift-bounds",
            "Singular values of ρI + σG: largest distance outside the bounds from M and M + Mᵀ",
            float(max(arrays["scan"][:, :, 4].max(), 0.0)),
            0.0,
            ROUNDING,
            "standard: Weyl",
        ),
        Claim(
            "absolute",
            "Absolute value: largest change of a singular value of W by D",
            float((absolute - bare).abs().max()),
            0.0,
            ROUNDING,
            "standard",
        ),
        Claim(
            "activation-bounds",
            "Singular values of D W, four activations: largest distance outside their bounds",
            max(*outside, 0.0),
            0.0,
            ROUNDING,
            "standard",
        ),
        Claim(
            "rank",
            "ReLU: rank of D W minus the number of units that are on, largest",
            float(np.abs(rank - (n - off)).max()),
            0.0,
            0.0,
            "standard",
        ),
    ]


def _layers(arrays, parameters) -> list[Claim]:
    conv, small, he = (np.median(at_depth(arrays, name)) for name in NETWORKS)
    jumps = np.median(arrays["jumps"][:, 0].reshape(len(arrays["jumps"]), 3, -1), -1).mean(0)
    inside = parameters.sigma <= SMALL_BRANCH and parameters.width >= WIDE
    drawn = f"{at_depth(arrays, 'ConvNet').size} draws, width {parameters.width}"
    return [
        Claim(
            "eccentric",
            "ReLU, four further layers: median condition of M, ConvNet over ResNet with small branches",
            float(conv / small),
            100.0,
            0.0,
            f"{PAPER}, abstract: less eccentric; bound ours",
            "at least",
            inside=inside,
            note=f"{conv:.3g} and {small:.3g}; {drawn}; {_seeds(arrays, 'ConvNet')}",
        ),
        Claim(
            "branch",
            "The same, ResNet with branches of He's size over ResNet with small ones",
            float(he / small),
            5.0,
            0.0,
            "ours: the benefit needs a branch smaller than the skip",
            "at least",
            inside=inside,
            note=f"{he:.3g} and {small:.3g}; {_seeds(arrays, 'ResNet, He')}",
        ),
        Claim(
            "erratic",
            "One unit flipped: median of the largest jump of a singular value over s₁, ConvNet over ResNet",
            float(jumps[0] / jumps[1]),
            3.0,
            0.0,
            f"{PAPER}, abstract: less erratic; bound ours",
            "at least",
            inside=inside,
            note=f"{jumps[0]:.3g} and {jumps[1]:.3g}; He's size: {jumps[2]:.3g}",
        ),
    ]


def _slice(arrays) -> list[Claim]:
    error, inside, across, counts = 0.0, 0.0, [], []
    for seed in range(len(arrays["slice_loss"]) // 2):
        for network in (0, 1):
            found = pieces(arrays, seed, network)
            loss = arrays["slice_loss"][2 * seed + network]
            away = np.abs(found(tensor(arrays["t"])).numpy() - loss).max() / loss.max()
            knots = found.knots[1:-1].numpy()
            within, at_knots = third_differences(arrays["t"], loss, knots)
            error, inside = max(error, float(away)), max(inside, float(within))
            across.extend(at_knots[bends(found)])
            counts.append(len(knots))
    return [
        Claim(
            "slice",
            "Loss along a line in a layer's weights: distance from its quadratic pieces, over its largest value",
            error,
            0.0,
            ROUNDING,
            f"{PAPER}, abstract: piecewise quadratic; formula standard",
            note=f"knots: ConvNets {np.mean(counts[::2]):.0f}, ResNets {np.mean(counts[1::2]):.0f}",
        ),
        Claim(
            "inside",
            "Its third differences inside pieces, over its largest value: largest",
            inside,
            0.0,
            ROUNDING,
            f"{PAPER}, abstract: piecewise quadratic",
        ),
        Claim(
            "knots",
            "Its third differences across a knot that bends the loss: least over knots",
            float(min(across, default=0.0)),
            1e-8,
            0.0,
            f"{PAPER}, abstract: piecewise quadratic",
            "at least",
            note=f"{len(across)} knots, median {np.median(across):.2g}",
        ),
    ]


def _trained(arrays, parameters) -> list[Claim]:
    inside = parameters.steps >= TRAINED and parameters.eta == 0
    small = inside and parameters.sigma <= SMALL_BRANCH

    def ratio(name, statement, which, over, under, bound, source):
        found = [by_seed(arrays, which, net)[:, -1] for net in (over, under)]
        logs = np.log10(found[0] / found[1])
        mean, half = interval(logs)
        low = mean - (half if len(logs) > 1 else 0.0)
        medians = ", ".join(f"{10 ** np.log10(f).mean():.3g}" for f in found)
        return Claim(
            name,
            f"Trained networks, {statement}"
            + (", low end of its 95 % interval" if len(logs) > 1 else ""),
            float(10**low),
            bound,
            0.0,
            source,
            "at least",
            inside=small,
            note=f"medians {medians}; {len(logs)} repetitions",
        )

    def early(name, other, source):
        conv_or_he, resnet = (
            arrays["accuracy"][NETWORKS.index(net), :, 1] for net in (other, "ResNet")
        )
        gain, half = interval(resnet - conv_or_he)
        several = len(resnet) > 1
        return Claim(
            name,
            f"Accuracy at an eighth of the steps: ResNet with small branches minus {WORDS[other]}"
            + (", low end of its 95 % interval" if several else ""),
            float(gain - (half if several else 0.0)),
            EARLY,
            0.0,
            source,
            "at least",
            inside=small,
            note=f"{gain:.3f} ± {half:.2g}" if several else "one repetition",
        )

    between = "condition of M between the first block and the last"
    return [
        Claim(
            "affine",
            "Trained networks: relative distance of f from affine in a block's weights, no unit changing its side",
            float(arrays["affine"].max()),
            0.0,
            1e-8,
            f"{PAPER}, abstract: exact local linear representation; bound ours",
        ),
        ratio(
            "between",
            f"{between}, ConvNet over ResNet with small branches",
            "between",
            "ConvNet",
            "ResNet",
            BETWEEN,
            f"{PAPER}, abstract: smaller condition number; bound ours",
        ),
        ratio(
            "between-he",
            f"{between}, ResNet with branches of He's size over ResNet with small ones",
            "between",
            "ResNet, He",
            "ResNet",
            BRANCH,
            "ours: the benefit needs a branch smaller than the skip",
        ),
        ratio(
            "outputs",
            "condition of M between the first block and the outputs, ConvNet over ResNet with small branches",
            "outputs",
            "ConvNet",
            "ResNet",
            OUTPUTS,
            f"{PAPER}, abstract: smaller condition number; bound ours",
        ),
        early("early", "ConvNet", f"{PAPER}, abstract: easier to optimise; bound ours"),
        early("early-he", "ResNet, He", "ours: the benefit needs a branch smaller than the skip"),
    ]

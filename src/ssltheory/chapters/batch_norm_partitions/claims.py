"""Claims of chapter 15.

Bounds were set before seeds 0 to 3 were run, most of them on five fresh runs with first seeds 10 to 14, of ten
repetitions on the moons each. On other data than digits they were set for MLPs.

bound                          | set when, on which seeds   | seen there, and changed why
------------------------------ | -------------------------- | --------------------------------------------------------
offset-*, variance-bn, cells,  | before any run             | cells-*: 18 to 29 and 11 to 19 with 40 networks; there
fold, jitter, density-rises,   |                            | are 60 since
-bn, -none, margin             |                            |
density-he                     | fresh runs, digits         | 4.1 to 14
init-default, density-trained  | fresh runs, digits         |
init-faster                    | fresh runs, digits         | 0.04 to 0.09
init-faster-he                 | fresh runs, digits         | 10 to 180
init-gap-torch                 | fresh runs, digits         | 0.81 to 0.87
init-gap-he                    | fresh runs, digits         | -0.05 to +0.15; the median, because one run had not
                               |                            | recovered from a spike of its loss
init-default, init-gap-*,      | seeds 10 to 14 of exact    | 1.0, 0.20 and 0.00, 0.20
density-trained, other data    | CIFAR-10, full settings    |
init-faster, -he, other data   | those of digits            | seeds 10 to 14 of exact CIFAR-10 missed them before seeds
                               |                            | 0 to 4 were run: losses of 1.84 folded once, 1.86 with
                               |                            | He's initialisation alone, 1.65 with BatchNorm in every
                               |                            | step
margin-control                 | fresh runs                 | -0.27 to +0.12
margin-training                | fresh runs                 | -0.015 to -0.009
margin-test                    | fresh runs                 | -0.0021 to +0.0006, all within their intervals; planned
                               |                            | as a fall, at 0 or less, but only the training one falls
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ssltheory.book.claims import Claim, Group, interval, unless
from ssltheory.book.named import Named
from ssltheory.chapters.batch_norm_partitions import Parameters
from ssltheory.chapters.batch_norm_partitions.experiment import (
    BATCHES,
    FOLDED,
    GROUPS,
    INITS,
    TRAINED,
)
from ssltheory.theory import splines

PAPER = "balestriero2022batchnorm"
EXACT = 1e-10
LEAST = 1e-6  # stands in a denominator where no boundary was crossed at all
# Fewest networks whose medians are judged, units in a layer, repetitions on the moons, and steps there and on images.
PLANES, UNITS, MOONS, MOON_STEPS, TRAINED_STEPS = 20, 64, 5, 100, 200
DEEP = 8  # hidden layers over which what one layer does has added up
#: Test accuracy gained by folding BatchNorm once: at least, PyTorch's initialisation; at most, He's.
GAINED = {"digits": (0.5, 0.02), "other": (0.1, 0.03)}
ON_DIGITS = "digits, five runs from seeds 10 to 14 on, before seeds 0 to 3"
SET = {"digits": ON_DIGITS, "other": "CIFAR-10 at the full scale, seeds 10 to 14"}


# Readings


def exact(arrays: dict[str, np.ndarray], name: str, what: str) -> np.ndarray:
    """The "offset" of every unit from the hyperplane of least squares, in σ, or its "variance", over ‖w‖² L / n.

    ``(seeds, layers, units)`` of networks in float64 that are folded with ``name``: "none", "median" or "bn".
    """
    axes = {"seed": None, "what": ("offset", "variance"), "layer": None, "unit": None}
    return Named(arrays[f"exact_{name}"], **axes)(what=what)


def moved(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """sd(μ_B)/σ by batch size: root mean square over repetitions and layers, ``(sizes,)``."""
    return np.sqrt((arrays["scatter"] ** 2).mean((0, 2)))


def law(sizes, n: int | None = None) -> np.ndarray:
    """Theory's jitter for these batch sizes."""
    return splines.jitter(torch.tensor(sizes), n).numpy()


def angles(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Angles of the folds in degrees, measured and predicted, median over units: ``(factors,)`` each."""
    below, change, predicted = torch.from_numpy(arrays["folds"]).unbind(1)
    pair = (splines.turning_angle(below, each).flatten(1) for each in (change, predicted))
    measured, theory = (angle.median(1).values.numpy() for angle in pair)
    return measured, theory


def density(
    arrays: dict[str, np.ndarray], init: str, name: str, noise: bool = False, trained: bool = False
) -> np.ndarray:
    """Share of crossed boundaries around images or noise, before or after training, ``(seeds, layers)``."""
    key, names = ("trained_density", TRAINED) if trained else ("density", FOLDED)
    axes = {"init": INITS, "name": names, "seed": None, "around": ("images", "noise")}
    shares = Named(arrays[key], **axes, layer=None)
    return shares(init=init, name=name, around="noise" if noise else "images")


def loss(arrays: dict[str, np.ndarray], init: str, name: str) -> np.ndarray:
    """Training loss of a variant, ``(steps, seeds)``."""
    losses = Named(arrays["loss"], init=INITS, name=TRAINED, step=None, seed=None)
    return losses(init=init, name=name)


def final_loss(arrays: dict[str, np.ndarray], init: str, name: str) -> np.ndarray:
    """Mean loss over the last tenth of training, ``(seeds,)``."""
    losses = loss(arrays, init, name)
    return losses[-max(len(losses) // 10, 1) :].mean(0)


def accuracy(arrays: dict[str, np.ndarray], init: str, name: str) -> np.ndarray:
    """Test accuracy of a variant after training, ``(seeds,)``."""
    return Named(arrays["accuracy"], init=INITS, name=TRAINED, seed=None)(init=init, name=name)


def scores(arrays: dict[str, np.ndarray], what: str) -> np.ndarray:
    """On the moons, the "margin", "training" or "test" accuracy: ``(groups, repetitions)``, all points first."""
    kinds = ("margin", "training", "test")
    return Named(arrays["margin"], group=None, what=kinds, repetition=None)(what=what)


def gain(arrays: dict[str, np.ndarray], what: str) -> np.ndarray:
    """What each group gains in it over all points, paired: ``(groups, repetitions)``."""
    score = scores(arrays, what).astype(float)
    return score - score[0]


def control_gain(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """What the smallest groups gain in margin over all points if they are never redrawn, ``(repetitions,)``."""
    margin, *_ = arrays["control"]
    return margin - scores(arrays, "margin")[0]


# Claims


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """Least squares, cells, folds and jitter; density by depth; smart initialisation; margins."""
    return [
        *_least_squares(arrays),
        *_cells(arrays),
        *_folds_and_jitter(arrays),
        *_density(arrays, parameters),
        *_initialisation(arrays, parameters),
        *_margins(arrays, parameters),
    ]


def _least_squares(arrays) -> Iterator[Claim]:
    without, medians, bn = (
        np.abs(exact(arrays, name, "offset")).max() for name in ("none", "median", "bn")
    )
    variance = exact(arrays, "bn", "variance")
    seeds, layers, units = variance.shape
    note = f"{seeds} networks, {layers} layers of {units} units"
    claim = Group(f"{PAPER}, abstract; formula derived here", note=note)
    distance = "largest distance of a boundary from the hyperplane of least squares, in σ"
    yield claim.equal("offset-bn", f"BatchNorm: {distance}", bn, 0, EXACT)
    words = "BatchNorm: largest error of σ² = ‖w‖² L / n, relative"
    yield claim.equal("variance-bn", words, np.abs(variance - 1).max(), 0, EXACT)
    yield claim.at_least("offset-none", f"Without BatchNorm: {distance}", without, 1)
    words = f"With medians in the place of means: {distance}"
    yield claim.at_least("offset-median", words, medians, 0.1, source="ours")


def _cells(arrays) -> Iterator[Claim]:
    n, medians = len(arrays["counts"]), np.median(arrays["counts"], 0)
    none, centre, scale, bn = medians
    by_name = ", ".join(f"{name} {count:g}" for name, count in zip(FOLDED, medians, strict=True))
    note = f"medians of {n} networks: {by_name}"
    few = unless(n >= PLANES, f"{n} networks; their median needs {PLANES}")
    claim = Group(f"{PAPER}, abstract; measure ours", note, observed=True, undecided=few)
    cells = "Cells around the data"
    yield claim.at_least("cells-bn", f"{cells}, BatchNorm over none", bn / none, 10)
    yield claim.at_least("cells-scale", f"{cells}, BatchNorm over scaling only", bn / scale, 10)
    yield claim.at_most("cells-centre", f"{cells}, centring only over BatchNorm", centre / bn, 1)


def _folds_and_jitter(arrays) -> Iterator[Claim]:
    _, change, predicted = arrays["folds"].swapaxes(0, 1)
    error = np.abs(change - predicted).max() / np.abs(predicted).max()
    words = "Change of a boundary's normal at a fold: largest error of the closed form, relative"
    note = f"{change[..., 0].size} folds"
    yield Group("ours", note=note).equal("fold", words, error, 0, 1e-8)

    ratio = moved(arrays) / law(BATCHES)
    furthest = ratio[np.abs(ratio - 1).argmax()]
    words = "Shift of a boundary with the mini-batch, over 1/√B times the data's RMS distance, where it is furthest"
    note = ", ".join(f"B = {b}: {r:.3f}" for b, r in zip(BATCHES, ratio, strict=True))
    claim = Group(f"{PAPER}, abstract; law derived here", note=note)
    yield claim.equal("jitter", words, furthest, 1, 0.03)


def _density(arrays, parameters) -> Iterator[Claim]:
    networks = ("torch", "bn"), ("torch", "none"), ("he", "none")
    bn, none, he = (density(arrays, *network) for network in networks)
    mean = bn.mean(0)
    units, layers = len(bn) * parameters.dim, parameters.depth
    few = unless(
        units >= UNITS, f"{units} units in a layer, all seeds together; {UNITS} are needed"
    )
    any_depth = Group(f"{PAPER}; measure ours", observed=True, undecided=few)
    multiplied = f"ours: the factors of layers multiply, and the bound is for {DEEP} or more; here are {layers}"
    claim = replace(any_depth, outside=unless(layers >= DEEP, multiplied))

    rise = (mean[1:] / np.maximum(mean[:-1], LEAST)).min()
    _, note = _last_layer(bn, over=bn, layer=-2)
    words = "BatchNorm: smallest ratio of the boundaries near images, a layer to the one before"
    yield any_depth.at_least("density-rises", words, rise, 1, note=note)

    near = "boundaries near images, last layer over first"
    growth, note = _last_layer(bn, over=bn, layer=0)
    yield claim.at_least("density-bn", f"BatchNorm: {near}", growth, 1.5, note=note)
    growth, note = _last_layer(none, over=none, layer=0)
    words = f"PyTorch's initialisation without BatchNorm: {near}"
    yield claim.at_most("density-none", words, growth, 0.6, note=note)

    ratio, note = _last_layer(bn, over=he, layer=-1)
    words = "Boundaries near images in the last layer: BatchNorm over He's initialisation without"
    yield claim.at_least("density-he", words, ratio, 2, source="ours", note=note)


def _last_layer(shares: np.ndarray, over: np.ndarray, layer: int) -> tuple[float, str]:
    """Mean share of the last layer over that of a layer of ``over``; a note with both by seed and by layer."""
    mean, reference = shares.mean(0), over.mean(0)[layer]
    ratio, half = interval(shares[:, -1] / np.maximum(over[:, layer], LEAST))
    spread = f", {ratio:.3g} ± {half:.2g}" if len(shares) > 1 else ""
    by_layer = " ".join(f"{share:.3f}" for share in mean)
    return mean[-1] / max(reference, LEAST), f"{len(shares)} seeds{spread}; by layer {by_layer}"


def _initialisation(arrays, parameters) -> Iterator[Claim]:
    default, he = (
        {name: final_loss(arrays, init, name).mean() for name in TRAINED}
        for init in ("torch", "he")
    )
    steps, layers = parameters.steps, parameters.depth
    short = unless(steps >= TRAINED_STEPS, f"{steps} steps; the networks learn in {TRAINED_STEPS}")
    claim = Group("ours", observed=True, undecided=short)
    paper = f"{PAPER}, abstract; measure and bound ours"
    faster = replace(claim, source=paper, bound_set=ON_DIGITS)
    shrunk = (
        "ours: PyTorch's initialisation makes the signal about 2.4 times smaller in each layer, and it is gone after "
        f"{DEEP} or more; here are {layers}"
    )
    lost = unless(layers >= DEEP, shrunk)
    data = "digits" if parameters.dataset == "digits" else "other"
    least, most = GAINED[data]

    over_chance = default["none"] / float(np.log(arrays["classes"]))
    words = "PyTorch's initialisation: training loss at the end over that of chance"
    note = f"means of losses: {_means(default)}"
    yield claim.at_least("init-default", words, over_chance, 0.95, note=note, outside=lost)

    worse = max(end["bn"] / end["full"] for end in (default, he))
    words = "Training loss at the end, BatchNorm folded once over BatchNorm in every step, worse initialisation"
    yield faster.at_most("init-faster", words, worse, 0.5, note=f"He's: {_means(he)}")
    words = "training loss at the end, nothing folded over BatchNorm folded once"
    ratio = he["none"] / he["bn"]
    note = f"means of losses: {_means(he)}"
    yield faster.at_least("init-faster-he", f"He's initialisation: {words}", ratio, 3, note=note)

    words = "initialisation: test accuracy, BatchNorm folded once minus nothing, median"
    gained, note = _folded_once(arrays, "torch")
    better = replace(faster, note=note, bound_set=SET[data], outside=lost)
    yield better.at_least("init-gap-torch", f"PyTorch's {words}", gained, least)
    gained, note = _folded_once(arrays, "he")
    no_better = replace(claim, note=note, bound_set=SET[data])
    yield no_better.at_most("init-gap-he", f"He's {words}", gained, most)

    before = density(arrays, "torch", "bn").mean(0)[-1]
    after = density(arrays, "torch", "full", trained=True).mean(0)[-1]
    ratio = after / max(before, LEAST)
    words = "BatchNorm in every step: boundaries near images in the last layer, after training over before"
    note = f"{after:.3f} after, {before:.3f} before"
    yield claim.at_most("density-trained", words, ratio, 0.5, note=note)


def _folded_once(arrays, init: str) -> tuple[float, str]:
    """Median test accuracy that folding BatchNorm once gains over nothing; a note with all means."""
    scores = {name: accuracy(arrays, init, name) for name in TRAINED}
    gain = scores["bn"] - scores["none"]
    mean, half = interval(gain)
    spread = f"; {len(gain)} seeds, mean {mean:+.3f} ± {half:.3f}" if len(gain) > 1 else ""
    return float(np.median(gain)), f"means: {_means(scores)}{spread}"


def _means(values: dict[str, np.ndarray]) -> str:
    """By name, for a note."""
    return ", ".join(f"{name} {value.mean():.3g}" for name, value in values.items())


def _margins(arrays, parameters) -> Iterator[Claim]:
    margin, training, test = (gain(arrays, what)[-1] for what in ("margin", "training", "test"))
    control, small = control_gain(arrays), GROUPS[-1]
    n, steps = len(margin), parameters.moon_steps
    few = unless(n >= MOONS, f"{n} repetitions; the test needs {MOONS}")
    short = unless(steps >= MOON_STEPS, f"{steps} steps; the networks learn in {MOON_STEPS}")
    claim = Group("ours", observed=True, undecided=few or short)
    paper = replace(claim, source=f"{PAPER}, abstract; measure ours")

    larger = (margin > 0).mean()
    words = f"Share of repetitions in which groups of {small} leave a larger mean margin than all points"
    yield paper.at_least("margin", words, larger, 0.8, note=_mean(margin))

    ratio = control.mean() / margin.mean()
    words = f"Gain of mean margin from groups of {small} that are never redrawn, over that of redrawn ones"
    yield claim.at_most("margin-control", words, ratio, 0.5, note=_mean(control))

    words = f"accuracy with groups of {small} minus that with all points, mean"
    for name, gained, bound in (("training", training, -0.004), ("test", test, 0.005)):
        mean, half = interval(gained)
        claim, more = replace(claim, note=_mean(gained)), f"{name.capitalize()} {words}"
        yield claim.at_most(f"margin-{name}", more, mean, bound, half=half)


def _mean(gains: np.ndarray) -> str:
    mean, half = interval(gains)
    return f"{len(gains)} repetitions, mean {mean:+.4f} ± {half:.4f}"

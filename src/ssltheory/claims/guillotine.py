"""Claims of chapter 13.

bound             | set when, on which seeds            | seen there, and changed why
----------------- | ----------------------------------- | --------------------------------------------------------
digits            |                                     |
style-lost,       | beforehand, for larger networks     | kept as they were
simclr-lost,      | with another optimiser, three seeds |
turned-lost,      |                                     |
labels-lost       |                                     |
span-ratio        | the same                            | asked of the spans of means, for which it was given; the
                  |                                     | interval beside it is that of the repetitions' own ratios
supervised-lost,  | ours                                |
image-pairs       |                                     |
backbone          | ours                                | well below the least of seeds 10 to 12, 0.921
600 steps         | seeds 10 to 14                      | from 400, after seeds 0 to 2: label pairs lost 0.0050
                  |                                     | there, not trained to the end; on seeds 10 to 14 they
                  |                                     | lose 0.0038 at 400 and 0.0017 at 600
no loss is        | after seeds 0 to 2 at 600 steps     | 0.005 ± 0.007, later, after a change of the code,
undecided         |                                     | 0.008 ± 0.014: three repetitions cannot tell
other data        |                                     |
style-lost,       | seeds 10 to 14 of CIFAR-10, full    | 0.40 of R², 0.059 of accuracy, 0.025 over label pairs,
simclr-lost,      | settings; well below                | 0.076 with views turned around
image-pairs,      |                                     |
turned-lost       |                                     |
labels-lost,      | the same: not claimed               | a few epochs leave gaps of 0.033 and 0.021 too, and
supervised-lost,  |                                     | VICReg's weight matters little anywhere (spans 0.008 and
span-ratio        |                                     | 0.003)
backbone          | after seeds 0 to 4                  | 0.34 to 0.40, ten classes: far from both it and chance

A claim of no loss is outside where the mean is above its bound and the interval reaches below; it fails where the whole
interval is above.
"""

from collections.abc import Iterator

import numpy as np
import torch

from ssltheory.chapters.guillotine import Guillotine
from ssltheory.claims import Claim, Group, interval
from ssltheory.claims.named import Named
from ssltheory.theory import guillotine as theory

PAPER = "bordes2023guillotine"
METHODS = ("simclr", "vicreg", "labels", "supervised")
NAMES = {
    "simclr": "SimCLR",
    "vicreg": "VICReg",
    "labels": "label pairs",
    "supervised": "supervised",
}
SWEEPS = ("rotation", "covariance", "temperature", "depth")
CUTS = ("backbone", "output")  # at which the networks of the sweeps are probed
TRAINED = 200  # steps below which nothing is claimed of networks
#: Of networks, on digits and on any other data; there nothing is claimed where it is None.
BOUNDS: dict[str, tuple[float, float | None]] = {
    "style-lost": (0.40, 0.30),
    "simclr-lost": (0.004, 0.03),
    "image-pairs": (0.02, 0.01),
    "turned-lost": (0.03, 0.04),
    "labels-lost": (0.005, None),
    "supervised-lost": (0.01, None),
    "span-ratio": (4.0, None),
    "backbone": (0.8, 0.25),
}
LINEAR = 0.06  # of R², mean over four coordinates; near ρθ = 1 the sample's own θ decides


# Readings


def backbone(arrays: dict[str, np.ndarray]) -> int:
    """Its place among the layers."""
    return arrays["layers"].tolist().index("trunk")


def score(probed: np.ndarray, what: str) -> np.ndarray:
    """What probes reached, ``(..., 1 + parameters) -> (...)``.

    Args:
        probed: accuracy of the class, then R² of each of the augmentation's parameters.
        what: "accuracy", or "r2", their mean.
    """
    probed = probed.astype(float)
    return probed[..., 0] if what == "accuracy" else probed[..., 1:].mean(-1)


def at_cuts(arrays: dict[str, np.ndarray], method: str, what: str = "accuracy") -> np.ndarray:
    """The "accuracy" or "r2" of a method, ``(seeds, layers)``."""
    axes = {"method": arrays["methods"].tolist(), "seed": None, "layer": None, "probe": None}
    return score(Named(arrays["measured"], **axes)(method=method), what)


def points_lost(arrays: dict[str, np.ndarray], method: str, what: str = "accuracy") -> np.ndarray:
    """The same at the backbone minus that at the output, ``(seeds,)``."""
    layers = at_cuts(arrays, method, what)
    return layers[:, backbone(arrays)] - layers[:, -1]


def sweep(arrays: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, Named]:
    """Values, and accuracies by value, seed and cut."""
    accuracy = score(arrays[name], "accuracy")
    return arrays[f"{name}_values"], Named(accuracy, value=None, seed=None, cut=CUTS)


def span(accuracy: np.ndarray) -> np.ndarray:
    """Largest minus smallest accuracy over the values of a sweep, ``(values, ...) -> (...)``."""
    return accuracy.max(0) - accuracy.min(0)


def theory_r2(arrays: dict[str, np.ndarray], rho: np.ndarray | None = None) -> np.ndarray:
    """R² of each θ at the head's output in closed form, ``(ρ, θ)``."""
    rho = arrays["linear_rho"] if rho is None else rho
    theta, noise = torch.from_numpy(arrays["linear_theta"]), float(arrays["linear_noise"])
    return theory.head_r2(theta, torch.from_numpy(rho), noise).numpy()


# Claims


def claims(arrays: dict[str, np.ndarray], parameters: Guillotine) -> list[Claim]:
    """Networks by layer, sweeps where there are any, and the linear head against its closed form."""
    return [
        *_layers(arrays, parameters),
        *_shuffled(arrays),
        *_sweeps(arrays, parameters),
        *_linear(arrays),
    ]


def _of_networks(parameters: Guillotine, name: str) -> tuple[Group, float]:
    """For claims on networks: where one is made, and its bound."""
    digits, other = BOUNDS[name]
    on_digits = parameters.dataset == "digits"
    claimed = (on_digits or other is not None) and parameters.steps >= TRAINED
    bound = digits if on_digits or other is None else other
    return Group(f"{PAPER}; measure and bound ours", claimed), bound


def _mean_at_least(parameters, name: str, words: str, values: np.ndarray) -> Claim:
    """Of the mean over seeds."""
    claim, bound = _of_networks(parameters, name)
    return claim.at_least(name, words, interval(values)[0], bound, note=_seeds(values))


def _mean_at_most(parameters, name: str, words: str, values: np.ndarray) -> Claim:
    """The same; outside where the mean is above the bound and its interval reaches below."""
    claim, bound = _of_networks(parameters, name)
    mean, half = interval(values)
    if mean - half <= bound < mean:
        note = f"{_seeds(values)}: the bound lies within, not decided"
        return claim.at_most(name, words, mean, bound, inside=False, note=note)
    return claim.at_most(name, words, mean, bound, note=_seeds(values))


def _seeds(values: np.ndarray) -> str:
    """How many there are, and the 95 % interval of their mean."""
    if len(values) < 2:
        return "one seed"
    return f"{len(values)} seeds, ± {interval(values)[1]:.2g} (95 %)"


def _layers(arrays, parameters) -> Iterator[Claim]:
    simclr, labels = points_lost(arrays, "simclr"), points_lost(arrays, "labels")
    style, supervised = points_lost(arrays, "simclr", "r2"), points_lost(arrays, "supervised")
    minus_output = "at the backbone minus that at the output"
    words = f"SimCLR: R² of the augmentation's parameters {minus_output}"
    yield _mean_at_least(parameters, "style-lost", words, style)
    yield _mean_at_least(parameters, "simclr-lost", f"SimCLR: accuracy {minus_output}", simclr)
    yield _mean_at_most(parameters, "labels-lost", f"Label pairs: accuracy {minus_output}", labels)
    words = "Accuracy lost by SimCLR between backbone and output, over what it loses on label pairs"
    yield _mean_at_least(parameters, "image-pairs", words, simclr - labels)
    words = f"Supervised: accuracy {minus_output}"
    yield _mean_at_most(parameters, "supervised-lost", words, supervised)
    if arrays["classes"] == 10:  # which its bounds are for
        reached = [at_cuts(arrays, method)[:, backbone(arrays)] for method in METHODS]
        words = "Accuracy at the backbone, of the method with the least"
        yield _mean_at_least(parameters, "backbone", words, min(reached, key=np.mean))


def _shuffled(arrays) -> Iterator[Claim]:
    each = arrays["shuffled"].astype(float).mean((0, 2)).ravel()  # a shuffle each
    error, chance = each.std(ddof=1) / each.size**0.5, 1 / float(arrays["classes"])
    note = f"{each.size} shuffles, from {each.min():.3f} to {each.max():.3f}; four standard errors"
    words = "Accuracy of probes that learnt shuffled labels, mean over shuffles, methods, backbone and output"
    claim = Group("ours, chance", note=note)
    yield claim.equal("control", words, each.mean(), chance, 4 * error)


def _sweeps(arrays, parameters) -> Iterator[Claim]:
    if "rotation" not in arrays:
        return
    angles, accuracy = sweep(arrays, "rotation")
    at_backbone, at_output = (accuracy(value=angles.argmax(), cut=cut) for cut in CUTS)
    turned = f"SimCLR, views turned by up to {angles.max():g}°"
    words = f"{turned}: accuracy at the backbone minus that at the output"
    yield _mean_at_least(parameters, "turned-lost", words, at_backbone - at_output)

    weights, accuracy = sweep(arrays, "covariance")
    before, after = (span(accuracy(cut=cut).mean(1)) for cut in CUTS)
    least = 1 / parameters.n_test  # none is known better
    backbones, outputs = (span(accuracy(cut=cut)).clip(least) for cut in CUTS)
    mean, half = interval(outputs / backbones)
    n = len(outputs)
    ratios = f"ratios of {n} seeds {mean:.2g} ± {half:.2g} (95 %)" if n > 1 else "one seed"
    note = f"weights {weights.min():g} to {weights.max():g}: {after:.3f} and {before:.3f}; {ratios}"
    claim, bound = _of_networks(parameters, "span-ratio")
    words = "VICReg over its weight of covariances: span of the accuracies at the output over that at the backbone"
    yield claim.at_least("span-ratio", words, after / max(before, 1e-12), bound, note=note)


def _linear(arrays) -> Iterator[Claim]:
    distance = np.abs(arrays["linear_r2"] - theory_r2(arrays)).max()
    note = f"{arrays['linear_r2'].size} places, each the mean of four coordinates"
    claim = Group("ours, from balestriero2022spectral", note=note)
    words = "Linear head: largest distance of R² at the output from its closed form, over θ and ρ"
    yield claim.equal("linear", words, distance, 0, LINEAR)

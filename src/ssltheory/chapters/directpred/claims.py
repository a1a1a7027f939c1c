"""Claims of chapter 06.

The paper's numbers are accuracies of a ResNet-18 after 100 epochs; what is claimed here is their order, and what keeps
a small network from collapsing. The bounds are ours, set on seeds 10 to 14 of the quick settings (digits) before
seeds 0 to 4 were run.

bound                     | seen when it was set            | seen since, on the same seeds
------------------------- | ------------------------------- | -----------------------------
collapse-no_predictor     | 0.029 to 0.032                  | at most 0.032
collapse-no_stop_gradient | 0.025 to 0.028                  | at most 0.032
alive-byol_linear         | 0.34 to 0.43                    | 0.34 to 0.39
alive-directpred          | 0.71 to 0.78                    | 0.70 to 0.77
apart                     | at least 0.33                   |
modes                     | 6 to 10 more                    | at least 7 more
gain, gain-interval       | 3.9 points, interval 3.2 to 4.6 | 3.9 points, interval 1.5 to 6.2
eps-large                 | 0.058, seen before it was set   |

The numbers seen when the bounds were set are of batches of 128 and older than the repair of a collision of seeds, by
which the predictor's first values were not a draw of their own. The later ones are of batches of 64, the quick setting
since. The bounds were kept, and all but that of gain are asked of other images, too. The gain asked of other images is
−0.5 points, no more than that below the learnt predictor. It came with the chapter, before a run on CIFAR-10 was kept;
on which seeds it was set is not on record.

What is said of networks is observed, and undecided in runs of fewer than 1,000 steps.
"""

from collections.abc import Iterator

import numpy as np

from ssltheory.book.claims import Claim, Group, interval, unless
from ssltheory.book.named import Named
from ssltheory.chapters.directpred import Parameters
from ssltheory.theory import directpred

PAPER = "tian2021directpred"
CONTROLS = {"no_predictor": "no predictor", "no_stop_gradient": "no stop-gradient"}
NAMES = {"byol_linear": "learnt linear predictor", "directpred": "DirectPred"}
COLLAPSED = 0.05  # q of both controls
# q at ε = 10, seen: 0.058; no predictor but a moving average left 0.046 and 0.059 (seeds 10 and 11).
NEARLY = 0.1
ALIVE = {"byol_linear": 0.3, "directpred": 0.65}  # least q
APART = 0.2  # q of DirectPred over that of the learnt predictor
GAIN = {True: 2.0, False: -0.5}  # points of accuracy, on digits and on other images
TRAINED = 1000  # steps in which the networks learn
TESTED = 5  # repetitions that the gain is tested with
DIGITS = "digits, seeds 10 to 14, before seeds 0 to 4 were run"
OTHERS = (
    "when the chapter was written, before its kept run on CIFAR-10; on no seeds that are on record"
)


# Readings


def of_method(arrays: dict[str, np.ndarray], name: str, method: str) -> np.ndarray:
    """An array of one method, ``(n_seeds, T)``."""
    axes = {"method": arrays["methods"].tolist(), "seed": None, "time": None}
    return Named(arrays[name], **axes)(method=method)


def at_end(arrays: dict[str, np.ndarray], name: str, method: str) -> np.ndarray:
    """An array of one method when training ends, ``(n_seeds,)``."""
    return of_method(arrays, name, method)[:, -1]


def gain(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Points of accuracy of DirectPred over the learnt linear predictor, ``(n_seeds,)``."""
    direct, learnt = (at_end(arrays, "accuracy", m) for m in ("directpred", "byol_linear"))
    return 100 * (direct - learnt)


def measures(arrays: dict[str, np.ndarray]) -> dict[str, tuple[str, float]]:
    """What a sweep tables beside the claims, mean over repetitions: accuracy and alignment of each method at the end.

    Alignment is the mean cosine between the prediction from one view and the target's embedding of the other, in
    the last batch: the loss is 2 − 2 cos in each of two directions.

    Returns:
        Name -> (statement, value).
    """
    methods = arrays["methods"].tolist()
    ends = {
        name: [float(at_end(arrays, name, method).mean()) for method in methods]
        for name in ("accuracy", "loss")
    }
    words = [method.replace("_", " ") for method in methods]
    return {
        f"accuracy-{method}": (f"Accuracy (%), {name}", 100 * end)
        for method, name, end in zip(methods, words, ends["accuracy"], strict=True)
    } | {
        f"alignment-{method}": (f"Alignment of two views, {name}", 1 - end / 4)
        for method, name, end in zip(methods, words, ends["loss"], strict=True)
    }


def linear_ends(arrays: dict[str, np.ndarray], eps: np.ndarray) -> np.ndarray:
    """Theory's feature direction of W at the end, from a start of δ = ``linear_start``."""
    eta, noise, start = (
        float(arrays[f"linear_{name}"]) for name in ("weight_decay", "noise", "start")
    )
    limits = [directpred.directset_limit(eta, noise, eps=float(e)) for e in eps]
    return np.array([limit.scale if limit.threshold < start else 0.0 for limit in limits])


# Claims


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """Worst repetition for the spread, mean over repetitions for the accuracy."""
    return [
        *_collapse(arrays, parameters),
        *_alive(arrays, parameters),
        *_accuracy(arrays, parameters),
        *_sweeps(arrays, parameters),
        *_linear(arrays),
    ]


def _short(parameters) -> str:
    """Why these networks decide nothing; "" where they do."""
    steps = parameters.steps
    return unless(steps >= TRAINED, f"{steps} steps; the networks learn in {TRAINED}")


def _digits(parameters) -> bool:
    return parameters.dataset == "digits"


def _large(parameters) -> str:
    """Why nothing is said of DirectPred with this ε; "" where it is."""
    best = f"{PAPER}, Table 6: DirectPred is made for an ε of 0.1 or less, and is worse with 0.5"
    return unless(parameters.eps <= 0.1, best)


def _collapse(arrays, parameters) -> Iterator[Claim]:
    views_differ = parameters.area < 1 or parameters.augment != "crop"  # X' is not zero
    own: dict = {"observed": True, "undecided": _short(parameters)}
    alike = f"{PAPER}, Theorem 2: what decays it is X' + η, and X' is zero where both views are the image"
    own["outside"] = unless(views_differ, alike)
    for method in filter(CONTROLS.get, arrays["methods"].tolist()):
        q = at_end(arrays, "spread", method)
        claim = Group(f"{PAPER}, Theorem 2 (linear); bound ours", f"worst of {len(q)} seeds", **own)
        words = f"Spread q of the embedding at the end, {CONTROLS[method]}"
        yield claim.at_most(f"collapse-{method}", words, q.max(), COLLAPSED)


def _alive(arrays, parameters) -> Iterator[Claim]:
    q, active = (
        {method: at_end(arrays, name, method) for method in ALIVE} for name in ("spread", "active")
    )
    note, large = f"worst of {len(q['directpred'])} seeds", _large(parameters)
    own: dict = {"observed": True, "undecided": _short(parameters), "bound_set": DIGITS}
    claim = Group("ours", note, **own)
    for method, bound in ALIVE.items():
        words = f"Spread q of the embedding at the end, {NAMES[method]}"
        outside = large if method == "directpred" else ""
        yield claim.at_least(f"alive-{method}", words, q[method].min(), bound, outside=outside)

    claim = Group("ours", note, outside=large, **own)
    words = "Spread q at the end, DirectPred less learnt linear predictor"
    yield claim.at_least("apart", words, (q["directpred"] - q["byol_linear"]).min(), APART)

    claim = Group("ours", f"{note}; active: s_j > 0.01 s_max", outside=large, **own)
    words = "Active modes at the end, DirectPred less learnt linear predictor"
    yield claim.at_least("modes", words, (active["directpred"] - active["byol_linear"]).min(), 1)


def _accuracy(arrays, parameters) -> Iterator[Claim]:
    n, (mean, half), digits = len(gain(arrays)), interval(gain(arrays)), _digits(parameters)
    note = "one seed, no interval"
    if n > 1:
        ends = f"{mean - half:.1f} to {mean + half:.1f}"
        note = f"95 % interval {ends}, {n} seeds, same splits and labels"
    few = unless(n >= TESTED, f"{n} repetitions; the test needs {TESTED}")
    own: dict = {
        "undecided": _short(parameters) or few,
        "outside": _large(parameters),
        "observed": True,
    }
    source = f"{PAPER}, Table 8 (0.7 points on CIFAR-10, 2.8 on STL-10, 100 epochs); bound ours"
    claim = Group(source, note, **own)
    words = f"Accuracy on {parameters.n_labels} labels, DirectPred less learnt predictor, points"
    own = {"half": half, "bound_set": DIGITS if digits else OTHERS}
    yield claim.at_least("gain", f"{words}, mean", mean, GAIN[digits], **own)
    if n > 1:
        words = f"{words}, lower end of the 95 % interval"
        yield claim.at_least("gain-interval", words, mean - half, 0)


def _sweeps(arrays, parameters) -> Iterator[Claim]:
    if "eps_values" not in arrays:
        return
    eps, q = arrays["eps_values"], arrays["eps_spread"]  # (values,), (values, n_seeds)
    n_seeds = q.shape[1]
    own: dict = {"observed": True, "undecided": _short(parameters)}

    claim = Group("ours", f"mean of {n_seeds} seeds", **own)
    words = "Largest rise of DirectPred's q from one ε to the next, ε ≥ 0.1"
    yield claim.at_most("eps-falls", words, np.diff(q.mean(1)[eps >= 0.1]).max(), 0)

    source = f"{PAPER}, Table 6 (0.5 is worse than 0.1); bound ours"
    claim = Group(source, f"worst of {n_seeds} seeds", **own)
    words = f"DirectPred's q at ε = {eps[-1]:g}, where W_p is nearly the identity"
    yield claim.at_most("eps-large", words, q[-1].max(), NEARLY)


def _linear(arrays) -> Iterator[Claim]:
    claim = Group("ours, from wang2021directcopy's setting")
    error = np.abs(arrays["linear_scale"] - linear_ends(arrays, arrays["linear_eps"])).max()
    words = "Linear model with W_p = F + εI: largest error of where a small start ends, over ε"
    yield claim.equal("linear-window", words, error, 0, 1e-3)
    words = "Linear model: largest nuisance left where weight decay is above 1/4(1+σ²)"
    yield claim.equal("linear-nuisance", words, arrays["linear_nuisance"].max(), 0, 1e-3)

"""Claims of chapter 01.

Theory speaks of a limit, α → 0, and is checked at a finite α. Its domain is computed from Γ and W(0), before any
training.

bound                      | set when, on which seeds
-------------------------- | -----------------------------------------------
LEAKAGE, ALIGNMENT, START  | after looking at draws of this kind
tolerances of the claims   | before any draw had been seen
RATIO, IMAGES              | after looking at draws of this kind
of tau-j and gamma-j       | computed from the draws: 95 % of further ones

What is compared with the published spectrum is about draws of images, and observed; all else is deduced.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.special import stdtrit

from ssltheory.book.claims import Claim, Group, unless
from ssltheory.chapters.linear_staircase import Parameters, published
from ssltheory.measure import spectra
from ssltheory.theory.stepwise import LinearSolution, linear_barlow_twins

LEAKAGE = 1.0  # at a leak of one a later mode has overtaken the one that theory says comes next
# Predicted to first order. Half of the tolerance on the subspace is reserved for training error.
ALIGNMENT = 0.995
START = 1e-3  # largest p_j(0): a small start is p_j(0) ≪ 1
RATIO = 1.0  # of γ_1/γ_2; with pixels in [0, 1] it is tens away
IMAGES = 64  # a draw of so many has the published spectrum
OVERLAPS = ("shift", "border", "area")  # what was tried to make two crops overlap more
PAPER = "simon2023stepwise"


# Readings


def solution(
    arrays: dict[str, np.ndarray], seed: int, leading: int | None = None
) -> LinearSolution:
    """The closed form of one repetition, in the eigenbasis of its Γ or the first ``leading`` of its modes."""
    return linear_barlow_twins(
        torch.diag(torch.from_numpy(arrays["gamma"][seed, :leading])),
        arrays["start"].shape[1],
        w0=torch.from_numpy(arrays["start"][seed, :, :leading]),
        lr=float(arrays["learning_rate"][seed]),
    )


def step_errors(arrays: dict[str, np.ndarray], solutions: Sequence[LinearSolution]) -> np.ndarray:
    """Largest relative error of a step time, ``(n_seeds,)``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = [
            np.abs(measured / closed.step_times.numpy() - 1).max()
            for measured, closed in zip(arrays["step_times"], solutions, strict=True)
        ]
    return np.array(errors)


def r_squared(arrays: dict[str, np.ndarray], solutions: Sequence[LinearSolution]) -> np.ndarray:
    """Smallest R² of an eigenvalue's curve against theory's, ``(n_seeds,)``."""
    smallest = []
    for measured, times, closed in zip(
        arrays["eigenvalues"], arrays["times"], solutions, strict=True
    ):
        predicted = closed.eigenvalues(torch.from_numpy(times)).numpy()
        spread = ((measured - measured.mean(0)) ** 2).sum(0)
        smallest.append((1 - ((measured - predicted) ** 2).sum(0) / spread).min())
    return np.array(smallest)


def exponents(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Fitted and predicted exponents of the error in α, ``(n_spectra,)`` each."""
    scales, errors, spectra = arrays["scan_scales"], arrays["scan_errors"], arrays["scan_spectra"]
    dim = int(arrays["scan_dim"])
    fitted = np.polyfit(np.log(scales), np.log(errors).mean(1).T, 1)[0]
    return fitted, 1 - (spectra[:, 1 : dim + 1] / spectra[:, :dim]).max(1)


def known_errors(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Largest relative error of Γ's two eigenvalues on the two synthetic sets, extent and amplitude: ``(2,)``."""
    return np.abs(arrays["known_measured"] / arrays["known_gamma"] - 1).max(1)


def foreseen_times(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Theory's step times, ``(n_seeds, d)``."""
    n_seeds, d = arrays["start"].shape[:2]
    return np.stack([solution(arrays, seed, d).step_times.numpy() for seed in range(n_seeds)])


def growth_rates(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """γ_j as one reads it off a measured curve: log 9 / 8 over the time from p_j = 1/4 to 3/4, ``(n_seeds, d)``."""
    rates = []
    for times, curves in zip(arrays["times"], arrays["eigenvalues"], strict=True):
        measured = torch.from_numpy(times), torch.from_numpy(curves)
        early, late = (spectra.step_times(*measured, level).numpy() for level in (0.25, 0.75))
        rates.append(np.log(9) / (8 * (late - early)))
    return np.array(rates)


def reach(values: np.ndarray) -> np.ndarray:
    """How far from the mean of n draws one more lies at most, in 95 of 100 cases: ``(n, ...)`` -> ``(...)``."""
    n = len(values)
    return stdtrit(n - 1, 0.975) * values.std(0, ddof=1) * (1 + 1 / n) ** 0.5


def distances(gamma: np.ndarray) -> tuple[float, np.ndarray]:
    """How far the published spectrum lies from the mean of n draws, and each of these from the mean of the others.

    The root of the mean square, over the modes, of differences in log γ_j.

    Args:
        gamma: ``(n, d)``.

    Returns:
        The published one's, and ``(n,)``.
    """
    log, n = np.log(gamma), len(gamma)
    others = (log.sum(0) - log) / (n - 1)
    away = np.log(published.GAMMA) - log.mean(0)
    return float((away**2).mean() ** 0.5), ((log - others) ** 2).mean(1) ** 0.5


# Claims


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """Theory against measurement, the worst repetition of those inside the theory's domain."""
    own = [*_modes(arrays, parameters.dim), *_exponents(arrays), *_known(arrays)]
    comparable = bool(arrays["comparable"]) and len(arrays["gamma"]) > 1
    return [*own, *_published(arrays), *_spectra(arrays)] if comparable else own


def _modes(arrays: dict[str, np.ndarray], dim: int) -> Iterator[Claim]:
    solutions = [solution(arrays, seed) for seed in range(len(arrays["gamma"]))]
    leakage = np.array([closed.leakage for closed in solutions])
    predicted = np.array([closed.alignment for closed in solutions])
    learnable = (arrays["gamma"][:, :dim] > 0).sum(1)
    small = np.array([float((s.gamma * s.s_0**2).max()) <= START for s in solutions])
    inside = small & (learnable == dim) & (leakage <= LEAKAGE)
    aligned = inside & (predicted >= ALIGNMENT)
    made = unless(
        inside.any(),
        f"{PAPER}, Result 4.6: a limit of small starts; no draw here has p(0) at most {START:g} and leakage at most "
        f"{LEAKAGE:g} with {dim} positive modes",
    )
    every = f"all {len(solutions)} draws"

    bound = f"p(0) at most {START}, leakage at most {LEAKAGE}"
    source = f"anonymous-stepwise, equation 4, restating {PAPER}"
    words = "Largest relative error of the sorted step times"
    error = _worst(step_errors(arrays, solutions), inside)
    yield _domain(inside, bound, source, made).equal("step-times", words, error, 0, 0.03)

    source = f"{PAPER}, Proposition 4.1 and Figure 1 B"
    words = "Smallest R² of an eigenvalue's curve against its logistic"
    smallest = _worst(r_squared(arrays, solutions), inside, min)
    yield _domain(inside, bound, source, made).equal("eigenvalue-curves", words, smallest, 1, 0.02)

    claim = Group(f"ours, from the fixed points of {PAPER}, Proposition 4.1", note=every)
    words = "Largest distance of the final loss, taken on the image pairs, from max(0, d − n₊)"
    distance = np.abs(arrays["final_loss"] - (dim - learnable)).max()
    yield claim.equal("final-loss", words, distance, 0, 1e-3)

    bound = f"leakage at most {LEAKAGE}, foreseen alignment at least {ALIGNMENT}"
    words = "Smallest alignment of the weights with the top d eigenvectors of Γ"
    smallest = _worst(arrays["alignment"], aligned, min)
    lost = (
        f"ours, first order in the leaks: no start here leaves an alignment of {ALIGNMENT} or more"
    )
    made = made or unless(aligned.any(), lost)
    claim = _domain(aligned, bound, f"{PAPER}, Result 4.6", made)
    yield claim.equal("top-subspace", words, smallest, 1, 0.01)

    correctable = bool((small & (learnable == dim) & (leakage < 100)).all())
    beyond = (
        f"ours: a first order says nothing of a draw like one here, with p(0) above {START:g}, a leakage of 100 or "
        f"more, or fewer than {dim} positive modes"
    )
    claim = Group("ours, first order in the leaks", every, outside=unless(correctable, beyond))
    words = "Largest distance of that alignment from its first correction for a finite start"
    distance = np.abs(arrays["alignment"] - predicted).max()
    yield claim.equal("misalignment", words, distance, 0, 0.01)


def _worst(values: np.ndarray, inside: np.ndarray, pick=max) -> float:
    """The worst value of the draws inside the domain, of all draws if there is none; NaN if one of these is NaN."""
    judged = values[inside if inside.any() else slice(None)]
    return float(pick(judged)) if not np.isnan(judged).any() else float("nan")


def _domain(inside: np.ndarray, bound: str, source: str, outside: str) -> Group:
    """Claims about the draws inside the domain."""
    note = f"{inside.sum()} of {len(inside)} draws inside the domain ({bound})"
    return Group(source, note, outside=outside)


def _exponents(arrays: dict[str, np.ndarray]) -> Iterator[Claim]:
    claim = Group(f"ours; {PAPER}, Result 4.6 claims that it vanishes")
    for fitted, predicted in zip(*exponents(arrays), strict=True):
        words = (
            "Power of α in the error of the aligned form, where the largest ratio γ_j+1/γ_j is "
            f"{1 - predicted:.1f}"
        )
        yield claim.equal(f"exponent-{predicted:.1f}", words, fitted, predicted, 0.03)


def _known(arrays: dict[str, np.ndarray]) -> Iterator[Claim]:
    claim = Group("anonymous-stepwise, synthetic data sets")
    for name, error in zip(("extent", "amplitude"), known_errors(arrays), strict=True):
        words = f"Largest relative error of the two eigenvalues of Γ on the synthetic set “{name}”"
        yield claim.equal(f"known-{name}", words, error, 0, 0.01)


def _published(arrays: dict[str, np.ndarray]) -> Iterator[Claim]:
    """The figure's one draw among ours; number by number where there are no more images than the caption says."""
    gamma, d = arrays["gamma"][:, : len(published.GAMMA)], len(published.GAMMA)
    note = f"mean of {len(gamma)} draws; tolerance: 95 % of further draws"
    source = f"{PAPER}, Figure 1 A, B; images and tolerance ours"
    claim = Group(source, note, published_source=published.SOURCE)

    words = "Ratio γ_1/γ_2, against that of the figure"
    ratio, theirs = (gamma[:, 0] / gamma[:, 1]).mean(), published.GAMMA[0] / published.GAMMA[1]
    own = {"source": f"{published.SOURCE}; bound ours", "note": f"mean of {len(gamma)} draws"}
    yield claim.equal("gamma-ratio", words, ratio, theirs, RATIO, observed=True, **own)
    if arrays["images_tried"][-1] > published.N_IMAGES:
        return

    foreseen, measured = foreseen_times(arrays), arrays["step_times"].mean(0)
    near, theirs = reach(foreseen), published.STEP_TIMES
    for j in range(d):
        numbers = measured[j], foreseen[:, j].mean(), near[j]
        words = f"Step time of mode {j + 1}, measured and foreseen"
        yield claim.equal(f"tau-{j + 1}", words, *numbers, published=theirs[j])

    measured, theirs = growth_rates(arrays).mean(0), published.GAMMA
    near = reach(gamma) + published.GAMMA_ERROR * theirs
    for j in range(d):
        words = f"γ_{j + 1}, measured as the rate at which its mode rises"
        numbers = measured[j], gamma[:, j].mean(), near[j]
        yield claim.equal(f"gamma-{j + 1}", words, *numbers, published=theirs[j])


def _spectra(arrays: dict[str, np.ndarray]) -> Iterator[Claim]:
    """Whether pairs can be taken in a way that makes the published spectrum a draw like ours."""

    def apart(gamma: np.ndarray) -> float:
        theirs, own = distances(gamma)
        return theirs / own.max()

    n_images, by_images = arrays["images_tried"], arrays["images_gamma"]
    note = f"{len(arrays['gamma'])} draws; distance of a draw: rms over the modes of log γ_j against the others' mean"
    claim = Group("ours", note, observed=True)

    ways = [arrays[f"{name}_gamma"] for name in OVERLAPS]
    words = (
        f"Distance of the published spectrum from draws of {n_images[-1]} images, at the overlap that brings it "
        "nearest, over that of the farthest draw"
    )
    made = unless(
        n_images[-1] >= published.N_IMAGES,
        f"ours: overlap can stand for fewer images only where there are as many as the caption says, "
        f"{published.N_IMAGES}",
    )
    nearest = min(apart(gamma) for way in ways for gamma in way)
    yield claim.at_least("overlap", words, nearest, 1, outside=made)

    for gamma in by_images[n_images == IMAGES]:
        words = f"The same from draws of {IMAGES} images, independent crops"
        yield claim.at_most("images", words, apart(gamma), 1)

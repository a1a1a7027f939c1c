"""Claims of chapter 03.

A plateau is a wait: plateau k is judged where τ_{k+1} ≥ 1.25 τ_k. For the linear model τ is the closed form's,
known before training, and the condition is close to γ_{k+1} ≤ 0.8 γ_k; for the network τ is measured. At the
bound, with −log p(0) ≈ 30, the next eigenvalue at the middle of the plateau is e^{−30 (1 − 0.8) / 2} ≈ 0.05; twice
that is claimed, and a start of at most 1e-6 is small enough for it (those of the networks are the ones measured).

The first mode of a network is the constant: biases, and units that are never negative, let it say the same of all
images, which lowers the loss by one as any mode does, and fastest. C, which is not centred, has it, the covariance has
not. A linear model has no bias, and the mean of its standardised inputs is zero, so that it can say no constant: this
is claimed of networks alone.

bound                   | set when                                | worst of twenty fresh draws, seeds 100 to 119
----------------------- | --------------------------------------- | ---------------------------------------------
rank, fixed-axes, 0.95  | before these draws                      | 0.981
next-eigenvalue, 0.1    | by the estimate above                   | 0.051
positions, 0.1          | by the largest leakage, to first order  | 0.06
first-in-c, 1 ± 0.1     | as next-eigenvalue, for networks        | the record of a network on digits: 1.001
first-in-covariance 0.1 | the same: what is below is not there    | the same record: 0.056
missing, none           | counted at ½, where a step is counted   | the same record: −1 on all plateaus

A plateau that is near a tie in every draw is judged in none: the notes count the draws by k, and nothing is claimed of
a k without one. Of the linear model all claims are deduced; of networks they say what training shows.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike

from ssltheory.book.claims import Claim, Group, unless
from ssltheory.chapters.embedding_dimensions import Parameters, experiment, published
from ssltheory.chapters.linear_staircase import claims as linear_staircase
from ssltheory.theory.stepwise import LinearSolution

PLATEAUS = 4  # judged: a point to a solid, and one beyond what can be drawn
WAIT = 1.25  # least τ_{k+1} / τ_k
#: Largest start at which a wait of ``WAIT`` is long enough.
SMALL = {"linear": 1e-6, "mlp": 0.3, "resnet18": 0.35}
THERE = 0.1  # an eigenvalue below it is not there
LEARNT = 0.5  # one above it is learnt, as in the step times
LEADING = 100  # modes of Γ taken into the closed form: those after them leak nothing that counts
LEAKAGE = 0.1  # largest at which positions are claimed; to first order they are off by as much
PAPER = "simon2023stepwise"


# Readings


def solution(arrays: dict[str, np.ndarray], seed: int) -> LinearSolution:
    """The closed form of one repetition of the linear model, in the leading eigenbasis of its Γ."""
    return linear_staircase.solution(arrays, seed, LEADING)


def axes(arrays: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """The fixed axes of one repetition, columns ``(d, d)`` in the order of learning: ``experiment.fixed_axes``.

    Of a network the record's own coordinates are these axes already, the leading ones.
    """
    c, tau = (torch.from_numpy(arrays[name][seed]) for name in ("c", "step_times"))
    return experiment.fixed_axes(c, tau).numpy()


def final_axes(arrays: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """The principal axes of the final embedding, columns ``(d, d)``: what not to use (see ``axes``)."""
    return experiment.principal_axes(torch.from_numpy(arrays["second_moment"][seed, -1])).numpy()


def predicted(arrays: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """Where the closed form puts the points on each snapshot, U diag(s(t)) V_dᵀ x: ``(snapshots, points, d)``."""
    closed = solution(arrays, seed)
    s = closed.singular_values(torch.from_numpy(arrays["snapshot_times"][seed])).numpy()
    # diag(Γ) is its own eigenbasis up to the sign of each vector, which V keeps.
    scores = arrays["scores"][seed] @ closed.v[: arrays["scores"].shape[2]].numpy()
    return (scores * s[:, None, :]) @ closed.u.numpy().T


def shares(arrays: dict[str, np.ndarray], seed: int, axes_of=None) -> np.ndarray:
    """Share of the embeddings' second moment on plateau k along k axes, ``(snapshots,)``.

    Of the whole moment, of which the axes that are kept of a network hold a part: the share is then a lower bound.

    Args:
        arrays, seed: of the record.
        axes_of: ``axes`` or ``final_axes``, fixed; None: the top k principal axes of that moment.
    """
    moments = arrays["second_moment"][seed]
    q = np.linalg.eigh(moments)[1][:, :, ::-1] if axes_of is None else axes_of(arrays, seed)
    along = np.diagonal(np.swapaxes(q, -1, -2) @ moments @ q, axis1=1, axis2=2)
    whole = lengths(arrays)[seed]
    return np.array([row[:k].sum() / whole[k] for k, row in enumerate(along)])


def lengths(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Mean squared length of the embeddings in all d dimensions on the snapshots, ``(n_seeds, snapshots)``."""
    kept = np.trace(arrays["second_moment"], axis1=-2, axis2=-1)
    return arrays.get("length", kept)


def on_snapshots(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """ "eigenvalues" (of C) or "covariance" on the snapshots, ``(n_seeds, snapshots, modes)``."""
    rows = zip(arrays[name], arrays["times"], arrays["snapshot_times"], strict=True)
    return np.stack([lam[times.searchsorted(at)] for lam, times, at in rows])


def plateaus(arrays: dict[str, np.ndarray], parameters: Parameters) -> np.ndarray:
    """Which plateaus k = 1, … of which repetition exist, ``(repetitions, PLATEAUS or d − 1)`` bool."""
    tau = arrays["step_times"]
    if parameters.model == "linear":
        tau = np.stack([solution(arrays, i).step_times.numpy() for i in range(len(tau))])
    small = _small_start(parameters)
    reached = np.isfinite(tau[:, 1:]) & np.isfinite(arrays["step_times"][:, 1:])
    with np.errstate(invalid="ignore"):
        return (small & reached & (tau[:, 1:] >= WAIT * tau[:, :-1]))[:, :PLATEAUS]


def position_errors(arrays: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """‖Z − Z*‖_F / ‖Z‖_F on each snapshot."""
    z = arrays["points"][seed]
    distance = np.linalg.norm(z - predicted(arrays, seed), axis=(1, 2))
    return distance / np.linalg.norm(z, axis=(1, 2))


def next_eigenvalues(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Eigenvalue number k + 1 of C on each snapshot k that has one, ``(n_seeds, modes)``."""
    return np.diagonal(on_snapshots(arrays, "eigenvalues"), axis1=1, axis2=2)


def missing(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Eigenvalues of the covariance above ``LEARNT`` on snapshot k, less k: ``(n_seeds, snapshots)``."""
    learnt = (on_snapshots(arrays, "covariance") > LEARNT).sum(2)
    return learnt - np.arange(learnt.shape[1])


def _small_start(parameters: Parameters) -> bool:
    scale = parameters.init_scale if parameters.model == "linear" else parameters.net_scale
    return scale <= SMALL[parameters.model]


# Claims


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """The worst plateau of those inside the theory's domain."""
    exists = plateaus(arrays, parameters)
    bound = f"start at most {SMALL[parameters.model]:g}, τ_k+1 at least {WAIT} τ_k"
    network = parameters.model != "linear"
    return [
        *_dimensions(arrays, exists, bound, _made(parameters, exists)),
        *(_constant(arrays, exists, bound, parameters) if network else ()),
        _point(arrays, parameters),
        _positions(arrays, parameters, exists, bound),
    ]


def _made(parameters: Parameters, exists: np.ndarray) -> dict:
    """What the claims about these plateaus share: observed or deduced, and why they are outside or undecided.

    Whether the linear model waits anywhere its closed form says beforehand; whether a network does, its run.
    """
    linear, waits = parameters.model == "linear", bool(exists.any())
    small = f"{PAPER}, Figure 1: is of a small start, of at most {SMALL[parameters.model]:g} for this model"
    outside = unless(_small_start(parameters), small)
    never = f"no step time is {WAIT} times the one before it"
    if linear:
        outside = outside or unless(waits, f"ours, from the closed form's step times: {never}")
    return {
        "observed": not linear,
        "outside": outside,
        "undecided": unless(linear or waits, f"no plateau to judge: {never}"),
    }


def _dimensions(arrays, exists: np.ndarray, bound: str, made: dict) -> Iterator[Claim]:
    own, fixed, final = (
        _judged([shares(arrays, seed, q) for seed in range(len(exists))], exists)
        for q in (None, axes, final_axes)
    )
    following = _judged(next_eigenvalues(arrays), exists)

    words = (
        "Smallest share of the embeddings' second moment in k directions, on the judged plateaus k"
    )
    note = _note(own, exists, np.min, bound)
    claim = Group(f"{PAPER}, Figure 1; the bound is ours", note, **made)
    yield claim.at_least("rank", words, _worst(own, exists, np.min), 0.95)

    words = "Smallest share of it on the first k of the fixed axes, on the judged plateaus k"
    on_final = f"; on the final principal axes {_worst(final, exists, np.min):.2g}"
    held = (np.trace(arrays["second_moment"], axis1=2, axis2=3) / lengths(arrays))[:, 1:].min()
    on_kept = f"; all axes that are kept hold {held:.4f} of it or more" if held < 0.99999 else ""
    note = _note(fixed, exists, np.min, bound) + on_final + on_kept
    claim = Group("ours: with an aligned start u_j stays, Proposition 4.1", note, **made)
    yield claim.at_least("fixed-axes", words, _worst(fixed, exists, np.min), 0.95)

    words = "Largest eigenvalue number k + 1 of C, on the judged plateaus k"
    note = _note(following, exists, np.max, bound)
    claim = Group(f"{PAPER}, Proposition 4.1; the bound is ours", note, **made)
    yield claim.at_most("next-eigenvalue", words, _worst(following, exists, np.max), 0.1)


def _constant(arrays, exists: np.ndarray, bound: str, parameters) -> Iterator[Claim]:
    first = exists[:, :1]
    source = f"{PAPER}, animation of Figure 1; the bound is ours"
    of_c, of_z = (
        _judged(on_snapshots(arrays, name)[:, :, 0], first)
        for name in ("eigenvalues", "covariance")
    )
    claim = Group(source, **_made(parameters, first))
    words = "Largest eigenvalue of C after the first step, on plateau 1, the farthest from one"
    note = _note(of_c, first, _farthest(1), bound)
    measured = _worst(of_c, first, _farthest(1))
    yield claim.equal("first-in-c", words, measured, 1, THERE, note=note)
    words = "Largest eigenvalue of the covariance there, which does not see a constant"
    note, measured = _note(of_z, first, np.max, bound), _worst(of_z, first, np.max)
    yield claim.at_most("first-in-covariance", words, measured, THERE, note=note)

    less = _judged(missing(arrays), exists)
    note = f"counted above {LEARNT}, in the published run past {published.LEVEL}; "
    note += _note(less, exists, _farthest(-1), bound)
    claim = Group(source, note, published_source=published.SOURCE, **_made(parameters, exists))
    words = "Eigenvalues of the covariance learnt on the judged plateaus k, less k, the farthest from −1"
    theirs = _farthest(-1)(published.missing())
    measured = _worst(less, exists, _farthest(-1))
    yield claim.equal("missing-eigenvalue", words, measured, -1, 0, published=theirs)


def _farthest(value: float) -> Callable[[np.ndarray], float]:
    """Picks the number farthest from a value."""
    return lambda numbers: numbers.flat[np.abs(numbers - value).argmax()]


def _point(arrays, parameters) -> Claim:
    at_first = lengths(arrays)[:, 0]
    made = parameters.model == "linear" and _small_start(parameters)
    reason = "ours: the bound is √p(0) of the closed form, of a linear model from a start of at most 1e-6"
    note = f"all {len(at_first)} draws; a start of at most 1e-6 in a linear model"
    source = f"ours, from {PAPER}, Proposition 4.1; the bound is ours"
    claim = Group(source, note, outside=unless(made, reason))
    words = "Largest mean squared length of the embeddings at half the time of the first step"
    return claim.at_most("point", words, at_first.max(), 1e-4)


def _positions(arrays, parameters, exists: np.ndarray, bound: str) -> Claim:
    among, errors = np.zeros_like(exists), np.full(exists.shape, np.nan)
    outside = f"{PAPER}, Proposition 4.1: is of a linear model, not of a network"
    if parameters.model == "linear":
        seeds = range(len(exists))
        small = np.array([solution(arrays, seed).leakage <= LEAKAGE for seed in seeds])
        among = exists & small[:, None]
        errors = _judged([position_errors(arrays, seed) for seed in seeds], exists)
        leak = f"ours, first order: positions are off by the leakage, above {LEAKAGE} in every draw"
        outside = _made(parameters, exists)["outside"] or unless(among.any(), leak)
    note = _note(errors, among, np.max, f"{bound}, leakage at most {LEAKAGE}, a linear model")
    claim = Group(f"{PAPER}, Proposition 4.1 and Result 4.6", note, outside=outside)
    words = (
        "Largest distance of the embeddings from where the closed form puts them, relative, "
        "on the judged plateaus"
    )
    return claim.equal("positions", words, _worst(errors, among, np.max), 0, LEAKAGE)


def _judged(by_snapshot: ArrayLike, exists: np.ndarray) -> np.ndarray:
    """Of values a snapshot, those on the plateaus k = 1, 2, …: snapshot 0 is the point."""
    return np.asarray(by_snapshot)[:, 1 : exists.shape[1] + 1]


def _worst(values: np.ndarray, among: np.ndarray, pick: Callable) -> float:
    """The worst of the judged plateaus, of all if none is judged."""
    return float(pick(values[among] if among.any() else values))


def _note(values: np.ndarray, among: np.ndarray, pick: Callable, bound: str) -> str:
    """How many plateaus are judged, by k, and the range of the draws' worst values."""
    by_k = ", ".join(f"{count} at k = {k}" for k, count in enumerate(among.sum(0), 1))
    count = (
        f"{among.sum()} of {among.size} plateaus of {len(among)} draws inside the domain: {by_k}"
    )
    each = [pick(v[a]) for v, a in zip(values, among, strict=True) if a.any()]
    spread = f"; worst of each draw {min(each):.2g} to {max(each):.2g}" if each else ""
    return f"{count} ({bound}){spread}"

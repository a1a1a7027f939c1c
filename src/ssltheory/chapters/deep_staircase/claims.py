"""Claims of chapter 02.

Barlow Twins sees the uncentred C, whose first mode is the constant; VICReg and dot-product SimCLR see the
covariance. Each loss is judged by the spectrum that it sees. How a step is told from its neighbours is ours.

What is derived (``theory.plateaus``) has these tolerances: half of a mode's drop for the start of Barlow Twins, two
percent for that of VICReg, 0.05 for that of SimCLR, a tenth of a mode for the plateaus of Barlow Twins, five and ten
percent for those of VICReg. They were set before any kept record was made, but for the start of Barlow Twins: that was
a tenth of a mode at first, and the ResNet-18 × 0.2 begins 0.11 below d, because an embedding of that size has learnt a
little of its first mode already.
Where no repetition stands on a plateau of the kind that a closed form speaks of, it is undecided.

What the paper's experiments show is claimed of all batches and data sets. The bounds of the scores are ours. They were
set on seeds 10 to 14 of small networks at two scales, digits and CIFAR-10 at 16×16, and are the same at all scales;
kept records begin with seed 0.

bound                   | seen on the seeds that set it
----------------------- | ----------------------------------------------------------------------
separated, -standard    | 0.96 from the small start, none from the standard one
steps, more-steps       | 7, 3 and 4 onsets of Barlow Twins, SimCLR and VICReg; the three of SimCLR are just the bound
dip                     | 1.01 for Barlow Twins; set in a trial before for the other two: 1.04 and at most 1.02
gap                     | small start: 1.0 to 1.7 decades; standard start: at most 0.33; the bound lies between

A repetition that begins below the bound of the dip cannot miss it and is not judged; without another the dip is
undecided. The standard start of Barlow Twins is narrow from the beginning, since the constant is most of C.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ssltheory.book.claims import Claim, Group, unless
from ssltheory.chapters.deep_staircase import Parameters, published
from ssltheory.chapters.deep_staircase.readings import (
    APART,
    LEVELS,
    STARTS,
    dimension,
    dimensions,
    equal_plateaus,
    first_plateau,
    gaps,
    losses,
    scores,
    separated,
    spectrum,
    sphere_plateaus,
    steps,
    unit_plateaus,
)
from ssltheory.theory import plateaus

PAPER = "simon2023stepwise, section 6 (the authors' blog, Figure 3)"
NAMES = {"barlow_twins": "Barlow Twins", "simclr": "SimCLR", "vicreg": "VICReg"}
EVEN = 100  # least d at which VICReg's modes are taken to spread evenly over the coordinates
MODES = 8  # of Barlow Twins that are asked for, or all d
NO_PLATEAU = "no repetition stands on such plateaus"
START_SET = "half a mode's drop, after the kept ResNet-18 had missed a tenth by 0.01"


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """A block for each loss that was run."""
    judged: list[Claim] = []
    for method in arrays["methods"].tolist():
        if parameters.form == "published" and parameters.batch_size == 0:
            judged += PLATEAUS[method](arrays, parameters)
        block = _barlow_twins if method == "barlow_twins" else _other
        judged += [*block(arrays, method, parameters), *_steps(arrays, method, parameters)]
    return judged


def _barlow_twins_plateaus(arrays, parameters) -> Iterator[Claim]:
    d = parameters.dim
    loss, lam = losses(arrays, "barlow_twins", "small"), spectrum(arrays, "barlow_twins", "small")
    claim = _derived(len(loss))
    start = float(np.median(loss[:, 0]))
    words = "Barlow Twins: loss at the small start, less d"
    yield claim.equal(
        "barlow_twins-start", words, start - d, 0, 0.5, published=0.0, bound_set=START_SET
    )

    flat = [unit_plateaus(one, of) for one, of in zip(loss, lam, strict=True)]
    off = [one[k] - plateaus.barlow_twins(k, d).loss for one in flat for k in one]
    worst = max(off, key=abs, default=np.nan)
    theirs = published.LOSS["barlow_twins"]
    apart = {k: value - (published.DIM["barlow_twins"] - k) for k, value in theirs.items()}
    words = "Barlow Twins: loss on a plateau with k modes, less d − k, the worst"
    own: dict = {"undecided": unless(len(off) > 0, NO_PLATEAU), "published": max(apart.values())}
    yield claim.equal("barlow_twins-plateaus", words, worst, 0, 0.1, **own)
    drops = [np.diff([one[k] for k in sorted(one)]) / np.diff(sorted(one)) for one in flat]
    falls = np.concatenate(drops)
    drop = -float(falls.mean()) if len(falls) else np.nan
    words = "Barlow Twins: fall of the loss for each mode, from plateau to plateau"
    own = {
        "undecided": unless(len(falls) > 0, NO_PLATEAU),
        "published": (theirs[0] - theirs[10]) / 10,
    }
    yield claim.equal("barlow_twins-drop", words, drop, 1, 0.1, **own)


def _vicreg_plateaus(arrays, parameters) -> Iterator[Claim]:
    d = dimension(parameters, "vicreg")
    loss, lam = losses(arrays, "vicreg", "small"), spectrum(arrays, "vicreg", "small")
    claim = _derived(len(loss))
    start = float(np.median(loss[:, 0]))
    words = "VICReg: loss at the small start"
    own: dict = {"published": published.LOSS["vicreg"][0]}
    yield claim.equal("vicreg-start", words, start, plateaus.vicreg_start(), 1, **own)

    closed, theirs = plateaus.vicreg(1, d), plateaus.vicreg(1, published.DIM["vicreg"])
    at = [first_plateau(one) for one in lam]
    height = np.median([one[k, 0] for one, k in zip(lam, at, strict=True)]) / closed.eigenvalue
    words = (
        "VICReg: eigenvalue of the first mode while it is alone, as a share of the closed form's"
    )
    own = {"published": published.FIRST_EIGENVALUE / theirs.eigenvalue}
    yield claim.equal("vicreg-alone", words, height, 1, 0.1, **own)
    rest = np.median([one[k] for one, k in zip(loss, at, strict=True)]) / closed.loss
    words = "VICReg: loss of the first plateau, as a share of the closed form's"
    own = {"published": published.LOSS["vicreg"][1] / theirs.loss}
    yield claim.equal("vicreg-plateau", words, rest, 1, 0.05, **own)
    if d >= EVEN:
        yield from _further_plateaus(claim, loss, lam, d)


def _further_plateaus(claim: Group, loss: np.ndarray, lam: np.ndarray, d: int) -> Iterator[Claim]:
    flat = [equal_plateaus(one, of) for one, of in zip(loss, lam, strict=True)]
    ours = [_as_shares(k, d, *one[k]) for one in flat for k in one if k > 1]
    theirs = [
        value / plateaus.vicreg(k, published.DIM["vicreg"]).loss
        for k, value in published.LOSS["vicreg"].items()
        if k > 1
    ]
    seen = ", ".join(str(k) for k in sorted({k for one in flat for k in one if k > 1}))
    own: dict = {
        "note": f"{claim.note}; k = {seen or 'none'}",
        "undecided": unless(len(ours) > 0, NO_PLATEAU),
    }
    words = (
        "VICReg: equal eigenvalues of two modes or more, as a share of the closed form's, the worst"
    )
    yield claim.equal("vicreg-eigenvalues", words, _worst([x for x, _ in ours]), 1, 0.1, **own)
    words = (
        "VICReg: loss of the plateaus after the first, as a share of the closed form's, the worst"
    )
    loss_share, their_share = _worst([x for _, x in ours]), _worst(theirs)
    yield claim.equal("vicreg-plateaus", words, loss_share, 1, 0.05, published=their_share, **own)


def _as_shares(k: int, d: int, eigenvalue: float, loss: float) -> tuple[float, float]:
    closed = plateaus.vicreg(k, d)
    return eigenvalue / closed.eigenvalue, loss / closed.loss


def _worst(shares: list[float]) -> float:
    """The share farthest from one; NaN where there is none."""
    return max(shares, key=lambda share: abs(share - 1), default=np.nan)


def _simclr_plateaus(arrays, parameters) -> Iterator[Claim]:
    n = parameters.n_images
    loss = losses(arrays, "simclr", "small")
    of_c = spectrum(arrays, "simclr", "small", "eigenvalues")
    claim = _derived(len(loss))
    start = float(np.median(loss[:, 0])) - plateaus.simclr_start(n)
    words = "SimCLR: loss at the small start, less 2 ln n"
    own: dict = {"published": published.LOSS["simclr"][0] - plateaus.simclr_start(published.BATCH)}
    yield claim.equal("simclr-start", words, start, 0, 0.05, **own)
    if parameters.similarity != "cosine":
        return  # what follows is of the unit sphere

    flat = [sphere_plateaus(one, lam) for one, lam in zip(loss, of_c, strict=True)]
    ours = [_above(one, n) for one in flat]
    theirs = _above(published.LOSS["simclr"], published.BATCH)
    words = "SimCLR: loss with k dimensions, above the least that they allow, where it is closest"
    closest = min((min(one) for one in ours), default=np.nan)
    none = unless(not np.isnan(closest), NO_PLATEAU)
    yield claim.at_least(
        "simclr-bound", words, closest, 0, 0.1, published=min(theirs), undecided=none
    )
    words = "SimCLR: the same with the most dimensions that were seen"
    last = max((one[-1] for one in ours), default=np.nan)
    own = {"published": theirs[-1], "undecided": none}
    yield claim.at_most("simclr-near", words, last, 2, observed=True, **own)
    trace = spectrum(arrays, "simclr", "small")[:, -1].sum(-1)
    words = "SimCLR: sum of the covariance's eigenvalues at the end"
    source = f"{published.SOURCE}: .96 to 1.02"
    total = np.median(trace)
    own = {"published": 0.99, "published_source": source}
    yield claim.equal("simclr-trace", words, total, 1, 0.1, observed=True, **own)


def _above(loss: dict[int, float], n: int) -> list[float]:
    """How far the loss of SimCLR with k dimensions lies above the least possible, by rising k from 2 on."""
    return [loss[k] - plateaus.simclr_bound(k, n, 0.2) for k in sorted(loss) if k > 1] or [np.nan]


PLATEAUS: dict[str, Callable[..., Iterator[Claim]]] = {
    "barlow_twins": _barlow_twins_plateaus,
    "simclr": _simclr_plateaus,
    "vicreg": _vicreg_plateaus,
}


def _derived(n_seeds: int) -> Group:
    note = f"{n_seeds} seeds; closed form from the loss, derived here"
    return Group("ours (theory.plateaus)", note=note, published_source=published.SOURCE)


def _barlow_twins(arrays, method: str, parameters) -> Iterator[Claim]:
    lam = spectrum(arrays, method, "small")
    dims = dimensions(lam)  # (n_seeds, T)
    note = f"mean or worst of {len(dims)} seeds"
    claim = Group(f"{PAPER}; score and bound ours", note, observed=True)
    modes = min(MODES, parameters.dim)
    small, standard = (scores(arrays, method, at, separated, modes).mean() for at in STARTS)

    words = "Barlow Twins, small start: share of neighbouring modes learnt one after the other"
    yield claim.at_least("barlow_twins-separated", words, small, 0.75)
    words = "Barlow Twins, standard start: the same share"
    yield claim.at_most("barlow_twins-separated-standard", words, standard, 0.3)
    yield _dip(method, "C", dims, 1.5)

    claim = Group(f"{PAPER}; bound ours", note, observed=True)
    words = "Barlow Twins, small start: modes learnt at the end"
    learnt = (lam[:, -1] > 0.5).sum(1).min()
    yield claim.at_least("barlow_twins-end", words, learnt, modes)

    if parameters.dim <= 2:
        return  # two eigenvalues have one gap, and that is to the constant
    claim = Group(f"{PAPER}: bimodal histograms; bound ours", note, observed=True)
    words = "Barlow Twins, small start, half-way: widest gap between eigenvalues of the covariance, in decades"
    widest = gaps(arrays, method, "small", LEVELS[method]).min()
    yield claim.at_least("barlow_twins-gap", words, widest, 0.8)


def _other(arrays, method: str, parameters) -> Iterator[Claim]:
    dims = dimensions(spectrum(arrays, method, "small"))
    yield _dip(method, "the covariance", dims, 1.1)
    gained = (dims[:, -1] - dims.min(1)).min()
    words = f"{NAMES[method]}, small start: dimensions gained from there to the end"
    claim = Group(f"{PAPER}; bound ours", observed=True)
    yield claim.at_least(f"{method}-rise", words, gained, 1)


def _dip(method: str, of: str, dims: np.ndarray, bound: float) -> Claim:
    wide = dims[:, 0] > bound
    fewest = dims[wide if wide.any() else slice(None)].min(1).max()
    note = f"worst of the {wide.sum()} of {len(dims)} seeds that begin above the bound"
    words = f"{NAMES[method]}, small start: fewest dimensions of {of} on the way, by participation ratio"
    none = unless(bool(wide.any()), f"no seed begins above {bound}, so that none could miss it")
    claim = Group(f"{PAPER}; bound ours", note, observed=True, undecided=none)
    return claim.at_most(f"{method}-dip", words, fewest, bound)


def _steps(arrays, method: str, parameters) -> Iterator[Claim]:
    least = LEVELS[method]
    small, standard = (scores(arrays, method, start, steps, least) for start in STARTS)
    note = f"onsets: eigenvalue past {least:.2g}, times a factor {APART} apart; median of {len(small)} seeds"
    claim = Group(f"{PAPER}; score and bound ours", note, observed=True)
    words = f"{NAMES[method]}, small start: separate onsets of eigenvalues"
    yield claim.at_least(f"{method}-steps", words, np.median(small), 3)

    at_first = spectrum(arrays, method, "standard")[:, 0]
    if not (at_first > least).all():  # else there is no onset that could be counted
        more = np.median(small) - np.median(standard)
        words = f"{NAMES[method]}: separate onsets, small less standard start"
        yield claim.at_least(f"{method}-more-steps", words, more, 2)

"""Readings of chapter 02's records: curves, onsets, plateaus, and how clearly modes come one by one."""

from collections.abc import Callable

import numpy as np
import torch

from ssltheory.chapters.deep_staircase import Parameters
from ssltheory.measure import spectra

STARTS = ("small", "standard")
SEES = {"barlow_twins": "eigenvalues", "simclr": "covariance", "vicreg": "covariance"}
LEVELS = {"barlow_twins": 0.1, "simclr": 0.05, "vicreg": 0.1}  # a mode above this is there
APART = 1.2  # ratio of the times of two onsets that count as two steps
LEAST = 1e-6  # eigenvalues below this count as this on a logarithmic axis
REST = 0.01  # of the trace: what the modes that are not learnt have at most on a plateau


def spectrum(
    arrays: dict[str, np.ndarray], method: str, start: str, of: str | None = None
) -> np.ndarray:
    """The largest eigenvalues of a method along the way, ``(n_seeds, T, modes)`` float64.

    Args:
        arrays: of the record.
        method: one of ``SEES``.
        start: "small" or "standard".
        of: "eigenvalues" for those of C, "covariance" for the embedding's; None for what the loss sees.
    """
    return arrays[f"{of or SEES[method]}_{method}_{start}"].astype(float)


def times(arrays: dict[str, np.ndarray], method: str, start: str) -> np.ndarray:
    """When they were recorded, ``(T,)``."""
    return arrays[f"times_{method}_{start}"].astype(float)


def losses(arrays: dict[str, np.ndarray], method: str, start: str) -> np.ndarray:
    """The loss then, ``(n_seeds, T)``."""
    return arrays[f"loss_{method}_{start}"].astype(float)


def dimension(parameters: Parameters, method: str) -> int:
    """The embedding dimension d of a method."""
    others = parameters.dim_others or parameters.dim
    return parameters.dim if method == "barlow_twins" else others


def scores(
    arrays: dict[str, np.ndarray], method: str, start: str, score: Callable[..., float], *rest
) -> np.ndarray:
    """A score of what the loss sees, ``separated`` or ``steps``, of each seed: ``(n_seeds,)``."""
    when = times(arrays, method, start)
    return np.array([score(when, one, *rest) for one in spectrum(arrays, method, start)])


def onsets(times: np.ndarray, eigenvalues: np.ndarray, level: float) -> np.ndarray:
    """When each eigenvalue passes a level: ``(T,), (T, d) -> (d,)``, inf where it never does."""
    return _crossings(times, eigenvalues, level)


def plateaus(times: np.ndarray, loss: np.ndarray, onsets: np.ndarray) -> np.ndarray:
    """Loss of the plateau with k modes, from k = 0 on: the last record before onset k + 1.

    ``(T,), (T,), (d,) -> (modes,)``.
    """
    when = np.sort(onsets[np.isfinite(onsets)])
    return loss[np.maximum(np.searchsorted(times, when) - 1, 0)]


def steps(times: np.ndarray, eigenvalues: np.ndarray, level: float) -> int:
    """Number of onsets after the start, those less than a factor ``APART`` after another not counted."""
    when = onsets(times, eigenvalues, level)
    when = np.sort(when[np.isfinite(when) & (when > 0)])
    return int(len(when) > 0) + int((when[1:] > APART * when[:-1]).sum())


def separated(times: np.ndarray, eigenvalues: np.ndarray, modes: int) -> float:
    """Share of neighbours of which one is at 70 % of its end before the next is at 10 % of its own.

    Of the first so many modes. A pair counts as not separated where either ends below one half: Barlow Twins takes
    learnt modes to one.
    """
    first = eigenvalues[:, :modes]
    scaled = first / np.where(first[-1] > 0.5, first[-1], np.inf)
    early, late = (_crossings(times, scaled, share) for share in (0.1, 0.7))
    return float((np.isfinite(early[1:]) & (early[1:] > late[:-1])).mean())


def dimensions(eigenvalues: np.ndarray) -> np.ndarray:
    """Participation ratio ``(..., d) -> (...)``; what is negative in C counts as zero."""
    return spectra.participation_ratio(torch.from_numpy(eigenvalues).clamp(min=0)).numpy()


def halfway(eigenvalues: np.ndarray, level: float) -> int:
    """The first record at which half of the modes ``(T, d)`` that are learnt are at half of their end."""
    learnt = (eigenvalues[-1] > level).sum()
    middle = eigenvalues[:, max(learnt - 1, 0) // 2]
    return int((middle >= middle[-1] / 2).argmax())


def gap(eigenvalues: np.ndarray) -> float:
    """Widest space between neighbours of ``(d,)`` in decades.

    The smallest is no heap by itself: in the covariance of a Barlow Twins run it is the constant, which is missing.
    """
    logs = np.log10(np.clip(np.sort(eigenvalues), LEAST, None))
    return float(np.diff(logs)[1:].max(initial=0.0))


def gaps(arrays: dict[str, np.ndarray], method: str, start: str, level: float) -> np.ndarray:
    """``gap`` of the covariance when half of the modes that the loss sees are there, ``(n_seeds,)``."""
    seen = spectrum(arrays, method, start)
    covariance = spectrum(arrays, method, start, "covariance")
    return np.array([gap(z[halfway(c, level)]) for z, c in zip(covariance, seen, strict=True)])


def unit_plateaus(loss: np.ndarray, eigenvalues: np.ndarray) -> dict[int, float]:
    """Loss of Barlow Twins, ``(T,)``, where k eigenvalues ``(T, d)`` are at one and the next at none, by k.

    At one: above 0.9; at none: below 0.02. Where several records are like that, the last.
    """
    there = (eigenvalues > 0.9).sum(1)
    bare = (eigenvalues > 0.02).sum(1) == there
    return {int(k): float(loss[bare & (there == k)][-1]) for k in np.unique(there[bare])}


def first_plateau(eigenvalues: np.ndarray) -> int:
    """The record ``(T, d)`` of VICReg's first plateau, the last before a second mode has a tenth of the first."""
    alone = eigenvalues[:, 1] < 0.1 * eigenvalues[:, 0]
    risen = eigenvalues[:, 0] > 0.5 * eigenvalues[:, 0].max()
    both = np.flatnonzero(alone & risen)
    return int(both[-1]) if len(both) else int(eigenvalues[:, 0].argmax())


def equal_plateaus(loss: np.ndarray, eigenvalues: np.ndarray) -> dict[int, tuple[float, float]]:
    """Mean eigenvalue and loss of VICReg, ``(T, d)`` and ``(T,)``, while k are alike and the others none, by k.

    Alike: above 0.8 of the largest; none: below 0.02 of it. At rest: the record before has the same k and a loss within
    one percent. Where several records are like that, the last.
    """
    share = eigenvalues / eigenvalues[:, :1]
    alike = (share > 0.8).sum(1)
    bare = (eigenvalues[:, 0] > LEVELS["vicreg"]) & ((share > 0.02).sum(1) == alike)
    flat = bare.copy()
    flat[1:] &= bare[:-1] & (alike[1:] == alike[:-1]) & (np.abs(np.diff(loss)) < 0.01 * loss[1:])
    flat[0] = False
    last = {int(k): np.flatnonzero(flat & (alike == k))[-1] for k in np.unique(alike[flat])}
    return {k: (float(eigenvalues[at, :k].mean()), float(loss[at])) for k, at in last.items()}


def sphere_plateaus(loss: np.ndarray, eigenvalues: np.ndarray) -> dict[int, float]:
    """Least loss of SimCLR, ``(T,)``, with k dimensions, by k.

    k: the fewest eigenvalues of C, ``(T, d)``, that leave ``REST`` of its trace at most to the others.
    """
    share = np.clip(eigenvalues, 0, None).cumsum(1)
    k = (share < (1 - REST) * share[:, -1:]).sum(1) + 1
    return {int(one): float(loss[k == one].min()) for one in np.unique(k)}


def _crossings(times: np.ndarray, curves: np.ndarray, level: float) -> np.ndarray:
    return spectra.step_times(torch.from_numpy(times), torch.from_numpy(curves), level).numpy()

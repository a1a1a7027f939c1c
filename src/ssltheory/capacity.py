"""What a figure costs: measured times at small sizes, a polynomial of known degree through them, and what it foretells.

A cost curve is t(s) = Σ_k c_k s^k with c_k >= 0 and the powers k that counting operations gives (a product of n × n
matrices: 3). It is fitted in relative error at the smaller sizes; the larger ones are held out and judge it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Curve:
    """One measured cost curve.

    Attributes:
        name: what was timed.
        unit: what a size counts.
        powers: k of the terms c_k s^k.
        sizes, seconds: ``(n,)`` rising sizes, and the median time of each.
        held_out: how many of the largest sizes were kept from the fit.
    """

    name: str
    unit: str
    powers: tuple[int, ...]
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    held_out: int = 2

    @property
    def coefficients(self) -> np.ndarray:
        """c_k, ``(len(powers),)``, from the sizes that are not held out."""
        return fit(
            self.sizes[: -self.held_out or None],
            self.seconds[: -self.held_out or None],
            self.powers,
        )

    def foretold(self, size: float) -> float:
        """Seconds at a size."""
        return float(np.power(float(size), self.powers) @ self.coefficients)

    @property
    def errors(self) -> list[float]:
        """Foretold / measured − 1 at the sizes that were held out."""
        pairs = zip(self.sizes, self.seconds, strict=True)
        return [self.foretold(s) / t - 1 for s, t in list(pairs)[len(self.sizes) - self.held_out :]]

    def to_dict(self) -> dict:
        """For JSON; ``Curve(**...)`` reads it."""
        return asdict(self)


def fit(sizes: Sequence[float], seconds: Sequence[float], powers: Sequence[int]) -> np.ndarray:
    """The c >= 0 that minimise Σ (Σ_k c_k s^k / t − 1)²."""
    terms = np.power.outer(np.asarray(sizes, dtype=float), powers) / np.asarray(seconds)[:, None]
    scale = terms.max(0)
    return nnls(terms / scale, np.ones(len(terms)))[0] / scale

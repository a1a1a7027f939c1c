"""Claims: one numeric statement of a paper each, with what was measured, and a verdict that can be red.

A chapter's claims are a function of its record's arrays alone, ``claims(arrays, parameters)`` in its room,
so that an old record can be judged by today's theory.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import stdtrit

from ssltheory.book.parameters import Settings
from ssltheory.book.registry import find

RELATIONS = {
    "equal": lambda measured, predicted, tolerance: abs(measured - predicted) <= tolerance,
    "at least": lambda measured, predicted, tolerance: measured >= predicted - tolerance,
    "at most": lambda measured, predicted, tolerance: measured <= predicted + tolerance,
}


@dataclass(frozen=True)
class Claim:
    """A statement and the number that decides it.

    Attributes:
        id: short name, unique in the chapter.
        statement: what the paper says, as a sentence about ``measured``.
        measured: the number found. NaN never holds.
        predicted: what theory says, or the bound where ``relation`` is one-sided.
        tolerance: how far measured may lie from predicted, in the same units.
        source: bib key with equation or figure; "ours" where the statement is derived here.
        relation: "equal", "at least" or "at most".
        inside: whether the theory claims this at all for the given parameters and draws.
        note: what else a reader should know, e.g. how many seeds lie inside the theory's domain.
        published: the number that the paper itself reports for this statement; None where it reports none.
        published_source: where that was read, e.g. "simon2023stepwise, Figure 1 A, digitised".
    """

    id: str
    statement: str
    measured: float
    predicted: float
    tolerance: float
    source: str
    relation: str = "equal"
    inside: bool = True
    note: str = ""
    published: float | None = None
    published_source: str = ""

    @property
    def verdict(self) -> str:
        """ "holds", "fails", or "outside" the theory's domain."""
        if not self.inside:
            return "outside"
        if math.isnan(self.measured):
            return "fails"
        return "holds" if self._is_met_by(self.measured) else "fails"

    @property
    def published_verdict(self) -> str:
        """ "agrees" or "differs": the published number against what theory asks; "" without such a number."""
        if self.published is None:
            return ""
        return "agrees" if self._is_met_by(self.published) else "differs"

    def _is_met_by(self, number: float) -> bool:
        return bool(RELATIONS[self.relation](number, self.predicted, self.tolerance))

    def to_dict(self) -> dict:
        """For JSON: the fields and the verdicts; a NaN or an infinity becomes its name.

        Of a published number nothing is said where there is none.
        """
        fields = asdict(self) | {"verdict": self.verdict}
        if self.published is None:
            del fields["published"], fields["published_source"]
        else:
            fields["published_verdict"] = self.published_verdict
        return {key: _plain(value) for key, value in fields.items()}


@dataclass(frozen=True)
class Group:
    """What several claims share, and the three verbs that state one.

        claim = Group("tian2021directpred, Theorem 2", note="5 repetitions")
        claim.equal("slope", "Slope of log ‖W‖ without a predictor", measured, predicted, tolerance)
        claim.at_least("alive", "Norm of W at the end, as a share of its start", norm, 0.3)
        claim.equal("end", "Norm of W at the end", norm, 1, 0.1, published=1.02, published_source="…, Figure 3")

    Attributes:
        source, inside, note: of each ``Claim``; a verb takes them by name where one claim differs.
        published_source: of each claim that is given a number by ``published=…``; also taken by name.
    """

    source: str
    inside: bool = True
    note: str = ""
    published_source: str = ""

    def equal(
        self, id: str, statement: str, measured: float, predicted: float, tolerance: float, **own
    ) -> Claim:
        """``measured`` lies within ``tolerance`` of ``predicted``."""
        return self._claim(id, statement, measured, predicted, tolerance, "equal", own)

    def at_least(
        self, id: str, statement: str, measured: float, bound: float, tolerance: float = 0.0, **own
    ) -> Claim:
        """``measured`` is at least ``bound``, less ``tolerance``."""
        return self._claim(id, statement, measured, bound, tolerance, "at least", own)

    def at_most(
        self, id: str, statement: str, measured: float, bound: float, tolerance: float = 0.0, **own
    ) -> Claim:
        """``measured`` is at most ``bound``, plus ``tolerance``."""
        return self._claim(id, statement, measured, bound, tolerance, "at most", own)

    def _claim(self, id, statement, measured, predicted, tolerance, relation, own) -> Claim:
        published = own.pop("published", None)
        read_in = own.pop("published_source", self.published_source)
        shared = {"source": self.source, "inside": self.inside, "note": self.note} | own
        shared["inside"] = bool(shared["inside"])
        if published is not None:
            shared |= {"published": float(published), "published_source": read_in}
        numbers = float(measured), float(predicted), float(tolerance)
        return Claim(id, statement, *numbers, relation=relation, **shared)


def evaluate(chapter: str, arrays: dict[str, np.ndarray], parameters: Settings) -> list[Claim]:
    """The claims of a chapter, from the arrays of its record and today's theory.

    Arrays that lack what a claim needs, in a record made by another version, give a ``KeyError``.
    """
    return find(chapter).part("claims").claims(arrays, parameters)


class Table(list):
    """Claims that show themselves as a table, in a notebook and in a terminal."""

    def _repr_markdown_(self) -> str:
        rows = [
            f"| {claim.statement} | {claim.measured:.4g} | {expectation(claim)} | {claim.verdict} |"
            for claim in self
        ]
        return "\n".join(["| claim | measured | theory | verdict |", "|---|---|---|---|", *rows])

    def __repr__(self) -> str:
        return "\n".join(
            f"{c.verdict:8} {c.id}: {c.measured:.4g}, theory {expectation(c)}" for c in self
        )


def expectation(claim: Claim) -> str:
    """What theory asks of the measured number, e.g. ``1 ± 0.02`` or ``≥ 0.8``."""
    if claim.relation == "equal":
        return f"{claim.predicted:.4g} ± {claim.tolerance:.2g}"
    sign = {"at least": "≥", "at most": "≤"}[claim.relation]
    slack = f" (± {claim.tolerance:.2g})" if claim.tolerance else ""
    return f"{sign} {claim.predicted:.4g}{slack}"


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean, and half of its 95 % confidence interval by Student's t; NaN for a single value."""
    n = len(values)
    if n < 2:
        return float(values.mean()), float("nan")
    half = stdtrit(n - 1, 0.975) * values.std(ddof=1) / n**0.5
    return float(values.mean()), float(half)


def _plain(value):
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    return bool(value) if isinstance(value, np.bool_) else value

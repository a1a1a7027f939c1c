"""Claims: one numeric statement of a paper each, with what was measured, and a verdict that can be red.

A chapter's claims are a function of its record's arrays alone, ``claims(arrays, parameters)`` in its room,
so that an old record can be judged by today's theory.

The five verdicts:

- **holds**: the number meets its bound.
- **fails**: it does not, and the statement was deduced; so theory or code is wrong.
- **not seen**: it does not, and the statement is about what experiments show: these data do not show it.
- **undecided**: the draws cannot tell, because the confidence interval contains the bound or repetitions are too few.
- **outside**: a source or a derivation says beforehand that the statement is not made for these parameters or draws.
"""

import math
import re
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

#: Fields that a claim is stored without where they are empty.
OPTIONAL = ("half", "undecided", "outside", "bound_set", "published", "published_source")

VERDICTS = ("holds", "fails", "not seen", "undecided", "outside")

#: Kinds of statement, and what each is called in words.
KINDS = {
    "paper": "the paper's statement with the paper's number",
    "bound ours": "the paper's statement with a bound of ours",
    "ours": "a statement of ours",
}

#: What the reason for "outside" has to name: a source by its key, or that the derivation is ours.
_NAMED = re.compile(r"\bours\b|\bstandard\b|\b[a-z][a-z-]*\d{4}[a-z]+\b|\banonymous-[a-z]+\b")

#: A sign beside the verdict on a published number.
MARKS = {"agrees": "✓", "differs": "✗"}


@dataclass(frozen=True)
class Claim:
    """A statement and the number that decides it.

    Attributes:
        id: short name, unique in the chapter.
        statement: what the paper says, as a sentence about ``measured``.
        measured: the number found. NaN never holds.
        predicted: what theory says, or the bound where ``relation`` is one-sided.
        tolerance: how far measured may lie from predicted, in the same units.
        source: bib key with equation or figure. It begins with "ours" (or "standard") where the statement is no
            paper's, and says what is "ours" where a paper's statement is given our bound, measure or settings.
        relation: "equal", "at least" or "at most".
        note: what else a reader should know, e.g. how many seeds were judged.
        observed: whether the statement is about what experiments show; false where it was deduced.
        half: half of the 95 % confidence interval of ``measured``; NaN where it was not estimated.
        undecided: why these draws cannot decide, e.g. "5 repetitions; 10 are needed"; "" where they can.
        outside: why the statement is not made for these parameters or draws, with the source or derivation that says
            so beforehand; "" where it is made.
        bound_set: when, and on which draws, the bound was set, where it depends on scale or data set.
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
    note: str = ""
    observed: bool = False
    half: float = math.nan
    undecided: str = ""
    outside: str = ""
    bound_set: str = ""
    published: float | None = None
    published_source: str = ""

    def __post_init__(self):
        """ValueError for a claim that is outside for no reason, or for one that names no source."""
        if not isinstance(self.outside, str) or (self.outside and not _NAMED.search(self.outside)):
            raise ValueError(
                f"claim {self.id}: it is outside because {self.outside!r}, which names no source: give the bib key of "
                'the source that says so, or "ours: " and the derivation'
            )

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``."""
        if self.outside:
            return "outside"
        if self.undecided or self._interval_contains_bound():
            return "undecided"
        if not math.isnan(self.measured) and self._is_met_by(self.measured):
            return "holds"
        return "not seen" if self.observed else "fails"

    @property
    def kind(self) -> str:
        """One of ``KINDS``, as the source says."""
        if re.match("(ours|standard)\\b", self.source):
            return "ours"
        return "bound ours" if re.search(r"\b(ours|derived here)\b", self.source) else "paper"

    @property
    def reason(self) -> str:
        """Why the verdict is "undecided" or "outside", in words; "" for the others."""
        if self.verdict == "undecided" and not self.undecided:
            return f"the 95 % interval, ± {self.half:.2g}, contains the bound"
        return self.outside or self.undecided

    @property
    def published_verdict(self) -> str:
        """ "agrees" or "differs": the published number against what theory asks; "" without such a number."""
        if self.published is None:
            return ""
        return "agrees" if self._is_met_by(self.published) else "differs"

    def _is_met_by(self, number: float) -> bool:
        return bool(RELATIONS[self.relation](number, self.predicted, self.tolerance))

    def _interval_contains_bound(self) -> bool:
        ends = {"equal": (-1, 1), "at least": (-1,), "at most": (1,)}[self.relation]
        bounds = (self.predicted + end * self.tolerance for end in ends)
        return any(abs(self.measured - bound) < self.half for bound in bounds)

    def to_dict(self) -> dict:
        """For JSON: the fields and the verdicts; a NaN or an infinity becomes its name.

        Nothing is said of a published number, an interval, a reason or a date that there is not.
        """
        content = asdict(self) | {"verdict": self.verdict}
        for name in OPTIONAL:
            if content[name] in ("", None) or (name == "half" and math.isnan(self.half)):
                del content[name]
        if self.published is not None:
            content["published_verdict"] = self.published_verdict
        return {key: _plain(value) for key, value in content.items()}


@dataclass(frozen=True)
class Group:
    """What several claims share, and the three verbs that state one.

        claim = Group("tian2021directpred, Theorem 2", note="5 repetitions")
        claim.equal("slope", "Slope of log ‖W‖ without a predictor", measured, predicted, tolerance)
        claim.at_least("alive", "Norm of W at the end, as a share of its start", norm, 0.3)
        claim.equal("end", "Norm of W at the end", norm, 1, 0.1, published=1.02, published_source="…, Figure 3")

    Attributes:
        source, note, observed, undecided, outside, bound_set: of each ``Claim``; a verb takes them by name where one
            claim differs, and ``half``, which is a claim's own.
        published_source: of each claim that is given a number by ``published=…``; also taken by name.
    """

    source: str
    note: str = ""
    observed: bool = False
    undecided: str = ""
    outside: str = ""
    bound_set: str = ""
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
        shared = asdict(self) | own
        del shared["published_source"]
        shared["observed"] = bool(shared["observed"])
        half = float(shared.get("half", math.nan))
        shared["half"] = math.nan if math.isnan(half) else half  # one object, equal to itself
        if published is not None:
            shared |= {"published": float(published), "published_source": read_in}
        numbers = float(measured), float(predicted), float(tolerance)
        return Claim(id, statement, *numbers, relation=relation, **shared)


def unless(condition: bool, reason: str) -> str:
    """A reason where a condition is not met, else "": for ``outside`` and ``undecided``.

    Examples:
        >>> unless(5 >= 10, "5 repetitions; 10 are needed")
        '5 repetitions; 10 are needed'
    """
    return "" if condition else reason


def evaluate(chapter: str, arrays: dict[str, np.ndarray], parameters: Settings) -> list[Claim]:
    """The claims of a chapter, from the arrays of its record and today's theory.

    Arrays that lack what a claim needs, in a record made by another version, give a ``KeyError``.
    """
    return find(chapter).part("claims").claims(arrays, parameters)


class Table(list):
    """Claims that show themselves as a table, in a notebook and in a terminal.

    Its column "published" is there only where a claim has a published number.
    """

    def rows(self) -> list[list[str]]:
        """The cells, the heading's first; the verdict on what was measured is the fourth of a row."""
        head = ["claim", "measured", "theory", "verdict", "published"]
        rows = [
            [c.statement, f"{c.measured:.4g}", expectation(c), c.verdict, reported(c)] for c in self
        ]
        width = 5 if any(row[-1] for row in rows) else 4
        return [row[:width] for row in [head, *rows]]

    def _repr_markdown_(self) -> str:
        rows = self.rows()
        head, *lines = (f"| {' | '.join(row)} |" for row in rows)
        return "\n".join([head, "|" + "---|" * len(rows[0]), *lines])

    def __repr__(self) -> str:
        return "\n".join(
            f"{c.verdict:9} {c.id}: {c.measured:.4g}, theory {expectation(c)}"
            + (f", published {reported(c)}" if reported(c) else "")
            for c in self
        )


def expectation(claim: Claim) -> str:
    """What theory asks of the measured number, e.g. ``1 ± 0.02`` or ``≥ 0.8``."""
    if claim.relation == "equal":
        return f"{claim.predicted:.4g} ± {claim.tolerance:.2g}"
    sign = {"at least": "≥", "at most": "≤"}[claim.relation]
    slack = f" (± {claim.tolerance:.2g})" if claim.tolerance else ""
    return f"{sign} {claim.predicted:.4g}{slack}"


def reported(claim: Claim) -> str:
    """The published number and its verdict, e.g. ``0.0247 ✗ differs``; "" without such a number."""
    if claim.published is None:
        return ""
    return f"{claim.published:.4g} {MARKS[claim.published_verdict]} {claim.published_verdict}"


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

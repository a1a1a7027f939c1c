"""What differs between two records, or between two folders of them: claims, arrays, parameters, origin."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ssltheory.book import claims, records
from ssltheory.book.claims import Claim
from ssltheory.book.records import Record
from ssltheory.errors import InputError


@dataclass(frozen=True)
class ClaimChange:
    """A claim before and after; None where it is not there."""

    id: str
    before: Claim | None
    after: Claim | None

    @property
    def verdicts(self) -> str:
        """In words, e.g. "holds → fails"."""
        return " → ".join(claim.verdict if claim else "–" for claim in (self.before, self.after))

    @property
    def published(self) -> str:
        """The published number and its verdict, e.g. "2 ✓ agrees → 2 ✗ differs", once where nothing changed; or ""."""
        told = [claims.reported(claim) for claim in (self.before, self.after) if claim]
        return " → ".join(text or "–" for text in dict.fromkeys(told)) if any(told) else ""


@dataclass(frozen=True)
class ArrayChange:
    """An array before and after: their shapes (None where it is not there) and, of equal shapes, how far apart.

    Attributes:
        distance: Frobenius norm of the difference, over that of ``before``.
        largest: largest absolute difference of two entries.
    """

    name: str
    before: tuple[int, ...] | None
    after: tuple[int, ...] | None
    distance: float | None = None
    largest: float | None = None


@dataclass(frozen=True)
class Difference:
    """Of two records of one name; ``there`` says where it is found: "both", "only before" or "only after".

    ``bounds`` has, by claim, what theory asked of it when a record was made and what it asks today, where these differ.
    """

    name: str
    there: str = "both"
    claims: list[ClaimChange] = field(default_factory=list)
    arrays: list[ArrayChange] = field(default_factory=list)
    origin: dict[str, tuple[str, str]] = field(default_factory=dict)
    bounds: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether claims, arrays, parameters and data are the same, and no bound has moved."""
        parts = self.claims, self.arrays, self.origin, self.bounds
        return self.there == "both" and not any(parts)

    def to_dict(self) -> dict:
        """For JSON."""
        plain = asdict(self)
        plain["claims"] = [
            {
                "id": change.id,
                "before": change.before and change.before.to_dict(),
                "after": change.after and change.after.to_dict(),
            }
            for change in self.claims
        ]
        return plain


def differences(before: Path, after: Path) -> list[Difference]:
    """Compare two records, or two folders of records by their places in them.

    Raises:
        InputError: if a path holds no record, a record is broken, or one path is a record and the other is not.
    """
    left, right = _found(before), _found(after)
    if (Path() in left) != (Path() in right):
        raise InputError(f"{before} and {after}: give two records, or two folders of records")
    return [
        _difference(
            place.as_posix() if place.parts else after.name, left.get(place), right.get(place)
        )
        for place in sorted(left.keys() | right.keys())
    ]


def to_markdown(differences: list[Difference]) -> str:
    """What a reader of a change wants to know: every claim that changed, and the arrays that moved most."""
    changed = [difference for difference in differences if not difference.empty]
    lines = [f"{len(changed)} of {len(differences)} records differ."]
    for difference in changed:
        lines += ["", f"**{difference.name}**" + _there(difference), ""]
        lines += [f"- {name}: {a} → {b}" for name, (a, b) in difference.origin.items()]
        lines += [
            f"- bound changed of {name}: {a} when the record was made, {b} today"
            for name, (a, b) in difference.bounds.items()
        ]
        if difference.claims:
            head = ["claim", "before", "after", "theory asks", "verdict"]
            head += ["published"] if any(change.published for change in difference.claims) else []
            lines += ["", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
            lines += [_claim_row(change, len(head)) for change in difference.claims]
        if difference.arrays:
            lines += [
                "",
                "| array | shape | ‖after − before‖ / ‖before‖ | largest change |",
                "|---|---|---|---|",
            ]
            lines += [_array_row(change) for change in difference.arrays]
    return "\n".join(lines) + "\n"


def _found(path: Path) -> dict[Path, Record]:
    folders = records.find_all(path if path.is_dir() else path.parent)
    if not path.exists() or not folders:
        raise InputError(f"no record in {path}: give a run's folder, or a folder of records")
    root = path if path.is_dir() else path.parent
    return {folder.relative_to(root): records.load(folder) for folder in folders}


def _difference(name: str, before: Record | None, after: Record | None) -> Difference:
    if before is None or after is None:
        return Difference(name, "only after" if before is None else "only before")
    if before.chapter.id != after.chapter.id:
        raise InputError(
            f"{name}: one record is of {before.chapter.id}, the other of {after.chapter.id}: "
            "give two of the same chapter"
        )
    old, new = ({claim.id: claim for claim in _judged(r)} for r in (before, after))
    claims_changed = [
        ClaimChange(id_, old.get(id_), new.get(id_))
        for id_ in old | new
        if _plain(old.get(id_)) != _plain(new.get(id_))
    ]
    names = before.arrays | after.arrays
    compared = [_array(n, before.arrays.get(n), after.arrays.get(n)) for n in names]
    arrays = [c for c in compared if c]
    bounds = _moved_bounds(before) | _moved_bounds(after)
    return Difference(name, "both", claims_changed, arrays, _origin(before, after), bounds)


def _judged(record: Record) -> list[Claim]:
    """With today's theory, or, where an old record lacks what that needs, as it was judged when it was made."""
    try:
        return record.judged_today()
    except InputError:
        return record.claims


def _moved_bounds(record: Record) -> dict[str, tuple[str, str]]:
    made = {claim.id: claims.expectation(claim) for claim in record.claims}
    today = {claim.id: claims.expectation(claim) for claim in _judged(record)}
    return {id_: (made[id_], today[id_]) for id_ in made.keys() & today if made[id_] != today[id_]}


def _plain(claim: Claim | None) -> dict | None:
    return claim.to_dict() if claim else None  # where a NaN equals a NaN


def _array(name: str, before: np.ndarray | None, after: np.ndarray | None) -> ArrayChange | None:
    if before is None or after is None or before.shape != after.shape:
        old, new = (None if a is None else a.shape for a in (before, after))
        return ArrayChange(name, old, new)
    if np.array_equal(before, after):
        return None
    if before.dtype.kind not in "biufc" or after.dtype.kind not in "biufc":
        return ArrayChange(name, before.shape, after.shape)
    gap = np.abs(np.subtract(after, before, dtype=np.result_type(before, after, float)))
    gap = np.where(np.isnan(gap), 0.0, gap)  # the same infinity on both sides
    size = np.linalg.norm(before[np.isfinite(before)].ravel().astype(complex))
    distance = float(np.linalg.norm(gap.ravel()) / size) if size else float("inf")
    return ArrayChange(name, before.shape, after.shape, distance, float(gap.max()))


def _origin(before: Record, after: Record) -> dict[str, tuple[str, str]]:
    old, new = (
        r.provenance["parameters"] | {"data sha256": r.provenance["data"]["sha256"]}
        for r in (before, after)
    )
    return {
        name: (str(old.get(name, "–")), str(new.get(name, "–")))
        for name in old | new
        if old.get(name) != new.get(name)
    }


def _there(difference: Difference) -> str:
    return "" if difference.there == "both" else f" ({difference.there})"


def _claim_row(change: ClaimChange, width: int) -> str:
    one = next(claim for claim in (change.after, change.before) if claim)
    numbers = (f"{c.measured:.4g}" if c else "–" for c in (change.before, change.after))
    asked = dict.fromkeys(claims.expectation(c) for c in (change.before, change.after) if c)
    cells = [one.statement, *numbers, " → ".join(asked), change.verdicts]
    cells = [*cells, change.published][:width]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _array_row(change: ArrayChange) -> str:
    shapes = [
        "–" if s is None else "×".join(map(str, s)) or "number"
        for s in (change.before, change.after)
    ]
    shape = shapes[0] if shapes[0] == shapes[1] else " → ".join(shapes)
    numbers = ("" if v is None else f"{v:.2g}" for v in (change.distance, change.largest))
    return "| " + " | ".join([f"`{change.name}`", shape, *numbers]) + " |"

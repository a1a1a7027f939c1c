"""Claims that are not seen, each listed by hand with the reason: a new one fails ``verify`` and the build.

The list is ``book/not-seen.yaml``: a sentence by claim, by record. A kept record is called ``<chapter>/<its folder>``,
a chapter's run at the quick scale ``<chapter>/quick``; other runs need no line.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from ssltheory.book.claims import Claim
from ssltheory.errors import InputError

LIST = Path("book") / "not-seen.yaml"
Sentences = dict[str, dict[str, str]]


def load(base: Path) -> Sentences:
    """The sentences by record and claim.

    Args:
        base: the repository's root.

    Raises:
        InputError: if the list is not of that form, or a sentence is empty.
    """
    path = base / LIST
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    listed = content or {}
    rows = listed.values() if isinstance(listed, dict) else [None]
    for row in rows:
        if not isinstance(row, dict) or not all(
            isinstance(s, str) and s.strip() for s in row.values()
        ):
            raise InputError(
                f"{LIST}: each record has lines `claim: sentence`, and no sentence is empty"
            )
    return listed


def problems(sentences: Sentences, judged: Mapping[str, Sequence[Claim]]) -> list[str]:
    """What the list lacks, and what it says too much, of the records given.

    Args:
        sentences: from ``load``.
        judged: today's claims by the record's name.
    """
    found = []
    for record, claims in judged.items():
        listed = sentences.get(record, {})
        unseen = {claim.id: claim for claim in claims if claim.verdict == "not seen"}
        found += [
            f"{record}: {claim.id} is not seen ({claim.statement}: {claim.measured:.4g}): find out why, and say it "
            f"in a sentence in {LIST}"
            for claim in unseen.values()
            if claim.id not in listed
        ]
        found += [
            f"{record}: {id_} stands in {LIST}, but is not one that is not seen: take its line away"
            for id_ in listed
            if id_ not in unseen
        ]
    return found


def absent(base: Path, sentences: Sentences) -> list[str]:
    """Of records in the list that are not kept, a line each."""
    return [
        f"{record}: stands in {LIST}, but no such record is kept: take its lines away"
        for record in sentences
        if not record.endswith("/quick") and not (base / "book" / "records" / record).is_dir()
    ]


def name(base: Path, folder: Path) -> str | None:
    """What the list calls the record in a folder; None where it needs no line there."""
    folder, base = folder.resolve(), base.resolve()
    if folder.is_relative_to(kept := base / "book" / "records"):
        return folder.relative_to(kept).as_posix()
    return f"{folder.name}/quick" if folder.parent == base / "runs" / "quick" else None

"""The registry of chapters: every module of ``ssltheory.chapters`` with a ``CHAPTER``, in the order of the ids."""

import difflib
import pkgutil
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from ssltheory import chapters
from ssltheory.book import parameters
from ssltheory.book.parameters import Settings
from ssltheory.errors import InputError


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    Attributes:
        id: number and slug, the stem of its notebook.
        title: as in the book.
        paper: bib key.
        figure: which figure of the paper it regenerates.
        claim: the statement that is checked, in a sentence.
        parameters: its table; the defaults are the quick scale.
        scales: what each scale is, in a sentence or two. Its keys are the scales that the chapter has beside quick.
        seconds: expected time at each scale, from command to record, on ``hardware[scale]``.
        hardware: what ``seconds`` was measured on, a scale each.

    Raises:
        ValueError: if a parameter has a value at a scale that the chapter does not have.
    """

    id: str
    title: str
    paper: str
    figure: str
    claim: str
    parameters: type[Settings]
    scales: dict[str, str]
    seconds: dict[str, float]
    hardware: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fields = self.parameters.model_fields
        used = {s for name in fields for s in parameters.elsewhere(self.parameters, name)}
        if unknown := sorted(used - self.scales.keys()):
            raise ValueError(f"{self.id}: say in `scales` what {', '.join(unknown)} means")

    @property
    def module(self) -> str:
        """The name of its modules, ``linear_staircase`` for ``01-linear-staircase``."""
        return self.id.split("-", 1)[1].replace("-", "_")

    def parse(self, values: dict[str, Any]) -> Settings:
        """Its parameters from raw values, as ``parameters.parse``."""
        return parameters.parse(self.parameters, values, self.id)

    def part(self, name: str) -> ModuleType:
        """The module of that name in its room: ``claims``, ``figures``, ``experiment`` or ``explorer``."""
        return _module(self.module, name)

    def has(self, name: str) -> bool:
        """Whether its room has a module of that name."""
        return find_spec(f"{chapters.__name__}.{self.module}.{name}") is not None


def all_chapters() -> list[Chapter]:
    """Every chapter, in the order of the book."""
    names = [module.name for module in pkgutil.iter_modules(chapters.__path__)]
    rooms = [_module(name) for name in names if not name.startswith("_")]
    return sorted((room.CHAPTER for room in rooms), key=lambda chapter: chapter.id)


def find(name: str) -> Chapter:
    """A chapter by its id, its number or its slug.

    Raises:
        InputError: naming the nearest chapter.
    """
    known = all_chapters()
    for chapter in known:
        number, slug = chapter.id.split("-", 1)
        if name in (chapter.id, number, number.lstrip("0"), slug, f"{chapter.id}.ipynb"):
            return chapter
    near = difflib.get_close_matches(name, [c.id for c in known], n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise InputError(f"no chapter {name!r}{hint} `ssltheory list` names them all")


def _module(*names: str) -> ModuleType:
    """A chapter's package, or a module in it."""
    return import_module(".".join([chapters.__name__, *names]))

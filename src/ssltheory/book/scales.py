"""Scales: how large a chapter's run is. Their values, which of them a run is, and where it writes."""

import difflib
import os
from pathlib import Path
from typing import Any

from ssltheory.book import repository
from ssltheory.book.parameters import NOT_SETTINGS, SCALES, Settings, value
from ssltheory.book.registry import Chapter
from ssltheory.errors import InputError


def names(chapter: Chapter) -> list[str]:
    """The scales that a chapter has, from the smallest runs to the largest."""
    return [scale for scale in SCALES if scale == "quick" or scale in chapter.scales]


def values(chapter: Chapter, scale: str) -> dict[str, Any]:
    """The data set and the settings at a scale; seed, device and folder are of no scale.

    Raises:
        InputError: for a scale that the chapter does not have.
    """
    known = names(chapter)
    if scale not in known:
        near = difflib.get_close_matches(scale, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise InputError(f"{chapter.id} has no scale {scale!r}{hint} It has {', '.join(known)}")
    model = chapter.parameters
    return {
        name: value(model, name, scale)
        for name in model.model_fields
        if name == "dataset" or name not in NOT_SETTINGS
    }


def standard(chapter: Chapter, scale: str) -> Settings:
    """The parameters of a scale, which must be one of the chapter's (``values``)."""
    return chapter.parse(values(chapter, scale))


def scale_of(chapter: Chapter, parameters: Settings) -> str:
    """The scale whose settings these are, whatever the data set, seed and device; ``custom`` if none."""
    for scale in names(chapter):
        if _settings(standard(chapter, scale)) == _settings(parameters):
            return scale
    return "custom"


def run_folder(chapter: Chapter, parameters: Settings) -> Path:
    """Where a run writes: ``out``, or ``runs/<scale>/<chapter>`` with what differs from the scale's own values.

    Raises:
        InputError: if ``out`` begins with a user that does not exist.
    """
    if parameters.out:
        folder = os.path.expanduser(parameters.out)
        if folder.startswith("~"):
            raise InputError(f"out={parameters.out}: there is no such user; give another `out`")
        return Path(folder)
    scale = scale_of(chapter, parameters)
    own = standard(chapter, "quick" if scale == "custom" else scale)
    changed = {
        name: value
        for name, value in parameters.model_dump(exclude={"out", "device"}).items()
        if value != getattr(own, name)
    }
    if "dataset" in changed:
        changed["dataset"] = Path(changed["dataset"]).name
    folder = ",".join([chapter.id, *(f"{name}={value}" for name, value in changed.items())])
    return (repository.root() or Path.cwd()) / "runs" / scale / folder.replace(os.sep, "-")[:200]


def _settings(parameters: Settings) -> dict[str, Any]:
    return parameters.model_dump(exclude=set(NOT_SETTINGS))

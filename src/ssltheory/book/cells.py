"""The table of a chapter's parameters, written out: as its notebook's cell, and as YAML for plain papermill."""

import json
import textwrap
from typing import Any

import numpy as np

from ssltheory.book import scales
from ssltheory.book.parameters import NOT_SETTINGS, Settings, choices
from ssltheory.book.registry import Chapter

SMALL = 1e-3  # numbers below are written as 4e-4
QUICK = "The values of the notebook itself."


def literal(value: Any) -> str:
    """A value as it stands in Python, e.g. ``"mlp"``, ``0.01`` or ``4e-4``."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and 0 < abs(value) < SMALL:
        return np.format_float_scientific(value, trim="-", exp_digits=1)
    return repr(value)


def yaml_literal(value: Any) -> str:
    """A value as it stands in YAML, which takes ``4e-4`` for text: ``4.0e-4``."""
    if isinstance(value, float) and 0 < abs(value) < SMALL:
        return np.format_float_scientific(value, trim="0", exp_digits=1)
    return json.dumps(value, ensure_ascii=False)


def cell(model: type[Settings]) -> str:
    """The source of the parameters cell, at the quick scale: data set, settings, then seed, device and folder."""
    settings = [name for name in model.model_fields if name not in NOT_SETTINGS]
    lines = []
    for name in ("dataset", *settings, "seed", "device", "out"):
        quick = model.model_fields[name].default
        lines.append(
            f"{name}: {type(quick).__name__} = {literal(quick)}  # {_comment(model, name)}"
        )
    return "\n".join(lines)


def about(chapter: Chapter, scale: str) -> str:
    """What a scale of a chapter is."""
    return chapter.scales.get(scale, QUICK)


def to_yaml(chapter: Chapter, scale: str) -> str:
    """A preset for plain papermill: what the scale is, then its values, each with its meaning.

    A scale that the chapter does not have is an ``InputError``.
    """
    values = scales.values(chapter, scale)
    header = textwrap.wrap(f"{chapter.id} at the scale {scale}. {about(chapter, scale)}", 98)
    lines = [f"# {line}" for line in header]
    for name, value in values.items():
        lines.append(f"{name}: {yaml_literal(value)}  # {_comment(chapter.parameters, name)}")
    return "\n".join(lines) + "\n"


def renewed(notebook: str, model: type[Settings]) -> str:
    """The text of a notebook with its parameters cell as the table has it; the same text if it was so already."""
    content = json.loads(notebook)
    lines = cell(model).splitlines(keepends=True)
    tagged = [c for c in content["cells"] if "parameters" in c["metadata"].get("tags", [])]
    if all(part["source"] == lines for part in tagged):
        return notebook
    for part in tagged:
        part["source"] = lines
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _comment(model: type[Settings], name: str) -> str:
    """The choices, if there are some, and the meaning."""
    words = ", ".join(choices(model, name))
    meaning = model.model_fields[name].description or ""
    return f"{words}: {meaning}" if words else meaning

"""The registry of chapters: what each is called, which paper it holds to account, what it takes.

A chapter lives in one file of the same name in five places: its parameters here, its claims in
``ssltheory.claims``, its plots in ``ssltheory.figures``, its notebook in ``notebooks/`` and, for each scale but
quick, its preset in ``notebooks/presets/<scale>/``.
"""

import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ssltheory.data import Source
from ssltheory.errors import InputError

SCALES = ("tiny", "quick", "full", "paper")
MOST = 2**31  # images, steps, units: nothing here is counted so far
#: Not a setting of the experiment: changing one leaves the scale of a run what it was.
NOT_SETTINGS = frozenset({"dataset", "seed", "device", "out"})

#: The parameter ``minutes`` of the chapters that train for long.
Minutes = Annotated[
    float,
    Field(
        ge=0,
        description="pause after so long with a checkpoint, from which the same command goes on; 0: never",
    ),
]


class Parameters(BaseModel):
    """What every chapter takes; a chapter's own model adds its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: str = Field(
        "digits",
        min_length=1,
        description="data set: a name that `ssltheory data list` shows, or a path",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="first seed; the others follow it")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="where to compute; auto: a GPU if there is one"
    )
    out: str = Field("", description="folder of the record; empty: runs/<scale>/<chapter>")

    @field_validator("*", mode="before")
    @classmethod
    def _no_flags_for_numbers(cls, value: Any, info) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("a truth value where none is taken")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _no_number_beyond_all_use(cls, value: Any) -> Any:
        if isinstance(value, int) and value >= MOST:
            raise ValueError(f"it should be less than {MOST}")
        return value

    def check(self, source: Source) -> None:
        """Hold the parameters against the data set.

        Raises:
            InputError: if they do not fit it.
        """


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    Attributes:
        id: number and slug, the stem of its notebook.
        title: as in the book.
        paper: bib key.
        figure: which figure of the paper it regenerates.
        claim: what is held to account, in a sentence.
        parameters: its model; the defaults are the quick scale.
        seconds: expected time at each scale, from command to record, on ``hardware[scale]``.
        hardware: what ``seconds`` was measured on, a scale each.
    """

    id: str
    title: str
    paper: str
    figure: str
    claim: str
    parameters: type[Parameters]
    seconds: dict[str, float]
    hardware: dict[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The name of its modules: ``01-linear-staircase`` -> ``linear_staircase``."""
        return self.id.split("-", 1)[1].replace("-", "_")


def all_chapters() -> list[Chapter]:
    """Every chapter, in the order of the book."""
    from ssltheory.chapters.batch_norm_partitions import CHAPTER as batch_norm_partitions
    from ssltheory.chapters.class_dependent import CHAPTER as class_dependent
    from ssltheory.chapters.deep_staircase import CHAPTER as deep_staircase
    from ssltheory.chapters.deep_tensor import CHAPTER as deep_tensor
    from ssltheory.chapters.directpred import CHAPTER as directpred
    from ssltheory.chapters.eigenspace_alignment import CHAPTER as eigenspace_alignment
    from ssltheory.chapters.embedding_dimensions import CHAPTER as embedding_dimensions
    from ssltheory.chapters.faster_ssl import CHAPTER as faster_ssl
    from ssltheory.chapters.guillotine import CHAPTER as guillotine
    from ssltheory.chapters.kernel_and_ntk import CHAPTER as kernel_and_ntk
    from ssltheory.chapters.kernel_regime import CHAPTER as kernel_regime
    from ssltheory.chapters.linear_staircase import CHAPTER as linear_staircase
    from ssltheory.chapters.no_collapse import CHAPTER as no_collapse
    from ssltheory.chapters.pairwise_independence import CHAPTER as pairwise_independence
    from ssltheory.chapters.projunn import CHAPTER as projunn
    from ssltheory.chapters.singular_values import CHAPTER as singular_values
    from ssltheory.chapters.spectral_embeddings import CHAPTER as spectral_embeddings
    from ssltheory.chapters.what_we_maximise import CHAPTER as what_we_maximise

    return [
        linear_staircase,
        deep_staircase,
        embedding_dimensions,
        no_collapse,
        eigenspace_alignment,
        directpred,
        kernel_and_ntk,
        faster_ssl,
        kernel_regime,
        spectral_embeddings,
        pairwise_independence,
        what_we_maximise,
        guillotine,
        class_dependent,
        batch_norm_partitions,
        singular_values,
        projunn,
        deep_tensor,
    ]


def find(name: str) -> Chapter:
    """A chapter by its id, its number or its slug.

    Raises:
        InputError: naming the nearest chapter.
    """
    chapters = all_chapters()
    for chapter in chapters:
        number, slug = chapter.id.split("-", 1)
        if name in (chapter.id, number, number.lstrip("0"), slug, f"{chapter.id}.ipynb"):
            return chapter
    near = difflib.get_close_matches(name, [c.id for c in chapters], n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise InputError(f"no chapter {name!r}{hint} `ssltheory list` names them all")


def parse(chapter: Chapter, values: dict[str, Any]) -> Parameters:
    """Parameters of a chapter from raw values, text or numbers; what is left out takes its quick default.

    Raises:
        InputError: one message for the first fault: unknown name, wrong type, out of range.
    """
    model = chapter.parameters
    for name in values:
        if name not in model.model_fields:
            near = difflib.get_close_matches(str(name), model.model_fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(
                f"{chapter.id} has no parameter {name!r}{hint} It takes {', '.join(model.model_fields)} "
                f"(`ssltheory describe {chapter.id}`)"
            )
    try:
        return model(**values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise InputError(
                f"{chapter.id}: {first['msg'].removeprefix('Value error, ')}"
            ) from None
        name = str(first["loc"][0])
        raise InputError(
            f"{name}={_text(first['input'])}: {_reason(first['msg'])}. {name} is {describe_type(model, name)}, "
            f"default {model.model_fields[name].default}: {model.model_fields[name].description}"
        ) from None


def describe_type(model: type[Parameters], name: str) -> str:
    """A parameter's type and range in words, e.g. ``int >= 1`` or ``one of auto, cpu, cuda, mps``."""
    schema = model.model_json_schema()["properties"][name]
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    words = {"integer": "int", "number": "float", "string": "str", "boolean": "true or false"}
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join(
        [words.get(schema.get("type", ""), schema.get("type", "")), " and ".join(bounds)]
    ).strip()


def root() -> Path | None:
    """The repository's root: above the working folder, else above this package; None if neither lies in one."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
                return folder
    return None


def preset(chapter: Chapter, scale: str) -> dict[str, Any]:
    """The values that a scale sets; empty for quick, whose values are the notebook's own.

    Raises:
        InputError: for an unknown scale, or one that the chapter has no preset for.
    """
    if scale not in SCALES:
        near = difflib.get_close_matches(scale, SCALES, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise InputError(f"no scale {scale!r}{hint} It is one of {', '.join(SCALES)}")
    if scale == "quick":
        return {}
    base = root()
    if base is None:
        raise InputError("the presets lie in the repository: run this from inside a clone of it")
    path = base / "notebooks" / "presets" / scale / f"{chapter.id}.yaml"
    if not path.is_file():
        raise InputError(
            f"{chapter.id} has no preset for the scale {scale!r}: {path.name} is not in presets/{scale}"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        fault = " ".join(str(error).split())
        raise InputError(f"{path} is not YAML that can be read ({fault}): mend it") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold one `name: value` a line: mend it")
    return values


def scale_of(chapter: Chapter, parameters: Parameters) -> str:
    """The scale whose settings these are, whatever the data set, seed and device; ``custom`` if none."""
    for scale in SCALES:
        try:
            settings = parse(chapter, preset(chapter, scale))
        except InputError:
            continue
        if _settings(settings) == _settings(parameters):
            return scale
    return "custom"


def run_folder(chapter: Chapter, parameters: Parameters) -> Path:
    """Where a run writes: ``out``, or ``runs/<scale>/<chapter>`` with what differs from the scale's own values."""
    if parameters.out:
        folder = os.path.expanduser(parameters.out)
        if folder.startswith("~"):
            raise InputError(f"out={parameters.out}: there is no such user; give another `out`")
        return Path(folder)
    scale = scale_of(chapter, parameters)
    standard = parse(chapter, {} if scale == "custom" else preset(chapter, scale))
    changed = {
        name: value
        for name, value in parameters.model_dump(exclude={"out", "device"}).items()
        if value != getattr(standard, name)
    }
    if "dataset" in changed:
        changed["dataset"] = Path(changed["dataset"]).name
    folder = ",".join([chapter.id, *(f"{name}={value}" for name, value in changed.items())])
    return (root() or Path.cwd()) / "runs" / scale / folder.replace(os.sep, "-")[:200]


def _settings(parameters: Parameters) -> dict[str, Any]:
    return parameters.model_dump(exclude=set(NOT_SETTINGS))


def _text(value: Any) -> str:
    """As text; an integer of thousands of digits, or a list of thousands of levels, is called huge."""
    try:
        return str(value)
    except (ValueError, RecursionError):
        return f"(a huge {type(value).__name__})"


def _reason(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:].replace("Input should be", "it should be")

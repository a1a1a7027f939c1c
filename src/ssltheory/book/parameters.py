"""The table of a chapter's parameters: type, value at each scale, range and meaning, each stated once.

A chapter's table is a class::

    class Parameters(Settings):
        dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
        n_images: int = at(1797, tiny=400, full=2000, ge=2, means="images drawn, two random crops each")

The notebook's parameters cell, the presets and ``ssltheory describe`` are made from it.
"""

import difflib
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ssltheory.data import Source
from ssltheory.errors import InputError

#: The columns of the table, from the smallest runs to the largest. A chapter may lack some, but not quick.
SCALES = ("tiny", "quick", "full", "long", "paper")
#: Parameters that are no setting of the experiment. Changing one leaves the scale of a run what it was.
NOT_SETTINGS = frozenset({"dataset", "seed", "device", "out"})
MOST = 2**31  # images, steps, units: nothing here is counted so far


def at(quick: Any, *, means: str = "", ge=None, gt=None, le=None, lt=None, **scales: Any) -> Any:
    """A row of the table.

    Args:
        quick: value at the quick scale, which is the default.
        means: what the parameter is, in a few words; empty where its type says so already.
        ge, gt, le, lt: bounds.
        scales: values at the other scales, by name; a scale left out has the quick value.

    Raises:
        TypeError: if there is no scale of such a name.
    """
    if unknown := scales.keys() - set(SCALES):
        raise TypeError(f"no scale {', '.join(sorted(unknown))}: take {', '.join(SCALES)}")
    stated: dict[str, Any] = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    if means:
        stated["description"] = means
    return Field(quick, json_schema_extra={"scales": scales}, **stated)


#: The parameter ``dataset``.
Dataset = Annotated[
    str,
    Field(min_length=1, description="data set: a name that `ssltheory data list` shows, or a path"),
]
#: The parameter ``minutes`` of the chapters that train for long.
Minutes = Annotated[
    float,
    Field(
        ge=0,
        description="pause with a checkpoint after so many; the same command goes on; 0: never",
    ),
]


class Settings(BaseModel):
    """What every chapter takes; the table of a chapter adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: Dataset = at("digits")
    seed: int = at(0, ge=0, lt=2**31, means="seed of the first repetition; the others follow it")
    device: Literal["auto", "cpu", "cuda", "mps"] = at(
        "auto", means="where to compute; auto takes a GPU if there is one"
    )
    out: str = at("", means="folder of the record; empty: runs/<scale>/<chapter>")

    @field_validator("*", mode="before")
    @classmethod
    def _no_flags_for_numbers(cls, value: Any, info) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("it should not be true or false")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _no_number_beyond_all_use(cls, value: Any) -> Any:
        if isinstance(value, int) and value >= MOST:
            raise ValueError(f"it should be less than {MOST}")
        return value

    def check(self, source: Source) -> None:
        """Check the parameters against the data set.

        Raises:
            InputError: if they do not fit it.
        """


def elsewhere(model: type[Settings], name: str) -> dict[str, Any]:
    """A parameter's values at the scales where it has one of its own, by scale."""
    extra: Any = model.model_fields[name].json_schema_extra
    return extra["scales"]


def value(model: type[Settings], name: str, scale: str) -> Any:
    """A parameter's value at a scale."""
    return elsewhere(model, name).get(scale, model.model_fields[name].default)


def parse(model: type[Settings], values: dict[str, Any], chapter: str) -> Settings:
    """Parameters from raw values, text or numbers; what is left out takes its quick value.

    Args:
        model: the table.
        values: by name.
        chapter: id, for the messages.

    Raises:
        InputError: one message for the first fault: unknown name, wrong type, out of range.
    """
    for name in values:
        if name not in model.model_fields:
            near = difflib.get_close_matches(str(name), model.model_fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(
                f"{chapter} has no parameter {name!r}{hint} It takes {', '.join(model.model_fields)} "
                f"(`ssltheory describe {chapter}`)"
            )
    try:
        return model(**values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise InputError(f"{chapter}: {first['msg'].removeprefix('Value error, ')}") from None
        name = str(first["loc"][0])
        raise InputError(
            f"{name}={_text(first['input'])}: {_reason(first['msg'])}. {name} is {describe_type(model, name)}, "
            f"default {model.model_fields[name].default}: {model.model_fields[name].description}"
        ) from None


def choices(model: type[Settings], name: str) -> tuple[str, ...]:
    """The words that a parameter is chosen from; none where it is a number or free text."""
    return get_args(model.model_fields[name].annotation)


def describe_type(model: type[Settings], name: str) -> str:
    """A parameter's type and range in words, e.g. ``int >= 1`` or ``one of auto, cpu, cuda, mps``."""
    if words := choices(model, name):
        return "one of " + ", ".join(words)
    schema = model.model_json_schema()["properties"][name]
    kinds = {"integer": "int", "number": "float", "string": "str", "boolean": "true or false"}
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return f"{kinds[schema['type']]} {' and '.join(bounds)}".strip()


def _text(value: Any) -> str:
    """As text; an integer of thousands of digits, or a list of thousands of levels, is called huge."""
    try:
        return str(value)
    except (ValueError, RecursionError):
        return f"(a huge {type(value).__name__})"


def _reason(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:].replace("Input should be", "it should be")

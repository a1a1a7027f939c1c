"""The table of parameters: what a row says, what is made of it, and that every chapter's table is sound."""

import math
import sys
from dataclasses import replace
from typing import Literal

import pytest
import yaml
from conftest import CHAPTER

from ssltheory import chapters
from ssltheory.book import cells, parameters, registry, scales
from ssltheory.book.parameters import NOT_SETTINGS, SCALES, Dataset, Minutes, Settings, at
from ssltheory.errors import InputError

each_chapter = pytest.mark.parametrize("chapter", registry.all_chapters(), ids=lambda c: c.id)


class Table(Settings):
    dataset: Dataset = at("digits", paper="cifar10")
    n: int = at(10, tiny=3, paper=40, ge=2, lt=50, means="a number")
    rate: float = at(4e-4, full=1e-7, gt=0, le=1, means="a rate")
    kind: Literal["a", "b"] = at("a", paper="b", means="a choice")
    mirrored: bool = at(False, tiny=True, means="a flag")
    minutes: Minutes = at(0.0, paper=7.0)


SMALL = replace(
    registry.find("1"),
    id="99-small",
    parameters=Table,
    scales={"tiny": "Few.", "full": "More.", "paper": "All."},
)


def test_a_scale_left_out_has_the_quick_value():
    rows = {scale: scales.values(SMALL, scale) for scale in scales.names(SMALL)}
    assert list(rows) == ["tiny", "quick", "full", "paper"]
    assert [row["n"] for row in rows.values()] == [3, 10, 10, 40]
    assert [row["rate"] for row in rows.values()] == [4e-4, 4e-4, 1e-7, 4e-4]
    assert [row["dataset"] for row in rows.values()] == ["digits", "digits", "digits", "cifar10"]
    assert list(rows["quick"]) == ["dataset", "n", "rate", "kind", "mirrored", "minutes"]
    assert scales.standard(SMALL, "quick") == Table()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1),
        ("n", 50),
        ("rate", 0),
        ("rate", 1.5),
        ("kind", "c"),
        ("minutes", -1),
        ("dataset", ""),
    ],
)
def test_what_is_out_of_range_is_refused(name: str, value):
    with pytest.raises(InputError, match=f"{name}={value}: .* {name} is "):
        SMALL.parse({name: value})


def test_types_and_ranges_in_words():
    words = {name: parameters.describe_type(Table, name) for name in Table.model_fields}
    assert words["n"] == "int >= 2 and < 50"
    assert words["rate"] == "float > 0 and <= 1"
    assert words["kind"] == "one of a, b"
    assert words["mirrored"] == "true or false"
    assert words["minutes"] == "float >= 0"


def test_a_scale_that_is_none_or_that_the_chapter_lacks_is_refused():
    with pytest.raises(TypeError, match="no scale huge: take tiny, quick"):
        at(3, huge=5)
    with pytest.raises(ValueError, match="99-small: say in `scales` what full, paper means"):
        replace(SMALL, scales={"tiny": "Few."})
    fewer = replace(registry.find("1"), parameters=Settings, scales={"full": "More."})
    assert scales.names(fewer) == ["quick", "full"]
    with pytest.raises(InputError, match=f"{CHAPTER} has no scale 'paper'. It has quick, full"):
        scales.values(fewer, "paper")


def test_scale_is_told_by_the_settings_alone():
    for scale in scales.names(SMALL):
        values = scales.values(SMALL, scale) | {"dataset": "x", "seed": 3, "out": "y"}
        assert scales.scale_of(SMALL, SMALL.parse(values)) == scale
    assert scales.scale_of(SMALL, SMALL.parse({"n": 7})) == "custom"


def test_cell_as_it_is_written():
    assert cells.cell(Table).splitlines()[:-3] == [
        'dataset: str = "digits"  # data set: a name that `ssltheory data list` shows, or a path',
        "n: int = 10  # a number",
        "rate: float = 4e-4  # a rate",
        'kind: str = "a"  # a, b: a choice',
        "mirrored: bool = False  # a flag",
        "minutes: float = 0.0  # pause with a checkpoint after so many; the same command goes on; 0: never",
    ]
    names = [line.split(":")[0] for line in cells.cell(Table).splitlines()[-3:]]
    assert names == ["seed", "device", "out"]


def test_yaml_as_it_is_written():
    assert cells.to_yaml(SMALL, "full").splitlines()[:5] == [
        "# 99-small at the scale full. More.",
        'dataset: "digits"  # data set: a name that `ssltheory data list` shows, or a path',
        "n: 10  # a number",
        "rate: 1.0e-7  # a rate",
        'kind: "a"  # a, b: a choice',
    ]


@each_chapter
def test_every_value_of_every_scale_is_within_its_range(chapter):
    for scale in scales.names(chapter):
        values = scales.values(chapter, scale)
        typed = scales.standard(chapter, scale)
        for name, value in values.items():
            assert getattr(typed, name) == value
            assert type(getattr(typed, name)) is type(value), f"{name} at {scale}"
        assert scales.scale_of(chapter, typed) == scale
        read = yaml.safe_load(cells.to_yaml(chapter, scale))
        assert read == values
        assert [type(value) for value in read.values()] == list(map(type, values.values()))


@each_chapter
def test_every_table_is_readable(chapter):
    """Each parameter has a meaning that fits its line of the cell, which ruff would wrap; each scale has a text."""
    assert all(len(line) <= 100 for line in cells.cell(chapter.parameters).splitlines())
    fields = chapter.parameters.model_fields
    assert all(field.description for field in fields.values())
    assert fields.keys() > NOT_SETTINGS
    assert all(chapter.scales.values())
    assert set(chapter.scales) < set(SCALES)
    assert chapter.seconds.keys() == set(scales.names(chapter))


@each_chapter
def test_tiny_is_on_data_that_are_always_there(chapter):
    assert scales.values(chapter, "tiny")["dataset"] == "digits"
    assert scales.values(chapter, "quick")["dataset"] == "digits"


@pytest.mark.parametrize("value", [1e-7, 4e-4, 5e-4, 0.001, 0.0032, 0.1, 7.0, 0.0, -2e-9])
def test_numbers_survive_both_spellings(value):
    assert eval(cells.literal(value)) == value
    assert yaml.safe_load(cells.yaml_literal(value)) == value
    assert math.copysign(1, yaml.safe_load(cells.yaml_literal(value))) == math.copysign(1, value)


def test_a_module_or_a_package_in_the_folder_is_a_chapter(tmp_path, monkeypatch):
    source = """
from dataclasses import replace
from ssltheory.chapters import linear_staircase
CHAPTER = replace(linear_staircase.CHAPTER, id="{}")
"""
    (tmp_path / "zebra").mkdir()
    (tmp_path / "zebra" / "__init__.py").write_text(source.format("19-zebra"))
    (tmp_path / "aardvark.py").write_text(source.format("00-aardvark"))
    (tmp_path / "_shared.py").write_text("raise AssertionError")
    monkeypatch.setattr(chapters, "__path__", [*chapters.__path__, str(tmp_path)])
    try:
        known = [chapter.id for chapter in registry.all_chapters()]
        assert registry.find("zebra").id == "19-zebra"
    finally:
        for name in ("zebra", "aardvark"):
            del sys.modules[f"ssltheory.chapters.{name}"]
            delattr(chapters, name)
    assert (known[0], known[-1], len(known)) == ("00-aardvark", "19-zebra", 20)


def test_registry_is_the_folder():
    known = registry.all_chapters()
    assert [chapter.id[:2] for chapter in known] == [f"{n:02}" for n in range(1, 19)]
    for chapter in known:
        for part in ("claims", "figures"):
            assert chapter.part(part).__name__.endswith(f"{chapter.module}.{part}")

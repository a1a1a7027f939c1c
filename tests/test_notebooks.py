"""Every chapter's notebook and presets against its parameter model."""

import pytest
from notebook_cells import code_cells, is_parameters

from ssltheory import chapters
from ssltheory.chapters import NOT_SETTINGS, SCALES

ALL = chapters.all_chapters()
each_chapter = pytest.mark.parametrize("chapter", ALL, ids=lambda chapter: chapter.id)


@each_chapter
def test_parameters_cell_is_the_chapters_model(chapter):
    (cell,) = filter(is_parameters, code_cells(chapter))
    namespace = {}
    exec("".join(cell["source"]), namespace)
    types = namespace.pop("__annotations__")
    fields = chapter.parameters.model_fields
    assert types.keys() == fields.keys() == namespace.keys() - {"__builtins__"}
    for name, field in fields.items():
        assert namespace[name] == field.default
        assert type(namespace[name]) is types[name]
        assert field.annotation is types[name] or types[name] is str  # a choice among words


@each_chapter
def test_cells_are_few_short_and_without_output(chapter):
    cells = code_cells(chapter)
    assert len(cells) <= 11
    for cell in cells:
        assert len(cell["source"]) <= 24
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@each_chapter
@pytest.mark.parametrize("scale", SCALES)
def test_every_preset_is_the_scale_it_is_named_after(chapter, scale):
    values = chapters.preset(chapter, scale)
    parameters = chapters.parse(chapter, values)
    assert chapters.scale_of(chapter, parameters) == scale
    assert {name: getattr(parameters, name) for name in values} == values
    if scale != "quick":
        settings = chapter.parameters.model_fields.keys() - NOT_SETTINGS
        assert settings <= values.keys(), "a preset says all of its settings"


@each_chapter
def test_a_changed_setting_is_of_no_scale_and_other_data_of_the_same(chapter):
    assert chapters.scale_of(chapter, chapters.parse(chapter, {"dim": 7})) == "custom"
    assert chapters.scale_of(chapter, chapters.parse(chapter, {"seed": 7})) == "quick"

"""Every chapter's notebook: its parameters cell is the chapter's table, its cells are few, short and without output."""

import pytest
from notebook_cells import code_cells, is_parameters

from ssltheory.book import cells, registry

each_chapter = pytest.mark.parametrize("chapter", registry.all_chapters(), ids=lambda c: c.id)


@each_chapter
def test_parameters_cell_is_the_chapters_table(chapter):
    (cell,) = filter(is_parameters, code_cells(chapter))
    assert "".join(cell["source"]) == cells.cell(chapter.parameters), "run make format"


@each_chapter
def test_cells_are_few_short_and_without_output(chapter):
    cells = code_cells(chapter)
    assert len(cells) <= 11
    for cell in cells:
        if not is_parameters(cell):  # that one is as long as the chapter's table
            assert len(cell["source"]) <= 24
        assert cell["outputs"] == []
        assert cell["execution_count"] is None

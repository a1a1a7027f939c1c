"""The pages that are written by hand, held against the code: notation, map, reference."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from ssltheory import chapters

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"


def _names_in_code() -> set[str]:
    """Every identifier, attribute, argument and keyword of the package and the notebooks."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    found = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.keyword(arg=str(name)) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return found


def test_every_variable_of_the_notation_is_in_the_code():
    rows = re.findall(
        r"^\|[^|]*\|([^|]*)\|[^|]*\|$", (BOOK / "notation.md").read_text("utf-8"), re.M
    )
    named = {
        name for cell in rows for code in re.findall(r"`([^`]+)`", cell) for name in _words(code)
    }
    assert len(named) > 50
    assert named - _names_in_code() == set()


def _words(code: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", code)


@pytest.mark.parametrize("chapter", [c.id for c in chapters.all_chapters()])
def test_the_map_has_every_chapter_as_a_box_and_in_words(chapter):
    text = (BOOK / "map.md").read_text(encoding="utf-8")
    assert f'<a href="chapters/{chapter}.html">' in text
    assert f"[{chapter[:2]}](chapters/{chapter}.ipynb)" in text


def test_the_map_leads_nowhere_else():
    text = (BOOK / "map.md").read_text(encoding="utf-8")
    linked = set(re.findall(r'href="chapters/([^"]+)\.html"', text))
    assert linked == {c.id for c in chapters.all_chapters()}


def test_the_reference_has_every_public_module():
    inner = {
        "appendices",
        "cli",
        "explorers",
        "fingerprint",
        "pages",
        "pdf",
        "progress",
        "provenance",
        "repository",
    }
    package = ROOT / "src" / "ssltheory"
    public = {p.stem for p in package.glob("*.py")} | {
        p.parent.name for p in package.glob("*/__init__.py")
    }
    public |= {f"theory.{p.stem}" for p in (package / "theory").glob("*.py")} - {"theory.__init__"}
    public -= inner | {"__init__", "__main__", "theory"}
    text = (BOOK / "reference.md").read_text(encoding="utf-8")
    named = re.findall(r"automodule:: ssltheory\.(\S+)", text)
    assert set(named) == public
    assert len(named) == len(set(named))

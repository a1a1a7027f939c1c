"""The book as one PDF."""

import os
import shutil
import subprocess
import sys

import pypdf
import pytest
from conftest import PAGES, ROOT, small_toc

from ssltheory.book import pdf, registry

SMALL = ("book/chapters/01-linear-staircase", "book/chapters/02-deep-staircase", "book/scoreboard")


@pytest.fixture(scope="module")
def printed(built, needs_chromium, tmp_path_factory):
    """The PDF of the built book, of the tiny one three pages. By the command: a process runs playwright only once."""
    repository = built.parents[1]
    if repository != ROOT:
        repository = tmp_path_factory.mktemp("printed")
        small_toc(repository / "_toc.yml", *SMALL)
        shutil.copy(ROOT / "_config.yml", repository)
        for folder in ("notebooks", "_build"):
            (repository / folder).mkdir()
        (repository / "_build" / "html").symlink_to(built)
    subprocess.run([sys.executable, "-m", "ssltheory", "pdf"], cwd=repository, check=True)
    return repository / "_build" / "one-eigenmode-at-a-time.pdf"


@pytest.fixture(scope="module")
def book(printed):
    return pypdf.PdfReader(printed)


@pytest.fixture
def there(printed):
    """The titles of its chapters, by their numbers."""
    pages = {page for part in pdf.contents(printed.parents[1]).values() for page in part}
    every = enumerate(registry.all_chapters(), start=1)
    return {number: c.title for number, c in every if f"book/chapters/{c.id}" in pages}


def test_every_chapter_is_there_with_a_bookmark_where_it_starts(book, printed, there):
    every = len(registry.all_chapters())
    assert len(there) == (every if printed.parents[1] == ROOT else 2)
    assert len(book.pages) > 3 * len(there)
    assert 1e6 * len(there) / every < printed.stat().st_size < 60e6
    assert book.metadata.title == "One Eigenmode at a Time"
    marked = {mark.title: book.get_destination_page_number(mark) for mark in _flat(book.outline)}
    for number, title in there.items():
        start = marked[f"{number}. {title}"]
        assert f"{number}. {title}" in _text(book, start)
    assert "Scoreboard Every claim of every record" in _text(book, marked["Scoreboard"])
    assert "1.1. Why there are steps" in marked


def test_it_begins_with_its_contents(book, there):
    marked = {mark.title: book.get_destination_page_number(mark) for mark in _flat(book.outline)}
    ahead = min(marked.values())
    assert ahead in (1, 2)
    lines = " ".join(_text(book, sheet) for sheet in range(ahead))
    for number, title in there.items():
        title = f"{number}. {title}"
        assert f"{title} {marked[title] + 1}" in lines
    assert f"Scoreboard {marked['Scoreboard'] + 1}" in lines
    links = [link.get_object() for link in book.pages[0]["/Annots"]]
    leads = {
        book.get_page_number(link["/Dest"][0].get_object()) for link in links if "/Dest" in link
    }
    assert marked["Scoreboard"] in leads


def test_formulas_captions_and_page_numbers_are_printed(book):
    marked = {mark.title: book.get_destination_page_number(mark) for mark in _flat(book.outline)}
    start = marked["1.1. Why there are steps"]
    assert "images and two random crops of each" in _text(book, start)
    drawn = [font.get("/FontDescriptor", {}).get("/FontName", "") for font in _fonts(book, start)]
    assert any("MathJax_Math-Italic" in name for name in drawn)
    assert "Fig. 1.1 Loss (top) and eigenvalues" in _text(book, start - 1) + _text(book, start)
    for sheet in (0, start, len(book.pages) - 1):
        assert _text(book, sheet).split()[0] == str(sheet + 1)


def test_links_lead_into_the_pdf_and_nothing_of_the_screen_is_printed(book):
    inside = 0
    for page in book.pages:
        for link in (annotation.get_object() for annotation in page.get("/Annots", [])):
            uri = str(link.get("/A", {}).get("/URI", ""))
            assert "127.0.0.1" not in uri
            inside += "/Dest" in link
    assert inside > 100
    assert "Back to top" not in "".join(
        _text(book, sheet) for sheet in range(min(20, len(book.pages)))
    )


def test_without_a_built_book_or_chromium_it_says_what_is_missing(repo_copy):
    pytest.importorskip("playwright")
    shutil.copy(ROOT / "_config.yml", repo_copy)
    bare = os.environ | {"PATH": str(repo_copy), "PLAYWRIGHT_BROWSERS_PATH": str(repo_copy)}

    def refused() -> str:
        command = [sys.executable, "-m", "ssltheory", "pdf"]
        done = subprocess.run(command, cwd=repo_copy, env=bare, capture_output=True, text=True)
        assert done.returncode == 2
        return done.stderr

    assert "book/index.html is not built: `ssltheory book` builds it" in refused()
    for page in PAGES:
        path = repo_copy / "_build" / "html" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert "a PDF needs Chromium: apt-get install chromium" in refused()


def _flat(outline):
    for entry in outline:
        yield from _flat(entry) if isinstance(entry, list) else [entry]


def _fonts(book, sheet: int) -> list:
    return [font.get_object() for font in book.pages[sheet]["/Resources"]["/Font"].values()]


def _text(book, sheet: int) -> str:
    return " ".join(book.pages[sheet].extract_text().split())

"""The ways into the pages: launch buttons and what they install, cards, the page for what is not there."""

import json
import re
import subprocess
import sys
from unittest import mock
from urllib.parse import urlsplit

import pytest
from conftest import ROOT, small_toc, visit
from IPython.core.inputtransformer2 import TransformerManager

from ssltheory.book import pdf, registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BUILD = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
ALL = [c.id for c in registry.all_chapters()]


@pytest.fixture(scope="module")
def published(built, tmp_path_factory):
    """The pages, built as a workflow builds them that knows where the repository is: of the tiny book two."""
    out, repository = tmp_path_factory.mktemp("published"), built.parents[1]
    options = ["--path-output", str(out)]
    if repository != ROOT:
        options += ["--toc", str(small_toc(out / "toc.yml", f"book/chapters/{ALL[0]}"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSLTHEORY_REPOSITORY", "https://github.com/owner/name")
        patch.setenv("GITHUB_SHA", COMMIT)
        patch.setenv("SSLTHEORY_URL", "https://example.org/name/")
        subprocess.run([*BUILD, str(repository), *options], cwd=repository, check=True)
    return out / "_build" / "html"


def test_buttons_lead_to_the_source_notebook_at_the_commit_of_the_page(published):
    text = (published / "book/chapters/01-linear-staircase.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(https://[^"]*owner/name[^"]*)"', text)
    name = "notebooks/01-linear-staircase.ipynb"
    github = "https://github.com/owner/name"
    assert f"https://mybinder.org/v2/gh/owner/name/{COMMIT}?urlpath=lab/tree/{name}" in links
    assert f"https://colab.research.google.com/github/owner/name/blob/colab/{name}" in links
    assert f"{github}/blob/{COMMIT}/{name}?plain=1" in links
    assert not any("book/chapters" in link for link in links)


def test_notebooks_for_colab_install_the_package_at_the_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLTHEORY_REPOSITORY", "https://github.com/owner/name")
    monkeypatch.setenv("GITHUB_SHA", COMMIT)
    writer = [sys.executable, "-S", str(ROOT / "book" / "_ext" / "colab.py")]
    subprocess.run([*writer, str(tmp_path / "made")], check=True)
    sources = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert sources
    for source in sources:
        plain = json.loads(source.read_text(encoding="utf-8"))
        made = json.loads((tmp_path / "made/notebooks" / source.name).read_text(encoding="utf-8"))
        cells = [cell for cell in made["cells"] if cell["metadata"].get("tags") != ["door"]]
        (door,) = (cell for cell in made["cells"] if cell not in cells)
        assert made | {"cells": cells} == plain, "the notebook's own cells stay as they are"
        assert next(cell for cell in made["cells"] if cell["cell_type"] == "code") is door
        assert f"git+https://github.com/owner/name@{COMMIT}" in "".join(door["source"])
        assert _installs(door, on_colab=True)
        assert not _installs(door, on_colab=False)


def test_a_chapters_card_shows_the_figure_of_its_record(published, built):
    """With alternative text, and no address at all where it is not known where the pages will be."""
    there = sorted(page.stem for page in (published / "book" / "chapters").glob("*.html"))
    assert there == (ALL if built.parents[1] == ROOT else ALL[:1])
    for chapter in there:
        page = f"book/chapters/{chapter}.html"
        card = _card(published / page)
        root = "https://example.org/name/"
        assert card["og:title"]
        assert len(card["og:description"]) > 50
        assert card["og:url"] == root + page
        assert card["og:image"] == f"{root}_images/{chapter}.png"
        assert (published / card["og:image"].removeprefix(root)).is_file()
        assert len(card["og:image:alt"]) > 50
        assert _card(built / page).keys() == card.keys() - {"og:url", "og:image", "og:image:alt"}


@pytest.mark.parametrize("address", ["nowhere.html", "book/chapters/99-nowhere.html", "a/b/c/d/"])
def test_missing_page_is_whole_at_any_depth_below_a_project_path(published, browser, address):
    faults = []
    with pdf.served(published) as root, browser.new_context() as context:

        def host(route):
            """As GitHub Pages: the site lies below /name/, and what is not there is /name/404.html."""
            path = urlsplit(route.request.url).path.removeprefix("/name/")
            if path == address:
                route.fulfill(path=published / "404.html", status=404)
            elif (published / path).is_file():
                route.fulfill(path=published / path)
            else:
                faults.append(route.request.url)
                route.abort()

        page = context.new_page()
        page.route("**/*", host)
        visit(page, f"{root}name/{address}")
        assert page.locator("article h1").inner_text() == "No such page"
        assert page.locator("main a[href$='search.html']").count() == 1
        page.get_by_role("link", name="the beginning").click()
        page.wait_for_url(f"{root}name/book/index.html")
    assert faults == []


def _card(path) -> dict[str, str]:
    text = path.read_text(encoding="utf-8")
    return dict(re.findall(r'<meta property="(og:[^"]*)" content="([^"]*)"', text))


def _installs(door: dict, on_colab: bool) -> bool:
    """Whether the cell calls for pip, where IPython runs it."""
    code = TransformerManager().transform_cell("".join(door["source"]))
    shell = mock.Mock()
    there = {"google.colab": mock.Mock()} if on_colab else {}
    with mock.patch.dict(sys.modules, there):
        exec(code, {"get_ipython": lambda: shell})
    return shell.run_line_magic.called

"""The ways into the pages and out of them: launch buttons, what they install."""

import json
import re
import subprocess
import sys
from unittest import mock

import pytest
from conftest import ROOT
from IPython.core.inputtransformer2 import TransformerManager

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BUILD = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(ROOT)]


@pytest.fixture(scope="module")
def published(site, tmp_path_factory):
    """The pages, built as a workflow builds them that knows where the repository is."""
    out = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSLTHEORY_REPOSITORY", "https://github.com/owner/name")
        patch.setenv("GITHUB_SHA", COMMIT)
        subprocess.run([*BUILD, "--path-output", str(out)], cwd=ROOT, check=True)
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
    writer = [sys.executable, str(ROOT / "book" / "_ext" / "colab.py")]
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


def _installs(door: dict, on_colab: bool) -> bool:
    """Whether the cell calls for pip, where IPython runs it."""
    code = TransformerManager().transform_cell("".join(door["source"]))
    shell = mock.Mock()
    there = {"google.colab": mock.Mock()} if on_colab else {}
    with mock.patch.dict(sys.modules, there):
        exec(code, {"get_ipython": lambda: shell})
    return shell.run_line_magic.called

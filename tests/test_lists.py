"""What is written from the registry and the tables: cells, lists of chapters, the reference."""

import json
import shutil
from dataclasses import replace

import pytest
from conftest import CHAPTER, ROOT, notebook_of

from ssltheory.book import lists, registry, repository

README = (ROOT / "README.md").read_text("utf-8")
CONTENTS = (ROOT / "_toc.yml").read_text("utf-8")
BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text("utf-8")
CHAPTERS = registry.all_chapters()
NEW = replace(CHAPTERS[0], id="19-zebra", title="Stripes", claim="Stripes come in pairs.")


@pytest.fixture
def lists_copy(repo_copy, monkeypatch):
    """A copy of the repository with all files that lists stand in."""
    monkeypatch.setattr(repository, "root", lambda: repo_copy)
    (repo_copy / "book").mkdir()
    for name in ("README.md", "book/references.bib", "book/reference.md"):
        shutil.copy(ROOT / name, repo_copy / name)
    return repo_copy


def test_format_writes_the_cell_and_lint_says_which_differs(lists_copy, capsys):
    path = notebook_of(lists_copy)
    right = path.read_text(encoding="utf-8")
    assert lists.main(["--check"]) == 0
    content = json.loads(right)
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"][1] = "n_images: int = 12  # another\n"
    wrong = json.dumps(content)
    path.write_text(wrong, encoding="utf-8")
    assert lists.main(["--check"]) == 1
    assert path.read_text(encoding="utf-8") == wrong
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert CHAPTER in said
    assert "run make format" in said
    assert lists.main([]) == 0
    assert path.read_text(encoding="utf-8") == right


@pytest.mark.parametrize("name", ["README.md", "_toc.yml", "book/reference.md"])
def test_a_list_kept_by_hand_is_noticed(lists_copy, capsys, name):
    path = lists_copy / name
    right = path.read_text("utf-8")
    marks = {
        "README.md": "| [02 ",
        "_toc.yml": "chapters/02",
        "book/reference.md": ".losses",
    }
    lines = right.splitlines(keepends=True)
    path.write_text("".join(line for line in lines if marks[name] not in line), "utf-8")
    assert path.read_text("utf-8") != right
    assert lists.main(["--check"]) == 1
    assert name in capsys.readouterr().out
    assert lists.main([]) == 0
    assert path.read_text("utf-8") == right


def test_a_new_chapter_stands_in_the_readme_and_the_contents():
    text = lists.readme(README, [*CHAPTERS, NEW], BIBLIOGRAPHY)
    row = (
        "| [19 Stripes](notebooks/19-zebra.ipynb) | Stripes come in pairs. | Simon et al. 2023 |\n"
    )
    assert text.replace(row, "") == README
    text = lists.contents(CONTENTS, [*CHAPTERS, NEW])
    assert text.replace("      - file: book/chapters/19-zebra\n", "") == CONTENTS != text


def test_a_text_without_the_list_is_an_error():
    with pytest.raises(ValueError, match="0 blocks instead of one"):
        lists.contents("parts: []", CHAPTERS)


@pytest.mark.parametrize(
    ("key", "cited"),
    [
        ("simon2023stepwise", "Simon et al. 2023"),
        ("balestriero2022spectral", "Balestriero & LeCun 2022"),
    ],
)
def test_a_paper_is_cited_by_its_authors_and_year(key, cited):
    assert lists.citation(key, BIBLIOGRAPHY) == cited


def test_a_paper_that_is_not_in_the_bibliography_is_named():
    with pytest.raises(KeyError, match="nobody2023"):
        lists.citation("nobody2023", BIBLIOGRAPHY)


def test_the_reference_has_what_a_reader_may_call_and_no_more():
    names = lists.public_modules()
    assert len(names) == len(set(names))
    called = {"losses", "data", "train.loop", "theory.plateaus", "measure.spectra", "book.records"}
    assert called <= set(names)
    assert "chapters.projunn.experiment" in names
    inner = (
        "book.cli",
        "progress",
        "chapters.projunn",
        "chapters.projunn.claims",
        "book",
        "theory",
    )
    assert not set(inner) & set(names)

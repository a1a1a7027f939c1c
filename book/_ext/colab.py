"""Writes the notebooks as Colab opens them: the same cells, behind one that installs the package at this commit.

Colab opens a notebook alone, without the repository around it. The published pages lead to a branch that holds
what this writes (``python book/_ext/colab.py FOLDER``); the notebooks themselves, whose cells the records are
held against, stay as they are.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

BASE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(BASE / "src"))  # the package need not be installed here

from ssltheory.book.repository import repository_url  # noqa: E402

DOOR = """\
# On Colab: install the book's package, at the commit of the page that led here.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "ssltheory @ git+{repository}@{commit}"
"""


def with_door(notebook: dict, repository: str, commit: str) -> dict:
    """The notebook with the installing cell first among its code."""
    source = DOOR.format(repository=repository, commit=commit).rstrip("\n")
    cell = {"cell_type": "code", "id": "door", "metadata": {"tags": ["door"]}}
    cell |= {"execution_count": None, "outputs": [], "source": source.splitlines(keepends=True)}
    cells = notebook["cells"]
    first = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")
    return notebook | {"cells": [*cells[:first], cell, *cells[first:]]}


def main(folder: Path) -> None:
    """Write every notebook below ``folder/notebooks``."""
    repository = repository_url()
    if not repository:
        sys.exit("no repository to install from: set SSLTHEORY_REPOSITORY=https://host/owner/name")
    asked = ["git", "-C", str(BASE), "rev-parse", "HEAD"]
    commit = os.environ.get("GITHUB_SHA") or subprocess.check_output(asked, text=True).strip()
    target = folder / "notebooks"
    target.mkdir(parents=True)
    for path in sorted((BASE / "notebooks").glob("*.ipynb")):
        notebook = with_door(json.loads(path.read_text(encoding="utf-8")), repository, commit)
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        (target / path.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What is written from the registry and the tables, so that nobody keeps a list by hand::

    python -m ssltheory.book.lists [--check]

writes the parameters cell of every notebook, the chapters in ``README.md`` and ``_toc.yml`` and the reference's
modules, or says which of these files are not as they should be.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ssltheory.book import cells, repository
from ssltheory.book.registry import Chapter, all_chapters

PACKAGE = Path(__file__).resolve().parents[1]
#: Sections of the reference: heading, what it says, and the modules below ``ssltheory`` by the start of their names.
SECTIONS = (
    (
        "Theory",
        "Closed forms that factorise once and return a function of time or of data.",
        "theory.",
    ),
    ("Measuring", "What is read off a network.", "measure."),
    (
        "Training",
        "From images to a trained encoder, and the two tools that stand on their own.",
        "",
    ),
    ("Chapters", "What a chapter measures with, where no other chapter does.", "chapters."),
    ("The book", "Records, claims and the machinery that makes the pages of them.", "book."),
)
#: Modules that no reader calls.
INNER = {
    "book.appendices",
    "book.cells",
    "book.cli",
    "book.explorers",
    "book.fingerprint",
    "book.landing",
    "book.lists",
}
INNER |= {
    "book.meaning",
    "book.pages",
    "book.pdf",
    "book.provenance",
    "book.repository",
    "progress",
}


def readme(text: str, chapters: list[Chapter], bibliography: str) -> str:
    """``README.md`` with its table of the chapters: what each claims, and whose claim it is."""
    rows = [
        f"| [{c.id[:2]} {c.title}](notebooks/{c.id}.ipynb) | {c.claim} | {citation(c.paper, bibliography)} |\n"
        for c in chapters
    ]
    return _block(r"(?:\| \[\d\d [^\n]*\]\(notebooks/[^\n]*\n)+", "".join(rows), text)


def contents(text: str, chapters: list[Chapter]) -> str:
    """``_toc.yml`` with its chapters."""
    lines = "".join(f"      - file: book/chapters/{c.id}\n" for c in chapters)
    return _block(r"(?: *- file: book/chapters/[^\n]*\n)+", lines, text)


def reference(text: str) -> str:
    """``book/reference.md`` with its modules, from the first heading of a section on."""
    introduction = text.partition("\n## ")[0]
    return introduction + "".join(f"\n{part}" for part in _sections())


def citation(key: str, bibliography: str) -> str:
    """A paper as a reader names it, e.g. ``Simon et al. 2023``, from the bibliography in BibTeX.

    Raises:
        KeyError: if the paper is not in it.
    """
    entry = re.search(rf"@\w+{{{re.escape(key)},(.*?)\n}}", bibliography, re.DOTALL)
    if entry is None:
        raise KeyError(f"{key} is not in the bibliography")
    fields = dict(re.findall(r"(author|year)\s*=\s*{(.*)}", entry[1]))
    names = [author.partition(",")[0] for author in fields["author"].split(" and ")]
    several = f"{names[0]} et al." if len(names) > 2 else " & ".join(names)
    return f"{several} {fields['year']}"


def public_modules() -> list[str]:
    """Names below ``ssltheory`` of the modules with public definitions of their own that a reader may call."""
    files = {path: _name(path) for path in sorted(PACKAGE.rglob("*.py"))}
    rooms = re.compile(r"chapters(\.\w+(\.(?!experiment$)\w+)?)?")  # all but their experiments
    return sorted(
        name
        for path, name in files.items()
        if name not in INNER | {"", "__main__"} and not rooms.fullmatch(name) and _defines(path)
    )


def main(arguments: list[str]) -> int:
    """Write the files, or with --check only say which ones differ: then the exit code is 1."""
    base = repository.root() or Path.cwd()
    changed = {path: text for path, text in _renewed(base) if path.read_text("utf-8") != text}
    check = "--check" in arguments
    for path, text in changed.items():
        if check:
            print(f"{path}: differs from what the chapters' tables say: run make format")
        else:
            path.write_text(text, encoding="utf-8", newline="\n")
    return int(check and bool(changed))


def _renewed(base: Path) -> Iterator[tuple[Path, str]]:
    chapters = all_chapters()
    for chapter in chapters:
        path = base / "notebooks" / f"{chapter.id}.ipynb"
        yield path, cells.renewed(path.read_text("utf-8"), chapter.parameters)
    bibliography = (base / "book" / "references.bib").read_text("utf-8")
    path = base / "README.md"
    yield path, readme(path.read_text("utf-8"), chapters, bibliography)
    path = base / "_toc.yml"
    yield path, contents(path.read_text("utf-8"), chapters)
    path = base / "book" / "reference.md"
    yield path, reference(path.read_text("utf-8"))


def _sections() -> Iterator[str]:
    prefixes = tuple(prefix for _, _, prefix in SECTIONS if prefix)
    for heading, says, prefix in SECTIONS:
        names = [
            name
            for name in public_modules()
            if (name.startswith(prefix) if prefix else not name.startswith(prefixes))
        ]
        modules = [
            f"### `{name}`\n\n```{{eval-rst}}\n.. automodule:: ssltheory.{name}\n   :members:\n```\n"
            for name in names
        ]
        yield "\n".join([f"## {heading}\n\n{says}\n", *modules])


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _defines(path: Path) -> bool:
    kinds = ast.FunctionDef | ast.ClassDef
    body = ast.parse(path.read_text("utf-8")).body
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in body)


def _block(pattern: str, lines: str, text: str) -> str:
    """The text with the one block that matches replaced.

    Raises:
        ValueError: if there is none, or more than one.
    """
    new, times = re.subn(pattern, lambda _: lines, text)
    if times != 1:
        raise ValueError(f"{times} blocks instead of one match {pattern}")
    return new


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the book's first page begins with: the film of a kept record, where it is there."""

from pathlib import Path

from ssltheory.book import records

#: Of whose embeddings; below ``book/records``.
FILM = "03-embedding-dimensions/resnet18-stl10"


def write(base: Path, generated: Path) -> None:
    """Write what the first page includes before its figure.

    Args:
        base: the repository's root.
        generated: ``book/generated``.
    """
    folder = base / "book" / "records" / FILM
    text = film(records.load(folder)) if folder.is_dir() else "<!-- no film is kept -->"
    (generated / "film.md").write_text(text + "\n", encoding="utf-8")


def film(record: records.Record) -> str:
    """The film and what it shows, as Markdown of a page in ``book/``."""
    chapter = f"chapters/{record.chapter.id}"
    played = record.chapter.part("figures").Film(
        record.arrays, still=f"{chapter}.html#fig-embedding-dimensions"
    )
    images = record.provenance["parameters"]["n_images"]
    about = (
        f"A ResNet-18 learns without labels: the embeddings of {images} natural images on three axes that stay where "
        "they are, while Barlow Twins trains the network from a small start, and beside them the loss and the "
        "eigenvalues that it sees. The first step down is the constant, on which all images agree; with each step "
        "after it they take up one more dimension: a point, a line, a surface, a solid. "
        f"[Chapter {record.chapter.id[:2].lstrip('0')}]({chapter}.ipynb) tells how."
    )
    return f"````{{raw}} html\n{played._repr_html_()}\n````\n\n{about}"

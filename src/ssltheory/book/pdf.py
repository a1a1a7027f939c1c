"""The whole book as one PDF: every built page, printed by a headless Chromium, joined and bookmarked."""

import functools
import html
import http.server
import io
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from ssltheory.errors import InputError

#: Chromium without a display, without a sandbox, which containers lack, and without requests of its own.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def write(base: Path) -> Path:
    """Print the built pages in the order of the table of contents and join them.

    It begins with its table of contents. The bookmarks are the parts, their pages and the pages' sections; links
    between pages lead inside the PDF.

    Args:
        base: the repository's root, whose book is built.

    Returns:
        ``_build/one-eigenmode-at-a-time.pdf``.

    Raises:
        InputError: if the book is not built, or Chromium or a library is not there.
    """
    site, parts = base / "_build" / "html", contents(base)
    for page in (page for pages in parts.values() for page in pages):
        if not (site / f"{page}.html").is_file():
            raise InputError(f"{page}.html is not built: `ssltheory book` builds it, then this")
    try:
        from playwright.sync_api import Error, sync_playwright
        from pypdf import PdfWriter
    except ModuleNotFoundError as error:
        raise InputError(f"a PDF needs {error.name}: pip install '.[dev]' in a clone") from error
    config = yaml.safe_load((base / "_config.yml").read_text(encoding="utf-8"))
    titles = {page: _title(site / f"{page}.html") for pages in parts.values() for page in pages}
    book, starts = PdfWriter(), dict.fromkeys(titles, 0)
    with served(site) as address, sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        except Error as error:
            raise InputError(
                "a PDF needs Chromium: apt-get install chromium, or `playwright install chromium`"
            ) from error

        def table():
            body = _table(config["title"], parts, titles, starts)
            return _printed(browser, address, parts[""][0], body=body)[1]

        ahead = len(table().pages)
        for caption, pages in parts.items():
            part = None
            for page in pages:
                here = len(book.pages)
                starts[page] = ahead + here
                headings, pdf = _printed(browser, address, page, starts[page])
                _append(book, pdf)
                if caption and page == pages[0]:
                    part = book.add_outline_item(title=caption, page_number=here)
                item = book.add_outline_item(title=titles[page], page_number=here, parent=part)
                for heading, at in zip(headings, _sections(pdf), strict=True):
                    book.add_outline_item(title=heading, page_number=here + at, parent=item)
        book.merge(0, table(), import_outline=False)
        browser.close()
    _lead_inside(book, starts, address)
    book.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    book.compress_identical_objects()
    path = base / "_build" / "one-eigenmode-at-a-time.pdf"
    book.write(path)
    return path


def contents(base: Path) -> dict[str, list[str]]:
    """The table of contents: the caption of each part, empty for the first page, -> its pages without suffix."""
    toc = yaml.safe_load((base / "_toc.yml").read_text(encoding="utf-8"))
    parts = {part["caption"]: [page["file"] for page in part["chapters"]] for part in toc["parts"]}
    return {"": [toc["root"]], **parts}


def chromium() -> str | None:
    """Where Chromium or Chrome lies; None if there is none on the PATH, and playwright looks for its own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder on loopback, under the address that is given."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _title(path: Path) -> str:
    """Of a built page, without the book's."""
    match = re.search(r"<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.S)
    title = html.unescape(match[1]).strip() if match else path.stem
    return title.rpartition(" — ")[0] or title


def _table(
    title: str, parts: dict[str, list[str]], titles: dict[str, str], starts: dict[str, int]
) -> str:
    """The table of contents in HTML: a line a page, with the number of the sheet on which it begins."""
    lines = [f"<h1>{html.escape(title)}</h1>"]
    for caption, pages in parts.items():
        if caption:
            lines.append(f'<p class="contents-part">{html.escape(caption)}</p>')
        lines += [
            f'<p class="contents-line"><a href="/{page}.html">{html.escape(titles[page])}</a>'
            f"<span>{starts[page] + 1}</span></p>"
            for page in pages
        ]
    return "\n".join(lines)


def _printed(browser, address: str, name: str, before: int = 0, body: str = ""):
    """Headings of the sections and PDF of one page, or of another body in its place; its page numbers follow on
    those before."""
    from pypdf import PdfReader

    with browser.new_page(color_scheme="light") as page:
        page.goto(f"{address}{name}.html", wait_until="networkidle")
        if body:
            page.locator("article").evaluate(
                "(article, body) => { article.innerHTML = body }", body
            )
        page.add_style_tag(content=f"html {{ counter-reset: page {before} }}")
        headings = [
            text.rstrip("#").split() for text in page.locator("article h2").all_inner_texts()
        ]
        options = {"print_background": True, "tagged": True, "outline": True}
        printed = page.pdf(prefer_css_page_size=True, **options)
    return [" ".join(words) for words in headings], PdfReader(io.BytesIO(printed))


def _append(book, pdf) -> None:
    """A printed page behind those that are there. Names of places, which pages share, become the places themselves."""
    from pypdf.generic import NameObject

    places = pdf.named_destinations
    for page in pdf.pages:
        for link in (annotation.get_object() for annotation in page.get("/Annots", [])):
            if (name := str(link.get("/Dest"))) in places:
                link[NameObject("/Dest")] = places[name].dest_array
    pdf.root_object.pop("/Dests", None)
    book.append(pdf, import_outline=False)


def _sections(pdf) -> list[int]:
    """The sheet on which each section of a printed page begins, a level below its title."""
    entries = pdf.outline[1] if len(pdf.outline) > 1 else []
    return [pdf.get_destination_page_number(e) for e in entries if not isinstance(e, list)]


def _lead_inside(book, starts: dict[str, int], address: str) -> None:
    """Turn links to a page that was printed into jumps to where it starts."""
    from pypdf.generic import ArrayObject, NameObject

    sheets = {f"{address}{page}.html": start for page, start in starts.items()}
    for page in book.pages:
        for link in (annotation.get_object() for annotation in page.get("/Annots", [])):
            uri = str(link.get("/A", {}).get("/URI", ""))
            if uri.startswith(address):
                target = book.pages[sheets.get(uri.partition("#")[0], 0)].indirect_reference
                del link["/A"]
                link[NameObject("/Dest")] = ArrayObject([target, NameObject("/Fit")])

"""The whole book as one PDF: every built page, printed by a headless Chromium, joined and bookmarked."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml


def contents(base: Path) -> dict[str, list[str]]:
    """The table of contents: the caption of each part, empty for the first page, -> its pages without suffix."""
    toc = yaml.safe_load((base / "_toc.yml").read_text(encoding="utf-8"))
    parts = {part["caption"]: [page["file"] for page in part["chapters"]] for part in toc["parts"]}
    return {"": [toc["root"]], **parts}


def chromium() -> str | None:
    """Where Chromium or Chrome lies, None if there is none on the PATH."""
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

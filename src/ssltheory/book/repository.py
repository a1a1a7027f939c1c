"""Where the repository lies. Needs nothing but Python: a workflow asks without installing the package."""

import os
import re
import subprocess
from pathlib import Path


def root() -> Path | None:
    """The repository's root: above the working folder, else above this package; None if neither lies in one."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
                return folder
    return None


def repository_url() -> str:
    """``https://host/owner/name`` of the repository, or an empty string: from ``SSLTHEORY_REPOSITORY``, a workflow's
    own variables, or git."""
    url = os.environ.get("SSLTHEORY_REPOSITORY", "")
    if not url and os.environ.get("GITHUB_REPOSITORY"):
        url = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    if not url:
        asked = subprocess.run(
            ["git", "remote", "get-url", "origin"], capture_output=True, text=True, check=False
        )
        url = re.sub(r"^git@([^:]+):", r"https://\1/", asked.stdout.strip()).removesuffix(".git")
    return url if url.startswith("https://") else ""

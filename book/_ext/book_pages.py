"""Sphinx extension of the book: no script from elsewhere, explorers, and links that lead to the source notebooks.

The pages of the chapters are made from ``notebooks/``, so every link to a source or a launcher is turned from the
generated copy to the notebook itself. Where the repository lies is asked of the environment
(``SSLTHEORY_REPOSITORY``, or a workflow's own variables) and of git; without an answer the links are left out.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from ssltheory import explorers

ICON_SCRIPT = r"<script[^>]*/fontawesome\.js[^>]*></script>"


def repository_url() -> str:
    """``https://host/owner/name`` of the repository, or an empty string."""
    url = os.environ.get("SSLTHEORY_REPOSITORY", "")
    if not url and os.environ.get("GITHUB_REPOSITORY"):
        url = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    if not url:
        asked = subprocess.run(
            ["git", "remote", "get-url", "origin"], capture_output=True, text=True, check=False
        )
        url = re.sub(r"^git@([^:]+):", r"https://\1/", asked.stdout.strip()).removesuffix(".git")
    return url if url.startswith("https://") else ""


def set_repository(app, config):
    """Turn the theme's source and launch buttons on where there is a repository to lead to."""
    url = repository_url()
    if url:
        config.html_theme_options |= {
            "repository_url": url,
            "repository_provider": next(
                (host for host in ("gitlab", "bitbucket") if host in url), "github"
            ),
            "repository_branch": os.environ.get("GITHUB_REF_NAME", "main"),
            "path_to_docs": "",
            "use_repository_button": True,
            "use_source_button": True,
            "use_issues_button": True,
            "launch_buttons": {
                "notebook_interface": "jupyterlab",
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
            },
        }


def drop_thebe(app, pagename, templatename, context, doctree):
    """sphinx-thebe loads a script from elsewhere and declares a variable twice; the book does not use it."""
    files = context.get("script_files", [])
    context["script_files"] = [
        file for file in files if "thebe" not in str(getattr(file, "filename", file) or file)
    ]
    body = context.get("body")
    if body:
        context["body"] = re.sub(r"<script[^>]*thebe[^>]*>.*?</script>", "", body, flags=re.DOTALL)


def drop_false_roles(app, pagename, templatename, context, doctree):
    """docutils calls the bibliography a list, whose members would be entries, not the links to them."""
    if context.get("body"):
        context["body"] = re.sub(r' role="(list|doc-biblioentry)"', "", context["body"])


def drop_icon_script(app, exception):
    """The theme's script of every icon there is weighs as much as all else; its fonts draw those that are used."""
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(ICON_SCRIPT, "", text), encoding="utf-8")
    for file in Path(app.outdir, "_static", "scripts").glob("fontawesome.js*"):
        file.unlink()


def lead_to_notebooks(app, pagename, templatename, context, doctree):
    """Buttons of a chapter lead to ``notebooks/``, not to the generated copy."""
    for button in context.get("header_buttons", []):
        for entry in button.get("buttons", [button]):
            if entry.get("url", "").startswith("https://"):
                entry["url"] = entry["url"].replace("book/chapters/", "notebooks/")


def copy_explorers(app):
    """BokehJS comes from the installed package, at every build anew."""
    folder = Path(app.outdir) / "_static" / "explorers"
    folder.mkdir(parents=True, exist_ok=True)
    own = [script for chapter in explorers.EXPLORERS for script in explorers.scripts(chapter)]
    for script in {*explorers.library(), *own}:
        shutil.copyfile(script, folder / script.name)


def load_explorer(app, pagename, templatename, context, doctree):
    """A chapter with an explorer loads its scripts, after it is parsed; no other page does."""
    for script in explorers.scripts(Path(pagename).name):
        app.add_js_file(f"explorers/{script.name}", loading_method="defer")


def setup(app):
    """Connect late, after the theme has filled the page's context."""
    app.connect("config-inited", set_repository, priority=100)
    app.connect("builder-inited", copy_explorers)
    app.connect("html-page-context", load_explorer)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", drop_false_roles, priority=900)
    app.connect("html-page-context", lead_to_notebooks, priority=900)
    app.connect("build-finished", drop_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Sphinx extension of the book: no script from elsewhere, explorers, links that lead to the source notebooks, a page
for addresses that lead nowhere, and cards for those who share a page.

The pages of the chapters are made from ``notebooks/``, so every link to a source or a launcher is turned from the
generated copy to the notebook itself; where nothing says where the repository lies, the links are left out.
"""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

from ssltheory.book import explorers
from ssltheory.book.repository import repository_url

ICON_SCRIPT = r"<script[^>]*/fontawesome\.js[^>]*></script>"


def site_url() -> str:
    """Where the pages will be, with a slash at the end: ``SSLTHEORY_URL``, GitHub's place for a repository's pages
    where its workflow says which repository that is, or an empty string."""
    url = os.environ.get("SSLTHEORY_URL", "")
    if not url and os.environ.get("GITHUB_REPOSITORY"):
        owner, name = os.environ["GITHUB_REPOSITORY"].lower().split("/")
        url = f"https://{owner}.github.io/" + ("" if name == f"{owner}.github.io" else name)
    return f"{url.rstrip('/')}/" if url else ""


def set_site(app, config):
    """Tell social cards where the pages will be."""
    config.ogp_site_url = site_url()


def set_repository(app, config):
    """Turn the theme's source and launch buttons on where there is a repository to lead to."""
    url = repository_url()
    if url:
        config.html_theme_options |= {
            "repository_url": url,
            "repository_provider": next(
                (host for host in ("gitlab", "bitbucket") if host in url), "github"
            ),
            "repository_branch": os.environ.get("GITHUB_SHA", "main"),  # the page's own version
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


def drop_relative_cards(app, pagename, templatename, context, doctree):
    """A card's address and picture must be absolute: without knowing where the pages will be, they are left out."""
    if not app.config.ogp_site_url:
        tags = r'<meta property="og:(url|image|image:alt)"[^>]*>\n?'
        context["metatags"] = re.sub(tags, "", context.get("metatags", ""))


def collect_missing_page(app):
    """The page that GitHub Pages shows, at whatever address, for one that is not there."""
    links = [("book/index", "the beginning"), ("search", "the search")]
    words = " or ".join(
        f'<a href="{app.builder.get_relative_uri("404", page)}">{name}</a>' for page, name in links
    )
    body = f"<h1>No such page</h1><p>It may have moved. From here you can go to {words}.</p>"
    yield "404", {"title": "No such page", "body": body}, "page.html"


def root_missing_page(app, exception):
    """Its links count from the site's root: the address that it is shown at may lie at any depth."""
    page = Path(app.outdir, "404.html")
    root = urlsplit(site_url()).path or "/"
    links = r'((?:href|src|action|data-content_root)=")(?!#|/|[a-z]+:)(?:\./)?'
    text = re.sub(links, rf"\g<1>{root}", page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


def drop_icon_script(app, exception):
    """The theme's script of every icon there is weighs as much as all else; its fonts draw those that are used."""
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(ICON_SCRIPT, "", text), encoding="utf-8")
    for file in Path(app.outdir, "_static", "scripts").glob("fontawesome.js*"):
        file.unlink()


def lead_to_notebooks(app, pagename, templatename, context, doctree):
    """Buttons of a chapter lead to ``notebooks/``, not to the generated copy; Colab's to the branch made for it."""
    for button in context.get("header_buttons", []):
        for entry in button.get("buttons", [button]):
            if entry.get("url", "").startswith("https://"):
                url = entry["url"].replace("book/chapters/", "notebooks/")
                if "colab." in url:
                    url = re.sub(r"/blob/.*?/notebooks/", "/blob/colab/notebooks/", url)
                entry["url"] = url


def plain_bars(app, what, name, obj, options, lines):
    """A bar in a docstring is an absolute value, not reStructuredText's substitution."""
    lines[:] = [line.replace("|", "\\|") for line in lines]


def copy_explorers(app):
    """BokehJS comes from the installed package, at every build anew."""
    folder = Path(app.outdir) / "_static" / "explorers"
    folder.mkdir(parents=True, exist_ok=True)
    files = {script.name: script for script in explorers.library()}
    for chapter in explorers.all_explorers():
        files |= explorers.scripts(chapter)
    for name, script in files.items():
        shutil.copyfile(script, folder / name)


def load_explorer(app, pagename, templatename, context, doctree):
    """A chapter with an explorer loads its scripts, after it is parsed; no other page does."""
    for name in explorers.scripts(Path(pagename).name):
        app.add_js_file(f"explorers/{name}", loading_method="defer")


def short_signature(app, what, name, obj, options, signature, returned):
    """Names for what Sphinx spells out (NumPy's ArrayLike) or cannot read (the repr of a default)."""
    array_like = stringify_annotation(ArrayLike, "smart")

    def short(text):
        text = (text or "").replace(array_like, "~numpy.typing.ArrayLike")
        text = text.replace("<factory>", "...")
        return re.sub(r"<(?:class|function) '?(?:[\w.]*\.)?(\w+)[^>]*>", r"\1", text) or None

    return short(signature), short(returned)


def setup(app):
    """Connect late, after the theme has filled the page's context."""
    app.connect("config-inited", set_repository, priority=100)
    app.connect("autodoc-process-docstring", plain_bars)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("config-inited", set_site)
    app.connect("html-collect-pages", collect_missing_page)
    app.connect("builder-inited", copy_explorers)
    app.connect("html-page-context", load_explorer)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", drop_false_roles, priority=900)
    app.connect("html-page-context", lead_to_notebooks, priority=900)
    app.connect("html-page-context", drop_relative_cards, priority=900)
    app.connect("build-finished", root_missing_page)
    app.connect("build-finished", drop_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

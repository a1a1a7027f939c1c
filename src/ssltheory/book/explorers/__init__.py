"""Sliders over a closed form, in the page: no server, no kernel, no request that leaves the site.

A chapter asks for its explorer by ``MARK`` in its prose; its room holds the sliders, the picture (``explorer.py``) and
the drawing (``explorer.js``). The formula is a small script of its own (``stepwise.js``,
``directpred.js``, ``preconditioned.js``), of the names of the Python it restates. BokehJS draws, copied from the
installed package when the pages are built and fetched by a page when a reader comes near. Until then, in print and
without JavaScript a picture of the Python closed form at the sliders' starts stands in.
"""

import html
from dataclasses import dataclass
from importlib import metadata, resources, util
from pathlib import Path

from ssltheory.book import figures, registry
from ssltheory.book.figures import THEORY, Look
from ssltheory.errors import InputError

#: Replaced, in a chapter's prose, by its explorer.
MARK = "<!-- explorer -->"


@dataclass(frozen=True)
class Slider:
    """A native slider; with ``log`` it moves the base-10 logarithm of its value.

    Attributes:
        name: of the value, as in the chapter or in the formula.
        label: HTML before it.
        low, high, step, start: as of ``<input type="range">``.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    log: bool = False

    @property
    def value(self) -> float:
        """What the slider stands for at its start."""
        return 10.0**self.start if self.log else self.start


@dataclass(frozen=True)
class Explorer:
    """One chapter's sliders and what they move.

    Attributes:
        formulas: names of the scripts with its closed forms.
        sliders: in the order shown.
        alt: what is drawn, for who cannot see it.
        caption: HTML.
    """

    formulas: tuple[str, ...]
    sliders: tuple[Slider, ...]
    alt: str
    caption: str


#: What the explorers' pictures share.
SPECTRUM = "spectrum <i>a</i>, γ<sub>j</sub> = j<sup>−a</sup>"
DASHED: Look = {"color": THEORY, "ls": "--", "lw": 1.6}
DOTTED: Look = {"color": "#9a9a9a", "lw": 1.1, "ls": (0, (1, 2))}


def all_explorers() -> dict[str, Explorer]:
    """The explorers of the book, by the id of their chapter: ``EXPLORER`` in its module ``explorer``."""
    with_one = [chapter for chapter in registry.all_chapters() if chapter.has("explorer")]
    return {chapter.id: chapter.part("explorer").EXPLORER for chapter in with_one}


def block(chapter: str, folder: Path) -> str:
    """The chapter's explorer in Markdown with HTML, its picture written to ``folder / "figures"``.

    Raises:
        InputError: if the chapter has none, or BokehJS is not installed.
    """
    if chapter not in all_explorers():
        raise InputError(f"{chapter} has no explorer: take {MARK} out of its prose")
    explorer, name = all_explorers()[chapter], chapter.partition("-")[2]
    picture = Path("figures") / f"{chapter}-explorer.png"
    figures.style()
    at_start = {slider.name: slider.value for slider in explorer.sliders}
    drawn = registry.find(chapter).part("explorer").picture(**at_start)
    figures.write(drawn, folder / picture)
    files = " ".join(f"{file.name}?v={metadata.version('bokeh')}" for file in library())
    controls = "\n".join(_control(f"{name}-{s.name}", s) for s in explorer.sliders)
    return (
        '<div class="explorer">\n'
        f'<form id="explorer-{name}" data-library="{files}" autocomplete="off" '
        'aria-label="Sliders of the closed form">\n'
        f'<div class="explorer-plot" role="img" aria-label="{html.escape(explorer.alt)}"></div>\n'
        f'<output name="says" class="explorer-says"></output>\n'
        f'<div class="explorer-controls">\n{controls}\n<button type="reset">Reset</button>\n</div>\n</form>\n'
        f'<div class="explorer-still">\n\n![{explorer.alt}]({picture.as_posix()})\n\n'
        "<noscript>The sliders need JavaScript; this is what they show where they start.</noscript>\n\n</div>\n"
        f'<p class="explorer-caption"><b>Closed form, computed in this page.</b> {explorer.caption}</p>\n</div>'
    )


def library() -> list[Path]:
    """The scripts of BokehJS in the installed package.

    Raises:
        InputError: if there is none.
    """
    if util.find_spec("bokeh") is None:
        raise InputError('bokeh draws the explorers: pip install "ssltheory[book]"')
    folder = Path(str(resources.files("bokeh"))) / "server" / "static" / "js"
    return [folder / name for name in ("bokeh.min.js", "bokeh-api.min.js")]


def scripts(chapter: str) -> dict[str, Path]:
    """Our scripts on the chapter's page, by the name they are served under, in the order they run.

    Empty for a chapter without an explorer.
    """
    if chapter not in all_explorers():
        return {}
    names = (*all_explorers()[chapter].formulas, "explorer.js")
    own = Path(str(registry.find(chapter).part("explorer").__file__)).with_suffix(".js")
    return {name: Path(__file__).parent / name for name in names} | {f"{chapter}.js": own}


def _control(id_: str, slider: Slider) -> str:
    log = " data-log" if slider.log else ""
    return (
        f'<label for="{id_}">{slider.label}</label>'
        f'<input type="range" id="{id_}" name="{slider.name}" min="{slider.low:g}" max="{slider.high:g}" '
        f'step="{slider.step:g}" value="{slider.start:g}"{log}><output for="{id_}" aria-live="off"></output>'
    )

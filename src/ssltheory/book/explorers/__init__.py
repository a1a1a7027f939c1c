"""Sliders over a closed form, in the page: no server, no kernel, no request that leaves the site.

A chapter asks for its explorer by ``MARK`` in its prose. The formula is a small script of its own (``stepwise.js``,
``directpred.js``, ``preconditioned.js``), of the names of the Python it restates. BokehJS draws, copied from the
installed package when the pages are built and fetched by a page when a reader comes near. Until then, in print and
without JavaScript a picture of the Python closed form at the sliders' starts stands in.
"""

import html
from dataclasses import dataclass
from importlib import metadata, resources, util
from pathlib import Path

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


SPECTRUM = "spectrum <i>a</i>, γ<sub>j</sub> = j<sup>−a</sup>"
EXPLORERS = {
    "01-linear-staircase": Explorer(
        ("stepwise.js",),
        (
            Slider("exponent", SPECTRUM, 0, 3, 0.05, 2),
            Slider("dim", "dimension <i>d</i>", 1, 12, 1, 10),
            Slider("init_scale", "initial scale α", -12, -1, 0.5, -7, log=True),
            Slider(
                "lr_fraction", "learning rate, of its limit 1/4γ<sub>1</sub>", 0.01, 0.99, 0.01, 0.1
            ),
        ),
        "Two stacked plots over logarithmic time. Top: the loss comes down a staircase from d to zero. "
        "Bottom: the eigenvalues of C rise from zero to one, one after another, and dotted lines mark where each "
        "passes one half.",
        "Loss (top, over steps) and eigenvalues of <i>C</i> (bottom, over time); dotted lines mark the step times "
        "τ<sub>j</sub>. All of it is theory, from an aligned start; nothing is measured.",
    ),
    "04-no-collapse": Explorer(
        ("directpred.js",),
        (
            Slider("weight_decay", "weight decay η", 0, 0.3, 0.005, 0.17),
            Slider("noise", "augmentation σ<sup>2</sup>", 0, 1, 0.05, 0.25),
            Slider("tau", "target τ, below 1 in a moving average that lags", 0.2, 1, 0.05, 1),
            Slider("alpha_p", "predictor’s learning rate α<sub>p</sub>", 0.5, 5, 0.1, 1),
            Slider("p_0", "start p(0)", -0.25, 1.1, 0.01, 0.1),
            Slider("s_0", "start s(0)", 0.01, 1, 0.01, 0.15),
        ),
        "The plane of p and s with its flow. A shaded basin on the left and along the bottom runs to the origin; "
        "outside it streamlines fall onto a parabola and along it to one resting point. A dashed curve leads from a "
        "ring, the start, to where it ends.",
        "The basin of collapse (shaded), the parabola s = p<sup>2</sup>/α<sub>p</sub> (dotted), the resting points "
        "0 and p<sub>+</sub> (dots), the saddle p<sub>−</sub> (cross), and the way of one start (ring, dashed); tap "
        "the plane to move it. All of it is theory; the ways are integrated numerically.",
    ),
    "08-faster-ssl": Explorer(
        ("stepwise.js", "preconditioned.js"),
        (
            Slider("exponent", SPECTRUM, 0, 3, 0.05, 2),
            Slider("dim", "dimension <i>d</i>", 1, 12, 1, 10),
            Slider("init_scale", "initial scale α", -12, -1, 0.5, -5, log=True),
            Slider("eps_left", "ε on the left", -4, 1, 0.25, -1, log=True),
            Slider("eps_right", "ε on the right", -4, 1, 0.25, -2, log=True),
        ),
        "Loss over logarithmic time, four curves. The plain one is a staircase that comes down last; those with a "
        "preconditioner on the left or on the right and that of the log-det loss come down earlier.",
        "The loss in gradient flow: plain, under the left and the right preconditioner, and of the log-det loss. All "
        "of it is theory, from an aligned start; nothing is measured. Time is that of the flow: what a recipe costs in "
        "stability, when steps are taken, is not seen.",
    ),
}


def block(chapter: str, folder: Path) -> str:
    """The chapter's explorer in Markdown with HTML, its picture written to ``folder / "figures"``.

    Raises:
        InputError: if the chapter has none, or BokehJS is not installed.
    """
    from ssltheory.book.explorers import pictures

    if chapter not in EXPLORERS:
        raise InputError(f"{chapter} has no explorer: take {MARK} out of its prose")
    picture = Path("figures") / f"{chapter}-explorer.png"
    pictures.save(chapter, folder / picture)
    explorer, name = EXPLORERS[chapter], chapter.partition("-")[2]
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


def scripts(chapter: str) -> list[Path]:
    """Our scripts on the chapter's page in the order they run, none for a chapter without an explorer."""
    if chapter not in EXPLORERS:
        return []
    drawing = chapter.partition("-")[2].replace("-", "_") + ".js"
    names = (*EXPLORERS[chapter].formulas, "explorer.js", drawing)
    return [Path(__file__).parent / name for name in names]


def _control(id_: str, slider: Slider) -> str:
    log = " data-log" if slider.log else ""
    return (
        f'<label for="{id_}">{slider.label}</label>'
        f'<input type="range" id="{id_}" name="{slider.name}" min="{slider.low:g}" max="{slider.high:g}" '
        f'step="{slider.step:g}" value="{slider.start:g}"{log}><output for="{id_}" aria-live="off"></output>'
    )

"""The pages that are written by hand, held against the code: notation, map, reference."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from ssltheory.book import records, registry
from ssltheory.chapters.class_dependent import claims as class_dependent
from ssltheory.chapters.linear_staircase import claims as staircase

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
MARGIN = 20  # of the map, around its groups
NUMBERS = (
    "sixteen seventeen eighteen nineteen twenty twenty-one twenty-two twenty-three twenty-four"
)
NUMBERS = dict(enumerate(NUMBERS.split(), start=16))


def _names_in_code() -> set[str]:
    """Every identifier, attribute, argument and keyword of the package and the notebooks."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    found = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
            case ast.keyword(arg=str(name)) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return found


def test_every_variable_of_the_notation_is_in_the_code():
    rows = re.findall(
        r"^\|[^|]*\|([^|]*)\|[^|]*\|$", (BOOK / "notation.md").read_text("utf-8"), re.M
    )
    named = {
        name for cell in rows for code in re.findall(r"`([^`]+)`", cell) for name in _words(code)
    }
    assert len(named) > 50
    assert named - _names_in_code() == set()


def _words(code: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", code)


@pytest.mark.parametrize("chapter", [c.id for c in registry.all_chapters()])
def test_the_map_has_every_chapter_as_a_box_and_in_words(chapter):
    text = (BOOK / "map.md").read_text(encoding="utf-8")
    assert f'<a href="chapters/{chapter}.html">' in text
    assert f"[{chapter[:2]}](chapters/{chapter}.ipynb)" in text


def test_the_map_leads_nowhere_else():
    text = (BOOK / "map.md").read_text(encoding="utf-8")
    linked = set(re.findall(r'href="chapters/([^"]+)\.html"', text))
    assert linked == {c.id for c in registry.all_chapters()}


def _finding(claim, unit):
    """Of a claim with a published number: ours and its reach, with a mark where the published one is outside."""
    mark = "" if claim.published_verdict == "agrees" else " ✗"
    return f"{claim.predicted / unit:.1f} ± {claim.tolerance / unit:.1f}{mark}"


def test_the_table_beside_the_published_figure_is_that_of_the_kept_records():
    cells = nbformat.read(ROOT / "notebooks" / "01-linear-staircase.ipynb", as_version=4).cells
    folder = BOOK / "records" / "01-linear-staircase"
    names = ("paper-cifar10", "paper-cifar10-64-images")
    judged = [{c.id: c for c in records.load(folder / name).judged_today()} for name in names]
    rows = []
    for mode in range(1, 11):
        row = [str(mode)]
        for name, unit in (("gamma", 1), ("tau", 1e-3)):
            found = [claims[f"{name}-{mode}"] for claims in judged]
            row += [f"{found[0].published / unit:g}", *(_finding(claim, unit) for claim in found)]
        rows.append("| " + " | ".join(row) + " |")
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "\n".join(rows) in text, "\n".join(rows)


def test_the_map_says_how_many_chapters_it_has():
    text, count = (BOOK / "map.md").read_text(encoding="utf-8"), len(registry.all_chapters())
    word = NUMBERS[count]
    assert f"\n{word.capitalize()} chapters, " in text, f"begin book/map.md with {word} chapters"
    assert f'aria-label="Map of the {word} chapters;' in text, f"the map's label: {word} chapters"
    assert text.count('class="map-node"') == count
    assert len(re.findall(r"^\| \[\d\d\]", text, re.M)) == count


def test_every_box_of_the_map_lies_in_one_group_on_no_other_and_the_groups_in_the_picture():
    text = (BOOK / "map.md").read_text(encoding="utf-8")
    view = tuple(map(int, re.findall(r"viewBox=\"([\d ]+)\" role", text)[0].split()))
    groups, nodes = _rectangles(text, "map-group"), _rectangles(text, "map-node")
    assert min(left for left, *_ in groups) == min(top for _, top, *_ in groups) == MARGIN
    right, bottom = max(group[2] for group in groups), max(group[3] for group in groups)
    assert view == (0, 0, right + MARGIN, bottom + MARGIN), "the map's viewBox"
    for node in nodes:
        assert sum(_holds(group, node) for group in groups) == 1, node
        assert sum(_meets(node, other) for other in nodes) == 1, node  # itself


def _rectangles(text: str, kind: str) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of the rectangles of a class."""
    sizes = r'x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"'
    every = re.findall(rf'<rect class="{kind}" {sizes}', text)
    return [(x, y, x + w, y + h) for x, y, w, h in (map(int, numbers) for numbers in every)]


def _holds(outer, inner) -> bool:
    return all(outer[i] <= inner[i] and inner[i + 2] <= outer[i + 2] for i in (0, 1))


def _meets(one, other) -> bool:
    return all(one[i] < other[i + 2] and other[i] < one[i + 2] for i in (0, 1))


def _change(arrays, name, cls=None, first=0, last=-1):
    """Points by which a class, or the mean of all, changes between two settings of a knob of chapter 14."""
    accuracy = arrays[f"{name}_accuracy"].mean(1)
    change = 100 * (accuracy[last] - accuracy[first])
    return change.mean() if cls is None else change[cls]


def _alike(arrays, name):
    accuracy = arrays[f"{name}_accuracy"]
    return class_dependent.alike(accuracy[-1] - accuracy[0])


def _ridge(arrays, cls):
    return _change(arrays, "ridge", cls, first=class_dependent.best(arrays["ridge_accuracy"]))


def _draw(arrays, seed):
    return staircase.solution(arrays, seed)


def _rms(arrays, way, number):
    return staircase.distances(arrays[f"{way}_gamma"][list(arrays[f"{way}_tried"]).index(number)])


#: Words of a page with the number left out, and the number from the arrays of the kept record that they speak of.
QUOTED = {
    ("01-linear-staircase", "paper-cifar10"): [
        (
            "$\\gamma_1/\\gamma_2$ is {:.1f} in the mean",
            lambda a: (a["gamma"][:, 0] / a["gamma"][:, 1]).mean(),
        ),
        ("independent crops of 500 images lie {:.2f} away", lambda a: _rms(a, "images", 500)[0]),
        (
            "their own draws {:.2f} from each other's mean",
            lambda a: _rms(a, "images", 500)[1].mean(),
        ),
        ("within 6 pixels of the first: {:.2f}", lambda a: _rms(a, "shift", 6)[0]),
        ("at least two pixels from the border: {:.2f}", lambda a: _rms(a, "border", 2)[0]),
        ("a fifth of the area or more: {:.2f}", lambda a: _rms(a, "area", 0.2)[0]),
        ("With 64 images the distance is {:.2f}", lambda a: _rms(a, "images", 64)[0]),
        ("and {:.2f} among the draws", lambda a: _rms(a, "images", 64)[1].mean()),
        ("$R_{{jj}}$ of only ${:.2f}\\,\\alpha$", lambda a: 1e7 * _draw(a, 4).s_0.min()),
        ("Its largest leak is {:.1f}", lambda a: _draw(a, 4).leakage),
        ("an alignment of {:.3f}", lambda a: a["alignment"][4]),
        ("says {:.3f}", lambda a: _draw(a, 4).alignment),
    ],
    ("01-linear-staircase", "full-cifar10"): [
        ("and {:.1f} with 2,000", lambda a: a["gamma"][:, 9].mean()),
    ],
    ("14-class-dependent", "full-*"): [
        ("three quarters, {:.1f} points above none", lambda a: _change(a, "area", last=1)),
        ("down to 0.08 it is {:.1f} points below", lambda a: -_change(a, "area")),
        ("the F test gives $p = {:.3f}$", lambda a: _alike(a, "area")),
        ("costs the average {:.1f} points", lambda a: -_change(a, "jitter")),
        ("gives $p = {:.0f} \\cdot 10^{{-4}}$", lambda a: 1e4 * _alike(a, "jitter")),
        ("in the record they gain {:.1f}", lambda a: _change(a, "area", 3, last=2)),
        ("raised the average by {:.1f} points", lambda a: _change(a, "decay")),
        ("cars (1) lose {:.0f} points", lambda a: -_ridge(a, 1)),
        ("horses (7) {:.0f}", lambda a: -_ridge(a, 7)),
    ],
}


@pytest.mark.parametrize(("chapter", "name"), QUOTED)
def test_numbers_quoted_from_a_kept_record_are_the_records(chapter, name):
    cells = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4).cells
    text = " ".join(" ".join(c.source for c in cells if c.cell_type == "markdown").split())
    (folder,) = (BOOK / "records" / chapter).glob(name)
    arrays = records.load(folder).arrays
    wanted = [words.format(number(arrays)) for words, number in QUOTED[chapter, name]]
    assert [words for words in wanted if words not in text] == []

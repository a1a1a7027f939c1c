"""The fingerprint: what code means, where nothing but its meaning counts; and what a planted change makes stale."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import CHAPTER, ROOT, copy_repository, notebook_of

from ssltheory.book import fingerprint
from ssltheory.book.meaning import Definition
from ssltheory.book.records import Record
from ssltheory.errors import InputError


@pytest.fixture
def hashes(tmp_path: Path):
    """The hashes of a notebook's code beside a package of some files."""

    def of(code: str, files: dict[str, str] | None = None, chapter: str = "notebook"):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in {"__init__.py": "", **(files or {})}.items():
            path = folder / "package" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        cell = {"cell_type": "code", "metadata": {}, "source": code}
        path = folder / f"{chapter}.ipynb"
        path.write_text(json.dumps({"cells": [cell]}))
        return fingerprint.code_hashes(path, folder / "package")

    return of


# The meaning of code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x=1", "x = (1)  # comment"),
        ("def f(a,b): return a", 'def f(\n    a,\n    b,\n):\n    """Docstring."""\n    return a'),
        ("class A: x = 1", 'class A:\n    """Docstring."""\n\n    x = 1\n    "Of x."'),
        ("class A: pass", 'class A:\n    """Docstring."""'),
        ("x = 1", '"""Docstring."""\nx = 1'),
        ("x = 'a'", 'x = "a"'),
        ("def f(a, *b): c = a", "def f(a: int, *b: str) -> None: c: float = a"),
        ("x = 1", "x: int\nx: int = 1"),
        ("import torch\ntorch.nn.ReLU()", "from torch import nn as layers\nlayers.ReLU()"),
    ],
)
def test_without_meaning(hashes, one: str, other: str):
    assert hashes(one)["notebook"] == hashes(other)["notebook"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = ''", "x = None"),
        ("f('')", "f(None)"),
        ("f(a=1)", "f(a=2)"),
        ("x = '1'", "x = 1"),
        ("x = a + b", "x = a - b"),
        ("def f(a): pass", "def f(a=0): pass"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(*, a): pass", "def f(*, a=None): pass"),
        ("def f(a): return a", "def f(b): return b"),  # a caller may name it
        ("class A: x: int = 1", "class A: x: float = 1"),  # may be checked
        ("x = {**a}", "x = {None: a}"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("return_ = [1]", "return_ = [1, 2]"),
        ("x = 1", "y = 1"),  # a notebook's own names stay
        ("from torch import svd\nsvd", "from scipy.linalg import svd\nsvd"),
    ],
)
def test_meaning_differs(hashes, one: str, other: str):
    assert hashes(one)["notebook"] != hashes(other)["notebook"]


@pytest.mark.parametrize(
    "code",
    [
        "def f(a):\n  NAME = a\n  return NAME + 1",
        "def f(a):\n  NAME: int = a\n  NAME += 1\n  del NAME",
        "def f(a): return [NAME for NAME in a if NAME]",
        "x = {NAME: len(NAME) for NAME in a}",
        "def f():\n  def NAME(): return NAME\n  return NAME",
        "def f():\n  NAME = 1\n  def g():\n    nonlocal NAME\n    NAME = 2\n  return g",
        "def f():\n  class NAME: pass\n  return NAME",
        "def f():\n  import torch as NAME\n  return NAME.ones",
        "def f(a):\n  with a as NAME: NAME()\n  for NAME in a: print(NAME)",
        "def f(a):\n  try: a()\n  except ValueError as NAME: print(NAME)",
        "def f(a): return (NAME := a) + NAME",
        "def f(a):\n  any((NAME := b) for b in a)\n  return NAME",
        "def f(a):\n  match a:\n    case [NAME, *other]: return NAME",
        "def f(a):\n  match a:\n    case {'x': 1, **NAME}: return NAME",
    ],
)
def test_the_name_of_a_local_variable_has_no_meaning(hashes, code: str):
    one, other = (hashes(code.replace("NAME", name)) for name in ("here", "there"))
    assert one["notebook"] == other["notebook"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n  b = 1\n  c = 2\n  return b", "def f():\n  b = 1\n  c = 2\n  return c"),
        (
            "def f():\n  b = 1\n  def g():\n    b = 2\n  g()\n  return b",
            "def f():\n  b = 1\n  def g():\n    nonlocal b\n    b = 2\n  g()\n  return b",
        ),
        ("def f():\n  b = 1", "def f():\n  global b\n  b = 1"),
        ("def f(b): return [b for c in b]", "def f(b): return [c for c in b]"),
    ],
)
def test_which_local_variable_it_is_has(hashes, one: str, other: str):
    assert hashes(one)["notebook"] != hashes(other)["notebook"]


def test_meaning_is_the_same_on_every_python(hashes):
    """What later versions add to a tree (empty type_params, a kind) leaves no trace. Read on Python 3.11."""
    source = (
        "def f(x: int = 3, *a, **k) -> str:\n    return f'{x!r:>{k}}' if x else None\n\n"
        "class A(B, c=1): y = lambda z: -z[1:]\n\nx = u'a'"
    )
    assert hashes(source)["notebook"] == "ea6980b9a47441c1"


def test_a_line_for_ipython_alone_stands_as_its_text(hashes):
    one, other, neither = (hashes(f"{line}\nx = 1") for line in ("%time f()", "%time g()", ""))
    assert len({h["notebook"] for h in (one, other, neither)}) == 3


# What a reference reaches

MODULE = "FACTOR = 2\n\n\ndef scaled(x):\n    return FACTOR * x\n"
USE = "from ssltheory import m\n\ny = m.scaled(1)"


@pytest.mark.parametrize(
    ("code", "files"),
    [
        (USE, {"m.py": '"""Words."""\n\nimport torch\n\n' + MODULE}),
        (USE, {"m.py": MODULE + "\n\ndef another():\n    return FACTOR\n"}),
        (USE, {"m.py": MODULE.replace("FACTOR", "_SIZE")}),
        (USE.replace("scaled", "grown"), {"m.py": MODULE.replace("scaled", "grown")}),
        ("from ssltheory import m as other\n\ny = other.scaled(1)", {"m.py": MODULE}),
        ("import ssltheory.m\n\ny = ssltheory.m.scaled(1)", {"m.py": MODULE}),
        ("from ssltheory.m import scaled as s\n\ny = s(1)", {"m.py": MODULE}),
        (
            "from ssltheory import a\n\ny = a.b.m.scaled(1)",
            {"a/__init__.py": "", "a/b/__init__.py": "", "a/b/m.py": MODULE},
        ),
        (
            "from ssltheory.a import grown\n\ny = grown(1)",
            {"a/__init__.py": "from ssltheory.a.m import scaled as grown\n", "a/m.py": MODULE},
        ),
        (
            "from ssltheory import m\n\ny = m.m(1)",  # a module and its definition of one name
            {
                "m/__init__.py": "from ssltheory.m.m import m\n",
                "m/m.py": MODULE.replace("scaled", "m"),
            },
        ),
        (
            USE,
            {
                "m.py": "from ssltheory.sizes import SIZE\n\n\ndef scaled(x):\n    return SIZE * x\n",
                "sizes.py": "SIZE: int = 2\n",
            },
        ),
        (USE, {"__init__.py": 'MOVED = {"m": "a.n"}\n', "a/__init__.py": "", "a/n.py": MODULE}),
        (
            "from ssltheory.m import scaled\n\ny = scaled(1)",
            {"__init__.py": 'MOVED = {"m": "a.n"}\n', "a/__init__.py": "", "a/n.py": MODULE},
        ),
    ],
)
def test_where_a_definition_lies_has_no_meaning(hashes, code: str, files: dict[str, str]):
    before = hashes(USE, {"m.py": MODULE})
    now = hashes(code, files)
    assert now["notebook"] == before["notebook"]
    assert fingerprint.changes(before, now) == []


def test_an_import_inside_of_a_function_is_followed(hashes):
    code = "def f(x):\n    from ssltheory.m import FACTOR as size\n    return size * x"
    one, other = (hashes(code, {"m.py": f"FACTOR = {n}"}) for n in (2, 3))
    assert fingerprint.changes(one, other) == ["FACTOR"]


@pytest.mark.parametrize(
    ("code", "noticed"),
    [
        ("def scaled(FACTOR): return FACTOR", False),
        ("def scaled(x):\n  FACTOR = x\n  return FACTOR", False),
        ("def scaled(x):\n  for FACTOR in x: print(FACTOR)", False),
        ("def scaled(x): return [FACTOR for FACTOR in x]", False),
        ("def scaled(x): return [y for y in x for FACTOR in y for y in FACTOR]", False),
        ("def scaled(x): return [y for y in FACTOR for FACTOR in x]", True),
        ("def scaled(x): return [FACTOR for FACTOR in FACTOR]", True),
        ("def scaled(x): return lambda FACTOR: FACTOR", False),
        ("def scaled(x): return lambda y=FACTOR: y", True),
        ("def scaled(FACTOR=FACTOR): return FACTOR", True),
        ("def scaled(x):\n  FACTOR = x\n  def g(): return FACTOR\n  return g", False),
        ("def scaled(x):\n  def g(): FACTOR = x\n  return FACTOR", True),
        ("def scaled(x):\n  global FACTOR\n  FACTOR = x", False),
        ("def scaled(x): return x.FACTOR(FACTOR=1)", False),
        ("class scaled:\n  FACTOR = 1\n  y = FACTOR", False),
        ("class scaled:\n  FACTOR = 1\n  def f(self): return FACTOR", True),
        ("def scaled(x: FACTOR) -> FACTOR: return x", False),
    ],
)
def test_a_local_variable_hides_a_definition(hashes, code: str, noticed: bool):
    one, other = (hashes(USE, {"m.py": f"FACTOR = {n}\n\n\n{code}\n"}) for n in (2, 3))
    assert (one["notebook"] != other["notebook"]) is noticed


@pytest.mark.parametrize(
    "changed",
    [
        "SIZES |= {2: 4}",
        "SIZES: dict = {1: 3}",
        "SIZES, OTHER = {1: 3}, 4",
        "OTHER, SIZES = {1: 3}, 4",
        "SIZES[2] = 4",
        "SIZES.update({2: 4})",
        "SIZES.items.kept = 4",
        "del SIZES[1]",
        "for key in (2, 3):\n    SIZES[key] = 4",
        "if SIZES:\n    SIZES = {1: 3}",
        "try:\n    SIZES = {1: 3}\nfinally:\n    pass",
        "from ssltheory.n import SIZES",
        "torch.set_default_dtype(torch.float64)",  # of no name: of all
    ],
)
def test_every_statement_that_changes_a_definition_counts(hashes, changed: str):
    use = "from ssltheory.m import SIZES\n\nprint(SIZES)"
    texts = ["", changed, changed.replace("4", "5").replace("3", "6")]
    kinds = [
        hashes(use, {"m.py": f"import torch\nSIZES = {{1: 2}}\n{text}\n", "n.py": "SIZES = 7"})
        for text in texts
    ]
    assert len({kind["notebook"] for kind in kinds}) == (3 if re.search("[34]", changed) else 2)


@pytest.mark.parametrize(
    "more",
    ["OTHER |= {2: 4}", "OTHER[2] = 4", "if TYPE:\n    from torch import Tensor", '"Words."'],
)
def test_a_statement_about_something_else_does_not(hashes, more: str):
    use = "from ssltheory.m import SIZES\n\nprint(SIZES)"
    text = "from typing import TYPE_CHECKING as TYPE\nSIZES, OTHER = {1: 2}, {}\n"
    one, other = (hashes(use, {"m.py": text + end}) for end in ("", more))
    assert one == other


def test_a_module_as_a_value_is_all_that_is_in_it(hashes):
    use = "from ssltheory import m\n\nprint(m)"
    texts = [MODULE, MODULE + "MORE = 1", MODULE + "MORE = 2"]
    assert len({hashes(use, {"m.py": text})["notebook"] for text in texts}) == 3


def test_what_is_off_the_path_is_one_token(hashes):
    code = "from ssltheory import {0}\n\nif {0}.of(x):\n    y = {0}.Axes({1})"
    code = code.replace("from ssltheory import", "from ssltheory.book import", 1)
    files = {f"book/{name}.py": "of = 1" for name in ("figures", "records")}
    files |= {"book/__init__.py": "", "m.py": "of = 1"}
    one, other = (
        hashes(code.format(name, given), files)["notebook"]
        for name, given in (("figures", "x"), ("records", "z=lambda: 2"))
    )
    assert one == other
    on = code.replace("ssltheory.book", "ssltheory").replace("Axes", "of")
    assert hashes(on.format("m", ""), files)["notebook"] != one


@pytest.mark.parametrize(
    ("module", "off"),
    [
        ("book", True),
        ("progress", True),
        ("chapters", True),
        ("book.records", True),
        ("chapters.projunn.claims", True),
        ("chapters.projunn.figures", True),
        ("chapters.no_collapse.explorer", True),
        ("chapters.singular_values.readings", True),
        ("chapters.projunn.experiment", False),
        ("chapters.projunn", False),
        ("theory.claims", False),
        ("train.loop", False),
        ("measure.spectra", False),
    ],
)
def test_off_the_path(module: str, off: bool):
    assert fingerprint.off_path(f"ssltheory.{module}") is off


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("from ssltheory import m\n\nm.scald(1)", r"notebook 07-x uses ssltheory\.m\.scald,"),
        ("from ssltheory.m import scald\n\nscald(1)", r"uses ssltheory\.m\.scald, which"),
        ("from ssltheory import n\n\nn.scaled(1)", r"uses ssltheory\.n, which does not exist"),
        ("from ssltheory.a import f\n\nf()", r"ssltheory\.a\.f uses ssltheory\.m\.scald, which"),
        ("import ssltheory.n as n\n\nn", r"uses ssltheory\.n, which"),
    ],
)
def test_a_reference_to_nothing_is_an_error(hashes, code: str, message: str):
    files = {
        "m.py": MODULE,
        "a.py": "from ssltheory import m\n\n\ndef f():\n    m.scald(1)\n",
    }
    with pytest.raises(InputError, match=message):
        hashes(code, files, "07-x")


def test_a_chapters_method_of_its_parameters_counts(hashes):
    model = (
        "from ssltheory.book import Chapter, Parameters\n\nMETHODS, OTHER = ('a', 'b'), ('c',)\n\n\n"
        "class Model(Parameters):\n    n: int = 1\n\n    def check(self): return OTHER\n\n"
        "    @property\n    def chosen(self): return self.all()\n\n    def all(self): return METHODS\n\n\n"
        "CHAPTER = Chapter(id='01-x', parameters=Model)\n"
    )
    files = {"book.py": "", "chapters/__init__.py": "", "chapters/x.py": model}
    code = "from ssltheory import book\n\nrun = book.begin('01-x')\nrun.parameters.chosen, run.parameters.n"
    before = hashes(code, files, "01-x")
    assert {"Model.chosen", "Model.all", "METHODS"} <= before.keys()
    for text, by, changed in (
        ("('a', 'b')", "('b', 'a')", ["METHODS"]),
        ("return self.all()", "return self.all()[:1]", ["Model.chosen"]),
        ("n: int = 1", "n: int = 2", []),
        ("return OTHER", "return 1", []),
    ):
        now = hashes(code, files | {"chapters/x.py": model.replace(text, by)}, "01-x")
        assert fingerprint.changes(before, now) == changed
    moved = {"chapters/x/__init__.py": model, "chapters/__init__.py": "", "book.py": ""}
    assert hashes(code, moved, "01-x")["notebook"] == before["notebook"]


# Definitions that reach one another

CIRCLE = """
def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and third(n - 1)

def third(n):
    return even(n) and odd(n) and third(n) and LIMIT

LIMIT = 1
"""
NAMES = ("even", "odd", "third", "LIMIT")


def digests(folder: Path, text: str, order) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.py").write_text(text)
    package = fingerprint._Package(folder)
    return {name: package.digest(Definition("ssltheory.m", name)) for name in order}


def test_a_circles_hashes_do_not_depend_on_the_order(tmp_path: Path):
    first = digests(tmp_path, CIRCLE, NAMES)
    assert len(set(first.values())) == 4
    for order in (
        NAMES[::-1],
        ("odd", "even", "third", "LIMIT"),
        ("third", "LIMIT", "even", "odd"),
    ):
        assert digests(tmp_path, CIRCLE, order) == first
    renamed = digests(tmp_path, CIRCLE.replace("odd", "uneven"), ("even", "uneven", "third"))
    assert list(renamed.values()) == [first["even"], first["odd"], first["third"]]


@pytest.mark.parametrize(
    ("text", "by", "changed"),
    [
        ("n == 0", "n == 1", {"even", "odd", "third"}),
        ("LIMIT = 1", "LIMIT = 2", set(NAMES)),
        ("or odd", "or third", {"even", "odd", "third"}),
        ("even(n) and odd(n)", "odd(n) and even(n)", {"even", "odd", "third"}),
    ],
)
def test_a_change_in_a_circle_is_one_of_all_in_it(tmp_path: Path, text, by, changed):
    before, now = (digests(tmp_path, t, NAMES) for t in (CIRCLE, CIRCLE.replace(text, by)))
    assert {name for name in NAMES if before[name] != now[name]} == changed


# What has changed


def test_changes_are_named(hashes):
    files = {"m.py": MODULE, "n.py": "def scaled(x):\n    return x\n"}
    code = f"{USE}\nfrom ssltheory.n import scaled\n\nz = scaled(y)"
    before = hashes(code, files)
    assert list(before) == ["notebook", "cells", "FACTOR", "m.scaled", "n.scaled"]
    edits = {
        "FACTOR": (code, {"m.py": MODULE.replace("2", "3")}),
        "m.scaled": (code, {"m.py": MODULE.replace("* x", "* x + 1")}),
        "FACTOR, notebook": (f"{code}\nu = 1", {"m.py": MODULE.replace("2", "3")}),
        "notebook": (f"{code}\nu = 1", {}),
    }
    for changed, (text, more) in edits.items():
        assert ", ".join(fingerprint.changes(before, hashes(text, files | more))) == changed
    only = hashes(USE, {"m.py": "def scaled(x):\n    return 2 * x\n"})
    assert fingerprint.changes(hashes(USE, files), only) == ["FACTOR", "scaled"]
    assert fingerprint.changes(only, hashes(USE, files)) == ["FACTOR", "scaled"]


def test_changes_where_the_parts_are_the_same():
    """Both definitions are there still, but another is used, or the hashes are of other rules."""
    then = {"notebook": "0", "cells": "1", "a": "2"}
    assert fingerprint.changes(then, then | {"notebook": "3"}) == ["notebook"]
    assert fingerprint.changes({"notebook": "0", "ssltheory.m": "1"}, then | {"notebook": "3"}) == [
        "notebook"
    ]
    assert fingerprint.changes(then, {}) == ["notebook"]
    assert fingerprint.changes(then, then) == fingerprint.changes({}, {}) == []


# This repository


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy to plant changes in."""
    return copy_repository(tmp_path_factory.mktemp("planted") / "repository")


@pytest.fixture(scope="module")
def before(tree: Path) -> dict[str, dict[str, str]]:
    return of_all(tree)


def of_all(tree: Path) -> dict[str, dict[str, str]]:
    """The hashes of each notebook, by the chapter's number."""
    files = sorted((tree / "notebooks").glob("*.ipynb"))
    return {f.stem[:2]: fingerprint.code_hashes(f, tree / "src/ssltheory") for f in files}


@contextmanager
def planted(tree: Path, text: str, by: str) -> Iterator[None]:
    """The tree with a text of one of its modules or notebooks, wherever that lies, replaced."""
    files = [*tree.rglob("*.py"), *tree.rglob("*.ipynb")]
    (path,) = (file for file in files if text in file.read_text(encoding="utf-8"))
    whole = path.read_text(encoding="utf-8")
    assert whole.count(text) == 1
    path.write_text(whole.replace(text, by), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(whole, encoding="utf-8")


VICREG, ALL = "02 07 08 11 12 13", " ".join(f"{n:02}" for n in range(1, 19))
GRIDS_14 = {
    "AREAS": ('"crop": (1.0, 0.75, 0.5', '"crop": (1.0, 0.7, 0.5'),
    "DECAYS": ('"fine": (0.0, 2e-3, 8e-3)', '"fine": (0.0, 2e-3)'),
    "JITTERS": ('"all": (0.4, 0.8)', '"all": (0.8,)'),
}
GRIDS_15 = {
    "BATCHES": ("BATCHES = (8, 32, 128)", "BATCHES = (8, 32)"),
    "FOLDED": ('FOLDED = ("none", "centre"', 'FOLDED = ("centre", "none"'),
    "GROUPS": ("GROUPS = (256, 64, 16, 8)", "GROUPS = (256, 64, 16, 4)"),
    "INITS": ('INITS = ("torch", "he")', 'INITS = ("he", "torch")'),
}
METHODS = {
    "Parameters.chosen": ("return METHODS if self", "return METHODS[1:] if self"),
    "METHODS": ('"byol", "simsiam"),\n', '"simsiam"),\n'),
    "THREE": ('THREE = ("directpred", "byol_linear"', 'THREE = ("directpred", "byol"'),
}


@pytest.mark.parametrize(
    ("chapters", "edits"),
    [
        ("14", GRIDS_14),
        ("15", GRIDS_15),
        ("06", METHODS),
        ("02 05 06 11", {"training_split": ('if dataset == "stl10" else "train"', 'if dataset else "train"')}),
        (VICREG, {"vicreg": ("hinge = F.relu(", "hinge = 2 * F.relu(")}),
        (ALL, {"TEST_SHARE": ("TEST_SHARE = 0.2 ", "TEST_SHARE = 0.3 ")}),
        ("01", {"notebook": ("settled, 320)", "settled, 321)")}),
    ],
)  # fmt: skip
def test_a_change_makes_those_stale_that_it_concerns(tree, before, chapters, edits):
    with ExitStack() as stack:
        for text, by in edits.values():
            stack.enter_context(planted(tree, text, by))
        now = of_all(tree)
    changed = {n: fingerprint.changes(before[n], now[n]) for n in now}
    assert {n: names for n, names in changed.items() if names} == {
        n: sorted(edits) for n in chapters.split()
    }


def test_a_change_without_meaning_makes_none_stale(tree, before):
    edits = [
        ('"lines.linewidth": 1.8', '"lines.linewidth": 2.8'),  # of figures
        ("\nLEAKAGE = 0.1 ", "\nLEAKAGE = 0.2 "),  # of a claim
        ('seconds={"tiny": 15, "quick": 28', 'seconds={"tiny": 16, "quick": 29'),
        ('means="random networks on the plane"', 'means="networks"'),
        ("n_moons: int = 10", "n_moons: int = 11"),  # a parameter's default, kept with its value
        ("INTERVAL = 0.2 ", "INTERVAL = 0.3 "),  # between two reports of progress
        ('"""The split to train on', '"""The part to train on'),
        ("\ndef vicreg(\n", "\ndef a_new_loss():\n    pass\n\n\ndef vicreg(\n"),
        ("def shape_of(source: Source, ", "def shape_of(source, "),
    ]
    with ExitStack() as stack:
        for text, by in edits:
            stack.enter_context(planted(tree, text, by))
        losses = tree / "src/ssltheory/losses.py"
        whole = losses.read_text(encoding="utf-8")
        losses.write_text(whole.replace("hinge", "shortfall"), encoding="utf-8")
        now = of_all(tree)
        losses.write_text(whole, encoding="utf-8")
    assert now == before


def test_a_module_that_moves_makes_none_stale(before, tmp_path: Path):
    """``losses`` into another folder, under another name, with all imports mended."""
    tree = copy_repository(tmp_path / "repository")
    package = tree / "src/ssltheory"
    (package / "objectives").mkdir()
    (package / "objectives/__init__.py").touch()
    (package / "losses.py").rename(package / "objectives/terms.py")
    for path in package.rglob("*.py"):
        path.write_text(mended(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in tree.glob("notebooks/*.ipynb"):
        content = json.loads(path.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            cell["source"] = mended("".join(cell["source"]))
        path.write_text(json.dumps(content), encoding="utf-8")
    now = of_all(tree)
    assert {n: fingerprint.changes(before[n], now[n]) for n in now} == {n: [] for n in now}


def mended(source: str) -> str:
    def moved(found: re.Match) -> str:
        names = re.findall(r"\w+", found[1])
        if "losses" not in names:
            return found[0]
        rest = [f"from ssltheory import {name}\n" for name in names if name != "losses"]
        return "".join(rest) + "from ssltheory.objectives import terms as losses\n"

    return re.sub(r"from ssltheory import (\([^)]*\)|[^\n]*)\n", moved, source)


def test_what_is_stale_is_told_by_the_record(monkeypatch):
    code = fingerprint.code_hashes(notebook_of(ROOT))
    record = Record({}, [], {"chapter": CHAPTER, "code": dict(code)})
    assert record.stale() == []
    record.provenance["code"] |= {"notebook": "0", "barlow_twins": "0"}
    assert record.stale() == ["barlow_twins"]
    monkeypatch.setattr("ssltheory.book.repository.root", lambda: ROOT / "no notebooks here")
    assert record.stale() == ["notebook"]


def _place(path: Path) -> str:
    return str(path.parent.relative_to(ROOT / "book"))


@pytest.mark.parametrize("path", sorted((ROOT / "book/records").rglob("record.json")), ids=_place)
def test_a_kept_record_is_current(path: Path):
    origin = json.loads(path.read_text(encoding="utf-8"))["provenance"]
    notebook = ROOT / "notebooks" / f"{origin['chapter']}.ipynb"
    assert fingerprint.changes(origin["code"], fingerprint.code_hashes(notebook)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "book/sweeps").rglob("sweep.json")), ids=_place)
def test_a_kept_sweep_is_current(path: Path):
    manifest = json.loads(path.read_text(encoding="utf-8"))
    notebook = ROOT / "notebooks" / f"{manifest['chapter']}.ipynb"
    assert fingerprint.changes(manifest["code"], fingerprint.code_hashes(notebook)) == []


def test_package_imports_itself_by_full_name():
    """A relative import would hide a module from the fingerprint."""
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"^\s*from \.", path.read_text(encoding="utf-8"), re.M), path

"""Cost curves: the fit, what it foretells, and the curves on the page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssltheory.book import capacity
from ssltheory.book.capacity import Curve

SIZES = (10, 20, 40, 80, 160, 320)
CUBIC = Curve("a product", "n", (1, 3), SIZES, tuple(2e-3 * n + 5e-7 * n**3 for n in SIZES))
KEPT = Path(__file__).parent.parent / "book" / "capacity.json"


def test_a_curve_that_is_of_the_model_is_found_and_foretold():
    assert CUBIC.coefficients == pytest.approx([2e-3, 5e-7])
    assert CUBIC.foretold(1000) == pytest.approx(2 + 500)
    assert CUBIC.errors == pytest.approx([0, 0], abs=1e-9)


def test_no_term_is_negative():
    sizes = np.array(SIZES)
    assert (capacity.fit(sizes, 1e-3 * sizes - 5e-3, (0, 1)) >= 0).all()


def test_a_wrong_power_misses_the_sizes_held_out():
    assert abs(replace(CUBIC, powers=(1, 2)).errors[-1]) > 0.25


def test_the_fit_does_not_see_what_is_held_out():
    spoilt = replace(CUBIC, seconds=(*CUBIC.seconds[:-2], 1.0, 1.0))
    assert spoilt.coefficients == pytest.approx(CUBIC.coefficients)


def test_kept_curves_foretell_larger_sizes_within_a_quarter():
    for curve in json.loads(KEPT.read_text(encoding="utf-8"))["curves"]:
        errors = Curve(**curve).errors
        assert len(errors) == 2
        assert max(map(abs, errors)) <= 0.25, curve["name"]


def test_the_tables_hold_what_was_measured():
    document = json.loads(KEPT.read_text(encoding="utf-8"))
    text = capacity.to_markdown(document) + capacity.runs_to_markdown(document)
    for curve in document["curves"]:
        assert curve["name"] in text
    assert "PFLOP" in text
    chunks = capacity.chunks_to_markdown(document)
    assert chunks.count("\n| ") == 2 + len(document["chunks"]["measured"])

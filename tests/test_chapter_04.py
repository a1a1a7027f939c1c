"""Chapter 04: its claims hold as its own cells measure them, and each planted fault turns a named one red."""

from functools import partial

import numpy as np
import pytest
import torch
from notebook_cells import kept_record, record_of, red, verdicts

from ssltheory import data, losses
from ssltheory.book import claims, registry
from ssltheory.errors import InputError
from ssltheory.theory import directpred

CHAPTER = registry.find("04-no-collapse")
SMALL = {"n_images": 300, "dim": 8, "horizon": 30.0, "n_seeds": 1}
run = partial(record_of, CHAPTER, **SMALL)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALL)


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims
    assert len(record.claims) == 14


def test_figures_draw_what_the_record_holds(record):
    from ssltheory.book import figures
    from ssltheory.chapters.no_collapse import figures as plots

    assert len(figures.draw(CHAPTER, record.arrays).axes) == 2
    assert plots.threshold(figures.single(), record.arrays).lines
    assert len(plots.roles(record.arrays).axes) == 3


# Planted faults: in the theory, judged on the measurement above


def judged_with(record, monkeypatch, name, fault, owner=directpred):
    monkeypatch.setattr(owner, name, fault)
    return red(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))


def test_the_printed_sign_of_c_is_red(record, monkeypatch):
    right = directpred.mode_integral
    fault = lambda *z, **choices: -right(*z, **choices)  # noqa: E731
    assert "integral" in judged_with(record, monkeypatch, "mode_integral", fault)


def test_a_moving_average_that_does_not_see_growth_is_red(record, monkeypatch):
    right = directpred.growth
    fault = lambda *z, **choices: right(*z, **choices) / 2  # noqa: E731
    found = judged_with(record, monkeypatch, "growth", fault, owner=directpred.modes)
    assert "trajectories" in found


def test_fixed_points_without_the_noise_are_red(record, monkeypatch):
    right = directpred.fixed_points
    fault = lambda eta, noise, *rest: right(eta, 0 * noise, *rest)  # noqa: E731
    assert "threshold" in judged_with(record, monkeypatch, "fixed_points", fault)


def test_a_basin_that_is_the_parabola_is_red(record, monkeypatch):
    def fault(p, s, *, alpha_p=1.0, **rest):
        return np.asarray(s) > np.square(p) / alpha_p

    found = judged_with(record, monkeypatch, "survives", fault)
    assert "basin" in found


# Planted faults: in the training


def test_a_leaking_stop_gradient_is_red(tmp_path, monkeypatch):
    right = losses.byol
    monkeypatch.setattr(
        losses, "byol", lambda a, b, normalize, stop_gradient: right(a, b, normalize, False)
    )
    found = red(run(tmp_path).claims)
    assert {"both", "trajectories", "no-predictor"} <= found


def test_images_that_are_not_whitened_are_red(tmp_path, monkeypatch):
    right = torch.linalg.eigh

    def fault(m):
        values, vectors = right(m)
        return torch.ones_like(values) * values.max(), vectors

    monkeypatch.setattr(torch.linalg, "eigh", fault)
    assert "trajectories" in red(run(tmp_path).claims)


def test_above_the_threshold_everything_dies_and_the_claims_know(tmp_path):
    record = run(tmp_path, weight_decay=0.3)
    found = verdicts(record.claims)
    assert found["fate"] == "holds"
    assert found["both"] == "outside"
    assert record.arrays["p"][0, -1].max() < 0.05


# The notebook and its parameters


@pytest.mark.parametrize(
    ("bad", "words"), [({"dim": 40}, "modes"), ({"n_images": 5000}, "has only")]
)
def test_what_does_not_fit_the_data_is_refused(bad, words):
    with pytest.raises(InputError, match=words):
        CHAPTER.parse(bad).check(data.find("digits"))

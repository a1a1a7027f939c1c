"""Chapter 06: its claims hold as its own cells measure them, planted faults are red, every method and sweep runs."""

from functools import partial

import numpy as np
import pytest
from notebook_cells import in_parts, kept_record, record_of, red

from ssltheory import data, losses
from ssltheory.book import claims, registry
from ssltheory.chapters import directpred as settings
from ssltheory.chapters.directpred import claims as judged
from ssltheory.errors import InputError
from ssltheory.theory import directpred

CHAPTER = registry.find("06-directpred")
SMALL = {"batch_size": 32, "area": 0.7}  # beside that the quick run
SHORT = {"steps": 3, "batch_size": 8, "n_probe": 40, "dim": 16, "width": 16, "n_labels": 30}
run = partial(record_of, CHAPTER, **SMALL)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALL)


def rejudged(record, **changed):
    return red(claims.evaluate(CHAPTER.id, record.arrays | changed, record.parameters))


def test_every_claim_holds(record):
    verdicts = {claim.id: claim.verdict for claim in record.claims}
    assert verdicts.pop("gain") == "undecided", "the test needs five seeds"
    assert set(verdicts.values()) == {"holds"}, record.claims
    assert len(verdicts) == 7


def test_figures_and_table(record):
    from ssltheory.book import figures
    from ssltheory.chapters.directpred import figures as plots

    assert len(figures.draw(CHAPTER, record.arrays).axes) == 2
    assert plots.sweeps(record.arrays) is None
    assert len(plots.linear_window(figures.single(), record.arrays).lines) == 2
    table = plots.table(record.arrays, "digits")._repr_markdown_()
    assert len(table.splitlines()) == 2 + 3
    assert "| 84.49 ± 0.20 | 75.06 ± 0.52 |" in table


def test_the_gain_is_judged_with_its_interval(record):
    """Five seeds with gains of 1 to 5 points: mean 3, half-width t(0.975, 4) √2.5 / √5 = 1.963; 2 are asked."""
    five = {
        name: np.repeat(record.arrays[name], 5, axis=1)
        for name in ("loss", "spread", "active", "accuracy")
    }
    five["accuracy"] = np.full_like(five["accuracy"], 0.5)
    five["accuracy"][0, :, -1] += np.array([1, 2, 3, 4, 5]) / 100
    found = {c.id: c for c in claims.evaluate(CHAPTER.id, record.arrays | five, record.parameters)}
    assert (found["gain"].verdict, found["gain-interval"].verdict) == ("undecided", "holds")
    assert found["gain"].measured == pytest.approx(3)
    assert found["gain"].half == pytest.approx(1.963, abs=1e-3)
    assert found["gain-interval"].measured == pytest.approx(3 - 1.963, abs=1e-3)
    five["accuracy"][0, :, -1] -= 0.1
    assert {"gain", "gain-interval"} <= rejudged(record, **five)


# Planted faults


def test_a_leaking_stop_gradient_is_red(tmp_path, monkeypatch):
    right = losses.byol
    monkeypatch.setattr(losses, "byol", lambda a, b, stop_gradient: right(a, b, True, False))
    monkeypatch.setattr(settings, "THREE", ("directpred", "byol_linear"))
    found = red(run(tmp_path, batch_size=16, average=0.0).claims)
    assert {"alive-byol_linear", "alive-directpred"} <= found


def test_methods_that_are_mistaken_for_each_other_are_red(record):
    methods = record.arrays["methods"]
    found = rejudged(record, methods=methods[[1, 0, 2]])
    assert {"alive-directpred", "apart", "modes"} <= found
    assert "collapse-no_predictor" in rejudged(record, methods=methods[[0, 2, 1]])


def test_a_linear_window_that_does_not_see_eps_is_red(record, monkeypatch):
    right = directpred.directset_limit
    monkeypatch.setattr(directpred, "directset_limit", lambda *z, eps: right(*z))
    assert rejudged(record) == {"linear-window"}


def test_a_spread_that_rises_with_eps_is_red(record):
    sweep = {"eps_values": np.array([0.0, 0.1, 0.5, 10.0])}
    falls = np.array([[0.8], [0.75], [0.5], [0.03]])
    assert not rejudged(record, **sweep, eps_spread=falls)
    assert rejudged(record, **sweep, eps_spread=falls[::-1]) == {"eps-falls", "eps-large"}


# All methods, sweeps, the paper's path, checkpoints


def test_every_method_and_every_sweep_runs(tmp_path):
    from ssltheory.chapters.directpred import figures as plots

    record = run(tmp_path, **SHORT, methods="all", ablation_seeds=1)
    assert record.arrays["methods"].tolist() == list(settings.METHODS)
    assert record.arrays["spread"].shape[:2] == (8, 1)
    assert len(np.unique(record.arrays["loss"][..., -1])) == 8, "no two methods are the same"
    for name in ("eps", "weight_decay", "average", "alpha_p"):
        assert record.arrays[f"{name}_spread"].shape == (*record.arrays[f"{name}_values"].shape, 1)
    assert len(plots.sweeps(record.arrays).axes) == 8
    assert {"eps-falls", "eps-large"} <= {claim.id for claim in record.claims}


@pytest.mark.slow
def test_resnet_path_runs(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x=x, y=np.arange(60) % 10)
    parameters = SHORT | {"encoder": "resnet18", "augment": "cifar10", "size": 16, "steps": 1}
    parameters |= {"dataset": str(tmp_path / "colour.npz"), "n_labels": 20}
    record = run(tmp_path / "run", **parameters)
    assert record.provenance["data"]["name"] == "colour"


@pytest.mark.slow
def test_a_pause_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "THREE", ("directpred", "byol_linear"))
    parameters = SHORT | {"steps": 2}
    whole = run(tmp_path / "whole", **parameters)
    record = in_parts(run, tmp_path / "parts", **parameters)
    np.testing.assert_array_equal(record.arrays["spread"], whole.arrays["spread"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"n_labels": 5000},
            "n_labels=5000: there are only 1438 labelled training images in digits",
        ),
        ({"batch_size": 5000}, "batch_size=5000"),
        ({"methods": "byol"}, "methods=byol"),
        ({"eps": -1.0}, "eps=-1.0"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(wrong, message):
    with pytest.raises(InputError, match=message):
        CHAPTER.parse(wrong).check(data.find("digits"))


def test_images_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "bare.npz", x=np.zeros((300, 8, 8), dtype=np.uint8))
    parameters = CHAPTER.parse({})
    with pytest.raises(InputError, match="no labels"):
        parameters.check(data.find(tmp_path / "bare.npz"))


def test_interval_is_students(record):
    mean, half = judged.interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (mean, half) == (pytest.approx(3), pytest.approx(1.9632, abs=1e-3))
    assert np.isnan(judged.interval(np.array([1.0]))[1])

"""Chapter 14: its claims hold as its own cells measure them, planted faults are red, every sweep and the ResNet run."""

from functools import partial

import numpy as np
import pytest
import torch
from notebook_cells import in_parts, kept_record, record_of, red, run_cells, verdicts

from ssltheory import data
from ssltheory.book import claims, records, registry
from ssltheory.chapters.class_dependent import (
    claims as judged,
    experiment as grid,
    figures as plots,
)
from ssltheory.errors import InputError
from ssltheory.theory import class_dependent as theory

CHAPTER = registry.find("14-class-dependent")
SHORT = {"steps": 2, "n_images": 40, "batch_size": 10, "n_seeds": 2, "n_splits": 2, "dim": 8}
run = partial(record_of, CHAPTER)


@pytest.fixture(autouse=True, scope="module")
def three_crops():
    """Beside that, and shorter training, the shared record is the quick run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(grid.AREAS, "crop", (1.0, 0.75, 0.08))
        yield


@pytest.fixture(scope="module")
def record(folder, three_crops):
    return kept_record(CHAPTER, folder, __file__, n_splits=40, steps=150)


def rejudged(record, **changed):
    return verdicts(claims.evaluate(CHAPTER.id, record.arrays | changed, record.parameters))


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims
    assert {"toy", "ridge-pays", "area-classes", "crops-gain"} <= set(verdicts(record.claims))


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_figures_and_table(record):
    assert len(plots.main_figure(record.arrays).axes) == 2
    assert len(plots.second_figure(record.arrays).axes) == 3
    assert len(plots.table(record.arrays).splitlines()) == 2 + 3 + 1


# Planted faults


def test_tau_for_sigma_is_red(record, monkeypatch):
    right = theory.two_gaussians

    def swapped(a, b, tau):  # the widths grow, and nothing is added in training
        return torch.tensor([right(a + t, b + t, 0.0) for t in tau.tolist()]).unbind(1)

    monkeypatch.setattr(theory, "two_gaussians", swapped)
    assert rejudged(record)["toy"] == "fails"


def test_fewer_than_five_repetitions_decide_nothing(record):
    few = rejudged(record, area_accuracy=record.arrays["area_accuracy"][:, :4])
    assert {v for name, v in few.items() if name.startswith(("area", "crops"))} == {"undecided"}
    few = rejudged(record, ridge_accuracy=record.arrays["ridge_accuracy"][:, :39])
    assert {v for name, v in few.items() if name.startswith("ridge")} == {"undecided"}
    with pytest.raises(InputError, match="n_seeds=1"):
        CHAPTER.parse({"n_seeds": 1})


def test_nothing_is_said_of_too_strong_crops_where_the_strongest_is_best(record):
    found = rejudged(record, area_accuracy=record.arrays["area_accuracy"][[0, 2, 1]])
    assert {name for name in found if name.startswith("crops")} == {"crops-gain"}


def test_an_augmentation_that_is_not_applied_is_red(tmp_path):
    """And all variants are then equal to the last bit: nothing but the augmentation changes between them."""
    off = lambda source, names: source.replace("size, (area, 1)", "size, (1, 1)")  # noqa: E731
    found = run(tmp_path, before=off, **SHORT | {"n_seeds": 10})
    first, *others = found.arrays["area_accuracy"]
    assert all((first == other).all() for other in others)
    wanted = {"area-classes", "crops-spread", "crops-average", "crops-worst", "crops-gain"}
    assert wanted <= red(found.claims)


def test_shuffled_labels_are_at_chance_and_red(tmp_path):
    def shuffle(source, names):
        more = "\ny = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]"
        return source + more if "x_test, y_test =" in source else source

    found = run(tmp_path, before=shuffle, n_seeds=5, n_splits=40, steps=40)
    assert abs(found.arrays["area_accuracy"].mean() - 0.1) < 0.03
    assert abs(found.arrays["ridge_accuracy"].mean() - 0.1) < 0.02
    assert {"ridge-gain", "ridge-pays", "crops-gain"} <= red(found.claims)


def test_classes_that_all_pay_the_same_are_red(record):
    accuracy = record.arrays["area_accuracy"].copy()
    noise = np.random.default_rng(0).normal(0, 0.01, accuracy[0].shape)
    accuracy[-1] = accuracy[0] - 0.03 + noise
    accuracy[1] = accuracy[0] + 0.001
    found = rejudged(record, area_accuracy=accuracy)
    assert found["area-classes"] == found["crops-spread"] == found["crops-worst"] == "not seen"
    assert found["crops-gain"] == "not seen"
    assert found["crops-average"] == "holds"


def test_a_crop_that_never_helps_is_red(record):
    accuracy = record.arrays["area_accuracy"]
    assert rejudged(record, area_accuracy=accuracy[[1, 1, 2]])["crops-gain"] == "not seen"


# The statistics


def test_classes_are_found_to_differ_when_they_do_and_at_the_rate_of_the_level_when_not():
    rng = np.random.default_rng(0)
    same = [rng.normal(0, 1, (6, 10)) + rng.normal(0, 3, (6, 1)) for _ in range(400)]
    p = np.array([judged.alike(change) for change in same])
    assert abs(np.mean(p < 0.05) - 0.05) < 0.035
    assert abs(p.mean() - 0.5) < 0.05
    change = rng.normal(0, 0.01, (6, 10))
    change[:, 3] -= 0.1
    change[:, 7] += 0.1
    assert judged.alike(change) < 1e-6
    assert np.flatnonzero(judged.changed(change)).tolist() == [3, 7]
    assert judged.changed(change)[[3, 7]].tolist() == [-1, 1]


def test_a_class_that_changes_by_the_same_count_each_time_is_not_judged():
    _, half, t, p = judged.paired(np.full((5, 2), 0.01))
    assert (t == 0).all()
    assert (p == 1).all()
    assert (half < 1e-12).all()
    assert np.isnan(judged.alike(np.zeros((5, 10))))


# Sweeps, the ResNet, checkpoints, bad input


@pytest.fixture
def colour(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x=x, y=np.arange(120) % 3)
    return {"dataset": str(tmp_path / "colour.npz"), "n_test": 60, "n_ridge": 20}


def test_the_networks_jitter_and_weight_decay_run(tmp_path, colour):
    names = run_cells(CHAPTER, tmp_path / "run", whole=True, **SHORT | colour, sweeps="all")
    arrays = names["record"].arrays
    assert arrays["jitters"].tolist() == [0, 0.4, 0.8]
    assert arrays["decays"].tolist() == [0, 5e-4, 2e-3, 8e-3]
    assert arrays["jitter_accuracy"].shape == (3, 2, 3)
    assert (arrays["jitter_accuracy"][0] == arrays["area_accuracy"][0]).all()
    assert {"jitter-classes", "decay-classes"} <= set(verdicts(names["record"].claims))
    assert len(plots.main_figure(arrays).axes) == 4 + 3


@pytest.mark.slow
def test_resnet_path_runs(tmp_path, colour, monkeypatch):
    monkeypatch.setitem(grid.AREAS, "fine", (1.0, 0.5))
    monkeypatch.setitem(grid.JITTERS, "fine", ())
    monkeypatch.setitem(grid.DECAYS, "fine", ())
    parameters = SHORT | colour | {"encoder": "resnet18", "sweeps": "fine", "flip": 0.5}
    found = run(tmp_path / "run", **parameters)
    assert found.arrays["seconds"].shape == (2, 4)
    assert found.provenance["data"]["name"] == "colour"


@pytest.mark.slow
def test_a_pause_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(grid.AREAS, "crop", (1.0, 0.5))
    whole = run(tmp_path / "whole", **SHORT)
    found = in_parts(run, tmp_path / "parts", **SHORT)
    np.testing.assert_array_equal(found.arrays["area_accuracy"], whole.arrays["area_accuracy"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_test": 1797}, "n_test=1797: this leaves 0 of the 1797 images of digits"),
        ({"n_images": 601}, "n_images=601"),
        ({"batch_size": 301}, "batch_size=301"),
        ({"n_ridge": 1797}, "n_ridge=1798"),
        ({"sweeps": "all"}, "digits are grey"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(wrong, message):
    with pytest.raises(InputError, match=message):
        CHAPTER.parse(wrong).check(data.find("digits"))

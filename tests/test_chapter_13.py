"""Chapter 13: its claims hold where it was trained, and planted faults turn them red."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from notebook_cells import in_parts, red, rerun, run_cells, verdicts

from ssltheory.book import claims, records, registry
from ssltheory.chapters.guillotine import experiment
from ssltheory.errors import InputError
from ssltheory.measure import probes
from ssltheory.models import encoders
from ssltheory.theory import guillotine as theory

CHAPTER = registry.find("13-guillotine")
SMALLER = {"n_seeds": 2, "width": 48, "steps": 200}
SHORT = {"labels-lost", "supervised-lost"}  # 200 steps do not close these gaps, 600 do
NETWORKS = (
    "def images",
    "def together",
    "def readout",
    "ends = ",
    "def for_each_seed",
    "def pixels",
)
FEWER = {"n_seeds": 1, "width": 32, "n_images": 300, "n_test": 200, "steps": 200, "sweeps": "none"}


@pytest.fixture(scope="module")
def names(folder):
    return run_cells(CHAPTER, folder, **SMALLER)


@pytest.fixture(scope="module")
def record(names):
    return names["record"]


@pytest.fixture
def again(names, tmp_path):
    """The cells once more, all but the linear head."""

    def run(out=tmp_path, **parameters):
        return rerun(names, out, *NETWORKS, **parameters)["record"]

    return run


def judged(record, **arrays):
    return claims.evaluate(CHAPTER.id, record.arrays | arrays, record.parameters)


# What the chapter claims


def test_only_claims_of_no_loss_may_be_missed_where_training_is_short(record):
    assert red(record.claims) <= SHORT, record.claims
    assert {"style-lost", "turned-lost", "span-ratio", "linear"} <= verdicts(record.claims).keys()


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_sweeps_share_the_main_runs(record):
    arrays = record.arrays
    cut = arrays["layers"].tolist().index("trunk")
    for name, method in (("rotation", 0), ("covariance", 1)):
        at = arrays[f"{name}_values"].tolist().index(float(getattr(record.parameters, name)))
        assert np.array_equal(arrays[name][at], arrays["measured"][method][:, [cut, -1]])


def test_networks_that_were_hardly_trained_decide_nothing(record):
    few = record.parameters.model_copy(update={"steps": 30})
    found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, few))
    assert {name for name, verdict in found.items() if verdict != "undecided"} == {
        "control",
        "linear",
    }


# Planted faults


def test_output_features_taken_from_the_backbone_are_red(record):
    cut = record.arrays["layers"].tolist().index("trunk")
    measured = record.arrays["measured"].copy()
    measured[:, :, -1] = measured[:, :, cut]
    sweeps = {}
    for name in ("rotation", "covariance"):
        sweeps[name] = record.arrays[name].copy()
        sweeps[name][:, :, 1] = sweeps[name][:, :, 0]
    found = red(judged(record, measured=measured, **sweeps))
    assert found == {*("style-lost", "simclr-lost", "image-pairs", "turned-lost", "span-ratio")}


def test_losing_on_label_pairs_what_simclr_loses_is_red(record):
    measured = record.arrays["measured"].copy()
    measured[2:] = measured[0]
    found = red(judged(record, measured=measured))
    assert {"labels-lost", "supervised-lost", "image-pairs"} <= found


def test_a_cut_at_the_wrong_layer_is_red(monkeypatch, again):
    right = experiment.cuts
    monkeypatch.setattr(experiment, "cuts", lambda net: [*right(net)[:-1], "trunk"])
    found = verdicts(again(**FEWER).claims)
    assert found["style-lost"] == found["simclr-lost"] == "not seen"


def test_label_pairs_in_the_place_of_image_pairs_are_red(monkeypatch, again):
    right = experiment.views

    def by_label(x, y, variants, batch_size):
        return right(x, y, [replace(v, method="labels") for v in variants], batch_size)

    monkeypatch.setattr(experiment, "views", by_label)
    parameters = SMALLER | {"n_seeds": 1, "sweeps": "none"}
    assert "image-pairs" in red(again(**parameters).claims)


def test_a_control_whose_labels_are_not_shuffled_is_red(monkeypatch, again):
    monkeypatch.setattr(torch, "randperm", lambda n, **more: torch.arange(n))
    assert "control" in red(again(**FEWER).claims)


def control(record, clusters, seed=0):
    """The control's verdict where the features are clusters, one a class."""
    z, y = clusters
    found = experiment.shuffled_probe(z[:400], y[:400], z[400:], y[400:], seed=seed)
    shape = 4, 1, 2, len(found)
    return verdicts(judged(record, shuffled=np.broadcast_to(found.numpy(), shape)))["control"]


@pytest.fixture
def clusters():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(600).remainder(10)[torch.randperm(600, generator=generator)]
    centres, noise = (torch.randn(n, 16, generator=generator) for n in (10, 600))
    return centres[y] + 0.3 * noise, y


def test_a_control_that_finds_nothing_seldom_turns_red(record, clusters):
    found = [control(record, clusters, seed) for seed in range(100)]
    assert found.count("fails") <= 1


def test_a_control_that_shuffles_half_of_the_labels_is_red(record, clusters, monkeypatch):
    def half(n, generator):
        order = torch.arange(n)
        order[::2] = order[::2][right(len(order[::2]), generator=generator)]
        return order

    right = torch.randperm
    monkeypatch.setattr(torch, "randperm", half)
    assert control(record, clusters) == "fails"


def test_probes_on_shuffled_labels_find_no_gap(monkeypatch, again):
    right = probes.ridge_probe

    def shuffled(z_train, y_train, z_test, y_test, **more):
        order = torch.randperm(len(y_train), generator=torch.Generator().manual_seed(3))
        return right(z_train, y_train[order], z_test, y_test, **more)

    monkeypatch.setattr(probes, "ridge_probe", shuffled)
    found = again(**FEWER)
    assert abs(found.arrays["measured"][..., 0].mean() - 0.1) < 0.04
    assert "backbone" in red(found.claims)


def test_another_factor_in_the_linear_head_is_red(record, monkeypatch):
    right = theory.head_r2
    monkeypatch.setattr(theory, "head_r2", lambda theta, rho, s: right(theta, 2 * rho, s))
    assert red(judged(record)) - SHORT == {"linear"}


# The larger path, and what is refused


@pytest.fixture
def instead(monkeypatch):
    """A small network in the place of the ResNet, on its path."""
    monkeypatch.setattr(encoders, "resnet", lambda d, stem, c: encoders.small_conv(c, (4, 8)))


@pytest.mark.slow
def test_a_pause_on_the_path_of_the_resnet_changes_nothing(again, instead, tmp_path):
    small = {"encoder": "resnet18", "n_images": 40, "n_test": 30, "width": 8, "dim": 8}
    small |= {"batch_size": 4, "steps": 2, "n_seeds": 2, "sweeps": "none"}
    whole = again(tmp_path / "whole", **small)
    assert len(whole.arrays["trained"]) == 4 * 2
    parts = in_parts(again, tmp_path / "parts", **small)
    for name in set(whole.arrays) - {"seconds"}:
        np.testing.assert_array_equal(parts.arrays[name], whole.arrays[name])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": 1500}, "n_images \\+ n_test"),
        ({"batch_size": 1300}, "batch_size=1300"),
        ({"sweeps": "some"}, "sweeps"),
        ({"rotation": 200.0}, "rotation"),
    ],
)
def test_refusals(wrong, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run_cells(CHAPTER, tmp_path, **wrong)


def test_no_loss_is_not_decided_where_the_interval_holds_the_bound_nor_seen_beyond_it(record):
    measured = record.arrays["measured"].astype(float)
    cut = record.arrays["layers"].tolist().index("trunk")
    lost = np.array([-0.02, 0.04]) if measured.shape[1] == 2 else np.array([-0.02, 0.04, 0.04])
    cases = (lost, "undecided"), (0 * lost + 0.04, "not seen"), (0 * lost, "holds")
    for gap, verdict in cases:
        measured[2, :, -1, 0] = measured[2, :, cut, 0] - gap
        trained = record.parameters.model_copy(update={"steps": 600})
        arrays = record.arrays | {"measured": measured}
        assert verdicts(claims.evaluate(CHAPTER.id, arrays, trained))["labels-lost"] == verdict

"""Chapter 16: its claims hold, and planted faults turn them red."""

from functools import partial

import numpy as np
import pytest
import torch
from notebook_cells import in_parts, record_of, red, run_cells, verdicts

from ssltheory.book import claims, records, registry
from ssltheory.chapters.singular_values import experiment
from ssltheory.errors import InputError
from ssltheory.theory import singular_values as theory

CHAPTER = registry.find("16-singular-values")
SMALLER = {"n_seeds": 1, "n_draws": 8, "depth": 4, "steps": 200, "n_local": 16}
FEWER = {"dim": 64, "width": 8, "n_draws": 2, "blocks": 4, "batch_size": 16}
TRAINED = {"between", "between-he", "outputs", "early", "early-he"}


@pytest.fixture(scope="module")
def names(folder):
    return run_cells(CHAPTER, folder, **SMALLER)


@pytest.fixture(scope="module")
def record(names):
    return names["record"]


def judged(record, **arrays):
    return claims.evaluate(CHAPTER.id, record.arrays | arrays, record.parameters)


def one_matrix(names):
    """The arrays of that part, measured again with two draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(names, "n_draws", 2)
        found = names["one_matrix"](0)
    keys = ("edges", "scan", "bare", "spectra", "off")
    return {key: part[None].numpy() for key, part in zip(keys, found, strict=True)}


# What the chapter claims


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_nothing_is_claimed_where_it_is_not_meant(record):
    def of(verdict, **changed):
        parameters = record.parameters.model_copy(update=changed)
        found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, parameters))
        return {name for name, each in found.items() if each == verdict}

    assert of("outside", dim=300) == {"edges"}
    assert of("outside", width=16) == {"eccentric", "branch"}
    assert of("outside", sigma=1.0) == {"eccentric", "branch", "erratic"} | TRAINED
    assert of("undecided", steps=30) == TRAINED
    assert not of("outside", eta=-1.0)


# Planted faults


@pytest.mark.parametrize("fault", ["D", "skip"])
def test_a_matrix_without_its_parts_is_red(record, monkeypatch, fault):
    right = theory.local_matrices

    def wrong(weights, slopes, rho):
        if fault == "skip":
            return right(weights, slopes, 0.0)
        return right(weights, [torch.ones_like(d) for d in slopes], rho)

    monkeypatch.setattr(theory, "local_matrices", wrong)
    assert red(judged(record)) == {"hessian", "curvatures"}


@pytest.mark.parametrize("factor", [2**0.5, 2.0])  # He's variance 2/n and σ = 1/2 taken for 1
def test_random_matrices_of_another_size_are_red(names, record, monkeypatch, factor):
    right = names["normal"]
    monkeypatch.setitem(names, "normal", lambda *a: factor * right(*a))
    assert "edges" in red(judged(record, **one_matrix(names)))


def test_variance_without_sigma_is_red(names, record, monkeypatch):
    monkeypatch.setitem(names, "sigmas", [0.99, 0.99, 0.99])
    assert "edges" in red(judged(record, **one_matrix(names)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda right: lambda rho, sigma: right(rho, 1.1 * sigma),
        lambda right: lambda rho, sigma: right(-np.asarray(rho) + 2.2, sigma),
        lambda right: lambda rho, sigma: (1.2 * right(rho, sigma)[0], right(rho, sigma)[1]),
    ],
)
def test_other_edges_are_red(record, monkeypatch, wrong):
    monkeypatch.setattr(theory, "shifted_edges", wrong(theory.shifted_edges))
    assert red(judged(record)) == {"edges"}


def test_leaky_in_the_place_of_the_absolute_value_is_red(names, record, monkeypatch):
    monkeypatch.setitem(names["slopes_of"], "abs", 0.1)
    assert {"absolute", "activation-bounds"} <= red(judged(record, **one_matrix(names)))


def test_bounds_with_half_of_the_shift_are_red(names, record, monkeypatch):
    right = torch.linalg.eigvalsh
    monkeypatch.setattr(torch.linalg, "eigvalsh", lambda m: right(m) / 2)
    assert "shift-bounds" in red(judged(record, **one_matrix(names)))


def test_counts_and_constants_that_are_off_are_red(record, monkeypatch):
    assert red(judged(record, off=record.arrays["off"] + 1)) >= {"rank"}
    monkeypatch.setattr(theory, "mean_log_condition", lambda n: 2 * np.log(n))
    assert red(judged(record)) == {"no-skip"}


def test_branches_that_are_not_small_are_red(names, record, monkeypatch):
    right = names["sized"]
    monkeypatch.setitem(names, "sized", lambda e: right(e) | {"ResNet": right(e)["ResNet, He"]})
    deep, jumps = (record.arrays[key].copy() for key in ("deep", "jumps"))
    for k, how in enumerate(names["sized"](0.0).values()):
        deep[0, 0, k], jumps[0, 0, k] = (p.numpy() for p in names["many_layers"](0, 0.0, *how))
    assert red(judged(record, deep=deep, jumps=jumps)) == {"eccentric", "branch", "erratic"}


def test_a_slice_of_another_network_is_red(record, monkeypatch):
    right = theory.loss_along
    monkeypatch.setattr(theory, "loss_along", lambda *a: right(*a[:-3], 0.2, *a[-2:]))
    assert {"slice", "inside"} <= red(judged(record))
    smooth = record.arrays["t"] ** 2 + 0 * record.arrays["slice_loss"]
    assert {"slice", "knots"} <= red(judged(record, slice_loss=smooth))


def test_networks_that_trade_places_are_red(record):
    between, outputs, accuracy = (record.arrays[k] for k in ("between", "outputs", "accuracy"))
    swapped = {"between": between[[1, 0, 2]], "outputs": outputs[[1, 0, 2]]}
    found = red(judged(record, **swapped, accuracy=accuracy[[1, 0, 2]]))
    assert found >= {"between", "outputs", "early"}
    found = red(judged(record, between=between[[0, 2, 2]], accuracy=accuracy[[0, 2, 2]]))
    assert found >= {"between-he", "early-he"}


def test_networks_whose_skip_is_forgotten_are_red(names, record, tmp_path, monkeypatch):
    right = experiment.network

    def wrong(x, width, depth, classes, rho, sigma, eta, seed):
        return right(x, width, depth, classes, 0.0, 2**0.5, eta, seed)

    monkeypatch.setattr(experiment, "network", wrong)
    found = run_cells(CHAPTER, tmp_path, **SMALLER | FEWER)["record"]
    assert red(found.claims) - {"no-skip"} == TRAINED


def test_a_matrix_of_another_network_is_not_affine(names, record, monkeypatch):
    right = experiment.local_matrices
    monkeypatch.setattr(experiment, "local_matrices", lambda net, x, **k: 1.1 * right(net, x, **k))
    affine = [experiment.affine_error(names["nets"][0], names["first"][0])]
    assert red(judged(record, affine=np.array(affine))) == {"affine"}


# What is refused, and the larger path


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": 1500}, "n_images \\+ n_test"),
        ({"batch_size": 1300}, "batch_size=1300"),
        ({"n_local": 600}, "n_local=600"),
        ({"eta": 1.0}, "eta"),
        ({"sigma": 0.0}, "sigma"),
    ],
)
def test_refusals(wrong, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run_cells(CHAPTER, tmp_path, **wrong)


def test_other_sizes_run_and_draw(tmp_path):
    small = {"dim": 64, "width": 8, "depth": 8, "n_draws": 2, "n_images": 40, "n_test": 20}
    small |= {"n_local": 8, "channels": 4, "blocks": 2, "batch_size": 8, "steps": 9}
    names = run_cells(CHAPTER, tmp_path, whole=True, **small, eta=-1.0, resolution=5, n_seeds=2)
    arrays = names["record"].arrays
    assert arrays["depths"].tolist() == [1, 2, 4, 8]
    assert arrays["between"].shape == (3, 2, 4, 1)
    assert arrays["outputs"].shape == (3, 2, 4, 8)
    assert arrays["deep"].shape == (2, 3, 3, 4, 2)


@pytest.mark.slow
def test_a_run_in_parts_comes_to_the_same(tmp_path):
    small = FEWER | {"dim": 16, "depth": 4, "n_images": 40, "n_test": 20, "n_local": 8}
    small |= {"channels": 4, "blocks": 2, "batch_size": 8, "steps": 8, "n_seeds": 1}
    parts = in_parts(partial(record_of, CHAPTER), tmp_path / "parts", **small).arrays
    whole = record_of(CHAPTER, tmp_path / "whole", **small).arrays
    assert parts.keys() == whole.keys()
    for name in whole.keys() - {"seconds"}:
        assert np.array_equal(parts[name], whole[name]), name

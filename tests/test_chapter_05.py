"""Chapter 05: its claims hold as its own cells measure them, planted faults are red, the paper's path runs."""

from functools import partial

import numpy as np
import pytest
from notebook_cells import in_parts, kept_record, record_of, red

from ssltheory import data
from ssltheory.book import claims, registry
from ssltheory.chapters.eigenspace_alignment import claims as judged
from ssltheory.errors import InputError
from ssltheory.theory import directpred

CHAPTER = registry.find("05-eigenspace-alignment")
SMALL = {"batch_size": 32, "dim": 32}  # beside that the quick run
SHORT = {"steps": 4, "batch_size": 8, "n_probe": 40, "dim": 16, "width": 16}
run = partial(record_of, CHAPTER, **SMALL)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALL)


def rejudged(record, **changed):
    return red(claims.evaluate(CHAPTER.id, record.arrays | changed, record.parameters))


def test_every_claim_holds(record):
    assert {claim.verdict for claim in record.claims} == {"holds"}, record.claims
    assert len(record.claims) == 12


def test_figures_draw_what_the_record_holds(record):
    from ssltheory.book import figures
    from ssltheory.chapters.eigenspace_alignment import figures as plots

    assert len(figures.draw(CHAPTER, record.arrays).axes) == 6
    assert len(plots.summary(record.arrays).axes) == 4
    assert len(plots.linear(record.arrays).axes) == 3


def test_active_modes_are_aligned_and_the_symmetric_start_is_honest(record):
    a = judged.mean_alignment(record.arrays)
    assert np.abs(a[..., 0]).max() < 0.15
    assert record.arrays["asymmetry"][judged.SYMMETRIC].max() < 1e-6
    assert (record.arrays["off_diagonal"][..., -1] < record.arrays["off_diagonal"][..., 0]).all()


# Planted faults


def test_eigenvectors_in_the_wrong_order_are_red(record):
    found = rejudged(record, a=record.arrays["a"][..., ::-1])
    assert "aligned-regular" in found


def test_a_predictor_that_does_not_learn_is_red(tmp_path):
    found = red(run(tmp_path, alpha_p=1e-9, lr=0.1, steps=300).claims)
    assert "aligned-regular" in found


def test_an_asymmetry_that_stays_is_red(record):
    stays = {name: record.arrays[name][..., :1] for name in ("asymmetry", "norm")}
    stays = {name: start + 0 * record.arrays[name] for name, start in stays.items()}
    assert rejudged(record, **stays) == {"asymmetry-end", "asymmetry-falls"}


def test_a_tied_start_passed_as_regular_is_red(record):
    symmetric = record.arrays["asymmetry"][[judged.SYMMETRIC, judged.SYMMETRIC]] + 1e-6
    assert "asymmetry-start" in rejudged(record, asymmetry=symmetric)


def test_theorem_1_without_the_predictors_rate_is_red(record, monkeypatch):
    right = directpred.balance
    fault = lambda w, w_p, t, eta, alpha_p: right(w, w_p, t, eta)  # noqa: E731
    monkeypatch.setattr(directpred, "balance", fault)
    assert rejudged(record) == {"linear-balance"}


def test_a_rate_of_theorem_3_that_is_too_fast_is_red(record, monkeypatch):
    right = directpred.commutator_decay
    monkeypatch.setattr(directpred, "commutator_decay", lambda *z, **rest: 3 * right(*z, **rest))
    assert rejudged(record) == {"linear-commutator"}


def test_an_unsymmetrised_flow_passed_as_symmetric_is_red(record):
    swapped = {f"linear_{name}": record.arrays[f"linear_{name}"][[0, 0]] for name in ("w", "w_p")}
    assert "linear-commutes" in rejudged(record, **swapped)


def test_the_wrong_views_of_f_are_red(record):
    f = record.arrays["linear_w"]
    shuffled = f[..., np.random.default_rng(0).permutation(f.shape[-2]), :]
    assert {"linear-balance", "linear-aligned"} <= rejudged(record, linear_w=shuffled)


# The paper's path: ResNet, standard augmentations, checkpoints


@pytest.fixture
def colour(tmp_path):
    """Random colour images, 32 pixels a side, as a data set of one's own."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x=x, y=np.arange(40) % 10)
    return str(tmp_path / "colour.npz")


@pytest.mark.slow
@pytest.mark.parametrize(("augment", "average"), [("cifar10", 0.996), ("stl10", 0.0)])
def test_resnet_path_runs(colour, tmp_path, augment, average):
    parameters = {"encoder": "resnet18", "augment": augment, "size": 16, "average": average}
    record = run(tmp_path / "run", dataset=colour, **SHORT | parameters | {"steps": 1})
    assert record.arrays["s"].shape == (2, 1, 2, 16)
    assert record.provenance["data"]["name"] == "colour"


@pytest.mark.slow
def test_a_pause_changes_nothing(tmp_path):
    whole = run(tmp_path / "whole", **SHORT)
    record = in_parts(run, tmp_path / "parts", **SHORT)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(record.arrays[name], array, err_msg=name)


# The notebook and its parameters


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": 5000}, "n_images=5000: digits has 1438"),
        ({"n_images": 60, "batch_size": 61}, "batch_size=61: there are only 60"),
        ({"average": 1.0}, "average=1.0"),
        ({"augment": "crops"}, "augment=crops"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(wrong, message):
    with pytest.raises(InputError, match=message):
        CHAPTER.parse(wrong).check(data.find("digits"))

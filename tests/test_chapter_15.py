"""Chapter 15: its claims hold as its own cells measure them, planted faults are red, and convolutions run."""

from functools import partial

import numpy as np
import pytest
import torch
from notebook_cells import in_parts, kept_record, record_of, red, run_cells, verdicts

from ssltheory import data
from ssltheory.book import claims, records, registry
from ssltheory.chapters.batch_norm_partitions import claims as judged, experiment, figures as plots
from ssltheory.errors import InputError, RunError
from ssltheory.theory import splines

CHAPTER = registry.find("15-batch-norm-partitions")
SMALLER = {"n_seeds": 2, "steps": 200, "n_nets": 24, "n_moons": 5}
TRAINING = {"init-default", "init-faster", "init-faster-he", "init-gap-torch", "init-gap-he"}
DEEP = {"density-bn", "density-none", "density-he", "init-default", "init-gap-torch"}
FOLDED = experiment.fold_  # as it is before a fault is planted


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALLER)


def plain(value):
    if isinstance(value, list | tuple):
        return np.stack([plain(each) for each in value])
    return np.asarray(value)


@pytest.fixture
def again(record, tmp_path):
    """Claims on the record's arrays, those of the cells that hold one of these texts measured anew."""

    def run(*cells, **parameters):
        kept = ("dataset: str", "records.begin", *cells)

        def before(source, names):
            return source if any(text in source for text in kept) else ""

        names = run_cells(CHAPTER, tmp_path, before=before, **SMALLER | parameters)
        fresh = {name: plain(value) for name, value in names["arrays"].items()}
        return claims.evaluate(CHAPTER.id, record.arrays | fresh, record.parameters)

    return run


def rejudged(record, **changed):
    return red(claims.evaluate(CHAPTER.id, record.arrays | changed, record.parameters))


# What the chapter claims


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims
    assert {"offset-bn", "cells-bn", "jitter", "density-rises", "margin"} <= verdicts(
        record.claims
    ).keys()


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_figures_and_table(record):
    assert len(plots.main_figure(record.arrays).axes) == 8
    assert len(plots.geometry_figure(record.arrays).axes) == 6
    assert len(plots.training_figure(record.arrays).axes) == 7
    assert len(plots.table(record.arrays).splitlines()) == 2 + 5


def test_the_untrained_network_with_batchnorm_and_the_folded_one_are_one():
    x = torch.rand(50, 1, 8, 8)
    sizes = "mlp", (1, 8, 8), 4, 16, 10, 0.1
    full = experiment.network(*sizes, batch_norm=True, seed=3).train()
    full(x)
    folded = experiment.fold_(experiment.network(*sizes, seed=3), x)
    torch.testing.assert_close(full(x), folded(x), rtol=1e-3, atol=1e-3)


def test_few_layers_units_and_steps_are_not_judged(record):
    def of(verdict, **changed):
        parameters = record.parameters.model_copy(update=changed)
        found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, parameters))
        return {name for name, each in found.items() if each == verdict}

    assert of("outside", depth=5) == DEEP
    assert of("undecided", steps=20) == TRAINING | {"density-trained"}
    assert of("undecided", dim=16) == {
        *("density-rises", "density-bn", "density-none", "density-he"),
    }
    assert "margin" in of("undecided", moon_steps=30)


# Planted faults


def test_forgetting_to_centre_is_red(again, monkeypatch):
    monkeypatch.setattr(experiment, "fold_", partial(FOLDED, centre=None))
    found = red(again("def cloud", "def exact", "def bent"))
    assert {"offset-bn", "variance-bn", "cells-bn", "cells-scale"} <= found


def test_centring_by_the_median_is_red(again, monkeypatch):
    def by_median(net, x, centre=experiment.mean, scale=True):
        return FOLDED(net, x, centre and (lambda h: h.median(0).values), scale)

    monkeypatch.setattr(experiment, "fold_", by_median)
    assert red(again("def exact")) == {"offset-bn", "variance-bn"}


def test_the_unbiased_variance_is_red(again, monkeypatch):
    right = torch.Tensor.std
    monkeypatch.setattr(torch.Tensor, "std", lambda h, *axes, **_: right(h, *axes))
    assert red(again("def exact")) == {"variance-bn"}


def test_one_over_b_is_red(record, monkeypatch):
    right = splines.jitter
    monkeypatch.setattr(splines, "jitter", lambda size, n=None: right(size, n) ** 2)
    assert rejudged(record) == {"jitter"}


@pytest.mark.parametrize("fault", ["slope", "sigma"])
def test_a_fold_without_its_factor_is_red(again, monkeypatch, fault):
    right = splines.fold

    def wrong(w_out, w, sigma, slope):
        if fault == "slope":
            return right(w_out, w, sigma, 0.0)
        return right(w_out, w, torch.ones_like(sigma), slope)

    monkeypatch.setattr(splines, "fold", wrong)
    assert red(again("def cloud", "def bent", n_nets=1)) == {"fold"}


def test_networks_that_are_not_folded_are_red(again, monkeypatch):
    monkeypatch.setattr(experiment, "fold_", lambda net, x, **_: net)
    found = red(again("def images", "def at_the_start"))
    assert {"offset-bn", "variance-bn", "density-rises", "density-bn", "density-he"} <= found


def test_groups_that_are_never_redrawn_are_red(again, monkeypatch):
    monkeypatch.setattr(experiment, "GROUPS", (256, 8))
    right = experiment.train_ghost
    monkeypatch.setattr(experiment, "train_ghost", lambda *args: right(*args[:7], False))
    assert {"margin", "margin-control"} & red(again("def ghost"))


def test_cells_of_other_networks_are_red(record):
    counts = record.arrays["counts"]
    assert rejudged(record, counts=counts[:, [3, 1, 2, 3]]) == {"cells-bn"}
    assert rejudged(record, counts=counts[:, [0, 1, 3, 3]]) == {"cells-scale"}


def test_a_start_that_is_no_better_is_red(record):
    bn, none = (
        (judged.TRAINED.index("bn") + 5 * k for k in (0, 1)),
        (judged.TRAINED.index("none") + 5 * k for k in (0, 1)),
    )
    loss, accuracy = record.arrays["loss"].copy(), record.arrays["accuracy"].copy()
    for a, b in zip(bn, none, strict=True):
        loss[a], accuracy[a] = loss[b], accuracy[b]
    found = rejudged(record, loss=loss, accuracy=accuracy)
    assert found == {"init-faster", "init-faster-he", "init-gap-torch"}


def trained(name: str, init: str = "torch") -> int:
    return experiment.INITS.index(init) * len(experiment.TRAINED) + experiment.TRAINED.index(name)


#: What a claim is about, exchanged with what it is held against.
EXCHANGED = {
    "offset-none": ("exact_none", lambda a: a["exact_bn"]),
    "offset-median": ("exact_median", lambda a: a["exact_bn"]),
    "cells-centre": ("counts", lambda a: a["counts"][:, [0, 3, 2, 1]]),
    "density-none": ("density", lambda a: a["density"][::-1]),
    "density-trained": (
        "trained_density",
        lambda a: np.stack([a["density"][judged.FOLDED.index("bn")]] * len(a["trained_density"])),
    ),
    "init-default": ("loss", lambda a: a["loss"][[trained("bn")] * len(a["loss"])]),
    "init-gap-he": ("accuracy", lambda a: a["accuracy"][[0, 1, 2, 3, 4, 0, 6, 7, 8, 9]]),
    "margin": ("margin", lambda a: a["margin"][::-1]),
    "margin-training": ("margin", lambda a: a["margin"][::-1]),
}


@pytest.mark.parametrize("name", EXCHANGED)
def test_what_is_exchanged_is_red(record, name):
    key, exchange = EXCHANGED[name]
    assert name in rejudged(record, **{key: exchange(record.arrays)})


def test_a_test_accuracy_that_is_gained_is_red(record):
    margin = record.arrays["margin"].copy()
    margin[-1, 2] = margin[0, 2] + 0.006
    assert rejudged(record, margin=margin) == {"margin-test"}


# The larger path, and what is refused


@pytest.fixture
def colour(tmp_path):
    """The larger path on 300 small colour images."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x=x, y=np.arange(300) % 3)
    small = {"dataset": str(tmp_path / "colour.npz"), "encoder": "conv", "depth": 3, "dim": 4}
    small |= {"n_images": 220, "n_test": 40, "points": 5, "directions": 2, "steps": 2}
    return small | {"batch_size": 8, "n_nets": 2, "n_moons": 2, "moon_steps": 30}


@pytest.mark.slow
def test_convolutions_run(colour, tmp_path):
    found = record_of(CHAPTER, tmp_path / "run", **colour, n_seeds=2)
    assert found.arrays["density"].shape == (8, 2, 2, 3)
    assert found.arrays["loss"].shape == (10, 2, 2)
    decided = verdicts(found.claims)
    assert {decided[name] for name in DEEP} == {"outside"}
    assert {decided[name] for name in TRAINING - DEEP | {"cells-bn", "margin"}} == {"undecided"}


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "n_seeds"), [("conv", 1), ("mlp", 2)])
def test_a_run_in_parts_comes_to_the_same(colour, tmp_path, encoder, n_seeds):
    chosen = colour | {"encoder": encoder, "n_seeds": n_seeds}
    parts = in_parts(partial(record_of, CHAPTER), tmp_path / "parts", **chosen).arrays
    whole = record_of(CHAPTER, tmp_path / "whole", **chosen).arrays
    assert parts.keys() == whole.keys()
    for name in whole.keys() - {"seconds"}:
        assert np.array_equal(parts[name], whole[name]), name


def test_a_network_that_says_the_same_everywhere_is_a_failed_run():
    net = experiment.GhostNet((2, 4, 1), [0])
    with torch.no_grad():
        net.shifts[-1] += 100
    low, high = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])
    with pytest.raises(RunError, match="no decision boundary"):
        experiment.decision_boundary(net, net.statistics(torch.randn(1, 20, 2)), low, high, 20)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": 1500}, "n_images \\+ n_test=1897"),
        ({"batch_size": 1500}, "batch_size=1500"),
        ({"points": 400}, "points=400: there are only 397 test images"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(wrong, message):
    with pytest.raises(InputError, match=message):
        CHAPTER.parse(wrong).check(data.find("digits"))

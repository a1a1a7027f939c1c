"""Chapter 11: its claims hold as its own cells measure them, planted faults are red, every variant runs."""

from functools import partial

import numpy as np
import pytest
from notebook_cells import in_parts, kept_record, record_of, red, verdicts

from ssltheory import data, losses
from ssltheory.book import claims, registry, scales
from ssltheory.errors import InputError
from ssltheory.models import encoders
from ssltheory.theory import independence

CHAPTER = registry.find("11-pairwise-independence")
SMALL = {"n_probe": 150, "steps": 200, "n_labels": 300, "batch_size": 32}
SMALL |= {"hidden": 64, "dim": 32, "narrow": 32, "wide": 512}
TINY = scales.values(CHAPTER, "tiny") | {"steps": 2, "n_probe": 40, "n_samples": 200}
run = partial(record_of, CHAPTER, **SMALL)
tiny = partial(record_of, CHAPTER, **TINY)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALL)


def rejudged(record, **changed):
    return red(claims.evaluate(CHAPTER.id, record.arrays | changed, record.parameters))


def test_every_claim_holds(record):
    found = verdicts(record.claims)
    assert found.pop("fall") == "not seen", "digits do not show it"
    assert set(found.values()) == {"holds"}, record.claims
    assert len(found) == 16


def test_figures_and_table(record):
    from ssltheory.book import figures
    from ssltheory.chapters.pairwise_independence import figures as plots

    assert len(figures.draw(CHAPTER, record.arrays).axes) == 2
    assert len(plots.second_figure(record.arrays).axes) == 3
    table = plots.table(record.arrays)._repr_markdown_()
    assert len(table.splitlines()) == 2 + 11


def test_trained_networks_are_judged_with_their_interval(record):
    """Ratios 0.5 to 0.9 of five repetitions: mean 0.7, half-width t(0.975, 4) × 0.158 / √5 = 0.196."""
    names = record.arrays["names"].tolist()
    five = np.repeat(record.arrays["dependence"], 5, axis=1)
    five[names.index("random_narrow"), :, -1, 0] = 1.0
    five[names.index("random_wide"), :, -1, 0] = [0.5, 0.6, 0.7, 0.8, 0.9]
    arrays = record.arrays | {"dependence": five}
    found = {c.id: c for c in claims.evaluate(CHAPTER.id, arrays, record.parameters)}
    assert (found["width"].measured, found["width"].half) == pytest.approx((0.7, 0.1963), abs=1e-3)
    assert found["width"].verdict == "undecided"


def test_few_steps_and_few_samples_decide_nothing(record):
    def of(verdict, **changed):
        parameters = record.parameters.model_copy(update=changed)
        found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, parameters))
        return {name for name, each in found.items() if each == verdict}

    trained = {"width", "covariance", "weight", "light", "rise", "fall"}
    assert of("undecided", steps=20) == trained
    assert of("undecided", n_samples=500) == {"angle", "ica-correlation", "ica-amari"}
    assert of("outside", area=1.0) == {"light", "rise"}


# Planted faults


@pytest.fixture
def again(record, tmp_path):
    """The tiny run with some of the notebook's functions called anew, and what the record holds for the others."""
    arrays, place = record.arrays, record.arrays["names"].tolist().index

    def trained(job):
        held = [arrays[name] for name in ("dependence", "accuracy", "seconds")]
        return [(member, *(part[place(member[0]), 0] for part in held)) for member in job]

    held = {"trained": trained, "separate": lambda s: arrays["ica"][0]}
    held["scan"] = lambda s: arrays["scan"][0]
    held["lemma"] = lambda s: {name: arrays[name][0] for name in ("lemma", "rff", "xor")}

    def run(*anew, change=lambda source: source, **parameters):
        def before(source, names):
            if "run.save(" in source:
                names.update({name: call for name, call in held.items() if name not in anew})
            return change(source)

        if "trained" not in anew:
            parameters["steps"] = record.parameters.steps
        return tiny(tmp_path, before=before, **parameters)

    return run


def test_a_dropped_covariance_term_is_red(again, monkeypatch):
    right = losses.vicreg
    monkeypatch.setattr(
        losses, "vicreg", lambda a, b, covariance: right(a, b, covariance=0.0 * covariance)
    )
    found = red(again("trained", steps=100, n_probe=60).claims)
    assert {"covariance"} <= found
    assert {"width", "weight"} & found


def test_the_projectors_output_in_the_place_of_the_representation_is_red(again):
    def planted(source):
        return source.replace("embed(model[0], probe", "embed(model, probe")

    assert "layer" in red(again("trained", change=planted).claims)


def test_shuffled_rows_are_red(again, monkeypatch):
    right = independence.mean_dependence

    def shuffled(z, *a):
        rng = np.random.default_rng(0)
        return right(encoders.torch.stack([c[rng.permutation(len(c))] for c in z.mT], 1), *a)

    monkeypatch.setattr(independence, "mean_dependence", shuffled)
    assert {"width", "covariance", "rise"} <= red(again("trained", steps=100, n_probe=60).claims)


def test_a_linear_projector_in_the_separation_is_red(again, monkeypatch):
    monkeypatch.setattr(
        independence, "random_projector", lambda *a, **k: lambda x: x.double()[..., None]
    )
    found = red(again("lemma", "scan", "separate", n_samples=1000).claims)
    assert {"contrast", "ica-correlation", "ica-amari", "fourier"} <= found


def test_a_penalty_that_is_not_hsic_is_red(again, monkeypatch):
    right = independence.covariance_penalty
    monkeypatch.setattr(independence, "covariance_penalty", lambda *z: 1.01 * right(*z))
    assert "lemma-1" in red(again("lemma").claims)


# All variants, the paper's path, checkpoints


def test_every_variant_is_its_own_and_stacked_seeds_are_what_they_are_alone(tmp_path):
    record = tiny(tmp_path / "all", variants="all", n_seeds=2)
    found = record.arrays["dependence"][..., -1, 0]
    assert found.shape == (13, 2)
    assert len(np.unique(found)) == 26
    assert (record.arrays["seconds"] > 0).all()
    assert np.ptp(record.arrays["dependence"][:, :, 0, 0], axis=0).max() < 1e-6, "one start"


@pytest.fixture
def colour(tmp_path):
    """The paper's path on 60 small colour images."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x=x, y=np.arange(60) % 10)
    small = {"narrow": 4, "wide": 32, "batch_size": 4, "n_labels": 20, "n_samples": 100}
    settings = {"encoder": "resnet18", "augment": "cifar10", "steps": 1, "n_probe": 20}
    return settings | small | {"dataset": str(tmp_path / "colour.npz")}


@pytest.mark.slow
def test_resnet_path_runs(tmp_path, colour):
    record = tiny(tmp_path / "run", **colour)
    assert record.arrays["dependence"].shape[:2] == (11, 1)
    assert record.arrays["dim"] == 512


@pytest.mark.slow
def test_a_pause_changes_nothing(tmp_path, monkeypatch, colour):
    net = lambda depth, stem, channels: encoders.small_conv(channels, (8, 512))  # noqa: E731
    monkeypatch.setattr(encoders, "resnet", net)
    whole = tiny(tmp_path / "whole", **colour)
    record = in_parts(tiny, tmp_path / "parts", **colour)
    np.testing.assert_array_equal(record.arrays["dependence"], whole.arrays["dependence"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"n_labels": 5000},
            "n_labels=5000: there are only 1438 labelled training images in digits",
        ),
        ({"batch_size": 5000}, "batch_size=5000"),
        ({"wide": 100}, "wide=100 must be at least"),
        ({"variants": "some"}, "variants=some"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(wrong, message):
    with pytest.raises(InputError, match=message):
        CHAPTER.parse(wrong).check(data.find("digits"))

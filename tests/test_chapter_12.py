"""Chapter 12: its claims hold as its own cells measure them, planted faults are red, the ResNet's path runs."""

from functools import partial

import numpy as np
import pytest
import torch
from notebook_cells import in_parts, kept_record, record_of, red, verdicts

from ssltheory import data
from ssltheory.book import claims, figures, registry, scales
from ssltheory.chapters.what_we_maximise import experiment, figures as plots
from ssltheory.errors import InputError
from ssltheory.models import encoders
from ssltheory.theory import information

CHAPTER = registry.find("12-what-we-maximise")
SMALL = {"n_seeds": 1, "n_points": 100, "n_probe": 24, "n_affine": 3}
TINY = scales.values(CHAPTER, "tiny") | {"steps": 2, "n_affine": 2}
run = partial(record_of, CHAPTER, **SMALL)
tiny = partial(record_of, CHAPTER, **TINY)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALL)


def rejudged(record, **changed):
    return red(claims.evaluate(CHAPTER.id, record.arrays | changed, record.parameters))


def test_every_claim_holds(record):
    found = verdicts(record.claims)
    assert set(found.values()) == {"holds"}, record.claims
    assert len(found) == 14


def test_figures_and_table(record):
    assert len(figures.draw(CHAPTER, record.arrays).axes) == 4
    assert len(plots.second_figure(record.arrays).axes) == 4
    lines = plots.table(record.arrays)._repr_markdown_().splitlines()
    assert len(lines) == 2 + 4 + 2


def test_trained_networks_are_judged_with_their_interval(record):
    """Shares 0.1 to 0.5 of five repetitions: mean 0.3, half-width t(0.975, 4) × 0.158 / √5 = 0.196."""
    five = np.repeat(record.arrays["normality"], 5, axis=1)
    five[:, :, :, 2] = 0.01
    five[0, :, 8, 2] = [0.1, 0.2, 0.3, 0.4, 0.5]
    arrays = record.arrays | {"normality": five}
    found = {c.id: c for c in claims.evaluate(CHAPTER.id, arrays, record.parameters)}
    assert found["rejected"].measured == pytest.approx(100 * (0.3 - 0.1963) / 1, rel=1e-3)
    assert found["contrast"].measured == found["rejected"].measured


def test_few_p_values_and_short_training_decide_little(record):
    def of(verdict, **changed):
        parameters = record.parameters.model_copy(update=changed)
        found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, parameters))
        return {name for name, each in found.items() if each == verdict}

    assert of("undecided", n_probe=5) == {"null-mean", "null-share", "rejected", "contrast"}
    assert of("undecided", steps=20) == {"rejected", "contrast", "excess"}
    assert of("undecided", n_draws=100) == {"noise"}
    assert of("outside", read_noise=2.0) == {"excess"}
    assert of("outside", sigma=0.1) == {"noise"}


# Planted faults in what was measured


def test_an_untrained_network_in_the_place_of_the_trained_one_is_red(record):
    swapped = record.arrays["normality"].copy()
    swapped[0] = swapped[-1]
    assert rejudged(record, normality=swapped) == {"rejected", "contrast"}


@pytest.mark.parametrize("mean", [0.45, 0.9])
def test_p_values_that_are_not_uniform_are_red(record, mean):
    shifted = record.arrays["normality"].copy()
    shifted[1, :, :3, 0] = mean
    assert rejudged(record, normality=shifted) == {"null-mean"}


def test_a_test_that_never_rejects_is_red(record):
    never = record.arrays["normality"].copy()
    never[2, :, :, 2] = 0.0
    assert "null-share" in rejudged(record, normality=never)


# Planted faults in the code that measures


def test_testing_across_images_in_the_place_of_noise_is_red(tmp_path, monkeypatch):
    everything = data.load("digits", "train").x.double() / 255

    def across(model, x, sigma, n_draws, generator):
        images = everything[:n_draws].to(x.dtype)
        return encoders.embed(model, images + sigma * torch.randn(images.shape))

    monkeypatch.setattr(experiment, "respond", across)
    found = red(tiny(tmp_path, n_probe=50, dim=24, n_draws=256).claims)
    assert {"null-mean", "null-share"} <= found


def test_the_covariance_with_another_constant_is_red(tmp_path, monkeypatch):
    right = information.linearised_covariance
    for module in (information, experiment):
        monkeypatch.setattr(module, "linearised_covariance", lambda j, s: 1.2 * right(j, s))
    assert {"covariance", "noise"} <= red(tiny(tmp_path, n_draws=512).claims)


def test_the_jacobian_of_another_image_is_red(tmp_path, monkeypatch):
    right = experiment.jacobians
    monkeypatch.setattr(experiment, "jacobians", lambda model, x: right(model, x).roll(1, -3))
    assert {"affine", "covariance"} <= red(tiny(tmp_path).claims)


def test_counting_every_draw_as_inside_its_region_is_red(tmp_path, monkeypatch):
    right = experiment.regions

    def one_region(model, x):
        z, on = right(model, x)
        return z, torch.ones_like(on)

    monkeypatch.setattr(experiment, "regions", one_region)
    assert red(tiny(tmp_path).claims) == {"affine"}


def test_logdet_without_the_noise_variance_is_red(tmp_path, monkeypatch):
    right = information.logdet_entropy
    monkeypatch.setattr(information, "logdet_entropy", lambda means, s: right(means, s / 3))
    assert {"bounds", "split"} <= red(tiny(tmp_path).claims)


@pytest.mark.parametrize("which", [0, 1])
def test_a_pairwise_bound_with_the_others_factor_is_red(tmp_path, monkeypatch, which):
    right = information.pairwise_entropy_bounds
    monkeypatch.setattr(
        information, "pairwise_entropy_bounds", lambda means, s: 2 * (right(means, s)[which],)
    )
    assert "bounds" in red(tiny(tmp_path).claims)


def test_another_factor_of_the_covariance_term_is_red(tmp_path, monkeypatch):
    right = information.entropy_split

    def doubled(covariance):
        variances, correlations, second = right(covariance)
        return variances, correlations, 2 * second

    monkeypatch.setattr(information, "entropy_split", doubled)
    found = red(tiny(tmp_path).claims)
    assert found == {"second-order", "second-order-network"}


# The larger path, pauses, and what is refused


@pytest.fixture
def colour(tmp_path, monkeypatch):
    """The paper's path on 60 small colour images, with a small network in the place of the ResNet."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x=x, y=np.arange(60) % 10)
    monkeypatch.setattr(encoders, "resnet", lambda d, stem, c: encoders.small_conv(c, (4, 24)))
    paper = scales.values(CHAPTER, "paper") | {"size": 8, "n_points": 10, "n_probe": 3}
    del paper["minutes"]
    few = {"n_affine": 2, "n_draws": 40, "dim": 4, "width": 8, "batch_size": 4, "steps": 2}
    return paper | few | {"dataset": str(tmp_path / "colour.npz")}


@pytest.mark.slow
def test_a_pause_changes_nothing(tmp_path, colour):
    whole = record_of(CHAPTER, tmp_path / "whole", **colour)
    assert whole.arrays["entropy"].shape[-1] == 5
    assert whole.arrays["outputs"] == 4
    assert verdicts(whole.claims)["affine"] == "holds"
    parts = in_parts(partial(record_of, CHAPTER), tmp_path / "parts", **colour)
    for name in ("normality", "affine", "entropy", "spread"):
        np.testing.assert_array_equal(parts.arrays[name], whole.arrays[name])


def test_batch_statistics_in_the_reading_are_red(tmp_path, colour, monkeypatch):
    right = encoders.embed
    monkeypatch.setattr(experiment, "embed", lambda *a, **k: right(*a, batch_statistics=True))
    found = record_of(CHAPTER, tmp_path / "run", **colour)
    assert "affine" in red(found.claims)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_points": 500}, "n_points=500: there are only 359 test images in digits"),
        ({"n_probe": 300}, "n_probe=300"),
        ({"n_affine": 300}, "n_affine=300"),
        ({"batch_size": 5000}, "batch_size=5000"),
        ({"encoder": "resnet18"}, "n_seeds=3: a ResNet"),
        ({"n_draws": 10}, "n_draws=10"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(wrong, message):
    with pytest.raises(InputError, match=message):
        CHAPTER.parse(wrong).check(data.find("digits"))


def test_images_without_labels_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "bare.npz", x=rng.integers(0, 256, (400, 8, 8), dtype=np.uint8))
    settings = {"n_points": 20, "n_probe": 5, "n_affine": 2, "dataset": str(tmp_path / "bare.npz")}
    with pytest.raises(InputError, match="labels"):
        CHAPTER.parse(settings).check(data.find(settings["dataset"]))

"""Chapter 02: its claims hold as its own cells measure them, planted faults are red, the paper's path runs."""

import contextlib
import itertools
import time
from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT
from notebook_cells import kept_record, record_of, verdicts
from torchvision import datasets

from ssltheory import losses
from ssltheory.book import claims, records, registry, scales
from ssltheory.chapters.deep_staircase import published, readings as deep_staircase
from ssltheory.errors import InputError, Paused
from ssltheory.measure import spectra

CHAPTER = registry.find("02-deep-staircase")
SMALLER = scales.values(CHAPTER, "tiny") | {"n_seeds": 1}
RESNET = {
    "dataset": "stl10",
    "loss": "all",
    "encoder": "resnet18",
    "resolution": 96,
    "crop": 64,
    "augment": "standard",
    "n_images": 0,
    "batch_size": 2,
    "n_probe": 4,
    "width": 16,
    "steps": 2,
    "n_seeds": 1,
    "minutes": 9.0,
}
run = partial(record_of, CHAPTER)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALLER)


@pytest.fixture(scope="module")
def kept():
    """The kept record of all three losses, at the full scale."""
    (folder,) = (ROOT / "book/records" / CHAPTER.id).glob("full-*")
    return records.load(folder)


@pytest.fixture
def stl10(tmp_path, monkeypatch):
    """STL-10's files in their binary format, of random pixels; torchvision's checksums are switched off for them."""
    base = tmp_path / "data" / "stl10_binary"
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = {}
    for split, n in (("train", 5), ("test", 3), ("unlabeled", 4)):
        pixels[split] = rng.integers(0, 256, (n, 3, 96, 96), dtype=np.uint8)
        pixels[split].transpose(0, 1, 3, 2).tofile(base / f"{split}_X.bin")  # column by column
        if split != "unlabeled":
            rng.integers(1, 11, n, dtype=np.uint8).tofile(base / f"{split}_y.bin")
    (base / "class_names.txt").write_text("\n".join("abcdefghij"))
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    monkeypatch.setenv("SSLTHEORY_DATA", str(tmp_path / "data"))
    return pixels


# What the chapter claims


def test_every_claim_holds(record):
    """But for the dip: this repetition begins with fewer dimensions than its bound."""
    found = verdicts(record.claims)
    assert found.pop("barlow_twins-dip") == "undecided"
    assert list(found.values()) == ["holds"] * 9, record.claims


def test_every_claim_of_the_kept_record_holds(kept):
    found = verdicts(kept.judged_today())
    assert list(found.values()) == ["holds"] * 20, found


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_the_constant_is_learnt_first_and_missing_from_the_covariance(record):
    names = ("eigenvalues_barlow_twins_small", "covariance_barlow_twins_small")
    c, of_z = (record.arrays[name][0] for name in names)
    onset = np.argmax(c[:, 0] > 0.5)
    assert of_z[onset].max() < 0.2
    assert c[-1, -1] > 0.8
    assert of_z[-1, -1] < 0.2


def test_score_tells_steps_from_a_common_rise():
    times = np.linspace(0, 100, 401)
    one_by_one = 1 / (1 + np.exp(-(times[:, None] - np.array([10, 25, 50, 90]))))
    together = 1 / (1 + np.exp(-(times[:, None] - np.array([50, 50.1, 50.2, 50.3]))))
    assert deep_staircase.separated(times, one_by_one, 4) == 1
    assert deep_staircase.separated(times, together, 4) == 0
    assert deep_staircase.steps(times, one_by_one, 0.1) == 4
    assert deep_staircase.steps(times, together, 0.1) == 1
    assert deep_staircase.steps(times, one_by_one + 1, 0.1) == 0


# Planted faults


def test_a_standard_start_passed_as_small_is_red(tmp_path):
    wrong = {"init_scale_barlow_twins": 0.99, "lr_barlow_twins": 2e-4, "lr_standard": 1.0}
    found = verdicts(run(tmp_path, **SMALLER | wrong).claims)
    assert found["barlow_twins-separated"] == found["barlow_twins-more-steps"] == "not seen"


def test_the_standard_start_in_the_place_of_the_small_one_is_red(kept):
    arrays = dict(kept.arrays)
    for name in kept.arrays:
        if name.endswith("_small"):
            arrays[name] = arrays[name.replace("_small", "_standard")]
    found = verdicts(claims.evaluate(CHAPTER.id, arrays, kept.parameters))
    red = {name for name, verdict in found.items() if verdict == "not seen"}
    assert red >= {f"barlow_twins-{name}" for name in ("separated", "gap", "more-steps")}
    assert red >= {f"{name}-{what}" for name in ("simclr", "vicreg") for what in ("dip", "steps")}


def test_dimensions_that_are_never_gained_are_red(kept):
    """What the other two losses would show had they stopped at their fewest dimensions."""
    arrays = dict(kept.arrays)
    for method in ("simclr", "vicreg"):
        lam = arrays[f"covariance_{method}_small"].copy()
        lam[:, -1] = [one[deep_staircase.dimensions(one.astype(float)).argmin()] for one in lam]
        arrays[f"covariance_{method}_small"] = lam
    found = verdicts(claims.evaluate(CHAPTER.id, arrays, kept.parameters))
    assert found["simclr-rise"] == found["vicreg-rise"] == "not seen"


def test_the_covariance_for_the_uncentred_moment_is_red(record):
    swapped = dict(record.arrays)
    for start in ("small", "standard"):
        swapped[f"eigenvalues_barlow_twins_{start}"] = swapped[f"covariance_barlow_twins_{start}"]
    found = verdicts(claims.evaluate(CHAPTER.id, swapped, record.parameters))
    assert found["barlow_twins-separated"] == found["barlow_twins-end"] == "not seen"


def test_the_half_of_vicregs_code_is_red(tmp_path):
    settings = SMALLER | {"loss": "vicreg", "steps": 4, "init_scale_vicreg": 0.2}
    right, halved = (run(tmp_path / f, **settings | {"form": f}) for f in ("published", "standard"))
    found = verdicts(claims.evaluate(CHAPTER.id, halved.arrays, right.parameters))
    assert verdicts(right.claims)["vicreg-start"] == "holds"
    assert found["vicreg-start"] == "fails"


def test_a_batch_normalised_c_is_red(tmp_path):
    settings = SMALLER | {"steps": 4}
    right, normalised = (
        run(tmp_path / f, **settings | {"form": f}) for f in ("published", "standard")
    )
    found = verdicts(claims.evaluate(CHAPTER.id, normalised.arrays, right.parameters))
    assert verdicts(right.claims)["barlow_twins-start"] == "holds"
    assert found["barlow_twins-start"] == "fails"


def test_negatives_of_the_same_view_are_red(tmp_path):
    settings = SMALLER | {"loss": "simclr", "similarity": "cosine", "biases": True, "steps": 4}
    settings |= {"init_scale_simclr": 0.1}
    right, wrong = (run(tmp_path / f, **settings | {"form": f}) for f in ("published", "standard"))
    found = verdicts(claims.evaluate(CHAPTER.id, wrong.arrays, right.parameters))
    assert verdicts(right.claims)["simclr-start"] == "holds"
    assert found["simclr-start"] == "fails"


def test_a_start_without_biases_is_red_on_the_sphere(tmp_path):
    settings = SMALLER | {"loss": "simclr", "similarity": "cosine", "biases": False, "steps": 4}
    found = verdicts(run(tmp_path, **settings | {"init_scale_simclr": 0.1}).claims)
    assert found["simclr-start"] == "fails"


@pytest.mark.parametrize(("temperature", "verdict"), [(0.2, "holds"), (0.5, "not seen")])
def test_another_temperature_is_red_on_the_sphere(temperature, verdict):
    """Points that lie evenly in 1 to 8 dimensions, pairs on one point: SimCLR at its best."""
    g, curves = torch.Generator().manual_seed(0), []
    for k in (1, 2, 3, 5, 8):
        z = torch.zeros(256, 32).double()
        z[:, :k] = 1 if k == 1 else torch.randn(256, k, generator=g).double()
        z = torch.nn.functional.normalize(z, dim=-1)
        curves.append((losses.info_nce(z, z, temperature), spectra.eigenvalues(z.T @ z / 256)))
    loss, lam = (torch.stack(x)[None].numpy() for x in zip(*curves, strict=True))
    arrays = {"methods": np.array(["simclr"]), "loss_simclr_small": loss}
    for start in ("small", "standard"):
        arrays |= {f"{name}_simclr_{start}": lam for name in ("eigenvalues", "covariance")}
        arrays[f"times_simclr_{start}"] = np.arange(5)
    settings = {"loss": "simclr", "similarity": "cosine", "n_images": 256, "dim": 32}
    found = verdicts(claims.evaluate(CHAPTER.id, arrays, CHAPTER.parse(settings)))
    assert found["simclr-start"] == found["simclr-bound"] == "holds"
    assert found["simclr-near"] == verdict


def test_a_wrong_published_number_differs(kept):
    def judged():
        table = claims.evaluate(CHAPTER.id, kept.arrays, kept.parameters)
        return {claim.id: claim.published_verdict for claim in table}

    agreed = judged()
    assert agreed["vicreg-alone"] == agreed["vicreg-plateau"] == agreed["vicreg-start"] == "agrees"
    theirs = published.LOSS["vicreg"] | {1: 2 * published.LOSS["vicreg"][1]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(published.LOSS, "vicreg", theirs)
        found = judged()
    assert found["vicreg-plateau"] == "differs"


def test_the_normalised_loss_is_red(tmp_path, monkeypatch):
    right = losses.barlow_twins

    def normalised(z_a, z_b, lambda_, normalize):
        return right(z_a, z_b, lambda_=lambda_, normalize=True)

    monkeypatch.setattr(losses, "barlow_twins", normalised)
    found = verdicts(run(tmp_path, **SMALLER | {"steps": 600, "lr_barlow_twins": 1e-4}).claims)
    assert found["barlow_twins-separated"] == "not seen"


# The paper's path: ResNet, standard augmentations, STL-10's format, checkpoints


def test_stl10_is_read_as_it_was_written(stl10):
    from ssltheory import data

    found = data.load("stl10", "train+unlabeled")
    assert np.array_equal(found.x, np.concatenate([stl10["train"], stl10["unlabeled"]]))


@pytest.mark.slow
def test_resnet_path_goes_on_from_its_checkpoints(stl10, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(records.Run, "save", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(out, **RESNET)
    assert len(list((out / "checkpoints").iterdir())) == 6  # three losses, two starts
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", _killed)  # nothing is left to train
        record = run(out, whole=True, **RESNET)
    assert record.provenance["data"]["name"] == "stl10"
    assert record.arrays["methods"].tolist() == ["barlow_twins", "simclr", "vicreg"]
    assert record.arrays["hidden_vicreg_small"].shape[-2:] == (4, 4)  # stages, probes
    assert not (out / "checkpoints").exists()


@pytest.mark.slow
def test_resnet50_runs(stl10, tmp_path):
    parameters = {"encoder": "resnet50", "loss": "vicreg", "batch_size": 2, "minutes": 0.0}
    record = run(tmp_path / "run", whole=True, **RESNET | parameters)
    assert record.arrays["loss_vicreg_small"].shape == (1, 3)


@pytest.mark.slow
def test_pauses_when_time_is_up_and_goes_on_to_the_same_record(tmp_path, monkeypatch):
    parameters = SMALLER | {"steps": 60, "minutes": 0.0}
    whole = run(tmp_path / "whole", **parameters)
    clock, pauses = itertools.count(), 0  # a second for each look at it
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: float(next(clock)))
        while True:
            with contextlib.suppress(Paused):
                cut = run(tmp_path / "cut", **parameters | {"minutes": 1.0})
                break
            pauses += 1
    assert pauses >= 2
    for name, values in whole.arrays.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(cut.arrays[name], values, rtol=1e-4, atol=1e-7)
    assert not (tmp_path / "cut/checkpoints").exists()


@pytest.mark.parametrize("batch_size", [0, 8])
def test_small_conv_path_runs(tmp_path, batch_size):
    parameters = {"encoder": "small_conv", "loss": "simclr", "steps": 4, "batch_size": batch_size}
    parameters |= {"n_images": 16, "n_probe": 16}
    record = run(tmp_path, whole=True, **SMALLER | parameters)
    assert record.arrays["loss_simclr_small"].shape[:1] == (1,)


def _killed(*arguments, **rest):
    raise KeyboardInterrupt


# The notebook and its parameters


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": 17}, "crop=17: the images have 16×16 pixels"),
        ({"n_images": 1_000_000}, "n_images=1000000: digits has"),
        ({"n_images": 1}, "contrast needs two images"),
        ({"batch_size": 97}, "batch_size=97: take 2 to 96"),
        ({"warmup": 9999}, "warmup=9999: a run has 2500"),
        ({"n_seeds_others": 9}, "n_seeds_others=9: Barlow Twins has n_seeds=5"),
        ({"loss": "byol"}, "loss=byol"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, **wrong)

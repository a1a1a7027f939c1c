"""Chapter 18: its claims hold as its own cells measure them, and planted faults turn them red."""

from functools import partial

import numpy as np
import pytest
import torch
from notebook_cells import in_parts, kept_record, record_of, red, run_cells, verdicts

from ssltheory import data, deep_tensor
from ssltheory.book import claims, records, registry, scales
from ssltheory.chapters.deep_tensor import claims as judge, experiment, figures as plots
from ssltheory.errors import InputError

CHAPTER = registry.find("18-deep-tensor")
#: One repetition: an interval of two or three contains most bounds.
SMALLER = {"n_seeds": 1, "steps": 500, "level_steps": 3, "official_steps": 100}
SMALLER |= {"cube_steps": 260, "timing_side": 32}
OTHERS = ('watch("levels"', 'watch("official"', "voronoi_cube")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the notebook."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALLER)


@pytest.fixture
def again(record, tmp_path, monkeypatch):
    """The smooth matrices once more; all else is taken from the shared record."""
    monkeypatch.setattr(experiment, "step_seconds", lambda *_: torch.tensor([1.0, 2.0, 30.0]))

    def run(change=lambda source: source, **parameters):
        def before(source, names):
            if any(other in source for other in OTHERS):
                return "terms = 8"
            if "run.save(" in source:
                names["kept"] = record.arrays
                source = source.replace("run.save(**arrays)", "run.save(**kept | arrays)")
            return change(source)

        return run_cells(CHAPTER, tmp_path, before=before, **SMALLER | parameters)["record"]

    return run


def rejudged(record, **changed):
    return red(claims.evaluate(CHAPTER.id, record.arrays | changed, record.parameters))


# What the chapter claims


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims
    assert len(record.claims) == 10


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    written, today, first = (
        [claim.to_dict() for claim in table]  # in which a half that is NaN equals another
        for table in (loaded.claims, loaded.judged_today(), record.claims)
    )
    assert written == today == first


def test_figures_and_table(record):
    assert len(plots.main_figure(record.arrays).axes) == 6
    assert len(plots.second_figure(record.arrays).axes) == 4
    assert len(plots.table(record.arrays).splitlines()) == 2 + 5


def test_fits_that_were_hardly_begun_decide_nothing(record):
    few = record.parameters.model_copy(update={"steps": 30, "official_steps": 20, "cube_steps": 20})
    found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, few))
    held = {name for name, verdict in found.items() if verdict != "undecided"}
    assert held == {"level", "svd-permuted", "free-factors", "step-time"}


def test_official_signals_are_judged_once_they_are_fitted(record):
    def verdict(dim, lr, steps):
        how = {"official_dim": dim, "official_lr": lr, "official_steps": steps}
        chosen = record.parameters.model_copy(update=how)
        return verdicts(claims.evaluate(CHAPTER.id, record.arrays, chosen))["oracle-wins"]

    for long in ((32, 1e-3, 100), (128, 1e-4, 1000), (128, 1e-3, 100), (32, 1e-4, 1000)):
        assert verdict(*long) == "holds"
    for short in ((32, 1e-3, 99), (128, 1e-4, 999)):
        assert verdict(*short) == "undecided"


# Planted faults


def test_networks_without_convolution_are_red(again, monkeypatch):
    monkeypatch.setattr(deep_tensor, "encoder_decoder", experiment.pointwise)
    assert {"gain", "permuted"} <= red(again(steps=300).claims)


def test_free_factors_in_the_place_of_deep_tensor_are_red(record):
    free = np.broadcast_to(record.arrays["free"][None, :, None], record.arrays["main_psnr"].shape)
    assert rejudged(record, main_psnr=free) == {"gain", "too-long", "permuted"}


def test_more_noise_than_the_level_says_is_red(again, monkeypatch):
    right = experiment.observe

    def noisier(x, kind, level, generator):
        y, expected = right(x, kind, level, generator)
        return x + 1.5 * (y - x), expected

    monkeypatch.setattr(experiment, "observe", noisier)
    assert "level" in red(again(steps=3).claims)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_stopping_at_another_level_is_red(record, factor):
    found = rejudged(record, main_level=factor * record.arrays["main_level"])
    assert {"level", "gain"} <= found


def test_factors_of_another_rank_are_red(again, monkeypatch):
    right = experiment.free_factors
    monkeypatch.setattr(experiment, "free_factors", lambda y, rank, g: right(y, rank + 1, g))
    assert "free-factors" in red(again(steps=3).claims)


def test_other_orders_of_the_clean_and_the_noisy_matrix_are_red(again):
    wrong = "torch.stack([x, x])"
    found = again(lambda s: s.replace("torch.stack([x, permuted(x)])", wrong), steps=3)
    assert "svd-permuted" in red(found.claims)


def test_a_cube_no_cleaner_than_its_svd_is_red(record):
    found = rejudged(record, cube_psnr=record.arrays["cube_svd"])
    assert found == {"cube-gain", "cube-oracle"}


def test_an_oracle_that_loses_and_a_slow_step_are_red(record):
    assert rejudged(record, official_oracle=record.arrays["official_svd"]) == {"oracle-wins"}
    seconds = record.arrays["step_seconds"].copy()
    seconds[-1, 2] = 3 * seconds[-1, 0]
    assert rejudged(record, step_seconds=seconds) == {"step-time"}


@pytest.mark.parametrize(
    "change", [{"step_device": np.array("cuda")}, {"step_sides": np.array([16])}]
)
def test_the_time_on_a_gpu_and_of_a_small_cube_is_not_judged(record, change):
    found = verdicts(claims.evaluate(CHAPTER.id, record.arrays | change, record.parameters))
    assert found["step-time"] == "outside"


# Where it stops, other data, refusals


def test_the_stop_looks_at_no_clean_matrix(record):
    distance, level = (record.arrays[f"main_{key}"] for key in ("distance", "level"))
    at = judge.stops(record.arrays, "main")
    for kind, seed in np.ndindex(at.shape):
        below = np.flatnonzero(distance[kind, seed] <= level[kind, seed])
        assert at[kind, seed] == (below[0] if len(below) else distance.shape[-1] - 1)


@pytest.mark.slow
def test_large_settings_run_on_colour_images(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "colour.npz", x=rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
    preset = scales.values(CHAPTER, "paper")
    preset |= {"dataset": str(tmp_path / "colour.npz"), "n_seeds": 1, "steps": 2, "level_steps": 2}
    preset |= {"official_dim": 16, "official_steps": 2, "cube_steps": 2, "timing_side": 16}
    found = run_cells(CHAPTER, tmp_path / "run", whole=True, **preset)["record"]
    assert found.arrays["official_psnr"].shape == (2, 1, 2)
    assert found.arrays["cube_band"].shape == (4, 64, 64)
    assert found.provenance["data"]["name"] == "colour"


@pytest.mark.slow
def test_it_pauses_and_comes_to_the_same(tmp_path):
    tiny = partial(record_of, CHAPTER, **scales.values(CHAPTER, "tiny"))
    parts, whole = in_parts(tiny, tmp_path / "parts"), tiny(tmp_path / "whole")
    assert parts.arrays.keys() == whole.arrays.keys()
    for name in parts.arrays.keys() - {"step_seconds", "part_seconds"}:
        assert np.array_equal(parts.arrays[name], whole.arrays[name]), name


def test_images_that_make_no_mosaic_are_refused_before_any_compute(tmp_path):
    for name, shape, message in (("a", (9, 12, 12), "12×12"), ("b", (9, 16, 16), "a mosaic=16")):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros(shape, np.uint8))
        source = data.find(str(tmp_path / f"{name}.npz"))
        with pytest.raises(InputError, match=message):
            CHAPTER.parse({}).check(source)

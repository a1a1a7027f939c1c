"""Chapter 07: its claims hold as its own cells measure them, and each planted fault turns a named one red."""

import copy

import numpy as np
import pytest
import torch
from notebook_cells import record_of, red, verdicts

from ssltheory import data
from ssltheory.book import registry
from ssltheory.errors import InputError
from ssltheory.measure import ntk
from ssltheory.theory import stepwise

CHAPTER = registry.find("07-kernel-and-ntk")
SMALL = {"n_seeds": 1, "width": 128, "steps": 4000}
LAZY, RICH, CONTROL = 0, 1, 2  # order in which the networks are trained
PARTS = ("machine", "trained", "three_methods")  # what takes time, in functions of the notebook
MACHINES = {"gram-train", "gram-held-out", "machine-alignment"}
METHODS = {"methods-subspace", "methods-cka"}


def recorded(function, log):
    def call(*arguments):
        log.append(function(*arguments))
        return log[-1]

    return call


def replayed(log):
    results = iter(log)
    return lambda *arguments: next(results)


def run(out, replay=None, changes=None, **parameters):
    """The record that the notebook's own cells make, and what its costly functions returned.

    Args:
        replay: the parts that are not computed anew, with what they returned before.
        changes: of the notebook's own names, made before it starts to measure.
    """
    log = {part: [] for part in PARTS}

    def before(source, names):
        if "repetitions = " in source:
            for part in PARTS:
                again = part in (replay or {})
                names[part] = replayed(replay[part]) if again else recorded(names[part], log[part])
            for name, change in (changes or {}).items():
                names[name] = change(names[name])
        return source

    return record_of(CHAPTER, out, before, **SMALL | parameters), log


@pytest.fixture(scope="module")
def measured(folder):
    return run(folder)


@pytest.fixture
def rerun(measured, tmp_path):
    """The chapter again with some parts computed anew, the others as they were measured.

    ``swap`` puts the control, network and settings, in the place of another regime.
    """

    def call(*anew, swap=None, changes=None, **parameters):
        kept = {part: list(log) for part, log in measured[1].items() if part not in anew}
        if swap is not None:
            kept["trained"][swap] = kept["trained"][CONTROL]
            name = ("lazy", "rich")[swap]
            changes = {"regimes": lambda regimes: regimes | {name: regimes["control"]}}
        return run(tmp_path, kept, changes, **parameters)[0]

    return call


def test_every_claim_holds(measured):
    found = verdicts(measured[0].claims)
    assert set(found.values()) == {"holds"}, measured[0].claims
    assert {*MACHINES, *METHODS, "rich-after", "rich-gain", "control"} <= set(found)


def test_a_replay_changes_nothing(measured, rerun):
    assert rerun().claims == measured[0].claims


def test_figures_draw_what_the_record_holds(measured):
    from ssltheory.book import figures
    from ssltheory.chapters.kernel_and_ntk import figures as plots

    arrays = measured[0].arrays
    assert len(figures.draw(CHAPTER, arrays).axes) == 3
    assert len(plots.small_print(arrays).axes) == 2


# Planted faults: kernel machines


def test_forgetting_the_pairs_is_red(rerun, monkeypatch):
    right = stepwise.kernel_barlow_twins

    def fault(k_aa, k_ab, k_bb, dim):
        k = torch.cat([torch.cat([k_aa, k_ab], 1), torch.cat([k_ab.mT, k_bb], 1)])
        embed = right(k, k, k, dim)
        return lambda k_xa, k_xb: embed(*[torch.cat([k_xa, k_xb], 1)] * 2)

    monkeypatch.setattr(stepwise, "kernel_barlow_twins", fault)
    assert red(rerun("machine").claims) >= MACHINES


def test_a_kernel_without_its_mean_is_red(rerun, monkeypatch):
    right = stepwise.kernel_barlow_twins

    def fault(*blocks_and_dim):
        *blocks, dim = blocks_and_dim
        return right(*(k - k.mean(0) - k.mean(1, keepdim=True) + k.mean() for k in blocks), dim)

    monkeypatch.setattr(stepwise, "kernel_barlow_twins", fault)
    assert red(rerun("machine").claims) >= MACHINES


def test_a_wrong_power_of_gamma_is_red_although_the_subspace_is_right(rerun, monkeypatch):
    right = stepwise.kernel_barlow_twins

    def fault(k_aa, k_ab, k_bb, dim):
        gamma = torch.linalg.eigvalsh(stepwise.kernel_cross_moment(k_aa, k_ab, k_bb)[0]).flip(0)
        return stepwise.KernelEmbedding(
            right(k_aa, k_ab, k_bb, dim).coefficients * gamma[:dim] ** 0.5
        )

    monkeypatch.setattr(stepwise, "kernel_barlow_twins", fault)
    found = red(rerun("machine").claims)
    assert {"gram-train", "gram-held-out", "correction"} <= found
    assert "machine-alignment" not in found


def test_a_descent_that_forgets_to_swap_the_views_is_red(rerun, monkeypatch):
    monkeypatch.setattr(np, "roll", lambda a, shift: a)
    assert red(rerun("machine").claims) >= MACHINES


def test_a_larger_start_is_outside_and_its_error_still_foreseen(rerun):
    found = verdicts(rerun("machine", init_scale=1e-6).claims)
    assert {found[name] for name in MACHINES} == {"outside"}
    assert found["correction"] == "holds"


# Planted faults: networks


def test_the_kernel_of_the_start_taken_for_the_one_after_training_is_red(rerun):
    def fault(experiment):
        def run(*arguments):
            found = experiment(*arguments)
            aligned = found["aligned"]
            return found | {"aligned": [aligned[0], aligned[0]]}

        return run

    assert {"rich-after", "rich-gain"} <= red(rerun(changes={"experiment": fault}).claims)


def test_a_tangent_kernel_without_the_last_layer_is_red(rerun, monkeypatch):
    right = ntk.empirical_ntk

    def fault(model, *points):
        model = copy.deepcopy(model)
        model[-1].weight.requires_grad_(False)
        return right(model, *points)

    monkeypatch.setattr(ntk, "empirical_ntk", fault)
    assert "lazy-after" in red(rerun().claims)


def test_a_lazy_network_that_starts_large_is_outside_and_far_off(rerun):
    record = rerun(swap=LAZY)
    claim = next(claim for claim in record.claims if claim.id == "lazy-after")
    assert claim.verdict == "outside"
    assert claim.measured < 0.9


def test_a_rich_network_whose_kernel_does_not_move_decides_nothing(rerun):
    found = verdicts(rerun(swap=RICH).claims)
    assert {found[name] for name in ("rich-after", "rich-held-out", "rich-gain")} == {"undecided"}


# Planted faults: methods


def test_embeddings_of_other_images_are_red(rerun, monkeypatch):
    right = torch.nn.functional.normalize
    monkeypatch.setattr(torch.nn.functional, "normalize", lambda z: right(z).roll(7, 0))
    assert red(rerun("three_methods").claims) >= METHODS


# The notebook and its parameters


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"dim": 10}, "at most 9"),
        ({"n_images": 500, "crop": 9}, "at most 8"),
        ({"n_images": 5}, "at most 1"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(bad, words):
    with pytest.raises(InputError, match=words):
        CHAPTER.parse(bad).check(data.find("digits"))

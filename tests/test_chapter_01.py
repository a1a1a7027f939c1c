"""Chapter 01: its claims hold as its own cells measure them, and each planted fault turns a named one red."""

import numpy as np
import pytest
import torch
from notebook_cells import rerun, run_cells, verdicts

from ssltheory.book import claims, records, registry
from ssltheory.chapters.linear_staircase import claims as linear_staircase
from ssltheory.errors import InputError
from ssltheory.measure import spectra
from ssltheory.theory import stepwise
from ssltheory.theory.stepwise import LinearSolution

CHAPTER = registry.find("01-linear-staircase")
MODES = ("step-times", "eigenvalue-curves", "top-subspace")
DESCENT = ("def image_pairs", "def descend", "def repetition")  # cells
SCAN = "def distance"


@pytest.fixture(scope="module")
def names(folder):
    return run_cells(CHAPTER, folder, whole=True, n_seeds=2)


@pytest.fixture(scope="module")
def record(names):
    return names["record"]


@pytest.fixture
def again(names, tmp_path):
    """The claims after some cells were run again, by default those of the descent, the rest being as it was."""

    def run(*cells, **choices):
        return rerun(names, tmp_path, *(cells or DESCENT), **choices)["record"]

    return run


# What the chapter claims


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims
    assert {*MODES, "final-loss", "misalignment", "known-extent"} <= set(verdicts(record.claims))


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_measured_loss_comes_down_in_steps(record):
    loss, solution = record.arrays["loss"][0], linear_staircase.solution(record.arrays, 0)
    assert loss[0] == pytest.approx(10, abs=1e-3)
    assert loss[-1] < 1e-3
    assert (np.diff(loss) < 1e-9).all()
    tau = solution.step_times.numpy()
    for k in np.flatnonzero(tau[1:] > 2 * tau[:-1]):
        middle = loss[np.abs(record.arrays["times"][0] - np.sqrt(tau[k] * tau[k + 1])).argmin()]
        assert middle == pytest.approx(9 - k, abs=0.15)


# Outside the theory's domain


def test_a_large_start_is_outside_and_its_loss_still_judged(again):
    found = verdicts(again(whole=True, init_scale=1e-2, n_seeds=1).claims)
    assert {found[name] for name in MODES} == {"outside"}
    assert found["final-loss"] == "holds"


def test_where_neighbours_tie_the_subspace_alone_is_outside(again):
    found = verdicts(again(crop=4, dim=4, n_seeds=1, seed=1).claims)
    assert found["top-subspace"] == "outside"
    assert {found[name] for name in ("step-times", "misalignment", "final-loss")} == {"holds"}


def test_more_dimensions_than_positive_modes_leave_one_unit_of_loss_each(again):
    record = again(whole=True, crop=3, dim=9, n_seeds=1, lr_fraction=0.5)
    found = verdicts(record.claims)
    missing = 9 - (record.arrays["gamma"][0] > 0).sum()
    assert missing >= 2
    assert record.arrays["final_loss"][0] == pytest.approx(missing, abs=1e-3)
    assert {found[name] for name in MODES} == {"outside"}
    assert found["final-loss"] == "holds"


# Planted faults: in the theory, judged on the measurement above


def judged_with(record, monkeypatch, owner, name, fault):
    monkeypatch.setattr(owner, name, fault)
    return verdicts(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))


def test_four_for_eight_in_the_step_time_is_red(record, monkeypatch):
    right = LinearSolution.step_times.fget
    wrong = property(lambda solution: 2 * right(solution))
    found = judged_with(record, monkeypatch, LinearSolution, "step_times", wrong)
    assert found["step-times"] == "fails"


def test_four_for_eight_in_the_curves_is_red(record, monkeypatch):
    right = LinearSolution.singular_values

    def wrong(solution, t):
        return right(solution, torch.as_tensor(t) / 2)

    found = judged_with(record, monkeypatch, LinearSolution, "singular_values", wrong)
    assert found["eigenvalue-curves"] == "fails"


def test_flow_rate_for_the_discrete_rate_is_red(record, monkeypatch):
    right = stepwise.linear_barlow_twins

    def wrong(*arguments, lr, **rest):
        return right(*arguments, **rest)

    found = judged_with(record, monkeypatch, linear_staircase, "linear_barlow_twins", wrong)
    assert found["step-times"] == "fails"


def column_norms(start):
    return torch.linalg.qr(start).Q, start.norm(dim=0)


def singular_values(start):
    return torch.linalg.svd(start)[:2]


def test_column_norms_for_qr_are_red(record, monkeypatch):
    found = judged_with(record, monkeypatch, stepwise.linear, "_aligned_start", column_norms)
    assert found["step-times"] == found["eigenvalue-curves"] == "fails"


def test_singular_values_for_qr_are_red(record, monkeypatch):
    found = judged_with(record, monkeypatch, stepwise.linear, "_aligned_start", singular_values)
    assert found["step-times"] == found["eigenvalue-curves"] == "fails"


@pytest.mark.parametrize("fault", [column_norms, singular_values])
def test_without_qr_the_error_does_not_vanish_with_the_start(fault, again, monkeypatch):
    monkeypatch.setattr(stepwise.linear, "_aligned_start", fault)
    found = verdicts(again(SCAN).claims)
    assert {found[name] for name in found if name.startswith("exponent")} == {"fails"}


# Planted faults: in what theory and descent both take, so that only the image pairs can tell


def raw_moment(x_a, x_b):
    return x_a.to(torch.float64).mT @ x_b.to(torch.float64) / len(x_a)


def second_moment(x_a, x_b):
    return (raw_moment(x_a, x_a) + raw_moment(x_b, x_b)) / 2


def lower_triangle(x_a, x_b):
    """What a symmetric eigensolver sees of a cross-moment that was not symmetrised."""
    lower = raw_moment(x_a, x_b).tril()
    return lower + lower.tril(-1).mT


def twice_too_large(x_a, x_b):
    raw = raw_moment(x_a, x_b)
    return raw + raw.mT


@pytest.mark.parametrize("fault", [second_moment, lower_triangle, twice_too_large])
def test_a_wrong_gamma_is_red_although_theory_and_descent_agree_on_it(fault, again, monkeypatch):
    monkeypatch.setattr(stepwise, "cross_moment", fault)
    found = verdicts(again(n_seeds=1, lr_fraction=0.5).claims)
    assert found["final-loss"] == "fails"


def test_a_gamma_that_is_not_symmetrised_is_refused():
    x_a, x_b = torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="must be symmetric"):
        stepwise.linear_barlow_twins(raw_moment(x_a, x_b), 2, init_scale=1e-3)


def descent_in_pixels(dtype):
    """Gradient descent as one would write it down.

    In pixels every weight carries the first mode, and what a later one adds to it in a step, about
    4 lr γ α, is below half a unit in the last place. In Γ's eigenbasis each mode has weights of its own
    and keeps its relative precision: there even single precision gives the right step times.
    """

    def descend(gamma, w0, lr, times):
        last = round(float(times[-1]) / lr)
        grid = stepwise.log_and_linear(1, last, 1200).round().to(int).unique()
        w, g, eye = (z.to(dtype).numpy() for z in (w0, gamma, torch.eye(len(w0))))
        kept, rate = [], g.dtype.type(4 * lr)
        for gap in np.diff(grid, prepend=0):
            for _ in range(gap):
                w_gamma = w @ g
                w = w - rate * ((w_gamma @ w.T - eye) @ w_gamma)
            kept.append(w)
        weights = torch.from_numpy(np.stack(kept)).to(torch.float64)
        moments, at = weights @ gamma @ weights.mT, grid * lr
        tau = spectra.step_times(at, spectra.eigenvalues(moments)).sort().values
        near = (times[:, None] - at).abs().argmin(1)
        return stepwise.LinearRun(at[near], tau, moments[near], weights[near])

    return descend


@pytest.mark.parametrize(("dtype", "verdict"), [(torch.float32, "fails"), (torch.float64, "holds")])
def test_single_precision_is_red_and_double_is_not(dtype, verdict, again, monkeypatch):
    monkeypatch.setattr(stepwise, "gradient_descent", descent_in_pixels(dtype))
    found = verdicts(again(n_seeds=1, crop=4, dim=6).claims)
    assert found["step-times"] == found["eigenvalue-curves"] == verdict

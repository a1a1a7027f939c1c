"""Chapter 01: its claims hold as its own cells measure them, and each planted fault turns a named one red."""

import doctest

import numpy as np
import pytest
import torch
from conftest import ROOT
from notebook_cells import rerun, run_cells, verdicts

from ssltheory import augmentations
from ssltheory.book import claims, figures, records, registry
from ssltheory.chapters.linear_staircase import claims as linear_staircase, experiment, published
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
    table = again(whole=True, init_scale=1e-2, n_seeds=1).claims
    found = verdicts(table)
    assert {found[name] for name in MODES} == {"outside"}
    assert all("Result 4.6" in claim.reason for claim in table if claim.id in MODES)
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


# Pairs


@pytest.mark.parametrize("module", [experiment, published])
def test_examples_run(module):
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed


def test_a_near_crop_is_near_and_both_are_of_the_image():
    places = torch.arange(64.0).reshape(1, 1, 8, 8).expand(500, 1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    for shift, wanted in ((0, 0), (2, 2), (3, 3), (-1, 5), (99, 5)):
        a, b = (view[:, 0, 0, 0] for view in experiment.crop_pair(places, 3, generator, shift))
        away = torch.stack([a // 8 - b // 8, a % 8 - b % 8]).abs()
        assert away.amax(1).tolist() == [wanted] * 2, "uniform up to the shift, and no further"
        for view in (a, b):
            assert {int(view.min()), int((view // 8).max()), int((view % 8).max())} == {0, 5}


def test_independent_crops_are_those_of_random_crop():
    x = torch.rand(50, 3, 9, 7, dtype=torch.float64)
    a, b = experiment.crop_pair(x, 4, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(a, augmentations.random_crop(x, 4, generator))
    assert torch.equal(b, augmentations.random_crop(x, 4, generator))


def test_one_view_twice_has_no_negative_mode_and_larger_ones(record, again):
    twice = again(shift=0).arrays["gamma"]
    assert record.arrays["gamma"].min() < -0.01
    assert twice.min() > -1e-9
    assert (twice[:, 1:10] > 1.1 * record.arrays["gamma"][:, 1:10]).all()


def test_normalised_channels_have_mean_zero():
    x = torch.randint(256, (20, 3, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    normalised, unit = (experiment.scaled(x, pixels) for pixels in ("normalised", "unit"))
    assert normalised.mean((0, 2, 3)).abs().max() < 1e-12
    assert torch.equal(unit * 255, x.double())
    ratio = unit.var((0, 2, 3)).sqrt() / normalised.var((0, 2, 3)).sqrt()
    np.testing.assert_allclose(ratio, [0.2023, 0.1994, 0.2010])


def test_grey_images_are_not_normalised():
    with pytest.raises(InputError, match="take pixels=unit"):
        records.begin(CHAPTER.id, {"pixels": "normalised"})


# The published figure


@pytest.fixture(scope="module")
def kept():
    return records.load(ROOT / "book" / "records" / CHAPTER.id / "paper-cifar10")


def against_the_figure(record, **arrays):
    found = claims.evaluate(CHAPTER.id, record.arrays | arrays, record.parameters)
    return {claim.id: claim for claim in found}


def test_only_the_published_setting_is_compared_with_the_figure(record, kept):
    assert "gamma-ratio" not in verdicts(record.claims)
    told = [claim.id for claim in kept.judged_today() if claim.published is not None]
    assert told == [f"{name}-{j}" for name in ("tau", "gamma") for j in range(1, 11)]


def test_a_wrong_published_constant_differs(kept, monkeypatch):
    agree = [
        name
        for name, claim in against_the_figure(kept).items()
        if claim.published_verdict == "agrees"
    ]
    assert {"tau-1", "gamma-1"} <= set(agree)
    for name in ("STEP_TIMES", "GAMMA"):
        monkeypatch.setattr(published, name, 2 * getattr(published, name))
    found = against_the_figure(kept)
    assert {found[name].published_verdict for name in ("tau-1", "gamma-1")} == {"differs"}
    assert {found[name].verdict for name in agree} == {"holds"}, "ours is judged by our theory"


def test_a_wrong_factor_in_theory_is_red_beside_the_figure(kept, monkeypatch):
    right = LinearSolution.step_times.fget
    monkeypatch.setattr(LinearSolution, "step_times", property(lambda own: 2 * right(own)))
    found = against_the_figure(kept)
    assert found["tau-1"].verdict == "fails"
    assert found["tau-1"].published_verdict == "differs"


def test_a_growth_rate_is_read_off_the_curve():
    t, gamma = torch.linspace(0, 3, 100), torch.tensor([2.0, 1.0])
    curves = torch.sigmoid(8 * gamma * (t[:, None] - 1))
    arrays = {"times": t[None].numpy(), "eigenvalues": curves[None].numpy()}
    np.testing.assert_allclose(linear_staircase.growth_rates(arrays), [[2.0, 1.0]], rtol=1e-5)


def test_reach_covers_ninety_five_of_a_hundred_further_draws():
    draws = np.random.default_rng(0).standard_normal((6, 40_000))
    inside = abs(draws[5] - draws[:5].mean(0)) <= linear_staircase.reach(draws[:5])
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_distances_are_between_the_figure_and_draws_and_among_these():
    theirs, own = linear_staircase.distances(published.GAMMA * np.array([[1.0], [1.0], [8.0]]))
    assert theirs == pytest.approx(np.log(2))
    np.testing.assert_allclose(own, np.log([8**0.5, 8**0.5, 8]))


def test_few_images_explain_the_figure_and_overlap_does_not(kept):
    arrays = kept.arrays
    few = arrays["images_gamma"][arrays["images_tried"] == 64]
    all_images = np.repeat(arrays["images_gamma"][-1:], len(arrays["images_tried"]), 0)
    assert against_the_figure(kept, images_gamma=all_images)["images"].verdict == "not seen"
    assert against_the_figure(kept, area_gamma=few)["overlap"].verdict == "not seen"


def test_the_figure_shows_the_published_steps_beside_ours(kept):
    table = figures.drawn_csv(CHAPTER, kept.arrays)
    for theirs in ("published: theory", "published: measured"):
        assert table.count(f",{theirs},") == 10


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Colour noise with the spectrum of photographs, 1/f, and their contrast; grey but for a tenth."""
    noise = torch.randn(300, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    f = torch.fft.fftfreq(32)
    falls = (f[:, None] ** 2 + f**2 + 1 / 40**2).rsqrt()
    field = torch.fft.ifft2(torch.fft.fft2(noise) * falls).real
    colours = field[:, :1] + 0.3 * field[:, 1:]
    x = (0.47 + 0.25 * colours / colours.std()).clamp(0, 1)
    path = tmp_path_factory.mktemp("data") / "photographs.npz"
    np.savez(path, x=(255 * x).byte().permute(0, 2, 3, 1).numpy())
    return str(path)


@pytest.mark.parametrize(("pixels", "verdict"), [("normalised", "holds"), ("unit", "not seen")])
def test_pixels_in_0_1_are_red(pixels, verdict, photographs, again, monkeypatch):
    monkeypatch.setitem(published.SETTING, "dataset", photographs)
    record = again(
        dataset=photographs, n_images=300, pixels=pixels, crop=20, lr_fraction=0.5, whole=False
    )
    assert verdicts(record.claims)["gamma-ratio"] == verdict, record.arrays["gamma"][:, :4]

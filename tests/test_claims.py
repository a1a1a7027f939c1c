"""What turns a record into a verdict, on arrays made by hand: intervals, worst repetitions, scores."""

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.testing import assert_allclose

from ssltheory.book import claims, registry
from ssltheory.book.claims import Claim, Group, interval
from ssltheory.chapters.batch_norm_partitions import claims as batch_norm_partitions
from ssltheory.chapters.class_dependent import claims as class_dependent
from ssltheory.chapters.deep_staircase import readings as deep_staircase
from ssltheory.chapters.directpred import claims as directpred
from ssltheory.chapters.eigenspace_alignment import claims as eigenspace_alignment
from ssltheory.chapters.embedding_dimensions import claims as embedding_dimensions
from ssltheory.chapters.faster_ssl import claims as faster_ssl
from ssltheory.chapters.kernel_regime import claims as kernel_regime
from ssltheory.chapters.linear_staircase import claims as linear_staircase
from ssltheory.chapters.pairwise_independence import claims as pairwise_independence
from ssltheory.chapters.singular_values import readings as singular_values_layer
from ssltheory.chapters.what_we_maximise import claims as what_we_maximise
from ssltheory.theory import kernel_ssl, splines, stepwise


def settings(chapter, **given):
    return registry.find(chapter).parse(given)


@pytest.mark.parametrize(
    ("relation", "measured", "verdict"),
    [
        ("equal", 0.85, "fails"),
        ("equal", 0.95, "holds"),
        ("equal", 1.05, "holds"),
        ("equal", 1.15, "fails"),
        ("at least", 0.95, "holds"),
        ("at least", 0.85, "fails"),
        ("at most", 1.05, "holds"),
        ("at most", 1.15, "fails"),
        *((relation, np.nan, "fails") for relation in claims.RELATIONS),
    ],
)
def test_a_tolerance_counts_once_and_to_the_right_side(relation, measured, verdict):
    assert Claim("id", "words", measured, 1.0, 0.1, "ours", relation).verdict == verdict


ELSEWHERE = "simon2023stepwise, Result 4.6: a small start"
VERBS = {"equal": "equal", "at_least": "at least", "at_most": "at most"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_gives_its_relation_and_what_the_group_shares(verb):
    shared = {
        "note": "5 draws",
        "observed": True,
        "undecided": "few",
        "bound_set": "on seeds 5 to 9",
    }
    state = getattr(Group("a paper", outside=ELSEWHERE, **shared), verb)
    expected = Claim(
        "id", "words", 3.0, 2.0, 0.5, "a paper", VERBS[verb], outside=ELSEWHERE, **shared
    )
    assert state("id", "words", 3.0, 2.0, 0.5) == expected


def claim(measured=3.0, relation="at least", source="ours", **rest) -> Claim:
    return Claim("id", "words", measured, 2.0, 0.5, source, relation, **rest)


def test_an_observation_that_misses_its_bound_is_not_seen_and_a_deduction_fails():
    assert claim(1.0, observed=True).verdict == "not seen"
    assert claim(np.nan, observed=True).verdict == "not seen"
    assert claim(1.0).verdict == "fails"
    assert claim(1.6, observed=True).verdict == "holds"


@pytest.mark.parametrize(
    ("relation", "measured", "half", "verdict"),
    [
        ("at least", 1.6, 0.2, "undecided"),  # the bound is 1.5
        ("at least", 1.4, 0.2, "undecided"),
        ("at least", 1.8, 0.2, "holds"),
        ("at least", 1.2, 0.2, "fails"),
        ("at least", 2.6, 0.2, "holds"),
        ("at most", 2.6, 0.2, "undecided"),  # 2.5
        ("at most", 1.6, 0.2, "holds"),
        ("equal", 1.6, 0.2, "undecided"),
        ("equal", 2.6, 0.2, "undecided"),
        ("equal", 2.0, 0.2, "holds"),
        ("equal", 2.0, 0.6, "undecided"),
        ("equal", 3.0, 2.0, "undecided"),
        ("equal", 3.0, 0.2, "fails"),
    ],
)
def test_a_claim_whose_interval_contains_its_bound_is_undecided(relation, measured, half, verdict):
    found = claim(measured, relation, half=half)
    assert found.verdict == verdict
    assert ("± " in found.reason) == (verdict == "undecided")


def test_a_reason_decides_before_the_number():
    few = claims.unless(5 >= 10, "5 repetitions; 10 are needed")
    assert (claim(undecided=few).verdict, claim(undecided=few).reason) == ("undecided", few)
    assert claim(undecided=claims.unless(True, "few")).verdict == "holds"
    both = claim(1.0, undecided=few, outside=ELSEWHERE)
    assert (both.verdict, both.reason) == ("outside", ELSEWHERE)


@pytest.mark.parametrize("reason", [True, " ", "claimed of digits", "ten repetitions or more"])
def test_a_claim_that_is_outside_without_a_named_reason_is_refused(reason):
    with pytest.raises(ValueError, match="names no source: give the bib key"):
        claim(outside=reason)
    assert claim(outside="ours: no mode grows before t = 3").verdict == "outside"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("simon2023stepwise, Figure 1 A, B", "paper"),
        ("simon2023stepwise, Figure 1; the bound is ours", "bound ours"),
        ("balestriero2022batchnorm, abstract; formula derived here", "bound ours"),
        ("ours, from simon2023stepwise, Proposition 4.1", "ours"),
        ("ours: control", "ours"),
        ("standard: Weyl", "ours"),
    ],
)
def test_the_source_says_whose_statement_it_is(source, kind):
    assert claim(source=source).kind == kind


@pytest.mark.parametrize("verb", ["at_least", "at_most"])
def test_a_one_sided_verb_has_no_tolerance_of_its_own(verb):
    claim = getattr(Group("ours"), verb)("id", "words", 3.0, 3.0)
    assert (claim.tolerance, claim.outside, claim.note) == (0, "", "")
    assert claim.verdict == "holds"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_turns_numpys_numbers_into_pythons(verb):
    state = getattr(Group("ours", observed=np.array([True]).any()), verb)
    claim = state("id", "words", np.float32(0.5), np.int64(1), np.array(0.25), half=np.float32(2))
    numbers = claim.measured, claim.predicted, claim.tolerance
    assert numbers == (0.5, 1, 0.25)
    assert {type(number) for number in (*numbers, claim.half)} == {float}
    assert type(claim.observed) is bool


@pytest.mark.parametrize("verb", VERBS)
def test_a_claim_may_differ_from_its_group_in_what_it_names(verb):
    state = getattr(Group("a paper", outside=ELSEWHERE, note="5 draws"), verb)
    claim = state("id", "words", 3.0, 2.0, 0.5, source="ours", outside="", note="all draws")
    assert (claim.source, claim.outside, claim.note) == ("ours", "", "all draws")
    claim = state("id", "words", 3.0, 2.0, 0.5, note="all draws")
    assert (claim.source, claim.outside, claim.note) == ("a paper", ELSEWHERE, "all draws")
    with pytest.raises(TypeError, match="seeds"):
        state("id", "words", 3.0, 2.0, 0.5, seeds=5)


@pytest.mark.parametrize(
    ("verb", "published", "verdict"),
    [
        ("equal", 2.4, "agrees"),
        ("equal", 2.6, "differs"),
        ("equal", 1.4, "differs"),
        ("at_least", 1.6, "agrees"),
        ("at_least", 1.4, "differs"),
        ("at_most", 2.4, "agrees"),
        ("at_most", 2.6, "differs"),
        *((verb, np.nan, "differs") for verb in VERBS),
    ],
)
@pytest.mark.parametrize("measured", [0.0, 2.0, 9.0])
def test_a_published_number_is_judged_as_a_measured_one_would_be(
    verb, published, verdict, measured
):
    claim = getattr(Group("a paper"), verb)("id", "words", measured, 2.0, 0.5, published=published)
    assert claim.published_verdict == verdict
    without = getattr(Group("a paper"), verb)("id", "words", measured, 2.0, 0.5)
    assert claim.verdict == without.verdict, "a published number decides nothing of ours"
    assert without.published_verdict == ""


def test_a_published_number_says_where_it_was_read():
    group = Group("a paper", published_source="a paper, Figure 1")
    claim = group.equal("id", "words", 1, 1, 0, published=np.float32(0.5))
    assert (claim.published, claim.published_source) == (0.5, "a paper, Figure 1")
    assert type(claim.published) is float
    claim = group.equal("id", "words", 1, 1, 0, published=1, published_source="its text")
    assert (type(claim.published), claim.published_source) == (float, "its text")
    for none in (
        group.equal("id", "words", 1, 1, 0),
        group.equal("id", "words", 1, 1, 0, published=None, published_source="its text"),
    ):
        assert none == Group("a paper").equal("id", "words", 1, 1, 0)


def test_only_a_claim_with_a_published_number_tells_of_one():
    fields = ["id", "statement", "measured", "predicted", "tolerance", "source", "relation"]
    fields += ["note", "observed"]
    group = Group("a paper", published_source="a paper, Figure 1")
    without = group.equal("id", "words", 1, 1, 0).to_dict()
    assert list(without) == [*fields, "verdict"]
    told = group.equal("id", "words", 1, 1, 0, published=np.inf).to_dict()
    assert told.keys() - without.keys() == {"published", "published_source", "published_verdict"}
    assert (told["published"], told["published_verdict"]) == ("inf", "differs")


def a_table(*published):
    state = Group("a paper").equal
    return claims.Table(
        state(f"c{i}", "words", 1, 1.5, 0.5, published=number) for i, number in enumerate(published)
    )


def test_a_table_has_a_column_of_published_numbers_only_where_there_is_one():
    head, rule, *rows = a_table(None, 1.25, 2.5)._repr_markdown_().splitlines()
    assert head == "| claim | measured | theory | verdict | published |"
    assert rule == "|---|---|---|---|---|"
    start = "| words | 1 | 1.5 ± 0.5 | holds |"
    assert rows == [f"{start}  |", f"{start} 1.25 ✓ agrees |", f"{start} 2.5 ✗ differs |"]
    without = a_table(None)._repr_markdown_().splitlines()
    assert without == ["| claim | measured | theory | verdict |", "|---|---|---|---|", start]
    first, second = repr(a_table(None, 2.5)).splitlines()
    assert first == "holds     c0: 1, theory 1.5 ± 0.5"
    assert second == "holds     c1: 1, theory 1.5 ± 0.5, published 2.5 ✗ differs"


def test_interval_is_students_of_the_unbiased_deviation():
    values = np.array([1.0, 2.0, 4.0])
    mean, half = interval(values)
    low, high = scipy.stats.t.interval(0.95, 2, mean, scipy.stats.sem(values))
    assert_allclose([mean - half, mean + half], [low, high], rtol=1e-12)
    assert np.isnan(interval(values[:1])[1])


# Chapter 01


def staircase():
    """Two repetitions that follow the closed form to the last digit."""
    gamma = torch.tensor([1.0, 0.3, 0.05, 0.01], dtype=torch.float64)
    start = 1e-4 * torch.eye(2, 4, dtype=torch.float64)
    solution = stepwise.linear_barlow_twins(torch.diag(gamma), 2, w0=start, lr=0.1)
    times = torch.linspace(0, 30, 200, dtype=torch.float64)
    one = {
        "gamma": gamma,
        "start": start,
        "learning_rate": 0.1,
        "times": times,
        "eigenvalues": solution.eigenvalues(times),
        "step_times": solution.step_times,
        "final_loss": 0.0,
        "alignment": 1.0,
    }
    scales = np.array([1e-4, 1e-3, 1e-2])
    return {name: np.stack([value] * 2) for name, value in one.items()} | {
        "scan_dim": np.array(2),
        "scan_spectra": np.array([[1.0, 0.5, 0.45]]),
        "scan_scales": scales,
        "scan_errors": 3 * scales**0.1 * np.ones((1, 2, 1)),
        "known_measured": np.ones((2, 2)),
        "known_gamma": np.ones((2, 2)),
        "comparable": np.array(False),
    }


def test_a_repetition_without_a_number_is_the_worst():
    parameters = settings("01-linear-staircase", dim=2)
    arrays = staircase()
    assert {c.verdict for c in linear_staircase.claims(arrays, parameters)} == {"holds"}
    arrays["step_times"][1, 0] = np.nan
    found = {c.id: c for c in linear_staircase.claims(arrays, parameters)}
    assert found["step-times"].verdict == "fails"
    assert np.isnan(found["step-times"].measured)


def test_exponents_see_the_gap_below_the_last_mode():
    fitted, predicted = linear_staircase.exponents(staircase())
    assert_allclose(predicted, [0.1])  # 0.45 / 0.5 is nearer to one than 0.5 / 1
    assert_allclose(fitted, [0.1])


# Chapters 02, 03, 05, 06


def test_a_mode_that_is_never_learnt_is_not_separated():
    times = np.linspace(0, 100, 401)
    curves = 1 / (1 + np.exp(-(times[:, None] - np.array([10, 40, 70]))))
    curves[:, 2] *= 0.05
    assert deep_staircase.separated(times, curves, 3) == 0.5


def test_a_gap_below_the_last_eigenvalue_is_not_one_between_heaps():
    assert deep_staircase.gap(np.array([1.0, 0.5, 0.01, 0.008, 0.0])) == pytest.approx(np.log10(50))
    assert deep_staircase.gap(np.array([1.0, 0.9, 0.0])) == pytest.approx(np.log10(1 / 0.9))


def test_share_on_plateau_k_is_that_of_k_directions():
    moments = np.stack([np.diag([8.0, 4.0, 2.0, 2.0])] * 4)
    found = embedding_dimensions.shares({"second_moment": moments[None]}, 0)
    assert_allclose(found, [0, 0.5, 0.75, 0.875])
    kept = {"second_moment": moments[None], "length": np.full((1, 4), 32.0)}
    assert_allclose(embedding_dimensions.shares(kept, 0), [0, 0.25, 0.375, 0.4375])


def test_eigenvalues_that_the_covariance_lacks_are_counted_on_the_snapshots():
    times = np.arange(6.0)
    covariance = (times[:, None] >= np.array([2.0, 4.0, 9.0])) * 0.9
    arrays = {"times": times[None], "covariance": covariance[None]}
    arrays["snapshot_times"] = np.array([[0.0, 1.0, 2.0, 5.0]])
    assert embedding_dimensions.missing(arrays).tolist() == [[0, -1, -1, -1]]


def test_fixed_axes_are_those_of_the_plateaus_that_were_reached():
    c = torch.stack(
        [torch.diag(torch.tensor(x)) for x in ([0.0, 0, 0], [1.0, 0, 0], [1.0, 0.9, 0])]
    )
    c = torch.cat([c, torch.diag(torch.tensor([0.5, 0.5, 1.0])).expand(4, 3, 3)])
    tau = torch.tensor([1.0, 2.0, *[torch.inf] * 4])
    q = embedding_dimensions.experiment.fixed_axes(c, tau)
    assert q.tolist() == torch.eye(3).tolist()


def test_what_is_left_of_the_asymmetry_is_in_units_of_its_own_decay():
    times = np.linspace(0, 400, 101)
    decays = np.exp(-2.0 * 0.004 * times)
    arrays = {
        "asymmetry": np.stack([[decays], [0 * decays]]),
        "norm": np.ones((2, 1, 101)),
        "times": times,
        "alpha_p": np.array(2.0),
        "weight_decay": np.array(0.004),
    }
    assert_allclose(eigenspace_alignment.left_of_peak(arrays), 1)


def test_one_seed_that_is_not_apart_is_red():
    arrays = {"methods": np.array(["directpred", "byol_linear"]), "active": np.ones((2, 3, 1))}
    arrays["spread"] = np.array([[0.9, 0.9, 0.75], [0.4, 0.4, 0.6]])[..., None]
    found = {c.id: c for c in directpred._alive(arrays, settings("06-directpred", steps=1000))}
    assert found["apart"].measured == pytest.approx(0.15)
    assert found["apart"].verdict == "not seen"


# Chapters 08, 09


def test_dimensions_that_are_lost_again_do_not_count():
    spectrum = np.ones((1, 1, 1, 4, 4)) * np.array([1.0, 0, 0, 0])
    spectrum[0, 0, 0, [1, 3]] = 1.0  # four, one, four again
    arrays = {"spectrum": spectrum, "steps": np.array([0, 10, 20, 30])}
    assert faster_ssl.steps_to_rank(arrays, 0.75) == 30


def test_a_descent_below_the_closed_forms_minimum_is_red(monkeypatch):
    """The right minimum is found; a closed form that lies above it is what is wrong, in one repetition of two."""
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = (-torch.cdist(x, x).square() / 2).exp()
    a = torch.from_numpy(kernel_ssl.view_adjacency(4, 2).toarray())
    cases = (("vicreg", 0.4), ("contrastive", 0.0))
    found = [kernel_ssl.induced_kernel(k, a, 2, *case).coefficients for case in cases]
    arrays = {"k": k, "k_held_out": k[:3], "links": a, "coefficients": torch.stack(found)}
    arrays = {name: np.stack([value.numpy()] * 2) for name, value in arrays.items()}
    arrays["betas"] = np.array([0.4])
    judge = kernel_regime._closed_forms
    assert {c.verdict for c in judge(arrays)} == {"holds"}
    right, factors = kernel_ssl.induced_kernel, iter([0.9, 0.9, 1.0, 1.0])

    def shrunk(*given):
        kernel, by = right(*given), next(factors)
        return kernel_ssl.InducedKernel(by * kernel.coefficients, by * kernel.embeddings)

    monkeypatch.setattr(kernel_ssl, "induced_kernel", shrunk)
    assert {c.verdict for c in judge(arrays)} == {"fails"}


# Chapters 11, 12, 14


@pytest.mark.parametrize(("name", "sign"), [("width", 1), ("light", -1)])
def test_a_mean_whose_interval_contains_the_bound_is_undecided(name, sign):
    """Ratios with a half-width of t(0.975, 2) × 0.1 / √3 = 0.2484 on both sides of the bound's safe side."""
    names = ["none", "none_heavy", "wide_light", "random_wide", "random_narrow"]
    names += ["random_middle", "no_covariance"]
    dependence = np.ones((len(names), 3, 2, 2))
    bound = pairwise_independence.WIDTH
    dependence[names.index("random_wide" if sign > 0 else "wide_light"), :, -1, 0] = (
        bound - 0.1 * sign + np.array([-0.1, 0, 0.1])
    )
    arrays = {"names": np.array(names), "dependence": dependence}
    made = pairwise_independence._trained(arrays, settings("11-pairwise-independence"))
    found = {c.id: c for c in made}[name]
    assert (found.measured, found.half) == pytest.approx((bound - sign * 0.1, 0.2484), abs=1e-4)
    assert found.verdict == "undecided"


def test_an_entropy_is_held_to_the_nearer_of_its_upper_bounds():
    within, above = [1.0, 2.0, 3.0, 2.5, 0.1], [1.0, 2.9, 3.0, 2.5, 0.1]
    below = [1.0, 0.5, 3.0, 2.5, 0.1]
    found = what_we_maximise.beyond(np.array([within, above, below]))
    assert_allclose(found, [-0.8, 0.1, 0.2], atol=1e-12)


def test_one_small_p_value_of_ten_is_no_change():
    change = np.tile(np.arange(-2.0, 3.0)[:, None], (1, 10))  # of five repetitions, each class
    error = change[:, 0].std(ddof=1) / 5**0.5
    change += error * np.array([3.2, *[0.1] * 9])
    p = class_dependent.paired(change)[3]
    assert 0.03 < p[0] < 0.035
    assert not class_dependent.changed(change).any()
    change[:, 0] += 10 * error
    assert class_dependent.changed(change).tolist() == [1, *[0] * 9]


# Chapters 15, 16


def test_a_jitter_below_the_law_is_as_wrong_as_one_above():
    sizes = batch_norm_partitions.BATCHES
    law = splines.jitter(torch.tensor(sizes)).numpy()
    scatter = np.stack([law * [1.0, 0.9, 1.01]] * 2)[..., None]
    arrays = {"scatter": scatter, "folds": np.ones((2, 3, 4, 2))}
    found = {c.id: c for c in batch_norm_partitions._folds_and_jitter(arrays)}["jitter"]
    assert found.measured == pytest.approx(0.9)
    assert found.verdict == "fails"


def test_third_differences_are_the_largest_inside_pieces_and_across_knots():
    t = np.arange(40.0)
    loss = np.where(t < 20.5, t**2, (t - 20.5) ** 2 + 20.5**2)
    inside, across = singular_values_layer.third_differences(t, loss, np.array([20.5]))
    assert inside < 1e-12
    assert across[0] > 1e-3
    bent = loss + 10.0 * (t == 10)
    inside, _ = singular_values_layer.third_differences(t, bent, np.array([20.5]))
    assert inside == pytest.approx(30 / bent.max())

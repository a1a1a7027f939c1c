"""Spectra against values known by hand, numpy, and curves whose crossings are known in closed form."""

import math

import numpy as np
import pytest
import torch

from ssltheory.errors import InputError
from ssltheory.measure import spectra


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_eigenvalues_are_numpys_largest_first():
    a = normal(4, 3, 6, 6)
    c = a + a.mT
    expected = np.linalg.eigvalsh(c.numpy())[..., ::-1]
    np.testing.assert_allclose(spectra.eigenvalues(c).numpy(), expected, atol=1e-12)


def test_eigenvalues_of_float32_are_taken_in_float64():
    c = torch.diag(torch.tensor([1.0, 1e-12], dtype=torch.float32))
    lam = spectra.eigenvalues(c)
    assert lam.dtype == torch.float64
    assert lam[1].item() == pytest.approx(1e-12, rel=1e-6)


@pytest.mark.parametrize("count", [spectra.participation_ratio, spectra.effective_rank])
@pytest.mark.parametrize(
    ("eigenvalues", "expected"), [([2.0] * 7, 7.0), ([3.0, 0, 0, 0], 1.0), ([5.0, 5.0, 0], 2.0)]
)
def test_equal_eigenvalues_are_counted(count, eigenvalues, expected):
    assert count(torch.tensor(eigenvalues)).item() == pytest.approx(expected, rel=1e-12)


def test_unequal_eigenvalues_have_the_values_computed_by_hand():
    lam = torch.tensor([3.0, 1.0])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert spectra.participation_ratio(lam).item() == pytest.approx(16 / 10, rel=1e-12)
    assert spectra.effective_rank(lam).item() == pytest.approx(math.exp(entropy), rel=1e-12)


@pytest.mark.parametrize("count", [spectra.participation_ratio, spectra.effective_rank])
def test_counts_ignore_scale_and_rounding_and_work_on_a_batch(count):
    lam = normal(5, 8).square()
    torch.testing.assert_close(count(lam), count(1e-20 * lam), rtol=1e-12, atol=0)
    torch.testing.assert_close(count(lam)[2], count(lam[2]), rtol=1e-12, atol=0)
    with_rounding = torch.cat([lam, torch.full((5, 1), -1e-18)], dim=1)
    torch.testing.assert_close(count(lam), count(with_rounding), rtol=1e-12, atol=0)
    assert count(torch.zeros(3)).isnan()


def test_alignment_sees_the_span_and_nothing_else():
    a, mix = normal(20, 4), normal(4, 4, seed=1)
    assert spectra.subspace_alignment(a, a @ mix).item() == pytest.approx(1, abs=1e-12)
    b = normal(20, 4, seed=2)
    expected = spectra.subspace_alignment(a, b)
    rotation = torch.linalg.qr(normal(20, 20, seed=3)).Q
    torch.testing.assert_close(spectra.subspace_alignment(rotation @ a, rotation @ b), expected)
    torch.testing.assert_close(spectra.subspace_alignment(b @ mix, a), expected)


def test_alignment_of_known_angles():
    eye = torch.eye(4, dtype=torch.float64)
    turned = torch.stack([eye[:, 0], math.cos(0.3) * eye[:, 1] + math.sin(0.3) * eye[:, 2]], dim=1)
    assert spectra.subspace_alignment(eye[:, :2], eye[:, 2:]).item() == pytest.approx(0, abs=1e-15)
    expected = (1 + math.cos(0.3) ** 2) / 2
    assert spectra.subspace_alignment(eye[:, :2], turned).item() == pytest.approx(expected)


def test_alignment_by_chance_is_d_over_n():
    a, b = normal(2000, 30, 6), normal(2000, 30, 6, seed=1)
    aligned = spectra.subspace_alignment(a, b)
    assert aligned.mean().item() == pytest.approx(6 / 30, abs=5 * aligned.std().item() / 2000**0.5)


@pytest.mark.parametrize(("a", "b"), [((5, 2), (5, 3)), ((5, 2), (6, 2)), ((2, 3), (2, 3))])
def test_alignment_of_shapes_that_do_not_fit_is_refused(a, b):
    with pytest.raises(InputError, match="subspace_alignment takes two"):
        spectra.subspace_alignment(normal(*a), normal(*b))


def logistic(times, tau, rate):
    return torch.sigmoid(rate * (times[:, None] - tau))


@pytest.mark.parametrize("level", [0.5, 0.1])
def test_step_times_of_logistic_curves_are_exact_on_a_coarse_grid(level):
    times = torch.linspace(0, 10, 8, dtype=torch.float64)
    tau = torch.tensor([3.234, 5.0, 7.7], dtype=torch.float64)
    rate = torch.tensor([0.9, 2.0, 3.0], dtype=torch.float64)
    expected = tau + math.log(level / (1 - level)) / rate
    found = spectra.step_times(times, logistic(times, tau, rate), level)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_step_times_take_the_first_crossing_and_say_when_there_is_none():
    times = torch.tensor([1.0, 2.0, 3.0, 4.0])
    curves = torch.tensor(
        [
            [0.9, 0.0, 0.1, 0.0, 0.5],
            [0.9, 0.0, 0.9, 0.0, 0.6],
            [0.9, 0.1, 0.1, 2.0, 0.7],
            [0.9, 0.4, 0.9, 2.0, 0.8],
        ]
    )
    #                 starts above, never, the first of two, linear (0 → 2), starts on the level
    expected = torch.tensor([1.0, math.inf, 1.5, 2.25, 1.0], dtype=torch.float64)
    torch.testing.assert_close(spectra.step_times(times, curves), expected, rtol=1e-6, atol=0)


def test_second_moment_is_not_centred():
    z = normal(50, 4) + 3
    expected = z.T.numpy() @ z.numpy() / 50
    np.testing.assert_allclose(spectra.second_moment(z.float()), expected, rtol=1e-6)


def test_active_modes_are_counted_against_the_largest():
    lam = torch.tensor([[5.0, 0.06, 0.04, 0.0], [0.01, 0.0002, 0.00005, -1e-9]])
    assert spectra.active(lam).sum(-1).tolist() == [2, 2]
    assert spectra.active(lam, share=0.1).sum(-1).tolist() == [1, 1]


def test_spread_of_a_point_a_line_and_a_sphere():
    d = 16
    direction = normal(d)
    assert spectra.spread(direction.expand(10, d)).item() == pytest.approx(0, abs=1e-7)
    assert spectra.spread(normal(10, 1).abs() * direction).item() == pytest.approx(0, abs=1e-7)
    assert spectra.spread(normal(20_000, d)).item() == pytest.approx(1, abs=0.01)
    assert spectra.spread(normal(3, 50, d)).shape == (3,)
    four = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -4.0]])  # std √½ of the sample
    assert spectra.spread(four).item() == pytest.approx(1, abs=1e-12)


def test_off_diagonal_share_of_shared_and_of_unrelated_eigenvectors():
    u = torch.linalg.qr(normal(6, 6)).Q
    lam = torch.arange(1.0, 7, dtype=torch.float64)
    f, own = (u * lam) @ u.T, (u * lam.flip(0).sqrt()) @ u.T
    assert spectra.off_diagonal(own, f).item() == pytest.approx(0, abs=1e-12)
    chance = spectra.off_diagonal(normal(3000, 6, 6, seed=1), f.expand(3000, 6, 6))
    assert chance.mean().item() == pytest.approx(1 - 1 / 6, abs=0.01)
    skew = u @ torch.block_diag(*[torch.tensor([[0.0, 1], [-1, 0]]).double()] * 3) @ u.T
    assert spectra.off_diagonal(skew, f).item() == pytest.approx(1, abs=1e-12)

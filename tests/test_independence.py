"""HSIC, dHSIC and the ICA: against plain loops, known truths, and FastICA."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import FastICA

from ssltheory.errors import InputError, RunError
from ssltheory.theory import independence
from ssltheory.theory.independence import (
    amari_distance,
    benchmark_sources,
    covariance_ica,
    covariance_penalty,
    dhsic,
    fourier_features,
    gaussian_gram,
    hsic,
    hsic_permutation_test,
    mean_correlation,
    mean_dependence,
    off_diagonal_penalty,
    pairwise_hsic,
    random_projector,
    rotation,
    whiten,
    xor_triple,
)

torch.set_num_threads(2)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_gram(x, bandwidth):
    x = np.asarray(x).reshape(len(x), -1)
    n = len(x)
    return np.array(
        [
            [math.exp(-((x[i] - x[j]) ** 2).sum() / (2 * bandwidth**2)) for j in range(n)]
            for i in range(n)
        ]
    )


def naive_hsic(k, q):
    """tr(K H L H) / (n − 1)² with H written out."""
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(k @ h @ q @ h) / (n - 1) ** 2


def naive_unbiased(k, q):
    """The U-statistic over ordered quadruples of different rows (Gretton et al. 2005)."""
    n, total, count = len(k), 0.0, 0
    for i in range(n):
        for j in range(n):
            for a in range(n):
                for b in range(n):
                    if len({i, j, a, b}) == 4:
                        total += k[i, j] * (q[i, j] + q[a, b] - 2 * q[i, a])
                        count += 1
    return total / count


def test_hsic_is_the_trace_and_the_u_statistic():
    x, y = normal(9, 2), normal(9, seed=1)
    k, q = naive_gram(x, 0.7), naive_gram(y, 0.7)
    assert hsic(x, y, 0.7).item() == pytest.approx(naive_hsic(k, q), abs=1e-14)
    assert hsic(x, y, 0.7, unbiased=True).item() == pytest.approx(naive_unbiased(k, q), abs=1e-14)


def test_median_bandwidth_makes_hsic_free_of_units():
    x, y = normal(40), normal(40, 3, seed=1)
    distances = [abs(a - b).item() for i, a in enumerate(x) for b in x[:i]]
    torch.testing.assert_close(
        gaussian_gram(x), gaussian_gram(x, np.quantile(distances, 0.5, method="lower"))
    )
    torch.testing.assert_close(hsic(x, y), hsic(1000 * x, y / 7), rtol=1e-9, atol=0)


def test_unbiased_hsic_has_mean_zero_under_independence_and_the_biased_one_has_not():
    found = torch.tensor(
        [
            [
                hsic(normal(30, seed=s), normal(30, seed=10_000 + s), 1.0, unbiased=u)
                for u in (True, False)
            ]
            for s in range(300)
        ]
    )
    mean, error = found.mean(0), found.std(0) / 300**0.5
    assert abs(mean[0]) < 3 * error[0]
    assert mean[1] > 10 * error[1]


def test_hsic_of_gaussians_has_its_closed_form():
    """Large n: E k k' + E k E k' − 2 E[E k E k'] of correlated normals, by Gaussian integrals."""
    rho, b = 0.6, 1.3
    z = normal(4000, 2)
    x, y = z[:, 0], rho * z[:, 0] + (1 - rho**2) ** 0.5 * z[:, 1]

    def expectation(covariance):
        """E exp(−‖v‖² / 2b²) of v ~ N(0, covariance)."""
        return np.linalg.det(np.eye(len(covariance)) + covariance / b**2) ** -0.5

    joint = expectation(2 * np.array([[1, rho], [rho, 1]]))
    apart = expectation(np.array([[2.0]])) ** 2
    shared = expectation(np.array([[2, rho], [rho, 2]]))
    assert hsic(x, y, b).item() == pytest.approx(joint + apart - 2 * shared, rel=0.06)


def test_dhsic_of_two_is_hsic():
    x, y = normal(50), normal(50, 2, seed=1) ** 2
    n = 50
    torch.testing.assert_close(
        dhsic([x, y]), hsic(x, y) * (n - 1) ** 2 / n**2, rtol=1e-12, atol=1e-16
    )


def naive_dhsic(grams):
    """Three sums over rows, loop by loop."""
    n = len(grams[0])
    joint, apart, shared = 0.0, 1.0, 0.0
    for i in range(n):
        for j in range(n):
            joint += math.prod(k[i, j] for k in grams) / n**2
        shared += math.prod(sum(k[i, j] for j in range(n)) / n for k in grams) / n
    for k in grams:
        apart *= sum(k[i, j] for i in range(n) for j in range(n)) / n**2
    return joint + apart - 2 * shared


def test_dhsic_of_three_is_its_sums():
    variables = [normal(8, seed=s) for s in range(3)]
    expected = naive_dhsic([naive_gram(x, 0.7) for x in variables])
    assert dhsic(variables, 0.7).item() == pytest.approx(expected, abs=1e-14)


def test_dhsic_of_three_gaussians_has_its_closed_form():
    """Large n, by Gaussian integrals: differences share both rows, only the first, or none."""
    b = 1.3
    c = np.array([[1, 0.6, 0.3], [0.6, 1, 0.5], [0.3, 0.5, 1]])
    z = normal(4000, 3) @ torch.from_numpy(np.linalg.cholesky(c)).T

    def expectation(covariance):
        return np.linalg.det(np.eye(3) + covariance / b**2) ** -0.5

    joint, apart, shared = map(expectation, (2 * c, 2 * np.eye(3), c + np.eye(3)))
    assert dhsic(list(z.T), b).item() == pytest.approx(joint + apart - 2 * shared, rel=0.06)


def test_dhsic_sees_what_pairs_do_not():
    """Of x, y and the sign of xy each pair is independent, the three are not."""
    x, y, z = xor_triple(500)
    pairs = [hsic(a, b, 1.0).item() for a, b in ((x, y), (x, z), (y, z))]
    assert max(pairs) < 0.003
    assert dhsic([x, y, z], 1.0) > 10 * max(pairs)
    assert dhsic([x, y, normal(500, seed=3)], 1.0) < 0.003


def test_permutation_p_values_are_uniform_under_independence():
    p = [
        hsic_permutation_test(normal(20, seed=s), normal(20, seed=5000 + s), 99, seed=s)
        for s in range(300)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert min(p) >= 0.01


def test_permutation_test_finds_dependence_without_correlation():
    x = normal(100)
    y = x**2 + 0.3 * normal(100, seed=1)
    assert hsic_permutation_test(x, y, 199, seed=0) == 1 / 200
    assert hsic_permutation_test(x, y, 199, seed=0) == hsic_permutation_test(x, y, 199, seed=0)


@pytest.mark.parametrize("block", [independence.BLOCK, 500])
def test_pairwise_hsic_is_hsic_of_every_pair(monkeypatch, block):
    monkeypatch.setattr(independence, "BLOCK", block)
    x = normal(60, 4)
    x[:, 1] = x[:, 0] ** 2 + 0.1 * x[:, 1]
    expected = torch.stack([torch.stack([hsic(a, b) for b in x.mT]) for a in x.mT])
    torch.testing.assert_close(pairwise_hsic(x), expected, rtol=1e-10, atol=1e-14)
    cosine = pairwise_hsic(x, normalized=True)
    torch.testing.assert_close(cosine.diagonal(), torch.ones(4).double())
    assert cosine[0, 1] > 5 * cosine[2, 3]


def draw_features(p, bandwidth=1.0, seed=0):
    return normal(p, seed=seed) / bandwidth, 2 * math.pi * torch.rand(
        p, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    )


def test_lemma_1():
    """The covariance penalty behind an elementwise projector IS HSIC with the projector's kernel."""
    x, y = normal(80), normal(80, seed=1) ** 2
    psi_x, psi_y = (fourier_features(v, *draw_features(16)) for v in (x, y))
    by_kernel = naive_hsic((psi_x @ psi_x.mT).numpy(), (psi_y @ psi_y.mT).numpy())
    assert covariance_penalty(psi_x, psi_y).item() == pytest.approx(by_kernel, abs=1e-12)


def test_fourier_features_tend_to_the_gaussian_kernel():
    x = normal(200)
    y = x**2 + normal(200, seed=1)
    psi = [fourier_features(v, *draw_features(4000, 0.8)) for v in (x, y)]
    assert covariance_penalty(*psi).item() == pytest.approx(hsic(x, y, 0.8).item(), rel=0.1)


def test_a_drawn_projector_has_the_gaussian_kernel():
    """Every entry, not the centred kernel alone: a phase that does not go round leaves a constant."""
    x = normal(40)
    psi = random_projector(20_000, 0.8, seed=3)(x)
    assert (psi @ psi.mT - gaussian_gram(x, 0.8)).abs().max() < 5 / 20_000**0.5


def test_ica_recovers_the_sources_as_fast_ica_does():
    s, mixing = benchmark_sources(2000)
    x = s @ mixing.mT
    w = covariance_ica(x, sweeps=3)
    y = (x - x.mean(0)) @ w.mT
    assert mean_correlation(y, s) >= 0.995
    assert amari_distance(w, mixing) <= 0.02
    fast = FastICA(6, fun="logcosh", whiten="unit-variance", random_state=0, max_iter=1000)
    theirs = torch.from_numpy(fast.fit_transform(x.numpy()))
    assert mean_correlation(theirs, s) - mean_correlation(y, s) < 0.005
    torch.testing.assert_close(torch.cov(y.mT), torch.eye(6).double(), rtol=0, atol=1e-8)


def test_a_linear_projector_carries_no_signal_for_ica():
    """ψ(t) = t sees covariances only: after whitening there is nothing left to find."""
    s, mixing = benchmark_sources(1000)
    w = covariance_ica(s @ mixing.mT, sweeps=1, psi=lambda x: x[..., None])
    assert mean_correlation(s @ mixing.mT @ w.mT, s) <= 0.8


def test_mean_dependence_is_that_of_pairs_and_triples():
    z = normal(60, 3)
    z[:, 2] = z[:, 0] ** 2
    pairs, triples = mean_dependence(z)
    assert pairs == pytest.approx(pairwise_hsic(z, normalized=True)[np.triu_indices(3, 1)].mean())
    assert triples == pytest.approx(dhsic(list(z.mT)).item())
    silent = torch.cat([z, torch.zeros(60, 2), (normal(60, 1) > 1).double()], 1)
    assert mean_dependence(silent) == pytest.approx((pairs, triples))
    wide = normal(60, 40)
    assert mean_dependence(wide, 5) == mean_dependence(wide, 5) != mean_dependence(wide, 5, 1)


def test_scores_of_a_perfect_and_of_a_random_answer():
    s, mixing = benchmark_sources(500)
    order = torch.eye(6).double()[[3, 1, 5, 0, 2, 4]] * torch.tensor([1.0, -2, 3, 1, -1, 5])
    assert amari_distance(order @ torch.linalg.inv(mixing), mixing) == pytest.approx(0, abs=1e-12)
    assert mean_correlation(s @ order.mT, s) == pytest.approx(1)
    assert amari_distance(normal(6, 6), mixing) > 0.2
    assert amari_distance(torch.ones(6, 6), torch.eye(6)) == pytest.approx(1)
    uneven = torch.tensor([[2.0, 1.0], [0.0, 1.0]])  # rows give ½ + 0, columns 0 + 1
    assert amari_distance(uneven, torch.eye(2)) == pytest.approx(1.5 / 4)


def test_off_diagonal_penalty_is_that_of_the_covariance_and_blind_to_rotations_of_white_inputs():
    h = normal(40, 7)
    c = torch.cov(h.mT)
    expected = (c - c.diagonal().diag()).square().sum()
    torch.testing.assert_close(off_diagonal_penalty(h), expected)
    y, w = whiten(normal(50, 2))[0], normal(2, 9, seed=1)
    turned = y @ rotation(torch.tensor(0.7).double()).mT
    torch.testing.assert_close(off_diagonal_penalty(turned @ w), off_diagonal_penalty(y @ w))


def test_whitening():
    y, w = whiten(normal(300, 4) @ normal(4, 4, seed=1) + 3)
    torch.testing.assert_close(torch.cov(y.mT), torch.eye(4).double(), rtol=0, atol=1e-9)
    assert w.shape == (4, 4)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: hsic(normal(5), normal(6)), "one length"),
        (lambda: hsic(normal(3), normal(3)), "4 or more"),
        (lambda: hsic(normal(5, 1, 1), normal(5)), r"\(n,\) or \(n, p\)"),
        (lambda: hsic(torch.zeros(9), normal(9)), "give bandwidth="),
        (lambda: gaussian_gram(normal(5), -1.0), "above 0"),
        (lambda: dhsic([normal(5)]), "two or more"),
        (lambda: hsic_permutation_test(normal(9), normal(9), 0), "n_permutations"),
        (lambda: whiten(torch.ones(9, 2)), "full rank"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(InputError, match=named):
        call()


def test_a_collapsed_representation_has_no_dependence_to_measure():
    with pytest.raises(RunError, match="collapsed"):
        mean_dependence(torch.ones(9, 5))

"""Entropy estimators against Gaussian truths and Monte Carlo; the normality test against known laws."""

import math

import pytest
import torch
from scipy.stats import normaltest
from torch.func import jacrev, vmap

from ssltheory.errors import InputError
from ssltheory.models.encoders import initialise_, mlp
from ssltheory.theory.information import (
    component_entropy,
    decoder_terms,
    entropy_split,
    gaussian_entropy,
    linearised_covariance,
    logdet_entropy,
    mixture_entropy,
    normality,
    pairwise_entropy_bounds,
)

torch.set_num_threads(2)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_component_is_a_gaussian():
    own = 3 / 2 * math.log(2 * math.pi * math.e * 0.25)
    means = torch.zeros(1, 3)
    lower, upper = pairwise_entropy_bounds(means, 0.5)
    for value in (lower, upper, logdet_entropy(means, 0.5), gaussian_entropy(0.25 * torch.eye(3))):
        assert value.item() == pytest.approx(own, abs=1e-12)


def test_components_far_apart_add_log_n():
    means = 1e4 * torch.eye(5)
    own = gaussian_entropy(0.09 * torch.eye(5).double()).item()
    for bound in pairwise_entropy_bounds(means, 0.3):
        assert bound.item() == pytest.approx(own + math.log(5), abs=1e-9)


@pytest.mark.parametrize("spread", [0.1, 0.3, 1.0, 3.0])
def test_bounds_hold_the_truth_between_them(spread):
    means = spread * normal(200, 8)
    truth, error = mixture_entropy(means, 0.3, 20_000)
    lower, upper = pairwise_entropy_bounds(means, 0.3)
    logdet = logdet_entropy(means, 0.3)
    assert lower - 3 * error <= truth <= torch.minimum(upper, logdet) + 3 * error
    tight, loose = (logdet, upper) if spread < 0.5 else (upper, logdet)
    assert tight - truth < loose - truth


def test_bounds_are_the_double_sums():
    means, s = normal(6, 2), 0.7
    lower, upper = pairwise_entropy_bounds(means, s)
    for value, c in ((lower, 4), (upper, 1)):
        total = 0.0
        for a in means:
            inner = [math.exp(-((a - b) ** 2).sum().item() / (2 * c * s**2)) for b in means]
            total -= math.log(sum(inner) / 6) / 6
        assert value.item() == pytest.approx(
            math.log(2 * math.pi * math.e * s**2) + total, abs=1e-12
        )


def test_monte_carlo_of_one_gaussian_is_exact():
    value, error = mixture_entropy(torch.zeros(1, 4), 2.0, 20_000)
    assert value.item() == pytest.approx(gaussian_entropy(4 * torch.eye(4).double()).item())
    assert value.item() == pytest.approx(component_entropy(4, 2.0))
    assert error < 1e-9


def test_monte_carlo_is_the_mean_of_the_surprise():
    means, s = normal(50, 3), 0.5
    value, error = mixture_entropy(means, s, 50_000)
    generator = torch.Generator().manual_seed(9)
    which = torch.randint(50, (50_000,), generator=generator)
    z = means[which] + s * torch.randn(50_000, 3, generator=generator, dtype=torch.float64)
    squares = torch.cdist(z, means).square()
    density = (-squares / (2 * s**2)).exp().mean(1) / (2 * math.pi * s**2) ** 1.5
    surprise = -density.log()
    assert abs(surprise.mean() - value) < 4 * surprise.std() / 50_000**0.5 + 4 * error


def test_monte_carlo_of_components_far_apart_is_exact():
    value, error = mixture_entropy(1e4 * torch.eye(5), 0.3, 1000)
    assert value.item() == pytest.approx(component_entropy(5, 0.3) + math.log(5), abs=1e-9)
    assert error < 1e-9


@pytest.mark.parametrize(("size", "within"), [(0.02, 0.02), (0.05, 0.05), (0.1, 0.05)])
def test_entropy_split(size, within):
    r = normal(6, 6)
    r = torch.eye(6) + size * (r + r.mT) / (r + r.mT).abs().max()
    r = r - r.diagonal().diag() + torch.eye(6)
    scale = torch.rand(6, dtype=torch.float64) + 0.5
    variances, correlations, second = entropy_split(scale[:, None] * r * scale)
    whole = torch.linalg.slogdet(scale[:, None] * r * scale)[1] / 2
    torch.testing.assert_close(variances + correlations, whole)
    assert second.item() == pytest.approx(correlations.item(), rel=within)


def test_linearised_covariance_is_exact_inside_a_region():
    net = initialise_(mlp((8, 32, 32, 4)), seed=1).double()
    x = normal(8)
    noise = 1e-6
    z = net(x + noise * normal(4000, 8, seed=2)).detach()
    jacobian = jacrev(lambda v: net(v[None])[0])(x)
    exact = net(x[None]).detach() + noise * normal(4000, 8, seed=2) @ jacobian.mT
    assert (z - exact).abs().max() < 1e-8 * noise * jacobian.norm()
    found = torch.cov(z.mT)
    expected = linearised_covariance(jacobian, noise)
    assert (found - expected).norm() / expected.norm() < 0.06
    many = vmap(jacrev(lambda v: net(v[None])[0]))(normal(3, 8))
    assert linearised_covariance(many, 0.1).shape == (3, 4, 4)


def test_decoder_terms_are_the_mean_log_density():
    means_a, means_b = normal(6, 3), normal(6, 3, seed=1)
    roots_a, roots_b = 0.5 * normal(6, 3, 4, seed=2), 0.5 * normal(6, 3, 4, seed=3)
    traces = [root.square().sum((1, 2)) for root in (roots_a, roots_b)]
    parts = decoder_terms(means_a, means_b, *traces)
    eps_a, eps_b = normal(2, 40_000, 6, 4, seed=4)
    z_a = means_a + torch.einsum("idk,nik->nid", roots_a, eps_a)
    z_b = means_b + torch.einsum("idk,nik->nid", roots_b, eps_b)
    log_q = -(z_a - z_b).square().sum(-1) / 2 - 3 / 2 * math.log(2 * math.pi)
    error = log_q.mean(1).std() / 40_000**0.5
    assert abs(sum(parts) - log_q.mean()) < 4 * error
    assert parts[0] == -(means_a - means_b).square().sum() / 12


def test_decoder_terms_of_a_stack():
    means_a, means_b, traces = normal(2, 6, 3), normal(2, 6, 3, seed=1), normal(2, 4).abs()
    found = decoder_terms(means_a, means_b, traces, traces)
    alone = decoder_terms(means_a[1], means_b[1], traces[1], traces[1])
    torch.testing.assert_close([part.expand(2)[1] for part in found], list(alone))


@pytest.mark.parametrize("n", [20, 100, 512])
def test_normality_is_scipys(n):
    z = torch.cat([normal(n, 20), normal(n, 20, seed=1) ** 3, normal(n, 20, seed=2).exp()], 1)
    expected = torch.from_numpy(normaltest(z.numpy(), axis=0).pvalue)
    torch.testing.assert_close(normality(z), expected, rtol=1e-9, atol=0)


def test_normality_is_uniform_for_normals_and_not_for_others():
    z = normal(40, 512, 30)
    p = normality(z)
    assert p.shape == (40, 30)
    assert abs(p.mean() - 0.5) < 0.03
    assert 0.003 < (p < 0.01).double().mean() < 0.03
    assert (normality(z.relu()) < 0.01).double().mean() > 0.99
    across = normal(512, 1, seed=3) ** 3 + 0.01 * normal(512, 30)  # over images, not over noise
    assert normality(across).max() < 1e-3


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: logdet_entropy(normal(5), 1.0), r"\(n, d\)"),
        (lambda: pairwise_entropy_bounds(normal(5, 2), 0.0), "above 0"),
        (lambda: mixture_entropy(normal(5, 2), math.nan), "above 0"),
        (lambda: normality(normal(19, 2)), "20 or more"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(InputError, match=named):
        call()

"""Entropy estimators against Gaussian truths and Monte Carlo; the normality test against known laws."""

import math

import pytest
import torch
from torch.func import jacrev, vmap

from ssltheory.encoders import initialise_, mlp
from ssltheory.errors import InputError
from ssltheory.theory.information import (
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


def test_monte_carlo_of_one_gaussian():
    value, error = mixture_entropy(torch.zeros(1, 4), 2.0, 20_000)
    assert abs(value - gaussian_entropy(4 * torch.eye(4))) < 4 * error
    assert error < 0.02


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

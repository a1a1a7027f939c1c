"""Losses against the equations summed one term at a time, their gradients, their early flow."""

import math
import os
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F

from ssltheory.errors import InputError
from ssltheory.losses import (
    barlow_twins,
    byol,
    info_nce,
    simclr,
    simsiam,
    spectral_contrastive,
    vicreg,
)

LOSSES = {
    "barlow_twins": barlow_twins,
    "barlow_twins unnormalised": lambda a, b: barlow_twins(a, b, lambda_=0.7, normalize=False),
    "vicreg": vicreg,
    "vicreg added": lambda a, b: vicreg(a, b, variance=50.0),
    "simclr": simclr,
    "info_nce": info_nce,
    "info_nce dot product": lambda a, b: info_nce(a, b, temperature=2.0, normalize=False),
    "simclr dot product": lambda a, b: simclr(a, b, temperature=2.0, normalize=False),
    "spectral_contrastive": spectral_contrastive,
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def pair(*shape, seed=0, dtype=torch.float64):
    """Two correlated embeddings, neither centred nor of unit scale."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(*shape, generator=g, dtype=dtype)
    noise = torch.randn(2, *shape, generator=g, dtype=dtype)
    return 0.3 + 0.8 * z + 0.4 * noise[0], -0.1 + 0.9 * z + 0.5 * noise[1]


# The equations, one term at a time, in Python floats


def column(z, j):
    return [row[j] for row in z]


def mean(values):
    return math.fsum(values) / len(values)


def dot(u, v):
    return math.fsum(p * q for p, q in zip(u, v, strict=True))


def naive_barlow_twins(a, b, lambda_=0.0051, normalize=True):
    n, d = len(a), len(a[0])
    total = 0.0
    for i in range(d):
        for j in range(d):
            u, v = column(a, i), column(b, j)
            if normalize:
                mu, nu = mean(u), mean(v)
                sigma = math.sqrt(mean([(p - mu) ** 2 for p in u]))
                tau = math.sqrt(mean([(q - nu) ** 2 for q in v]))
                c = mean([(p - mu) * (q - nu) for p, q in zip(u, v, strict=True)]) / (sigma * tau)
            else:
                c = (dot(u, v) + dot(column(b, i), column(a, j))) / (2 * n)
            total += (1 - c) ** 2 if i == j else lambda_ * c**2
    return total


def naive_vicreg(a, b, share=1 / 2):
    n, d = len(a), len(a[0])
    total = 25 * sum((a[i][j] - b[i][j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    for z in (a, b):
        mu = [mean(column(z, j)) for j in range(d)]
        for i in range(d):
            for j in range(d):
                c = sum((row[i] - mu[i]) * (row[j] - mu[j]) for row in z) / (n - 1)
                if i == j:
                    total += 25 * share * max(0.0, 1 - math.sqrt(c + 1e-4)) / d
                else:
                    total += c**2 / d
    return total


def naive_simclr(a, b, temperature=0.5, normalize=True):
    n, z = len(a), a + b

    def s(u, v):
        return dot(u, v) / (math.sqrt(dot(u, u) * dot(v, v)) if normalize else 1.0)

    total = 0.0
    for i in range(2 * n):
        candidates = [math.exp(s(z[i], z[k]) / temperature) for k in range(2 * n) if k != i]
        partner = math.exp(s(z[i], z[(i + n) % (2 * n)]) / temperature)
        total -= math.log(partner / math.fsum(candidates))
    return total / (2 * n)


def naive_info_nce(a, b, temperature=0.2, normalize=True):
    def similarity(u, v):
        return dot(u, v) / (math.sqrt(dot(u, u) * dot(v, v)) if normalize else 1.0)

    total = 0.0
    for own, other in ((a, b), (b, a)):
        for i, z in enumerate(own):
            s = [math.exp(similarity(z, candidate) / temperature) for candidate in other]
            total -= math.log(s[i] / math.fsum(s)) / len(own)
    return total


def naive_spectral_contrastive(a, b):
    attraction = mean([dot(u, v) for u, v in zip(a, b, strict=True)])
    repulsion = mean([dot(u, v) ** 2 for u in a for v in b])
    return -2 * attraction + repulsion


NAIVE = {
    "barlow_twins": naive_barlow_twins,
    "barlow_twins unnormalised": lambda a, b: naive_barlow_twins(a, b, 0.7, normalize=False),
    "vicreg": naive_vicreg,
    "vicreg added": lambda a, b: naive_vicreg(a, b, share=1),
    "simclr": naive_simclr,
    "info_nce": naive_info_nce,
    "info_nce dot product": lambda a, b: naive_info_nce(a, b, 2.0, normalize=False),
    "simclr dot product": lambda a, b: naive_simclr(a, b, 2.0, normalize=False),
    "spectral_contrastive": naive_spectral_contrastive,
}


@each_loss
@pytest.mark.parametrize("shape", [(12, 5), (5, 12)], ids=["n > d", "n < d"])
def test_is_the_equation(name, shape):
    z_a, z_b = pair(*shape)
    expected = NAIVE[name](z_a.tolist(), z_b.tolist())
    assert LOSSES[name](z_a, z_b).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@each_loss
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)], ids=["n > d", "n < d"])
def test_gradient(name, shape):
    views = [z.requires_grad_() for z in pair(*shape, seed=1)]
    assert torch.autograd.gradcheck(LOSSES[name], views)


@each_loss
def test_seeds_train_stacked(name):
    """A stack gives each seed's own loss, and the gradient of the sum each seed's own gradient."""
    z_a, z_b = (z.requires_grad_() for z in pair(2, 3, 7, 4, seed=2))
    losses = LOSSES[name](z_a, z_b)
    assert losses.shape == (2, 3)
    gradients = torch.autograd.grad(losses.sum(), (z_a, z_b))
    for seed in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        alone = [z[tuple(seed)].detach().requires_grad_() for z in (z_a, z_b)]
        loss = LOSSES[name](*alone)
        torch.testing.assert_close(losses[tuple(seed)], loss, rtol=1e-12, atol=1e-12)
        for whole, one in zip(gradients, torch.autograd.grad(loss, alone), strict=True):
            torch.testing.assert_close(whole[tuple(seed)], one, rtol=1e-10, atol=1e-12)


@each_loss
def test_never_waits_for_the_device(name):
    """Meta tensors have shapes and no values: whatever reads one, to index or to branch, raises."""
    z_a, z_b = (torch.empty(8, 4, device="meta", requires_grad=True) for _ in range(2))
    loss = LOSSES[name](z_a, z_b)
    assert loss.shape == ()
    loss.backward()


def test_that_meta_tensors_catch_a_boolean_mask():
    c = torch.empty(4, 4, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        c[~torch.eye(4, dtype=torch.bool, device="meta")]


# Early dynamics: −∂L/∂W = W A for z = W x with W near 0. Derived for this project and checked here.


def early_setting():
    g = torch.Generator().manual_seed(3)
    n, m, d = 40, 9, 4
    x = torch.randn(n, m, generator=g, dtype=torch.float64) + 0.5
    y = x + 0.6 * torch.randn(n, m, generator=g, dtype=torch.float64)
    w = 1e-5 * torch.randn(d, m, generator=g, dtype=torch.float64)
    gamma = (x.T @ y + y.T @ x) / (2 * n)
    return x, y, w, gamma


def early_operators(x, y, gamma, d):
    n = len(x)
    pooled = torch.cat([x, y])
    m, s = pooled.mean(0), pooled.T @ pooled / (2 * n)
    temperature, points = 0.8, 2 * n
    ntxent = 2 / temperature * gamma
    ntxent = ntxent - 2 / (temperature * (points - 1)) * (points * torch.outer(m, m) - s)
    sigma = torch.cov(x.T) + torch.cov(y.T)
    vic = 25 / (d * 0.01) * sigma / 2 - 50 / d * ((x - y).T @ (x - y)) / n
    return {
        "Barlow Twins, λ = 1": (lambda a, b: barlow_twins(a, b, 1.0, normalize=False), 4 * gamma),
        "Barlow Twins, λ = 0.0051": (lambda a, b: barlow_twins(a, b, normalize=False), 4 * gamma),
        "spectral contrastive": (spectral_contrastive, 4 * gamma),
        "NT-Xent, dot product": (lambda a, b: simclr(a, b, temperature, normalize=False), ntxent),
        "VICReg": (vicreg, vic),
    }


def early_deviation(loss, a):
    x, y, w, _ = early_setting()
    w.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x @ w.T, y @ w.T), w)
    flow = w.detach() @ a
    return ((-gradient - flow).norm() / flow.norm()).item()


@pytest.mark.parametrize("name", early_operators(*early_setting()[:2], early_setting()[3], 4))
def test_early_flow_is_linear(name):
    x, y, w, gamma = early_setting()
    loss, a = early_operators(x, y, gamma, len(w))[name]
    assert early_deviation(loss, a) < 1e-4


def test_early_flow_tells_the_operators_apart():
    """No row would pass with another row's A, nor with the second moment in the place of Γ."""
    x, y, w, gamma = early_setting()
    table = early_operators(x, y, gamma, len(w))
    pooled = torch.cat([x, y])
    wrong = [a for _, a in table.values()] + [4 * pooled.T @ pooled / len(pooled)]
    for loss, right in table.values():
        for a in wrong:
            if not torch.equal(a, right):
                assert early_deviation(loss, a) > 0.01


# Conventions


@each_loss
def test_views_are_exchangeable(name):
    z_a, z_b = pair(9, 4)
    torch.testing.assert_close(LOSSES[name](z_a, z_b), LOSSES[name](z_b, z_a))


@pytest.mark.parametrize(("eps", "agreement"), [(1e-5, 1e-4), (1e-14, 1e-10)])
def test_barlow_twins_with_the_batch_norm_of_other_codes(eps, agreement):
    """The authors' batch norm adds ε = 10⁻⁵ to the variance: a relative change of that order."""
    z_a, z_b = pair(16, 6)
    x, y = (F.batch_norm(z, None, None, training=True, eps=eps) for z in (z_a, z_b))
    c = x.T @ y / 16
    off_diagonal = c.square().sum() - c.diagonal().square().sum()
    theirs = (1 - c.diagonal()).square().sum() + 0.0051 * off_diagonal
    deviation = abs(barlow_twins(z_a, z_b) / theirs - 1)
    assert 0.01 * agreement * (eps > 1e-10) <= deviation < agreement


def test_a_constant_column_is_not_hidden():
    z_a, z_b = pair(8, 3)
    z_a[:, 1] = 2.0
    assert barlow_twins(z_a, z_b).isnan()


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_normalised_losses_do_not_see_the_scale(scale):
    z_a, z_b = pair(10, 4)
    for loss in (barlow_twins, simclr):
        torch.testing.assert_close(loss(scale * z_a, scale * z_b), loss(z_a, z_b))


def test_lightly_agrees():
    """In float32. Its Barlow Twins adds ε = 10⁻⁵ to the variance: scale 100 hides it.

    Without lightly it is skipped, or fails where SSLTHEORY_REQUIRE_PEERS is set.
    """
    if os.environ.get("SSLTHEORY_REQUIRE_PEERS"):
        lightly = import_module("lightly.loss")
    else:
        lightly = pytest.importorskip("lightly.loss")
    z_a, z_b = pair(64, 24, dtype=torch.float32)
    peers = [
        (vicreg, lightly.VICRegLoss(), 1.0),
        (simclr, lightly.NTXentLoss(temperature=0.5), 1.0),
        (barlow_twins, lightly.BarlowTwinsLoss(lambda_param=0.0051), 100.0),
    ]
    for ours, theirs, scale in peers:
        values, gradients = [], []
        for loss in (ours, theirs):
            views = [(scale * z).requires_grad_() for z in (z_a, z_b)]
            value = loss(*views)
            values.append(value.detach())
            gradients.append(torch.stack(torch.autograd.grad(value, views)))
        torch.testing.assert_close(*values, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5 * gradients[1].abs().max())


@each_loss
def test_mismatched_views_are_refused(name):
    z_a, z_b = pair(8, 3)
    for bad in (z_b[:7], z_b[:, :2], z_b[None]):
        with pytest.raises(InputError, match="one shape"):
            LOSSES[name](z_a, bad)
    with pytest.raises(InputError, match=r"\(\.\.\., n, d\)"):
        LOSSES[name](z_a[0], z_b[0])


def test_one_image_is_refused_where_the_loss_is_undefined():
    z_a, z_b = pair(1, 3)
    for loss in (barlow_twins, vicreg, simclr, info_nce):
        with pytest.raises(InputError, match="n >= 2"):
            loss(z_a, z_b)
    assert spectral_contrastive(z_a, z_b).isfinite()
    assert barlow_twins(z_a, z_b, normalize=False).isfinite()


def test_temperature_must_be_positive():
    with pytest.raises(InputError, match="temperature"):
        simclr(*pair(4, 3), temperature=0.0)
    with pytest.raises(InputError, match="temperature"):
        info_nce(*pair(4, 3), temperature=-1.0)


# Losses of a prediction and a projection of each view

PREDICTIVE = {
    "byol": byol,
    "byol unnormalised": lambda a, b, **k: byol(a, b, normalize=False, **k),
    "simsiam": simsiam,
}
each_predictive = pytest.mark.parametrize("name", PREDICTIVE)


def quadruple(*shape, seed=0, **kwargs):
    """(p_a, z_a), (p_b, z_b)."""
    return pair(*shape, seed=seed, **kwargs), pair(*shape, seed=seed + 1, **kwargs)


def naive_predictive(name, a, b):
    total = 0.0
    for (p, _), (_, z) in ((a, b), (b, a)):
        for u, v in zip(p.tolist(), z.tolist(), strict=True):
            norms = math.sqrt(dot(u, u) * dot(v, v))
            distance = math.fsum((x - y) ** 2 for x, y in zip(u, v, strict=True))
            total += {
                "byol": 2 - 2 * dot(u, v) / norms,
                "byol unnormalised": distance,
                "simsiam": -dot(u, v) / norms / 2,
            }[name] / len(p)
    return total


@each_predictive
def test_predictive_is_the_equation(name):
    a, b = quadruple(12, 5)
    expected = naive_predictive(name, a, b)
    assert PREDICTIVE[name](a, b).item() == pytest.approx(expected, rel=1e-10)
    swapped = naive_predictive(name, (a[1], a[0]), (b[1], b[0]))
    if name == "byol unnormalised":
        a, b = ((3 * z[0], z[1]) for z in (a, b))
        assert PREDICTIVE[name](a, b).item() != pytest.approx(expected, rel=0.1)
    else:
        assert swapped == pytest.approx(expected), "cosines do not tell p and z apart; gradients do"


@each_predictive
def test_only_the_prediction_has_a_gradient(name):
    (p_a, z_a), (p_b, z_b) = ([z.requires_grad_() for z in side] for side in quadruple(6, 3))
    loss = PREDICTIVE[name]((p_a, z_a), (p_b, z_b))
    stopped = torch.autograd.grad(loss, (p_a, p_b, z_a, z_b), allow_unused=True)
    assert stopped[2] is stopped[3] is None
    loss = PREDICTIVE[name]((p_a, z_a), (p_b, z_b), stop_gradient=False)
    leaking = torch.autograd.grad(loss, (p_a, p_b, z_a, z_b))
    assert all(g.norm() > 1e-3 for g in leaking)
    torch.testing.assert_close(leaking[:2], stopped[:2])


@each_predictive
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_gradient_of_a_predictive_loss(name, stop_gradient):
    (p_a, z_a), (p_b, z_b) = quadruple(6, 3, seed=1)
    leaves = [z.requires_grad_() for z in ((p_a, p_b) if stop_gradient else (p_a, p_b, z_a, z_b))]

    def loss(p_a, p_b, z_a=z_a, z_b=z_b):
        return PREDICTIVE[name]((p_a, z_a), (p_b, z_b), stop_gradient=stop_gradient)

    assert torch.autograd.gradcheck(loss, leaves)


def test_byol_is_four_and_four_simsiam():
    a, b = quadruple(9, 4)
    torch.testing.assert_close(byol(a, b), 4 + 4 * simsiam(a, b))
    z = pair(9, 4)[0]
    torch.testing.assert_close(simsiam((z, z), (z, z)).item(), -1.0)
    assert byol((z, -z), (z, -z)).item() == pytest.approx(8)


@each_predictive
def test_predictive_seeds_train_stacked(name):
    a, b = quadruple(2, 3, 7, 4)
    losses = PREDICTIVE[name](a, b)
    assert losses.shape == (2, 3)
    for i, j in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        alone = [tuple(z[i, j] for z in side) for side in (a, b)]
        torch.testing.assert_close(losses[i, j], PREDICTIVE[name](*alone))


@each_predictive
def test_predictive_never_waits_and_refuses_what_does_not_fit(name):
    p = torch.empty(8, 4, device="meta", requires_grad=True)
    loss = PREDICTIVE[name]((p, p), (p, p))
    assert loss.shape == ()
    loss.backward()
    a, b = quadruple(8, 3)
    with pytest.raises(InputError, match="one shape"):
        PREDICTIVE[name](a, (b[0], b[1][:7]))

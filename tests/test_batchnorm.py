"""Folding is BatchNorm, groups are batches, counts are what geometry says."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ssltheory import train
from ssltheory.chapters.batch_norm_partitions import experiment
from ssltheory.errors import InputError
from ssltheory.theory import splines


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Networks


def test_initialisations():
    torch_default, he = (
        experiment.network("mlp", (3, 4, 4), 2, 64, 10, init=init, seed=1)
        for init in ("torch", "he")
    )
    (w, c), (inner, _) = experiment.layers(torch_default)
    assert w.abs().max() <= 48**-0.5 < 1.01 * w.abs().max()
    assert c.abs().max() <= 48**-0.5 < 1.1 * c.abs().max()
    assert inner.abs().max() <= 64**-0.5
    (w, c), _ = experiment.layers(he)
    assert w.std().item() == pytest.approx((2 / 48) ** 0.5, rel=0.03)
    assert (c == 0).all()
    again = experiment.network("mlp", (3, 4, 4), 2, 64, 10, seed=1)
    assert torch.equal(again[1].weight, torch_default[1].weight)


@pytest.mark.parametrize("encoder", ["mlp", "conv"])
def test_folding_is_batchnorm_with_these_statistics(encoder):
    x = normal(50, 2, 6, 6).double()
    plain = experiment.network(encoder, (2, 6, 6), 3, 5, 4, seed=3).double()
    wanted = experiment.network(encoder, (2, 6, 6), 3, 5, 4, batch_norm=True, seed=3).double()
    for module in wanted.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps = 1e-30
    last = plain[-1].weight.clone()
    found = experiment.fold_(plain, x)(x)
    torch.testing.assert_close(found, wanted.train()(x), rtol=1e-11, atol=1e-11)
    assert torch.equal(plain[-1].weight, last)


def test_folding_in_parts():
    x = normal(50, 7).double() + 1
    for options, mean, deviation in (
        ({"scale": False}, True, False),
        ({"centre": None}, False, True),
        ({}, True, True),
    ):
        net = experiment.network("mlp", (7,), 3, 5, 0, seed=3).double()
        for h in experiment.preactivations(experiment.fold_(net, x, **options), x):
            assert bool((h.mean(0).abs() < 1e-12).all()) == mean
            assert bool(((h.std(0, correction=0) - 1).abs() < 1e-12).all()) == deviation


def test_a_constant_unit_is_refused():
    net = experiment.network("mlp", (7,), 2, 5, 0)
    with pytest.raises(InputError, match="constant"):
        experiment.fold_(net, torch.ones(10, 7))


def test_training_in_a_stack_is_training_alone():
    x, y = normal(2, 40, 1, 3, 3), torch.arange(80).view(2, 40) % 3
    recipe, options = train.Recipe(steps=12, lr=0.1, seed=5), {"observe_steps": [12]}

    def nets():
        return [
            experiment.network("mlp", (1, 3, 3), 2, 6, 3, batch_norm=True, init=init, seed=s)
            for init in ("torch", "he")
            for s in (0, 1)
        ]

    stacked, alone = nets(), nets()[2]
    curve = experiment.trained(stacked, x, y, 10, recipe, **options).curve
    assert curve.shape == (13, 4)
    single = experiment.trained([alone], x[:1], y[:1], 10, recipe, **options).curve
    assert not torch.allclose(curve[0], curve[-1])
    one = [net.eval()(x[0]) for net in (stacked[2], stacked[0])]
    assert not torch.allclose(*one)
    both = experiment.trained(nets()[::2], x[:1], y[:1], 10, recipe, **options).curve
    torch.testing.assert_close(both[:, 1], single, rtol=1e-4, atol=1e-5)


# Boundaries near a point


def test_units_crossed_are_those_whose_boundary_is_near():
    net, x = experiment.network("mlp", (2,), 1, 40, 0, seed=2), normal(100, 2)
    (w, c), *_ = experiment.layers(net)
    near = ((x @ w.T + c).abs() / w.norm(dim=1) < 0.3).double().mean()
    found = experiment.crossed(net, x, 0.3, 200, torch.Generator().manual_seed(0))
    assert found.shape == (1,)
    assert 0.98 * near < found.item() <= near


def test_nothing_is_crossed_within_no_radius():
    net = experiment.network("conv", (1, 8, 8), 3, 4, 10)
    found = experiment.crossed(net, normal(5, 1, 8, 8), 0.0, 3, torch.Generator())
    assert found.tolist() == [0, 0, 0]


def test_scatter_of_means():
    h = normal(2, 300, 20).double() * 7 + 1
    found = experiment.scatter(h, 16, 4000, torch.Generator().manual_seed(1))
    assert (found / splines.jitter(16) - 1).abs().max() < 0.02


# Ghost batches


@pytest.fixture
def ghost():
    return experiment.GhostNet((2, 8, 8, 1), [4, 5, 6])


def test_a_group_is_a_batch_of_its_own(ghost):
    x = normal(3, 24, 2)
    whole = torch.cat([ghost(part, 6) for part in x.split(6, 1)], 1)
    torch.testing.assert_close(ghost(x, 6), whole)
    assert not torch.allclose(ghost(x, 6), ghost(x, 24), atol=1e-3)
    with pytest.raises(InputError, match="groups of 7"):
        ghost(x, 7)


def test_one_group_is_torchs_batchnorm(ghost):
    x, z = normal(3, 24, 2), normal(3, 24, 2)[1]
    for i in range(2):
        z = F.batch_norm(z @ ghost.weights[i][1].T, None, None, training=True)
        z = F.leaky_relu(z, 0.1)
    z = z @ ghost.weights[2][1].T
    torch.testing.assert_close(ghost(x, 24)[1], z, rtol=1e-4, atol=1e-5)


def test_given_statistics_are_used(ghost):
    x, other = normal(3, 24, 2), normal(50, 2, seed=1)
    whole = ghost.statistics(x)
    torch.testing.assert_close(ghost.evaluate(x, whole), ghost(x, 24), rtol=1e-4, atol=1e-5)
    one = ghost.member(1)
    together = ghost.evaluate(other, whole)[1:2]
    torch.testing.assert_close(one.evaluate(other, one.statistics(x[1:2])), together)


def test_training_and_groups_that_are_not_redrawn(ghost):
    x = normal(3, 24, 2)
    y = (x[..., 0] > 0).float()
    runs = []
    for redrawn in (True, False):
        net = experiment.GhostNet((2, 8, 8, 1), [4, 5, 6])
        draw = torch.Generator().manual_seed(0)
        experiment.train_ghost(net, x, y, 6, 60, 0.02, draw, redrawn)
        right = (net.evaluate(x, net.statistics(x))[..., 0] > 0) == (y > 0)
        assert right.float().mean() > 0.9
        runs.append(net.weights[0].detach())
    assert not torch.allclose(*runs)


def test_every_seed_has_its_own_moons_however_large_it_is():
    x, y = experiment.moons(40, [1, 2, 2**32 + 1])
    assert x.shape == (3, 40, 2)
    assert y.sum(1).tolist() == [20, 20, 20]
    assert torch.equal(x[2], x[0])
    assert not torch.equal(x[1], x[0])


def test_zero_set_of_a_circle():
    low, high = torch.tensor([-2.0, -1.5]), torch.tensor([2.0, 1.5])
    x, y = torch.linspace(-2, 2, 81), torch.linspace(-1.5, 1.5, 61)
    found = experiment.boundary(x[:, None] ** 2 + y**2 - 1, low, high)
    assert (found.norm(dim=1) - 1).abs().max() < 1e-3
    angle = torch.atan2(found[:, 1], found[:, 0]).sort().values
    assert angle.diff().max() < 0.1
    ahead = experiment.boundary((x - 0.51)[:, None].expand(81, 61), low, high)
    torch.testing.assert_close(ahead[:, 0], torch.full((61,), 0.51))

"""Views that remember, networks to be cut, and the linear head's closed form."""

import pytest
import torch

from ssltheory import train
from ssltheory.chapters.guillotine import experiment
from ssltheory.errors import InputError
from ssltheory.measure import probes
from ssltheory.models import encoders
from ssltheory.theory import guillotine as theory, spectral_embedding

DOUBLE = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.rand(3, 40, 1, 8, 8, generator=generator())


# Views


def test_no_change_is_no_change(images):
    style = experiment.Style()
    assert torch.allclose(style(images[0], torch.zeros(40, 4)), images[0], atol=1e-6)


def test_each_parameter_does_what_it_says():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 1, 2] = 1.0
    style = experiment.Style(rotation=90, shift=0.25, brightness=0.5)
    one = torch.eye(4)
    assert style(x, one[:1])[0, 0, 5, 1] == pytest.approx(1, abs=1e-5)  # a quarter turn
    assert style(x, -one[1:2])[0, 0, 1, 4] == pytest.approx(1, abs=1e-5)  # a quarter of 8 pixels
    assert style(x, -one[2:3])[0, 0, 3, 2] == pytest.approx(1, abs=1e-5)
    assert style(x, one[3:])[0, 0, 1, 2] == pytest.approx(1.5, abs=1e-5)
    with pytest.raises(InputError, match="four numbers"):
        style(x, one)


def test_partners_share_the_label_and_are_any_of_the_class():
    y = torch.tensor([[0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1]])
    image = torch.arange(6).repeat(2, 1)
    found = [experiment.partners(y, image, generator(s)) for s in range(40)]
    assert all((y.gather(1, p) == y).all() for p in found)
    assert {int(p[0, 0]) for p in found} == {0, 2, 4}


def test_variants_see_the_same_images_and_parameters(images):
    usual, labels = experiment.Variant(), experiment.Variant("labels")
    turned = experiment.Variant(style=experiment.Style(rotation=180))
    y = torch.arange(40).repeat(3, 1)  # each image a class: its own partner
    draw = experiment.views(images, y, [usual, labels, turned], 5)
    a, b = (v.unflatten(0, (3, 3)) for v in draw(generator()))
    assert a.shape == (3, 3, 5, 1, 8, 8)
    assert torch.equal(a[0], a[1])
    assert torch.equal(b[0], b[1])
    assert not torch.allclose(a[0], a[2])
    assert not torch.allclose(a[0], b[0])
    with pytest.raises(InputError, match="batch_size"):
        experiment.views(images, y, [usual], 41)


# Networks


@pytest.mark.parametrize(
    ("encoder", "before"),
    [
        ("mlp", ["trunk.3", "trunk.6"]),
        ("small_conv", ["trunk.2", "trunk.5"]),
        ("resnet18", ["trunk.relu", "trunk.layer1", "trunk.layer2", "trunk.layer3"]),
    ],
)
def test_cuts_lie_after_every_relu(encoder, before):
    net = experiment.network(encoder, (1, 8, 8), 16, 12, 6, 3)
    assert experiment.cuts(net) == [*before, "trunk", "head.3", "head.6", "head"]
    found = encoders.activations(net, torch.rand(2, 1, 8, 8), experiment.cuts(net))
    assert all((found[name] >= 0).all() for name in experiment.cuts(net)[:-1])
    assert found["trunk"].shape == (2, 512 if encoder == "resnet18" else 16)
    assert found["head"].shape == (2, 6)
    assert (found["head"] < 0).any()


@pytest.mark.parametrize("method", ["simclr", "labels", "supervised"])
def test_networks_side_by_side_are_each_trained(method, images):
    y = torch.arange(40).remainder(4).repeat(3, 1)
    variants = [experiment.Variant(method)]
    recipe, how = train.Recipe(steps=3, lr=0.1), {"observe_steps": [3]}
    classes = 4 if method == "supervised" else 0

    def nets(seeds):
        return [experiment.network("mlp", (1, 8, 8), 8, 8, 4, 2, classes, s) for s in seeds]

    many, alone, start = nets(range(3)), nets([0]), nets([0])[0]
    assert experiment.trained(many, variants, images, y, 8, lambda v: v, recipe, **how) > 0
    experiment.trained(alone, variants, images[:1], y[:1], 8, lambda v: v, recipe, **how)
    for net in (*many, *alone):
        assert not torch.equal(net.head[1].weight, start.head[1].weight)
    assert not torch.equal(many[0].head[1].weight, many[1].head[1].weight)


def test_side_by_side_is_as_alone(images):
    """Two methods in one stack: SimCLR gets what it gets by itself."""
    y, how = torch.zeros(1, 40, dtype=torch.int64), (8, lambda v: v, train.Recipe(steps=1, lr=0.1))
    first, second, lonely = (experiment.network("mlp", (1, 8, 8), 8, 8, 4, 2) for _ in range(3))
    both = [experiment.Variant(), experiment.Variant("vicreg", covariance=3.0)]
    experiment.trained([first, second], both, images[:1], y, *how, observe_steps=[1])
    experiment.trained([lonely], both[:1], images[:1], y, *how, observe_steps=[1])
    assert torch.allclose(first.head[1].weight, lonely.head[1].weight, atol=1e-6)
    assert not torch.allclose(first.head[1].weight, second.head[1].weight, atol=1e-3)


# The linear head


def test_the_closed_form_is_a_knife_as_the_noise_goes():
    theta, rho = torch.tensor([0.0, 0.2, 1.0], dtype=DOUBLE), torch.tensor([0.9, 1.1, 4.9, 5.1])
    found = theory.head_r2(theta, rho, 1e-6)
    expected = torch.tensor([[1.0, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]], dtype=DOUBLE)
    assert torch.allclose(found, expected, atol=1e-6)
    for wrong in ({"theta": -theta}, {"rho": -rho}, {"noise": 0.0}):
        with pytest.raises(InputError, match="theta >= 0"):
            theory.head_r2(**{"theta": theta, "rho": rho, "noise": 1.0} | wrong)


@pytest.mark.parametrize("rho", [0.5, 1.5, 3.0])
def test_descent_on_moments_ends_at_the_spectral_minimum(rho):
    n, m = 60, 4
    shared, *own = torch.randn(3, n, m, generator=generator(), dtype=DOUBLE)
    theta = torch.tensor([0.1, 0.4, 0.7, 1.0], dtype=DOUBLE)
    x = torch.cat([(1 - theta).sqrt() * shared + theta.sqrt() * part for part in own])
    x = x - x.mean(0)
    graph = torch.eye(2 * n, dtype=DOUBLE).roll(n, 0)
    second, within = x.T @ x / (2 * n), (x[:n] - x[n:]).T @ (x[:n] - x[n:]) / (2 * n)
    start = 0.1 * torch.randn(m, m, generator=generator(1), dtype=DOUBLE)
    w = theory.descend_head(start, second, within, rho)
    expected = spectral_embedding.linear_vicreg(x, graph, m, rho)
    assert torch.allclose(w @ w.T, expected @ expected.T, atol=1e-4)
    ours = theory.head_loss(w, second, within, rho)
    assert ours == pytest.approx(float(spectral_embedding.vicreg_loss(x @ w, graph, rho)), rel=1e-9)


@pytest.mark.parametrize(("factor", "holds"), [(1.0, True), (2.0, False)])
def test_a_readout_of_the_minimum_has_that_r2_and_with_another_factor_not(factor, holds):
    """The head itself in closed form, with the variance (1 − ρθ)_+; 2ρ in its place is seen."""
    theta, noise, rho = torch.tensor([0.1, 0.5, 0.9], dtype=DOUBLE), 0.3, 0.9
    c = torch.randn(8000, 3, generator=generator(), dtype=DOUBLE)
    z = c * (1 - rho * theta).sqrt() @ torch.linalg.qr(torch.randn(3, 3, dtype=DOUBLE))[0]
    z = z + noise * torch.randn(8000, 3, generator=generator(1), dtype=DOUBLE)
    found = probes.ridge_r2(z[:4000], c[:4000], z[4000:], c[4000:], l2=1e-6)
    gap = (found - theory.head_r2(theta, torch.tensor([factor * rho]), noise)[0]).abs().max()
    assert (gap < 0.03) == holds

"""Networks under Gaussian noise: regions and Jacobians against hand-made ones, what may and may not be tested."""

import math

import pytest
import torch
from torch import nn
from torch.func import jacrev, vmap

from ssltheory.chapters.what_we_maximise import experiment
from ssltheory.errors import InputError
from ssltheory.models import encoders


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def small(seed=0, widths=(12, 20, 20, 6)):
    return encoders.initialise_(encoders.mlp(widths), seed).double()


def absolute_value():
    """|x| of one number, from two rectifiers."""
    net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        net[2].weight.fill_(1.0)
    return net.double()


def convolutional(d=3):
    return nn.Sequential(encoders.small_conv(1, (4, 8)), nn.Linear(8, d)).double()


# Jacobians and regions


@pytest.mark.parametrize("model", [small(), convolutional()], ids=["mlp", "convolutions"])
def test_jacobians_are_those_of_each_image(model):
    x = images(5, 1, 3, 4)
    model.eval()
    expected = vmap(jacrev(lambda v: model(v[None])[0]))(x).flatten(2)
    model.train()
    torch.testing.assert_close(experiment.jacobians(model, x), expected)
    assert model.training


def test_jacobians_of_a_stack_have_its_seeds_first():
    nets = [small(seed) for seed in (1, 2, 3)]
    x = images(4, 12)
    found = experiment.jacobians(encoders.stack(nets), x)
    assert found.shape == (3, 4, 6, 12)
    torch.testing.assert_close(found[2], experiment.jacobians(nets[2], x))


def test_regions_of_the_absolute_value():
    z, on = experiment.regions(absolute_value(), torch.tensor([[2.0], [-3.0], [5.0]]).double())
    assert z.flatten().tolist() == [2.0, 3.0, 5.0]
    assert on.tolist() == [[True, False], [False, True], [True, False]]


def test_regions_of_a_stack_and_of_convolutions():
    stack = encoders.stack([small(1), small(2)])
    z, on = experiment.regions(stack, images(7, 12))
    assert z.shape == (2, 7, 6)
    assert on.shape == (2, 7, 40)
    _, on = experiment.regions(convolutional(), images(7, 1, 8, 8))
    assert on.shape == (7, 4 * 64 + 8 * 16)


def test_regions_need_rectifiers():
    with pytest.raises(InputError, match=r"nn\.ReLU"):
        experiment.regions(nn.Linear(2, 2), torch.zeros(1, 2))


# Near the linearisation


def test_share_inside_a_half_line_is_known():
    """From x = ½ the absolute value keeps its region where x + σε > 0: with probability Φ(x / σ)."""
    net, x = absolute_value(), torch.tensor([[0.5]]).double()
    found = experiment.linearity(net, x, experiment.jacobians(net, x), 1.0, 20_000, generator())
    assert found.inside.item() == pytest.approx((1 + math.erf(0.5 / 2**0.5)) / 2, abs=0.01)
    assert found.residual < 1e-10
    # |x + ε| has the variance x² + 1 − (mean)², which the linearisation takes for 1
    mean = 0.5 * math.erf(0.5 / 2**0.5) + (2 / math.pi) ** 0.5 * math.exp(-0.125)
    assert found.covariance.item() == pytest.approx(1 - (1.25 - mean**2), abs=0.02)


def test_inside_a_region_a_network_is_affine():
    nets = [small(seed) for seed in (1, 2)]
    stack, x = encoders.stack(nets), images(3, 12)
    j = experiment.jacobians(stack, x)
    for sigma in (1e-6, 1e-4):
        found = experiment.linearity(stack, x, j, sigma, 200, generator())
        assert found.inside.min() > 0.9
        assert found.residual.max() < 1e-8
    tiny = experiment.linearity(stack, x, j, 1e-6, 200, generator())
    assert tiny.covariance.max() < 1e-8
    large = experiment.linearity(stack, x, j, 1.0, 200, generator())
    assert large.inside.max() < 0.05
    assert large.covariance.min() > 0.1
    alone = experiment.linearity(nets[1], x, j[1], 1e-2, 200, generator())
    both = experiment.linearity(stack, x, j, 1e-2, 200, generator())
    torch.testing.assert_close(alone.covariance, both.covariance[1])


def test_another_images_jacobian_does_not_pass():
    net, x = small(), images(4, 12)
    found = experiment.linearity(
        net, x, experiment.jacobians(net, x).roll(1, 0), 1e-4, 100, generator()
    )
    assert found.residual > 0.01
    assert found.covariance > 0.05


def test_a_residual_network_is_affine_by_region_in_evaluation_mode():
    net = nn.Sequential(encoders.resnet(18, "cifar"), nn.Linear(512, 2)).double()
    x = images(1, 3, 4, 4)
    j = experiment.jacobians(net, x)
    found = experiment.linearity(net, x, j, 1e-7, 4, generator())
    assert found.inside > 0
    assert found.residual < 1e-6
    assert found.covariance < 1e-3


# The test for normality


def test_gaussian_outputs_have_uniform_p_values_and_folded_ones_none():
    net, x = small(), images(40, 12)
    small_noise = experiment.gaussianity(net, x, 1e-5, 512, generator())
    assert abs(small_noise.mean - 0.5) < 0.06
    assert abs(small_noise.median - 0.5) < 0.1
    assert small_noise.rejected < 0.04
    folded = experiment.gaussianity(
        absolute_value(), torch.zeros(20, 1).double(), 1.0, 512, generator()
    )
    assert folded.rejected == 1
    assert folded.mean < 1e-6


@pytest.mark.parametrize("sigma", [1e-6, 1e-4, 1.0])
def test_single_precision_gives_the_same_verdicts(sigma):
    """The noise moves outputs of order one by 10⁻⁶ and more, where float32 still has a few digits."""
    net, x = small(widths=(64, 128, 128, 16)), images(6, 64)
    found = [
        experiment.gaussianity(n, x.to(dtype), sigma, 512, generator(1))
        for n, dtype in ((net.float(), torch.float32), (small(widths=(64, 128, 128, 16)), x.dtype))
    ]
    for single, double in zip(*found, strict=True):
        assert abs(single - double) < (0.08 if sigma == 1.0 else 0.12)


def test_dead_outputs_do_not_count():
    net = small()
    with torch.no_grad():
        net[-1].weight[:3] = 0
    found = experiment.gaussianity(net, images(10, 12), 1.0, 200, generator())
    alive = nn.Sequential(*net[:-1], nn.Linear(20, 3)).double()
    with torch.no_grad():
        alive[-1].weight.copy_(net[-1].weight[3:])
        alive[-1].bias.copy_(net[-1].bias[3:])
    expected = experiment.gaussianity(alive, images(10, 12), 1.0, 200, generator())
    for with_dead, without in zip(found, expected, strict=True):
        torch.testing.assert_close(with_dead, without)


def test_batch_norm_is_read_in_evaluation_mode_and_left_alone():
    net = convolutional()
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    z = experiment.respond(net, images(1, 8, 8), 0.1, 30, generator())
    experiment.regions(net, images(3, 1, 8, 8))
    experiment.jacobians(net, images(2, 1, 8, 8))
    assert net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    net.eval()
    eps = torch.randn(30, 1, 8, 8, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(z, net(images(1, 8, 8) + 0.1 * eps).detach())


def test_rounding_to_tf32_is_off_while_it_measures(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen = []

    class Watching(nn.ReLU):
        def forward(self, x):
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().forward(x)

    net = nn.Sequential(nn.Linear(3, 4), Watching(), nn.Linear(4, 2)).double()
    x = images(1, 3)
    experiment.respond(net, x[0], 0.1, 20, generator())
    experiment.linearity(net, x, experiment.jacobians(net, x), 0.1, 20, generator())
    assert seen
    assert not any(seen)
    assert torch.backends.cudnn.allow_tf32

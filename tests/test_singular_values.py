"""Singular values under skips and activations: closed forms against linear algebra and automatic differentiation."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.integrate import quad
from torch.linalg import svdvals

from ssltheory.chapters.singular_values import experiment
from ssltheory.errors import InputError
from ssltheory.models import encoders
from ssltheory.theory import singular_values as theory

HOW = [(rho, eta) for rho in (0.0, 0.5, 1.0) for eta in (0.0, 0.1, -1.0)]
each_network = pytest.mark.parametrize(("rho", "eta"), HOW)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5


def network(n=6, layers=4, inputs=3, outputs=5):
    z, y = n**0.5 * normal(inputs, n, seed=1), normal(inputs, outputs, seed=2)
    return z, y, normal(layers, n, n, seed=3), normal(layers, n, seed=4), normal(outputs, n, seed=5)


def loss(first, z, y, weights, biases, readout, eta, rho):
    """Written with torch's activation, not with the module's slopes."""
    for w, b in zip([first, *weights[1:]], biases, strict=True):
        z = F.leaky_relu(z @ w.mT + b, eta) + rho * z
    return (y - z @ readout.mT).square().sum((-2, -1))


def local(z, weights, biases, readout, eta, rho):
    slopes = theory.forward(z, weights, biases, eta, rho)[1]
    return readout @ theory.local_matrices(weights, slopes, rho)


# One matrix


@pytest.mark.parametrize(("sigma", "condition"), [(0.25, 2.061), (0.5, 4.770), (0.75, 16.30)])
def test_edges_of_an_identity_with_noise(sigma, condition):
    low, high = theory.shifted_edges(1.0, sigma)
    assert float(high / low) == pytest.approx(condition, abs=5e-3)
    s = svdvals(torch.eye(600) + sigma * normal(600, 600))
    assert float(s[0]) == pytest.approx(float(high), rel=0.02)
    assert float(s[-1]) == pytest.approx(float(low), abs=0.03)


def test_mean_log_condition_is_that_of_the_law_of_the_least_singular_value():
    """x = n s_min² of an (n, n) standard normal matrix has, for n → ∞, the density below, and s_max is 2√n."""

    def density(root):  # of √x, which has no pole
        return (1 + root) * math.exp(-(root**2) / 2 - root)

    assert quad(density, 0, math.inf)[0] == pytest.approx(1)
    log_x = quad(lambda root: 2 * math.log(root) * density(root), 0, math.inf)[0]
    expected = math.log(2) + math.log(500) - log_x / 2
    assert theory.mean_log_condition(500) == pytest.approx(expected, abs=1e-3)


def test_edges_without_a_skip_scale_and_closed_below():
    low, high = theory.shifted_edges(0.0, torch.tensor([0.5, 2.0]))
    assert low.tolist() == [0, 0]
    assert high.tolist() == [1, 4]
    both = torch.stack(theory.shifted_edges(torch.tensor([3.0, 1.0]), torch.tensor([1.5, 0.5])))
    torch.testing.assert_close(both[:, 0], 3 * both[:, 1])
    assert theory.shifted_edges(1.0, torch.tensor([1.0, 1.5]))[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rho, sigma: theory.shifted_edges(rho, 2**0.5 * sigma),  # He's size
        lambda rho, sigma: theory.shifted_edges(rho, 1.0),  # σ forgotten
        lambda rho, sigma: tuple(reversed(theory.shifted_edges(rho, sigma))),
        lambda rho, sigma: (rho - 2 * sigma, rho + 2 * sigma),  # the norm's bounds for edges
    ],
)
def test_other_edges_are_not_those(wrong):
    s = svdvals(torch.eye(600) + 0.4 * normal(600, 600))
    low, high = wrong(1.0, 0.4)
    assert abs(float(high / low) / float(s[0] / s[-1]) - 1) > 0.06


def test_mean_log_condition():
    s = svdvals(normal(300, 60, 60))
    logs = (s[:, 0] / s[:, -1]).log()
    error = float(logs.std()) / 300**0.5
    assert abs(float(logs.mean()) - theory.mean_log_condition(60)) < 4 * error
    assert abs(float(logs.mean()) - math.log(60)) > 4 * error


def test_condition_counts_nonzero_singular_values_only():
    s = torch.tensor([[4.0, 2.0, 1e-30], [4.0, 2.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert theory.condition(s).tolist() == [2, 4, math.inf]


@pytest.mark.parametrize("size", [0.1, 1.0, 3.0])
def test_shift_bounds_hold_and_are_reached(size):
    m = size * normal(8, 12, 12)
    bounds = theory.shift_bounds(m)
    for rho in (0.0, 0.3, 1.0, 2.0):
        lower, upper = bounds(rho)
        s = svdvals(m + rho * torch.eye(12))
        assert (lower <= s + 1e-12).all()
        assert (s <= upper + 1e-12).all()
    symmetric = m @ m.mT  # nothing to lose: M + ρI moves every singular value by ρ
    lower, upper = theory.shift_bounds(symmetric)(0.7)
    torch.testing.assert_close(upper[:, 0], svdvals(symmetric)[:, 0] + 0.7)


def test_shift_bounds_of_the_other_sign_do_not_hold():
    m = normal(8, 12, 12)
    lower, upper = theory.shift_bounds(-m)(1.0)
    s = svdvals(m + torch.eye(12))
    assert (lower > s + 1e-3).any() or (upper < s - 1e-3).any()


@pytest.mark.parametrize("eta", [1.0, 0.5, 0.1, 0.0, -0.3, -1.0])
def test_activation_bounds_hold(eta):
    w, off = normal(20, 10, 10), 4
    d = torch.ones(10).double()
    d[:off] = eta
    found, s = svdvals(d[:, None] * w), svdvals(w)
    lower, upper = theory.activation_bounds(s, eta, off)
    assert (lower <= found + 1e-12).all()
    assert (found <= upper + 1e-12).all()
    if abs(eta) == 1:
        assert (found - s).abs().max() < 1e-12
    if eta == 0:
        assert (torch.linalg.matrix_rank(d[:, None] * w) == 10 - off).all()


@pytest.mark.parametrize("eta", [0.0, -1.0])
def test_activation_bounds_are_reached(eta):
    """Of a diagonal matrix: the lower where the largest two change their side, the upper where the least two do."""
    s = torch.arange(6.0, 0, -1)
    lower, upper = theory.activation_bounds(s, eta, 2)
    largest, least = torch.ones(2, 6)
    largest[:2] = least[4:] = eta
    torch.testing.assert_close(svdvals(torch.diag(largest * s)), lower)
    torch.testing.assert_close(svdvals(torch.diag(least * s))[:4], upper[:4])


def test_leaky_in_the_place_of_the_absolute_value_leaves_its_bounds():
    w = normal(20, 10, 10)
    d = torch.ones(10).double()
    d[:4] = 0.1
    lower, _ = theory.activation_bounds(svdvals(w), -1.0, 4)
    assert (lower - svdvals(d[:, None] * w)).max() > 0.1


@pytest.mark.parametrize("eta", [0.5, 0.0, -1.0])
def test_a_flip_moves_no_singular_value_further_than_its_row(eta):
    w = normal(30, 10, 10)
    flipped = w.clone()
    flipped[:, 3] *= eta
    moved = (svdvals(flipped) - svdvals(w)).abs().amax(-1)
    bound = theory.flip_bound(w[:, 3], eta)
    assert (moved <= bound + 1e-12).all()
    assert moved.max() > 0.2 * bound.min() or eta == -1


# A layer in a network


@each_network
def test_hessian_is_that_of_automatic_differentiation(rho, eta):
    z, y, *rest = parts = network()
    measured = torch.func.hessian(loss)(rest[0][0], *parts, eta, rho).view(36, 36)
    m = local(z, *rest, eta, rho)
    found = theory.layer_hessian(m, z)
    assert (found - measured).norm() < 1e-12 * measured.norm()
    one = torch.func.hessian(loss)(rest[0][0], z[:1], y[:1], *rest, eta, rho).view(36, 36)
    curvatures = torch.linalg.eigvalsh(one).flip(0)
    expected = torch.zeros_like(curvatures)
    expected[:5] = 2 * svdvals(m[0]).square() * z[0].square().sum()
    assert (curvatures - expected).abs().max() < 1e-12 * max(curvatures.max(), 1e-3)


@pytest.mark.parametrize("fault", ["no D", "no skip", "He"])
def test_a_matrix_without_its_parts_gives_another_hessian(fault):
    z, _, weights, biases, readout = parts = network()
    measured = torch.func.hessian(loss)(weights[0], *parts, 0.1, 1.0).view(36, 36)
    slopes = theory.forward(z, weights, biases, 0.1, 1.0)[1]
    if fault == "no D":
        slopes = [torch.ones_like(d) for d in slopes]
    scale = 2**0.5 if fault == "He" else 1.0
    m = theory.local_matrices(scale * weights, slopes, 0.0 if fault == "no skip" else 1.0)
    assert (theory.layer_hessian(readout @ m, z) - measured).norm() > 0.1 * measured.norm()


def test_gradient_descent_contracts_as_the_condition_says():
    m, z = normal(4, 4, seed=7), normal(1, 4, seed=8)
    s = svdvals(m)
    rate = 2 / ((s[0] ** 2 + s[-1] ** 2) * 2 * z.square().sum())
    hessian = theory.layer_hessian(m[None], z)
    within = torch.linalg.eigh(hessian).eigenvectors[:, -4:]  # the rest does not move
    w = within.sum(1)
    for _ in range(3):
        before, w = w, w - rate * hessian @ w
    step = torch.linalg.eigvalsh(within.mT @ (torch.eye(16) - rate * hessian) @ within)
    expected = float(theory.contraction(s[0] / s[-1]))
    assert float(step.abs().max()) == pytest.approx(expected)
    assert float(w.norm() / before.norm()) <= expected + 1e-12


@each_network
def test_loss_along_a_line_is_its_quadratic_pieces(rho, eta):
    parts = network(n=8, layers=5)
    direction, t = normal(8, 8, seed=9), torch.linspace(-1, 1, 801, dtype=torch.float64)
    found = theory.loss_along(direction, *parts, eta, rho, 1.0)
    measured = loss(parts[2][0] + t[:, None, None] * direction, *parts, eta, rho)
    assert (found(t) - measured).abs().max() < 1e-12 * measured.max()
    third = measured.diff(n=3).abs() / measured.max()
    piece = torch.searchsorted(found.knots, t)
    inside = piece[:-3] == piece[3:]
    assert third[inside].max() < 1e-12
    assert third[~inside].median() > 1e-8
    assert len(found.knots) > 10
    assert (found.knots.diff() >= 0).all()


def test_a_line_without_flips_is_one_piece():
    parts = network()
    found = theory.loss_along(normal(6, 6, seed=9), *parts, 1.0, 1.0, 2.0)
    assert found.knots.tolist() == [-2, 2]
    t = torch.tensor([[-1.0, 0.5]], dtype=torch.float64)
    assert found(t).shape == (1, 2)


# Convolutional networks


@pytest.fixture(scope="module")
def images():
    return 8**0.5 * normal(6, 1, 8, 8, seed=11)


def built(images, rho=1.0, sigma=0.5, eta=0.0, seed=0):
    return experiment.network(images, 3, 3, 4, rho, sigma, eta, seed)


@each_network
def test_the_matrix_acts_on_the_first_block(images, rho, eta):
    net = built(images, rho, 1.0, eta)
    assert experiment.affine_error(net, images) < 1e-8
    m = experiment.local_matrices(net, images)
    features = experiment.local_matrices(net, images, readout=False)
    assert m.shape == (6, 4, 48)
    assert features.shape == (6, 48, 48)
    torch.testing.assert_close(net.readout.weight @ features, m)


def test_the_matrix_is_the_product_of_its_layers(images):
    net, x = built(images, 0.5, 1.0, 0.1), images[:1]
    basis = torch.eye(48).double().view(48, 3, 4, 4)
    with torch.no_grad():
        z = net.start(x)
        h = net.blocks[0](z)
        m = torch.diag(torch.where(h > 0, 1.0, net.eta).flatten())
        z = net.activation(h) + net.rho * z
        for block in net.blocks[1:]:
            w = (F.conv2d(basis, block.weight, padding=1)).flatten(1).mT
            d = torch.where(block(z) > 0, 1.0, net.eta).flatten()
            m = d[:, None] * (w @ m) + net.rho * m
            z = net.activation(block(z)) + net.rho * z
    torch.testing.assert_close(experiment.local_matrices(net, x, readout=False)[0], m)


def test_a_skip_that_is_forgotten_behind_the_block_is_found(images, monkeypatch):
    net = built(images)
    right = experiment.local_matrices
    monkeypatch.setattr(experiment, "local_matrices", lambda n, x, **k: right(_plain(n), x, **k))
    assert experiment.affine_error(net, images) > 1e-2


def _plain(net):
    other = experiment.SkipNet((1, 8, 8), 3, 3, 4, 0.0, 0.0).double()
    state = net.state_dict() | {"rho": torch.tensor(0.0)}
    other.load_state_dict(state)
    return other


def test_blocks_have_the_asked_size_and_outputs_too(images):
    net = experiment.network(images, 32, 2, 4, 1.0, 0.25, 0.0, 0)
    deviation = net.blocks[1].weight.detach().std() * (9 * 32) ** 0.5
    assert float(deviation) == pytest.approx(0.25, rel=0.03)
    assert float(encoders.rms(net(images).detach())) == pytest.approx(0.3)


def test_sharpness_is_the_largest_curvature_but_for_that_of_the_outputs(images):
    net = experiment.network(images, 2, 1, 3, 1.0, 0.5, 0.0, 0)
    names = list(dict(net.named_parameters()))
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    shapes = [p.shape for p in net.parameters()]

    def outputs(flat):
        parts = flat.split([s.numel() for s in shapes])
        state = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(net, state, (images,))

    f0 = outputs(flat).detach()  # at zero error the two curvatures agree
    curvature = torch.func.hessian(lambda w: (outputs(w) - f0).square().sum() / len(images))
    largest = float(torch.linalg.eigvalsh(curvature(flat))[-1])
    assert experiment.sharpness(net, images) == pytest.approx(largest, rel=1e-9)


def test_networks_of_different_skips_are_one_stack(images):
    nets = [built(images, rho, sigma) for rho, sigma in ((0.0, 1.4), (1.0, 0.3))]
    stack = encoders.stack(nets)
    alone = torch.stack([net(images) for net in nets])
    torch.testing.assert_close(stack(images), alone)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.mul_(0.9)
    again = torch.stack([net(images) for net in experiment.unstack(stack, nets)])
    torch.testing.assert_close(stack(images), again)
    assert not torch.allclose(again, alone)
    assert [float(net.rho) for net in nets] == [0, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.shifted_edges(1.0, 0.0), "sigma > 0"),
        (lambda: theory.shifted_edges(-1.0, 1.0), "rho >= 0"),
        (lambda: theory.activation_bounds(torch.ones(3), 2.0, 1), "eta=2.0"),
        (lambda: theory.flip_bound(torch.ones(3), -1.5), "eta=-1.5"),
        (lambda: theory.loss_along(torch.eye(6), *network(), 0.0, 1.0, 0.0), "reach above 0"),
        (lambda: experiment.SkipNet((1, 8, 8), 3, 0, 4), "a block or more"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()

"""Kernels against expectations, Jacobians and scikit-learn; kernel machines against gradient descent."""

import functools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise
from torch import nn
from torch.func import functional_call, jacrev, vmap

from ssltheory.errors import InputError, RunError
from ssltheory.measure import kernels, ntk, spectra
from ssltheory.models import encoders
from ssltheory.theory import stepwise


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def points(n, m=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, m, generator=generator, dtype=torch.float64)


def jacobian_kernel(model, x, y=None):
    """(1/d) Σ_i J_i J_iᵀ from whole Jacobians, which ``empirical_ntk`` never forms."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def f(parameters, z):
        return functional_call(model, parameters, (z[None],))[0]

    def jacobian(x):
        parts = vmap(jacrev(f), (None, 0))(parameters, x).values()
        return torch.cat([part.flatten(2) for part in parts], 2)

    j_x = jacobian(x)
    j_y = j_x if y is None else jacobian(y)
    return torch.einsum("nip,mip->nm", j_x, j_y) / j_x.shape[1]


# Kernels of points


def test_rbf_is_scikit_learns():
    x, y = points(50), points(40, seed=1)
    expected = pairwise.rbf_kernel(x, y, gamma=0.3)
    np.testing.assert_allclose(kernels.rbf(x, y, gamma=0.3), expected, rtol=1e-12)
    assert kernels.rbf(x, gamma=0.3).diagonal().allclose(torch.ones(50).double(), atol=1e-14)


@pytest.mark.parametrize("degree", [0, 1])
def test_arc_cosine_is_an_integral_over_the_angle(degree):
    """2 E[σ(w·x) σ(w·y)] in the plane of x and y, where E|w|² = 2 and the angle of w is uniform."""
    angles = (torch.arange(200_000) + 0.5) * (2 * math.pi / 200_000)
    w = torch.stack([angles.cos(), angles.sin()]).double()
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-0.3, 0.4], [-1.0, 1e-3]], dtype=torch.float64)
    act = (x @ w).relu() if degree else ((x @ w) > 0).double()
    expected = 2 * (2 if degree else 1) * act @ act.T / w.shape[1]
    found = kernels.arc_cosine(x, degree=degree)
    assert found.allclose(expected, atol=1e-9 if degree else 2e-5)


def test_blocks_change_nothing(monkeypatch):
    x, y = points(37), points(23, seed=1)
    chosen = (kernels.rbf, kernels.arc_cosine, functools.partial(ntk.relu_ntk, depth=3))
    whole = [kernel(x, y) for kernel in chosen]
    network = ntk.relu_network((6, 9, 2))
    empirical = ntk.empirical_ntk(network, x, y), ntk.empirical_ntk(network, x)
    for module in (kernels, ntk):
        monkeypatch.setattr(module, "BLOCK", 50)
    monkeypatch.setattr(ntk, "POINTS", 5)
    for kernel, expected in zip(chosen, whole, strict=True):
        assert kernel(x, y).allclose(expected, rtol=1e-12, atol=1e-12)
    assert ntk.empirical_ntk(network, x, y).allclose(empirical[0], rtol=1e-12)
    assert ntk.empirical_ntk(network, x).allclose(empirical[1], rtol=1e-12)


def test_top_eigenpairs_of_a_kernel_never_held_are_those_of_the_matrix():
    x = points(300)
    expected = torch.linalg.eigvalsh(ntk.relu_ntk(x, depth=2)).flip(0)[:4]
    for kernel in (
        ntk.relu_ntk(x, depth=2),
        kernels.operator(functools.partial(ntk.relu_ntk, depth=2), x),
    ):
        values, vectors = kernels.top_eigenpairs(kernel, 4)
        assert values.allclose(expected, rtol=1e-10)
        residual = ntk.relu_ntk(x, depth=2) @ vectors - vectors * values
        assert residual.abs().max() < 1e-8 * values[0]


# Kernels of networks


def test_closed_ntk_is_the_jacobian_kernel_of_a_network_that_integrates_exactly():
    """Hidden units at evenly spaced angles, none at a kink: a width of 4,096 stands for an infinite one."""
    h = 4096
    angles = (torch.arange(h) + 0.5) * (2 * math.pi / h)
    network = ntk.relu_network((2, h, 2)).double()
    with torch.no_grad():
        network[-4].weight.copy_(2**0.5 * torch.stack([angles.cos(), angles.sin()], 1))
        network[-1].weight.copy_(torch.where(torch.arange(h) % 2 == 0, 1.0, -1.0).expand(2, h))
    directions = 2 * math.pi * torch.tensor([0, 3, 11, 32, 37]) / 64
    x = torch.stack([directions.cos(), directions.sin()], 1).double() * torch.arange(1, 6)[:, None]
    expected = jacobian_kernel(network, x)
    assert (ntk.relu_ntk(x) - expected).abs().max() < 1e-6 * expected.max()
    activations = network[:-1](x)
    nngp = activations @ activations.T
    assert (ntk.relu_nngp(x) - nngp).abs().max() < 1e-6 * nngp.max()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_closed_kernels_are_the_mean_of_wide_networks(depth, bias):
    x = points(5, m=4)
    widths = (4, *[512] * depth, 8)
    drawn = [ntk.relu_network(widths, bias, seed) for seed in range(12)]
    empirical = torch.stack([ntk.empirical_ntk(network, x) for network in drawn])
    closed = ntk.relu_ntk(x, depth=depth, bias=bias)
    assert (empirical.mean(0) - closed).abs().max() < 0.04 * closed.max()
    hidden = torch.cat([network.double()[:-1](x) for network in drawn], 1).detach()
    closed = ntk.relu_nngp(x, depth=depth, bias=bias)
    assert (hidden @ hidden.T / len(drawn) + bias - closed).abs().max() < 0.04 * closed.max()


def test_without_hidden_layers_a_network_is_linear():
    x, y = points(4), points(3, seed=1)
    assert ntk.relu_ntk(x, y, depth=0).allclose(x @ y.T / 3)
    assert ntk.empirical_ntk(ntk.relu_network((6, 2)), x, y).allclose(x @ y.T / 3)


@torch.no_grad()
def test_the_network_starts_as_a_he_initialised_one():
    x = points(400, m=30).float()
    ours, he = (
        net(x).std() for net in (ntk.relu_network((30, 500, 40)), encoders.mlp((30, 500, 40)))
    )
    assert float(ours) == pytest.approx(float(he), rel=0.1)


def frozen_first(model):
    model[0].weight.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (ntk.relu_network((6, 20, 15, 3), bias=True), (6,)),
        (encoders.mlp((6, 20, 15, 3)), (6,)),
        (encoders.small_conv(2, (4, 5, 6), batch_norm=False), (2, 8, 8)),
        # few places and many channels: pairs of places, not gradients, are the cheaper way
        (
            frozen_first(nn.Sequential(nn.Conv2d(2, 60, 3, 3), nn.Conv2d(60, 50, 2), nn.Flatten())),
            (2, 8, 8),
        ),
        (nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Flatten(), nn.Linear(28, 2)), (4, 6)),
    ],
    ids=["ntk-parameterised", "mlp", "conv", "conv-pairs", "sequence"],
)
def test_empirical_ntk_is_that_of_whole_jacobians(model, shape):
    x, y = (points(n, math.prod(shape), n).view(n, *shape) for n in (6, 4))
    model = model.double()
    for other in (None, y):
        expected = jacobian_kernel(model, x, other)
        assert (
            ntk.empirical_ntk(model, x, other) - expected
        ).abs().max() < 1e-6 * expected.abs().max()


def test_one_hidden_layer_has_the_kernel_written_out():
    """H Hᵀ + (X Xᵀ) ∘ D diag(Σ_i A_ih² / d) Dᵀ, in the scales of ``relu_network``."""
    x, (m, h, d) = points(9), (6, 50, 3)
    network = ntk.relu_network((m, h, d)).double()
    w, a = network[-4].weight, network[-1].weight
    z = (2 / m) ** 0.5 * x @ w.T
    hidden, gate = (2 / h) ** 0.5 * z.relu(), (2 / h) ** 0.5 * (z > 0).double()
    expected = hidden @ hidden.T + (2 / m) * (x @ x.T) * ((gate * a.square().mean(0)) @ gate.T)
    assert ntk.empirical_ntk(network, x).allclose(expected.detach(), rtol=1e-12)


def test_empirical_ntk_leaves_no_trace():
    network = ntk.relu_network((6, 8, 2))
    before = {name: p.clone() for name, p in network.named_parameters()}
    with torch.no_grad():
        ntk.empirical_ntk(network, points(3))
    assert network.training
    assert all(p.dtype == torch.float32 and p.grad is None for p in network.parameters())
    assert all(p.equal(before[name]) for name, p in network.named_parameters())
    assert not network[-1]._forward_hooks


def test_alignment_of_gram_matrices_is_linear_cka():
    x, y = points(30, m=4), points(30, m=3, seed=1) + 5
    a, b = x - x.mean(0), y - y.mean(0)
    cka = (a.T @ b).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm())
    assert kernels.alignment(x @ x.T, y @ y.T).allclose(cka, rtol=1e-10)
    assert kernels.alignment(3 * x @ x.T, x @ x.T, centre=False).allclose(torch.ones(()).double())
    assert kernels.alignment(x @ x.T, y @ y.T, centre=False) != pytest.approx(float(cka), abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kernels.rbf(points(3), gamma=0.0), "gamma above 0"),
        (lambda: kernels.rbf(points(3), points(3, m=5)), "of one length"),
        (lambda: kernels.arc_cosine(points(3), degree=2), "degree 0"),
        (lambda: ntk.relu_ntk(points(3), depth=-1), "hidden layers"),
        (lambda: ntk.relu_network((3,)), "or more widths"),
        (lambda: kernels.alignment(torch.eye(3), torch.eye(4)), "same points"),
        (lambda: kernels.top_eigenpairs(torch.eye(3), 3), "from 1 to"),
        (
            lambda: ntk.empirical_ntk(nn.Sequential(nn.Linear(6, 3), nn.LayerNorm(3)), points(3)),
            "freeze",
        ),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


# Kernel machines: theory.stepwise


PAIRS, DIM, START = 60, 5, 1e-12


@pytest.fixture(scope="module")
def machine():
    """Noisy pairs with a spectrum that has a gap after five modes, an RBF kernel on them, and held-out points."""
    generator = torch.Generator().manual_seed(0)

    def draw(n):
        shared = torch.randn(n, 4, generator=generator, dtype=torch.float64)
        return [shared + 0.2 * torch.randn(n, 4, generator=generator).double() for _ in "ab"]

    (x_a, x_b), held_out = draw(PAIRS), torch.cat(draw(PAIRS))
    kernel = functools.partial(kernels.rbf, gamma=0.05)
    blocks = kernel(x_a), kernel(x_a, x_b), kernel(x_b)
    points = {"train": torch.cat([x_a, x_b]), "held out": held_out}
    values = {name: (kernel(x, x_a), kernel(x, x_b)) for name, x in points.items()}
    return blocks, values, generator


@pytest.fixture(scope="module")
def descended(machine):
    blocks, _, generator = machine
    gamma = spectra.eigenvalues(stepwise.kernel_cross_moment(*blocks)[0])
    assert gamma[DIM] / gamma[DIM - 1] < 0.6
    start = START * torch.randn(2 * PAIRS, DIM, generator=generator, dtype=torch.float64)
    lr = float(0.5 / (4 * gamma[0]))
    steps = int(45 / (4 * lr * gamma[DIM - 1]))
    return stepwise.kernel_gradient_descent(*blocks, start, lr, steps)


def gram_error(found, expected):
    found, expected = found @ found.T, expected @ expected.T
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", ["train", "held out"])
def test_kernel_machine_ends_where_the_closed_form_says(machine, descended, name):
    blocks, values, _ = machine
    closed, found = (
        f(*values[name]) for f in (stepwise.kernel_barlow_twins(*blocks, DIM), descended)
    )
    assert gram_error(found, closed) <= 1e-3
    assert spectra.subspace_alignment(found, closed) >= 0.9999


def test_zero_loss_of_the_smallest_norm(machine):
    blocks, values, generator = machine
    embed = stepwise.kernel_barlow_twins(*blocks, DIM)
    z_a, z_b = embed(*values["train"]).split(PAIRS)
    c = (z_a.T @ z_b + z_b.T @ z_a) / (2 * PAIRS)
    assert c.allclose(torch.eye(DIM).double(), atol=1e-10)
    k_gamma, root = stepwise.kernel_cross_moment(*blocks)
    norm = torch.linalg.pinv(root).matmul(embed(*values["train"])).square().sum()
    gamma, b = (z.flip(-1) for z in torch.linalg.eigh(k_gamma))
    assert norm == pytest.approx(float((1 / gamma[:DIM]).sum()), rel=1e-6)
    for _ in range(5):  # others of zero loss: other modes, mixed with each other
        chosen = torch.randperm(12, generator=generator)[:DIM]
        other = b[:, chosen] / gamma[chosen].sqrt()
        assert (other.T @ k_gamma @ other).allclose(torch.eye(DIM).double(), atol=1e-8)
        assert other.square().sum() >= norm * (1 - 1e-9)


def kernel_pca(k_aa, k_ab, k_bb, dim):
    """Whitened principal components of all 2n views, the pairs forgotten: a wrong operator."""
    kernel = torch.cat([torch.cat([k_aa, k_ab], 1), torch.cat([k_ab.T, k_bb], 1)])
    values, vectors = (z.flip(-1)[..., :dim] for z in torch.linalg.eigh(kernel))
    return lambda k_xa, k_xb: torch.cat([k_xa, k_xb], 1) @ vectors * len(kernel) ** 0.5 / values


def centred(k_aa, k_ab, k_bb, dim):
    """The right operator on a kernel whose mean was taken out: a wrong one."""
    kernel = torch.cat([torch.cat([k_aa, k_ab], 1), torch.cat([k_ab.T, k_bb], 1)])
    n, mean = len(k_aa), kernel.mean(0)
    centred = kernel - mean - mean[:, None] + mean.mean()
    embed = stepwise.kernel_barlow_twins(centred[:n, :n], centred[:n, n:], centred[n:, n:], dim)

    def held_out(k_xa, k_xb):
        k = torch.cat([k_xa, k_xb], 1)
        k = k - k.mean(1, keepdim=True) - mean + mean.mean()
        return embed(k[:, :n], k[:, n:])

    return held_out


@pytest.mark.parametrize("wrong", [kernel_pca, centred])
@pytest.mark.parametrize("name", ["train", "held out"])
def test_wrong_operators_are_far_off(machine, descended, wrong, name):
    blocks, values, _ = machine
    assert gram_error(descended(*values[name]), wrong(*blocks, DIM)(*values[name])) > 0.02


def test_the_linear_kernel_is_the_linear_model():
    x_a, x_b = points(30), points(30, seed=1) + points(30)
    k_gamma, _ = stepwise.kernel_cross_moment(x_a @ x_a.T, x_a @ x_b.T, x_b @ x_b.T)
    gamma = stepwise.cross_moment(x_a, x_b)
    expected = spectra.eigenvalues(gamma)
    found = spectra.eigenvalues(k_gamma)
    positive = expected > 0
    assert found[: positive.sum()].allclose(expected[positive], rtol=1e-8)
    z = stepwise.kernel_barlow_twins(x_a @ x_a.T, x_a @ x_b.T, x_b @ x_b.T, 3)(
        x_b @ x_a.T, x_b @ x_b.T
    )
    values, v = (z.flip(-1) for z in torch.linalg.eigh(gamma))
    assert gram_error(z, x_b @ v[:, :3] / values[:3].sqrt()) < 1e-8


def test_identical_views_are_uncentred_kernel_pca_and_equal_points_do_no_harm():
    x = torch.cat([points(20), points(20)[:4]])
    k = kernels.rbf(x, gamma=0.1)
    k_gamma, _ = stepwise.kernel_cross_moment(k, k, k)
    assert spectra.eigenvalues(k_gamma)[:10].allclose(
        spectra.eigenvalues(k / len(x))[:10], rtol=1e-8
    )
    embed = stepwise.kernel_barlow_twins(k, k, k, 3)
    vectors = torch.linalg.eigh(k).eigenvectors[:, -3:]
    assert gram_error(embed(k, k), vectors * len(x) ** 0.5) < 1e-6


def test_what_no_kernel_machine_can_do_is_refused(machine):
    blocks, values, generator = machine
    with pytest.raises(InputError, match="only those modes"):
        stepwise.kernel_barlow_twins(*blocks, 2 * PAIRS)
    with pytest.raises(InputError, match="below zero"):
        stepwise.kernel_barlow_twins(-blocks[0], blocks[1], blocks[2], 2)
    with pytest.raises(InputError, match="n × n for n pairs"):
        stepwise.kernel_barlow_twins(blocks[0], blocks[1][:, 1:], blocks[2], 2)
    with pytest.raises(InputError, match="symmetric"):
        stepwise.kernel_barlow_twins(blocks[1] + blocks[1].T * 2, *blocks[1:], 2)
    with pytest.raises(InputError, match="training pairs"):
        stepwise.kernel_barlow_twins(*blocks, 2)(values["train"][0], values["train"][1][:, 1:])
    with pytest.raises(InputError, match="2n = 120"):
        stepwise.kernel_gradient_descent(*blocks, torch.ones(7, 2), 0.1, 1)
    start = torch.randn(2 * PAIRS, 2, generator=generator)
    with pytest.raises(RunError, match="diverged"):
        stepwise.kernel_gradient_descent(*blocks, start, 100.0, 50)

"""Three ways to pull up slow directions against their closed forms; the drop-in for networks against the first."""

import numpy as np
import pytest
import scipy.linalg
import torch

from ssltheory import losses, train
from ssltheory.errors import InputError, RunError
from ssltheory.measure import spectra
from ssltheory.models import encoders
from ssltheory.theory import preconditioned as theory
from ssltheory.theory.stepwise import linear_barlow_twins
from ssltheory.train.preconditioners import isoloss, preconditioned

GAMMA = torch.tensor([1.0, 0.3, 0.12, 0.04, 0.012, -0.05, -0.2], dtype=torch.float64)
D, LR = 3, 0.02


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def barlow_twins(z_a, z_b):
    return losses.barlow_twins(z_a, z_b, lambda_=1.0, normalize=False)


@pytest.fixture(scope="module")
def start():
    """An aligned start: any rotation of the embedding, the top d directions of the data."""
    w0 = torch.zeros(D, len(GAMMA), dtype=torch.float64)
    w0[:, :D] = torch.linalg.qr(randn(D, D)).Q * torch.tensor([0.01, 0.02, 0.005])
    return w0


def closed(start):
    return linear_barlow_twins(torch.diag(GAMMA), D, w0=start)


# Closed forms


@pytest.mark.parametrize("eps", [1.0, 0.1, 0.01])
def test_left_is_its_flow(eps, start):
    solution = closed(start)
    modes = theory.left(solution.gamma, solution.s_0, eps)
    times = torch.logspace(-2, 2, 60, dtype=torch.float64)
    measured = theory.flow(GAMMA, start, theory.left_preconditioned(eps), times)
    assert (measured - modes.eigenvalues(times)).abs().max() < 1e-5
    assert torch.equal(modes.loss(times), (1 - modes.eigenvalues(times)).square().sum(-1))


def test_left_divides_by_the_size_of_c_where_c_is_indefinite():
    w = randn(D, len(GAMMA))
    c = (w * GAMMA) @ w.mT - 0.5 * torch.eye(D, dtype=torch.float64)
    p = spectra.eigenvalues(c)
    assert p[0] > 0 > p[-1]
    size = torch.from_numpy(np.real(scipy.linalg.sqrtm((c @ c).numpy())))
    one = torch.eye(D, dtype=torch.float64)
    expected = 4 * torch.linalg.solve(size + 0.1 * one, c - one) @ (w * GAMMA)
    found = theory.left_preconditioned(0.1)(w.numpy(), c.numpy(), GAMMA.numpy())
    torch.testing.assert_close(torch.from_numpy(found), expected)


def test_log_det_is_its_flow_and_an_exponential(start):
    solution = closed(start)
    modes = theory.log_det(solution.gamma, solution.s_0)
    times = torch.logspace(-5, 1.5, 60, dtype=torch.float64)
    measured = theory.flow(GAMMA, start, theory.log_det_gradient, times)
    exponential = 1 - (1 - modes.p_0) * torch.exp(-4 * modes.gamma * times[:, None])
    assert (
        modes.eigenvalues(times) - exponential.sort(-1, descending=True).values
    ).abs().max() < 1e-12
    assert (measured - modes.eigenvalues(times)).abs().max() < 1e-4


def test_right_is_plain_descent_on_whitened_data(start):
    eps = 0.05
    gamma, w0 = theory.whiten(GAMMA, start, eps)
    times = torch.linspace(0.1, 30, 50, dtype=torch.float64)
    solution = linear_barlow_twins(torch.diag(gamma), D, w0=w0)
    measured = theory.flow(GAMMA, start, theory.right_preconditioned(eps), times)
    assert (measured - solution.eigenvalues(times)).abs().max() < 1e-5


def test_large_eps_is_the_plain_flow_slowed_down(start):
    solution, eps = closed(start), 1e6
    times = torch.linspace(1, 20, 30, dtype=torch.float64)
    modes = theory.left(solution.gamma, solution.s_0, eps)
    assert torch.allclose(modes.eigenvalues(times * eps), solution.eigenvalues(times), atol=1e-5)


def test_the_gradients_are_those_of_their_losses():
    w, gamma = randn(D, 5).requires_grad_(), GAMMA[:5]
    c = (w * gamma) @ w.mT
    c_numpy, w_numpy = c.detach().numpy(), w.detach().numpy()
    plain = torch.autograd.grad((c - torch.eye(D)).square().sum(), w, retain_graph=True)[0]
    log_det = torch.autograd.grad(c.trace() - torch.logdet(c), w)[0]
    assert np.allclose(theory.plain(w_numpy, c_numpy, gamma.numpy()), plain)
    assert np.allclose(theory.log_det_gradient(w_numpy, c_numpy, gamma.numpy()), log_det)


@pytest.mark.parametrize("fault", ["eps-not-counted", "half-speed"])
def test_a_wrong_closed_form_is_seen(fault, start):
    solution = closed(start)
    right = theory.left(solution.gamma, solution.s_0, 0.1)
    eps, speed = (0.0, 8.0) if fault == "eps-not-counted" else (0.1, 4.0)
    wrong = theory.Modes(right.gamma, right.p_0, eps, speed)
    times = torch.logspace(-2, 2, 60, dtype=torch.float64)
    measured = theory.flow(GAMMA, start, theory.left_preconditioned(0.1), times)
    assert (measured - wrong.eigenvalues(times)).abs().max() > 0.1


# Steps


@pytest.mark.parametrize("eps", [0.1, 0.01])
def test_steps_are_foretold(eps, start):
    solution = linear_barlow_twins(torch.diag(GAMMA), D, w0=start, lr=LR)
    modes = theory.left(solution.gamma, solution.s_0, eps)
    plain = theory.descend(GAMMA, start, theory.plain, LR)
    left = theory.descend(GAMMA, start, theory.left_preconditioned(eps), LR)
    assert plain.steps == pytest.approx(theory.time_to(solution.loss, 0.01, 1e5) / LR, rel=0.02)
    assert left.steps == pytest.approx(theory.time_to(modes.loss, 0.01, 1e5) / LR, rel=0.02)
    assert left.at[0] == 0
    assert left.at[-1] == left.steps
    assert (1 - left.eigenvalues[-1]).square().sum() <= 0.01
    assert torch.allclose(
        left.eigenvalues[-1], spectra.eigenvalues((left.weights * GAMMA) @ left.weights.mT)
    )


def test_the_photographs_have_the_spectrum_of_natural_images():
    """Of the spectrum that the recipes were tried on first, draws of other patches differ by some tens of per cent."""
    x_a, x_b = theory.sample_photographs(torch.Generator().manual_seed(10))
    assert x_a.shape == x_b.shape == (500, 1200)
    gamma = spectra.eigenvalues((x_a.mT @ x_b + x_b.mT @ x_a) / 1000)
    reference = torch.tensor([913, 96.0, 25.5, 21.0, 4.35, 4.00, 3.24, 3.02, 2.58, 1.59])
    assert ((gamma[:10] / reference).log().abs() < 0.4).all()


def test_refusals(start):
    solution = closed(start)
    with pytest.raises(InputError, match="above 0"):
        theory.left(solution.gamma, solution.s_0, 0.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        theory.log_det(solution.gamma, 10 * torch.ones(D))
    with pytest.raises(InputError, match="above 0"):
        theory.whiten(GAMMA, start, 0.0)
    with pytest.raises(RunError, match="diverged"):
        theory.descend(GAMMA, 100 * start, theory.plain, 1.0)
    assert theory.time_to(solution.loss, 0.01, 1.0) == float("inf")


# The drop-in


def embeddings(*shape):
    return [randn(*shape, seed=s).requires_grad_() for s in (1, 2)]


@pytest.mark.parametrize("loss", [barlow_twins, losses.vicreg, losses.simclr])
@pytest.mark.parametrize("centred", [False, True])
def test_value_stays_and_gradient_is_rescaled(loss, centred):
    z_a, z_b = embeddings(3, 20, 4)
    z = torch.cat([z_a, z_b], -2).detach()
    z = z - z.mean(-2, keepdim=True) if centred else z
    gain = torch.linalg.inv(z.mT @ z / 40 + 0.1 * torch.eye(4))
    value = loss(z_a, z_b)
    plain = torch.autograd.grad(value.sum(), (z_a, z_b))
    pulled = preconditioned(loss, 0.1, centred)(z_a, z_b)
    assert torch.equal(pulled, value)
    for ours, theirs in zip(torch.autograd.grad(pulled.sum(), (z_a, z_b)), plain, strict=True):
        assert torch.allclose(ours, theirs @ gain)


def test_a_linear_network_on_equal_views_takes_the_left_step():
    """Views that agree have S = C, and then the drop-in is the left preconditioner of the linear model."""
    x = randn(50, 6)
    model = encoders.linear(6, 3).double()
    w = model.weight.detach().clone()
    gamma, v = torch.linalg.eigh(x.mT @ x / 50)
    c = w @ (x.mT @ x / 50) @ w.mT
    step = theory.left_preconditioned(0.1)((w @ v).numpy(), c.numpy(), gamma.numpy())
    loss, recipe = preconditioned(barlow_twins, 0.1), train.Recipe(steps=1, lr=1e-3)
    train.train(model, train.pairs(x, x), loss, recipe)
    assert torch.allclose(model.weight.detach(), w - 1e-3 * torch.from_numpy(step) @ v.mT)


def test_it_needs_no_gradient_to_be_asked_for():
    z_a, z_b = (z.detach() for z in embeddings(20, 4))
    assert torch.equal(preconditioned(losses.vicreg, 0.1)(z_a, z_b), losses.vicreg(z_a, z_b))


def test_it_resumes_from_a_checkpoint_and_knows_its_eps(tmp_path):
    x = randn(20, 5).float()

    def run(eps):
        loss, recipe = preconditioned(barlow_twins, eps), train.Recipe(steps=4, lr=1e-3)
        checkpoint = train.Checkpoint(tmp_path / "c.pt")
        views = train.pairs(x, x)
        return train.train(encoders.linear(5, 2), views, loss, recipe, checkpoint=checkpoint)

    assert torch.equal(run(0.1).curve, run(0.1).curve)
    with pytest.raises(InputError, match="eps"):
        run(0.2)


@pytest.mark.parametrize("eps", [0.0, -1.0, float("inf")])
def test_eps_out_of_range(eps):
    with pytest.raises(InputError, match="eps"):
        preconditioned(losses.vicreg, eps)


# IsoLoss


def test_isoloss_has_the_gradient_of_byol_without_the_predictors_factor():
    z_a, z_b = embeddings(2, 30, 4)
    z = torch.cat([z_a, z_b], -2).detach()
    s, u = torch.linalg.eigh(z.mT @ z / 60)
    w_p = (u * s.sqrt()[:, None]) @ u.mT
    for ours, (one, other) in zip(
        torch.autograd.grad(isoloss(z_a, z_b).sum(), (z_a, z_b)),
        ((z_a, z_b), (z_b, z_a)),
        strict=True,
    ):
        assert torch.allclose(ours, (one @ w_p - other).detach() / 30)


def test_with_the_moment_itself_for_predictor_it_is_barlow_twins(monkeypatch):
    """The statement of chapter 08: on equal views, W_p = S for √S makes the two gradients one, up to a factor."""
    monkeypatch.setattr(torch.Tensor, "sqrt", lambda s: s)
    (z,) = embeddings(30, 4)[:1]
    iso = torch.autograd.grad(isoloss(z, z), z)[0]
    assert torch.allclose(2 * iso, torch.autograd.grad(barlow_twins(z, z), z)[0])


def test_isoloss_refuses_other_shapes():
    with pytest.raises(InputError, match="one shape"):
        isoloss(torch.zeros(3, 2), torch.zeros(4, 2))

"""The closed form of chapter 01 against integration, autograd and a literal gradient descent."""

import math

import numpy as np
import pytest
import scipy.integrate
import torch

from ssltheory.errors import InputError, RunError
from ssltheory.measure import spectra
from ssltheory.theory import stepwise

SPECTRUM = torch.tensor([2.0, 1.2, 0.5, 0.2, -0.1, -0.6], dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(n, seed=0):
    return torch.linalg.qr(normal(n, n, seed=seed)).Q


def operator(spectrum=SPECTRUM, seed=0):
    """Γ with this spectrum in a random basis, and its eigenvectors."""
    v = orthogonal(len(spectrum), seed)
    gamma = (v * spectrum) @ v.mT
    return (gamma + gamma.mT) / 2, v


def aligned(v, s_0, seed=1):
    """W(0) = U diag(s) V_dᵀ with a random orthogonal U."""
    s_0 = torch.as_tensor(s_0, dtype=torch.float64)
    return (orthogonal(len(s_0), seed) * s_0) @ v[:, : len(s_0)].mT


def integrate(gamma, w0, times):
    g, shape = gamma.numpy(), tuple(w0.shape)

    def velocity(_, flat):
        w = flat.reshape(shape)
        return (-4 * (w @ g @ w.T - np.eye(shape[0])) @ w @ g).ravel()

    span = (0, float(times[-1]))
    solved = scipy.integrate.solve_ivp(
        velocity, span, w0.numpy().ravel(), "DOP853", times.numpy(), rtol=1e-12, atol=1e-14
    )
    return torch.from_numpy(solved.y.T.reshape(-1, *shape))


# Γ


def test_cross_moment_is_the_sum_over_pairs():
    a, b = normal(7, 3), normal(7, 3, seed=1)
    terms = [torch.outer(x, y) + torch.outer(y, x) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(stepwise.cross_moment(a, b), sum(terms) / 14)


def test_cross_moment_has_as_many_negative_as_positive_eigenvalues():
    lam = spectra.eigenvalues(stepwise.cross_moment(normal(5, 12), normal(5, 12, seed=1)))
    assert (lam > 1e-12).sum() == (lam < -1e-12).sum() == 5


@pytest.mark.parametrize(("a", "b"), [((4, 3), (5, 3)), ((4, 3), (4, 2)), ((4, 3, 3), (4, 3, 3))])
def test_cross_moment_of_shapes_that_do_not_fit_is_refused(a, b):
    with pytest.raises(InputError, match="flatten the images first"):
        stepwise.cross_moment(normal(*a), normal(*b))


@pytest.mark.parametrize(
    ("sample", "known"),
    [(stepwise.sample_extent, [9, 1]), (stepwise.sample_amplitude, [48, 12])],
)
def test_synthetic_sets_have_the_spectrum_they_promise(sample, known):
    x_a, x_b, gamma = sample(4000, torch.Generator().manual_seed(0))
    assert gamma.tolist() == pytest.approx(known, rel=1e-12)
    assert x_a.shape == x_b.shape == (4000, {9: 10, 48: 96}[known[0]])
    lam = spectra.eigenvalues(stepwise.cross_moment(x_a, x_b))
    assert lam[:2].tolist() == pytest.approx(known, rel=0.01)
    assert lam[2:].abs().max() < 0.01 * known[0]


def test_synthetic_pairs_share_the_signal_and_not_the_noise():
    x_a, x_b, _ = stepwise.sample_extent(4000, torch.Generator().manual_seed(0))
    noise = (x_a - x_b).var(0)
    torch.testing.assert_close(noise, torch.full_like(noise, 2 * 0.01**2), rtol=0.15, atol=0)


# The closed form


@pytest.mark.parametrize("seed", [0, 1])
def test_closed_form_is_the_integrated_flow(seed):
    gamma, v = operator(seed=seed)
    w0 = aligned(v, [0.02, 0.05, 0.01, 0.03, 0.04], seed=seed + 5)  # the fifth mode is negative
    solution = stepwise.linear_barlow_twins(gamma, 5, w0=w0)
    times = torch.linspace(0, 8, 60, dtype=torch.float64)
    w = integrate(gamma, w0, times)
    c = w @ gamma @ w.mT
    eye = torch.eye(5, dtype=torch.float64)
    close = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(solution.weights(times), w, **close)
    torch.testing.assert_close(solution.eigenvalues(times), spectra.eigenvalues(c), **close)
    torch.testing.assert_close(solution.loss(times), (c - eye).square().sum((1, 2)), **close)


def test_gradient_flow_is_the_integrated_flow_from_a_generic_start():
    gamma, _ = operator()
    w0, times = 0.1 * normal(3, 6), torch.linspace(0, 4, 30, dtype=torch.float64)
    flow = stepwise.gradient_flow(gamma, w0, times)
    torch.testing.assert_close(flow.weights(), integrate(gamma, w0, times), rtol=0, atol=1e-8)


def test_generic_start_becomes_aligned_as_it_shrinks():
    gamma, _ = operator(torch.tensor([1, 0.4, 0.1, 0.01], dtype=torch.float64))
    errors = []
    for scale in (1e-3, 1e-6):
        w0 = scale * normal(3, 4, seed=3)
        solution = stepwise.linear_barlow_twins(gamma, 3, w0=w0)
        times = torch.linspace(0, 1.3 * float(solution.step_times[-1]), 200)
        flow = stepwise.gradient_flow(gamma, w0, times)
        errors.append(float((flow.weights() - solution.weights(times)).norm(dim=(1, 2)).max()))
    assert errors[1] < 0.05 * errors[0]
    assert errors[1] < 1e-3


def test_aligned_start_is_recovered_from_the_weights():
    gamma, v = operator()
    u, s = orthogonal(4, seed=1), torch.tensor([0.4, 0.1, 0.3, 0.2], dtype=torch.float64)
    solution = stepwise.linear_barlow_twins(gamma, 4, w0=(u * s) @ v[:, :4].mT)
    torch.testing.assert_close(solution.s_0, s)
    torch.testing.assert_close((solution.u * s) @ solution.v.mT, (u * s) @ v[:, :4].mT)
    assert solution.leakage < 1e-12


def test_init_scale_is_an_aligned_start():
    gamma, _ = operator()
    by_scale = stepwise.linear_barlow_twins(gamma, 3, init_scale=1e-3)
    by_matrix = stepwise.linear_barlow_twins(gamma, 3, w0=1e-3 * by_scale.v.mT)
    times = torch.linspace(0, 5, 20)
    assert by_scale.s_0.tolist() == [1e-3] * 3
    torch.testing.assert_close(by_scale.weights(times), by_matrix.weights(times))


def test_step_times_are_the_papers():
    gamma, v = operator()
    s_0 = torch.tensor([1e-5, 3e-4, 1e-6, 1e-2, 1e-3], dtype=torch.float64)
    tau = stepwise.linear_barlow_twins(gamma, 5, w0=aligned(v, s_0)).step_times
    top = SPECTRUM[:4]
    paper = (-torch.log(top * s_0[:4] ** 2) / (8 * top)).sort().values
    torch.testing.assert_close(tau[:4], paper, rtol=1e-5, atol=0)
    assert tau[4] == math.inf


def test_a_weak_start_lets_a_later_mode_overtake_and_both_stay_sorted():
    gamma, v = operator()
    solution = stepwise.linear_barlow_twins(gamma, 2, w0=aligned(v, [1e-12, 1e-2]))
    p = solution.eigenvalues(torch.linspace(0, 1.5 * float(solution.step_times[-1]), 300))
    assert solution.step_times[0] < solution.step_times[1]
    assert (p[:, 0] >= p[:, 1]).all()


@pytest.mark.parametrize("mode", range(4))
def test_at_its_step_time_a_mode_is_half_learnt(mode):
    solution = stepwise.linear_barlow_twins(operator()[0], 4, init_scale=1e-4)
    tau = solution.step_times[mode]
    s = solution.singular_values(tau)[0, mode]
    assert (SPECTRUM[mode] * s**2).item() == pytest.approx(0.5, abs=1e-12)
    assert s.item() == pytest.approx(1 / math.sqrt(2 * SPECTRUM[mode]), rel=1e-9)


@pytest.mark.parametrize(("dim", "expected"), [(4, 0.0), (5, 1.0), (6, 2.0)])
def test_final_loss_counts_the_modes_that_cannot_be_learnt(dim, expected):
    gamma, _ = operator()
    solution = stepwise.linear_barlow_twins(gamma, dim, w0=0.01 * normal(dim, 6))
    end = torch.tensor([200.0])
    assert solution.loss(end).item() == pytest.approx(expected, abs=1e-9)
    descent = stepwise.gradient_descent(gamma, 0.01 * normal(dim, 6), 0.03, torch.tensor([60.0]))
    assert descent.loss().item() == pytest.approx(expected, abs=1e-6)


def test_neither_early_nor_late_times_overflow():
    solution = stepwise.linear_barlow_twins(operator()[0], 5, init_scale=1e-12)
    late = solution.weights(torch.tensor([0.0, 1e6]))
    assert late.isfinite().all()
    torch.testing.assert_close(late[1, :4].norm(dim=1), SPECTRUM[:4] ** -0.5)


def test_shapes_of_a_solution():
    solution = stepwise.linear_barlow_twins(operator()[0], 3, w0=0.1 * normal(3, 6))
    times = torch.linspace(0, 1, 7)
    assert solution.weights(times).shape == (7, 3, 6)
    assert solution.eigenvalues(times).shape == solution.singular_values(times).shape == (7, 3)
    assert solution.loss(times).shape == (7,)
    assert solution.leaks.shape == (3, 6)
    assert solution.weights(0.5).shape == (1, 3, 6)


# What a finite start leaves out


@pytest.mark.parametrize("scale", [1e-4, 1e-6])
def test_leak_of_a_later_mode_is_measured_as_foreseen(scale):
    gamma, v = operator(torch.tensor([1, 0.5, 0.3], dtype=torch.float64))
    w0 = scale * normal(1, 3, seed=2)
    solution = stepwise.linear_barlow_twins(gamma, 1, w0=w0)
    end = torch.linspace(0, 3 * float(solution.step_times[0]), 50)
    final = (stepwise.gradient_flow(gamma, w0, end).weights()[-1] @ v)[0]
    measured = (final[1:] / final[0]).abs()
    torch.testing.assert_close(measured, solution.leaks[0, 1:], rtol=0.02, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_alignment_lost_to_a_near_tie_is_measured_as_foreseen(seed):
    gamma, v = operator(torch.tensor([1, 0.3, 0.24, 0.05, -0.1], dtype=torch.float64))
    w0 = 1e-7 * normal(2, 5, seed=seed)
    solution = stepwise.linear_barlow_twins(gamma, 2, w0=w0, lr=0.05)
    descent = stepwise.gradient_descent(gamma, w0, 0.05, torch.tensor([40.0]))
    measured = spectra.subspace_alignment(descent.weights()[-1].mT, v[:, :2]).item()
    assert 1 - measured > 1e-6
    assert 1 - measured == pytest.approx(1 - solution.alignment, rel=0.1)


# Gradient descent


def test_one_step_is_autograds_step_on_the_pairs():
    x_a, x_b = normal(40, 6), normal(40, 6, seed=1) + normal(40, 6)
    w0, lr = 0.3 * normal(3, 6, seed=2), 1e-3
    w = w0.clone().requires_grad_()
    z_a, z_b = x_a @ w.mT, x_b @ w.mT
    c = (z_a.mT @ z_b + z_b.mT @ z_a) / (2 * 40)
    (c - torch.eye(3, dtype=torch.float64)).square().sum().backward()

    gamma = stepwise.cross_moment(x_a, x_b)
    descent = stepwise.gradient_descent(gamma, w0, lr, torch.tensor([0.0, lr]))
    torch.testing.assert_close(descent.weights()[0], w0, rtol=0, atol=1e-14)
    torch.testing.assert_close(descent.weights()[1], w0 - lr * w.grad, rtol=0, atol=1e-14)


def test_descent_in_the_eigenbasis_is_the_literal_one():
    gamma, _ = operator()
    w, lr, literal = 0.05 * normal(3, 6), 0.02, []
    w0 = w
    for _ in range(400):
        literal.append(w)
        w = w - 4 * lr * (w @ gamma @ w.mT - torch.eye(3, dtype=torch.float64)) @ w @ gamma
    descent = stepwise.gradient_descent(gamma, w0, lr, lr * torch.arange(400))
    torch.testing.assert_close(descent.weights(), torch.stack(literal), rtol=0, atol=1e-12)
    c = torch.stack(literal) @ gamma @ torch.stack(literal).mT
    torch.testing.assert_close(descent.eigenvalues(), spectra.eigenvalues(c), rtol=0, atol=1e-12)


def test_descent_grows_at_the_discrete_rate_and_not_at_that_of_the_flow():
    gamma, v = operator()
    w0, lr = aligned(v, [1e-7] * 3), 0.1 / (4 * float(SPECTRUM[0]))
    discrete = stepwise.linear_barlow_twins(gamma, 3, w0=w0, lr=lr).step_times
    flow = stepwise.linear_barlow_twins(gamma, 3, w0=w0).step_times
    descent = stepwise.gradient_descent(gamma, w0, lr, torch.linspace(0, float(flow[-1]) * 1.3, 9))
    assert (descent.step_times / discrete - 1).abs().max() < 0.005
    assert descent.step_times[0] / flow[0] - 1 > 0.03


def test_discrete_rate_becomes_that_of_the_flow():
    gamma, _ = operator()
    flow = stepwise.linear_barlow_twins(gamma, 3, init_scale=1e-5)
    nearly = stepwise.linear_barlow_twins(gamma, 3, init_scale=1e-5, lr=1e-8)
    torch.testing.assert_close(nearly.step_times, flow.step_times, rtol=1e-6, atol=0)


def test_times_are_the_nearest_steps_in_the_order_asked_for():
    gamma, _ = operator()
    w0, lr = 0.1 * normal(2, 6), 0.01
    asked = torch.tensor([0.503, 0.0, 0.096, 0.503, 0.104])
    descent = stepwise.gradient_descent(gamma, w0, lr, asked)
    expected = torch.tensor([0.50, 0.0, 0.10, 0.50, 0.10], dtype=torch.float64)
    torch.testing.assert_close(descent.times, expected, rtol=0, atol=1e-12)
    every = stepwise.gradient_descent(gamma, w0, lr, lr * torch.arange(51))
    steps = [50, 0, 10, 50, 10]
    torch.testing.assert_close(descent.weights(), every.weights()[steps], rtol=0, atol=1e-14)
    torch.testing.assert_close(descent.loss(), every.loss()[steps], rtol=0, atol=1e-12)
    torch.testing.assert_close(descent.weights([0.0]), w0[None], rtol=0, atol=1e-14)
    assert descent.eigenvalues([0.5, 0.0]).shape == (2, 2)


def test_step_times_do_not_depend_on_the_times_that_are_kept():
    gamma, _ = operator()
    w0 = 1e-4 * normal(3, 6)
    few, many = (
        stepwise.gradient_descent(gamma, w0, 0.01, torch.linspace(0, 10, n)) for n in (2, 500)
    )
    torch.testing.assert_close(few.step_times, many.step_times, rtol=1e-4, atol=0)


def test_descent_converges_below_the_limit_and_is_refused_above():
    gamma, _ = operator()
    limit = 1 / (4 * float(SPECTRUM[0]))
    w0, end = 1e-3 * normal(3, 6), torch.tensor([60.0])
    assert stepwise.gradient_descent(gamma, w0, 0.9 * limit, end).loss().item() < 1e-6
    for lr in (1.1 * limit, limit, 0.0, -limit, math.nan):
        with pytest.raises(InputError, match="stability limit"):
            stepwise.gradient_descent(gamma, w0, lr, end)
        with pytest.raises(InputError, match="stability limit"):
            stepwise.linear_barlow_twins(gamma, 3, w0=w0, lr=lr)


def test_above_the_limit_the_literal_descent_indeed_does_not_settle():
    # with d = n₊ every positive mode is needed; with fewer, descent escapes to flatter modes
    gamma, eye = torch.diag(SPECTRUM), torch.eye(4, dtype=torch.float64)
    losses = {}
    for factor in (0.9, 1.1):
        lr, w = factor / (4 * float(SPECTRUM[0])), 1e-3 * normal(4, 6)
        for _ in range(2000):
            w = w - 4 * lr * (w @ gamma @ w.mT - eye) @ w @ gamma
        losses[factor] = (w @ gamma @ w.mT - eye).square().sum().item()
    assert losses[0.9] < 1e-9
    assert losses[1.1] > 1e-3


def test_overflow_is_a_failed_run():
    with pytest.raises(RunError, match="diverged"):
        stepwise.gradient_descent(operator()[0], 10 * normal(2, 6), 0.1, torch.tensor([10.0]))


@pytest.mark.parametrize("times", [[], [-1.0, 1.0], [math.nan], [math.inf]])
def test_times_that_cannot_be_are_refused(times):
    with pytest.raises(InputError, match="times must be"):
        stepwise.gradient_descent(operator()[0], normal(2, 6), 0.01, torch.tensor(times))


def test_log_and_linear_rises_from_first_to_last():
    times = stepwise.log_and_linear(0.01, 50.0, 101)
    assert len(times) == 101
    assert (times.diff() >= 0).all()
    assert times[0].item() == pytest.approx(0.01)
    assert times[-1].item() == pytest.approx(50.0)
    assert (times < 1).sum() > 20
    assert (times > 25).sum() > 20


# Bad input

GAMMA = operator()[0]
SKEW = GAMMA + torch.triu(torch.ones(6, 6), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": SKEW, "dim": 2, "init_scale": 0.1}, "must be symmetric"),
        ({"gamma": GAMMA[:4], "dim": 2, "init_scale": 0.1}, "must be a square"),
        ({"gamma": GAMMA[0], "dim": 2, "init_scale": 0.1}, "must be a square"),
        ({"gamma": GAMMA * math.nan, "dim": 2, "init_scale": 0.1}, "gamma holds a NaN"),
        ({"gamma": GAMMA, "dim": 7, "init_scale": 0.1}, "dim=7 must lie between 1 and m=6"),
        ({"gamma": GAMMA, "dim": 0, "init_scale": 0.1}, "dim=0 must lie"),
        ({"gamma": GAMMA, "dim": 2}, "either w0 .* or init_scale"),
        ({"gamma": GAMMA, "dim": 6, "w0": GAMMA, "init_scale": 0.1}, "either w0 .* or init_scale"),
        ({"gamma": GAMMA, "dim": 2, "w0": normal(6, 2)}, r"w0 must be \(dim, m\) = \(2, 6\)"),
        ({"gamma": GAMMA, "dim": 2, "w0": math.nan * normal(2, 6)}, "w0 holds a NaN"),
        ({"gamma": GAMMA, "dim": 2, "init_scale": math.nan}, "init_scale=nan"),
        ({"gamma": GAMMA, "dim": 2, "init_scale": 0.0}, "init_scale=0"),
    ],
)
def test_bad_input_is_refused_with_one_message(arguments, message):
    with pytest.raises(InputError, match=message):
        stepwise.linear_barlow_twins(**arguments)


@pytest.mark.parametrize("simulate", [stepwise.gradient_descent, stepwise.gradient_flow])
def test_simulations_refuse_the_same_input(simulate):
    rest = (0.01,) if simulate is stepwise.gradient_descent else ()
    times = torch.tensor([0.0, 1.0])
    with pytest.raises(InputError, match="must be symmetric"):
        simulate(SKEW, normal(2, 6), *rest, times)
    with pytest.raises(InputError, match="w0 must be"):
        simulate(GAMMA, normal(2, 5), *rest, times)
    with pytest.raises(InputError, match="dim=7"):
        simulate(GAMMA, normal(7, 6), *rest, times)
    with pytest.raises(InputError, match="w0 holds a NaN"):
        simulate(GAMMA, math.nan * normal(2, 6), *rest, times)

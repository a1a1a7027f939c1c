"""DirectPred's theorems against its flow, closed forms against integration, and faults that must be seen."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from ssltheory import losses
from ssltheory.errors import InputError, RunError
from ssltheory.theory import directpred

NOISE = 0.25
SETTINGS = [(1.0, 0.0, 0.4), (3.0, 0.05, 0.4), (0.5, 0.2, 2.0)]  # α_p, η, β


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def positive(n, seed, rank=None):
    a = normal(n, rank or n, seed=seed)
    return a @ a.mT / n


def setting(seed=0, n2=4, n1=6, scale=0.3):
    """W, W_p (not symmetric), W_a, X, X'."""
    w, w_a = scale * normal(2, n2, n1, seed=seed)
    w_p = scale * normal(n2, n2, seed=seed + 100)
    return w, w_p, w_a, positive(n1, seed + 200), positive(n1, seed + 300)


H = 1e-5
INSTANTS = torch.tensor([0, H, 2 * H], dtype=torch.float64)


def derivative(path):
    """At 0, of second order in H, from the values at 0, H, 2H."""
    return (-3 * path[0] + 4 * path[1] - path[2]) / (2 * H)


# The loss and its flow


def every_pair_of_views(m=30, n1=5):
    """m images, each with the two views x̄ ± e: the four ordered pairs are the whole population."""
    mean, e = normal(2, m, n1, seed=0)
    plus, minus = mean + e, mean - e
    return torch.cat([plus, plus, minus, minus]), torch.cat([plus, minus, plus, minus]), mean, e


def test_moments_and_loss_are_those_of_the_population():
    x_a, x_b, mean, e = every_pair_of_views()
    x, x_prime = directpred.view_moments(x_a, x_b)
    torch.testing.assert_close(x, mean.mT @ mean / len(mean))
    torch.testing.assert_close(x_prime, e.mT @ e / len(e))
    w, w_p, w_a, *_ = setting(n1=5)
    views = [(v @ (w_p @ w).mT, v @ w_a.mT) for v in (x_a, x_b)]
    j = directpred.expected_loss(w, w_p, w_a, x, x_prime)
    torch.testing.assert_close(losses.byol(*views, normalize=False), 4 * j)


@pytest.mark.parametrize(("alpha_p", "eta", "beta"), SETTINGS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_flow_descends_the_loss(alpha_p, eta, beta, symmetric):
    w, w_p, w_a, x, x_prime = setting()
    flow = directpred.matrix_flow(
        w, w_p, x, x_prime, INSTANTS, w_a=w_a, weight_decay=eta,
        alpha_p=alpha_p, beta=beta, symmetric=symmetric,
    )  # fmt: skip
    leaves = [m.clone().requires_grad_() for m in (w, w_p)]
    loss = directpred.expected_loss(*leaves, w_a, x, x_prime)
    g, g_p = torch.autograd.grad(loss, leaves)
    g_p = (g_p + g_p.mT) / 2 if symmetric else g_p
    assert (derivative(flow.w) + g + eta * w).abs().max() < 1e-6
    assert (derivative(flow.w_p) + alpha_p * g_p + eta * w_p).abs().max() < 1e-6
    assert (derivative(flow.w_a) - beta * (w - w_a)).abs().max() < 1e-6


def test_without_stop_gradient_the_target_is_differentiated():
    w, w_p, _, x, x_prime = setting()
    leaf = w.clone().requires_grad_()
    (g,) = torch.autograd.grad(directpred.expected_loss(leaf, w_p, leaf, x, x_prime), leaf)
    flow = directpred.matrix_flow(w, w_p, x, x_prime, INSTANTS, stop_gradient=False)
    assert (derivative(flow.w) + g).abs().max() < 1e-6
    stopped = directpred.matrix_flow(w, w_p, x, x_prime, INSTANTS)
    assert (derivative(stopped.w) + g).abs().max() > 0.1


# Theorem 1


@pytest.mark.parametrize(("alpha_p", "eta", "beta"), SETTINGS)
def test_balance_is_conserved(alpha_p, eta, beta):
    w, w_p, w_a, x, x_prime = setting(seed=1)
    flow = directpred.matrix_flow(
        w, w_p, x, x_prime, torch.linspace(0, 12, 25), w_a=w_a, weight_decay=eta,
        alpha_p=alpha_p, beta=beta,
    )  # fmt: skip

    def drift(eta, alpha_p):
        c = directpred.balance(flow.w, flow.w_p, flow.times, eta, alpha_p)
        return (c - c[0]).abs().max()

    assert drift(eta, alpha_p) < 1e-9
    if alpha_p != 1:
        assert drift(eta, 1.0) > 0.1, "the appendix's form, without 1/α_p"
    if eta:
        assert drift(0.0, alpha_p) > 0.1


# Theorem 2: collapse


def test_decay_matrix_moves_the_stacked_columns():
    w, w_p, _, x, x_prime = setting(seed=2)
    flow = directpred.matrix_flow(
        w, w_p, x, x_prime, INSTANTS, weight_decay=0.05, stop_gradient=False
    )
    d_w = derivative(flow.w)
    matrix = directpred.decay_matrix(x, x_prime, w_p, 0.05)
    torch.testing.assert_close(matrix, matrix.mT)
    columns, rows = (lambda m: m.mT.flatten()), torch.flatten
    assert (columns(d_w) + matrix @ columns(w)).abs().max() < 1e-6
    assert (rows(d_w) + matrix @ rows(w)).abs().max() > 1, "row-major vec"
    least = torch.linalg.eigvalsh(matrix)[0]
    assert least >= torch.linalg.eigvalsh(x_prime)[0] + 0.05 - 1e-12


def test_without_stop_gradient_the_decay_bound_holds():
    w, w_p, _, x, x_prime = setting(seed=3, scale=1.0)
    x_prime = x_prime + 0.02 * torch.eye(len(x))
    times = torch.linspace(0, 60, 61)
    flow = directpred.matrix_flow(w, w_p, x, x_prime, times, weight_decay=0.05, stop_gradient=False)
    rate = min(
        torch.linalg.eigvalsh(directpred.decay_matrix(x, x_prime, p, 0.05))[0] for p in flow.w_p
    )
    norms = flow.w.norm(dim=(1, 2))
    assert (norms <= torch.exp(-rate * times) * norms[0] * (1 + 1e-9)).all()
    assert norms[-1] < 0.01 * norms[0]


def test_invariant_directions_survive_without_stop_gradient():
    """X' singular and η = 0: λ_min(H) may reach 0, and W_p turns into I there."""
    w, w_p, _, x, _ = setting(seed=4, scale=1.0)
    times = torch.tensor([300.0])
    flow = directpred.matrix_flow(w, w_p, x, positive(6, 5, rank=3), times, stop_gradient=False)
    assert flow.w[-1].norm() > 0.3 * w.norm()


def isotropic(seed, times, **choices):
    w, w_p = 0.9 * normal(4, 6, seed=seed), 0.35 * normal(4, 4, seed=seed + 50)
    choices.setdefault("w_p", w_p)
    one = torch.eye(6)
    return directpred.matrix_flow(w, choices.pop("w_p"), one, NOISE * one, times, **choices)


@pytest.mark.parametrize("eta", [0.0, 0.03])
@pytest.mark.parametrize(("stop_gradient", "factor"), [(True, 1), (False, 2)])
def test_no_predictor_decays_at_the_slope_of_theory(stop_gradient, factor, eta):
    times = torch.linspace(0, 40, 41)
    flow = isotropic(0, times, w_p=None, stop_gradient=stop_gradient, weight_decay=eta)
    slope = np.polyfit(times, flow.w.norm(dim=(1, 2)).log(), 1)[0]
    assert slope == pytest.approx(-(factor * NOISE + eta), abs=1e-6)
    assert abs(slope + (3 - factor) * NOISE + eta) > 0.1, "the other row of the table"
    assert (flow.w_p == torch.eye(4)).all()


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_no_predictor_has_a_closed_form_for_any_augmentation(stop_gradient):
    w, _, _, x, x_prime = setting(seed=6)
    times = torch.linspace(0, 5, 6)
    choices = {"weight_decay": 0.04, "stop_gradient": stop_gradient}
    flow = directpred.matrix_flow(w, None, x, x_prime, times, **choices)
    closed = directpred.weights_without_predictor(w, x_prime, times, **choices)
    assert (flow.w - closed).abs().max() < 1e-9
    crossed = directpred.weights_without_predictor(w, x, times, **choices)
    assert (flow.w - crossed).abs().max() > 0.1


@pytest.mark.parametrize("seed", range(5))
def test_predictor_and_stop_gradient_together_do_not_collapse(seed):
    times = torch.tensor([0.0, 40.0])
    start, end = isotropic(seed, times).w.norm(dim=(1, 2))
    assert end > 0.3 * start
    _, leaking = isotropic(seed, times, stop_gradient=False).w.norm(dim=(1, 2))
    assert leaking < 1e-5 * start


# Theorem 3 and alignment


def eigenspace_start(d=6, seed=0):
    m = normal(d, d, seed=seed)
    return 0.5 * positive(d, seed + 10), 0.3 * (m + m.mT) / 2


@pytest.mark.parametrize("choices", [{}, {"weight_decay": 0.05, "tau": 0.6, "alpha_p": 3.0}])
def test_commutator_obeys_theorem_3(choices):
    choices = {"noise": NOISE, "weight_decay": 0.0, "tau": 1.0, "alpha_p": 1.0, **choices}
    noise, eta, tau, alpha_p = choices.values()
    f, w_p = eigenspace_start()

    def anti(a, b):
        return a @ b + b @ a

    d_p = -alpha_p / 2 * (1 + noise) * anti(w_p, f) + alpha_p * tau * f - eta * w_p
    d_f = -(1 + noise) * anti(w_p @ w_p, f) + tau * anti(w_p, f) - 2 * eta * f
    commutator = directpred.commutator(f, w_p)
    d_l = directpred.commutator(d_f, w_p) + directpred.commutator(f, d_p)
    k = directpred.commutator_decay(f, w_p, **choices)
    assert (d_l + anti(commutator, k)).abs().max() < 1e-12
    for missing in ("weight_decay", "alpha_p"):
        if choices[missing] not in (0, 1):
            wrong = choices | {missing: {"weight_decay": 0.0, "alpha_p": 1.0}[missing]}
            k = directpred.commutator_decay(f, w_p, **wrong)
            assert (d_l + anti(commutator, k)).abs().max() > 1e-3

    f_t, w_p_t = directpred.eigenspace_flow(f, w_p, INSTANTS, **choices)
    assert (derivative(f_t) - d_f).abs().max() < 1e-6
    assert (derivative(w_p_t) - d_p).abs().max() < 1e-6


@pytest.mark.parametrize("symmetric", [True, False])
def test_eigenspace_flow_is_the_matrix_flow(symmetric):
    w, w_p = 0.5 * normal(4, 6, seed=1), 0.5 * normal(4, 4, seed=2)
    w_p = (w_p + w_p.mT) / 2 if symmetric else w_p
    times, one = torch.linspace(0, 10, 11), torch.eye(6)
    choices = {"weight_decay": 0.04, "alpha_p": 2.0, "symmetric": symmetric}
    flow = directpred.matrix_flow(w, w_p, one, NOISE * one, times, **choices)
    f, p = directpred.eigenspace_flow(w @ w.mT, w_p, times, noise=NOISE, **choices)
    assert (flow.w @ flow.w.mT - f).abs().max() < 1e-8
    assert (flow.w_p - p).abs().max() < 1e-8


def random_network(seed, symmetric, times, n2=8, n1=10):
    w, w_p = 0.35 * normal(n2, n1, seed=seed), 0.35 * normal(n2, n2, seed=seed + 70)
    w_p = (w_p + w_p.mT) / 2 if symmetric else w_p
    one = torch.eye(n1)
    flow = directpred.matrix_flow(
        w, w_p, one, NOISE * one, times, weight_decay=0.04, symmetric=symmetric
    )
    f = flow.w @ flow.w.mT
    s = torch.linalg.eigvalsh(f).flip(-1)
    weighted = (directpred.alignment(flow.w_p, f) * s).sum(-1) / s.sum(-1)
    ratio = directpred.commutator(f, flow.w_p).norm(dim=(1, 2))
    return weighted, ratio / ratio[0], directpred.asymmetry(flow.w_p)


def test_eigenspaces_align():
    times = torch.tensor([0.0, 5.0, 20.0])
    for seed in range(5):
        weighted, ratio, _ = random_network(seed, True, times)
        assert weighted[0] < 0.7
        assert weighted[1] > 0.99
        assert ratio[2] < 5e-3


def test_a_predictor_that_is_not_symmetrised_becomes_symmetric_by_itself():
    """At t = 50 the asymmetry of 20 such draws was 0.03 to 0.17, at t = 0 1.0 to 1.6."""
    times = torch.tensor([0.0, 20.0, 50.0, 100.0])
    slower = []
    for seed in range(5):
        weighted, ratio, asymmetry = random_network(seed, False, times)
        assert asymmetry[0] > 1
        assert asymmetry[2] < 0.2
        assert asymmetry[3] < 0.03
        assert weighted[1] > 0.98
        slower.append(ratio[1])
    assert np.median(slower) > 5e-3, "or the bound above would not see the symmetrisation"


def commutator_peaks(eta, seeds=8, d=8):
    """max_t ‖L(t)‖ / ‖L(0)‖ from a small positive start, p in [0.05, 0.2], s about p²."""
    peaks = []
    for seed in range(seeds):
        u, v = (torch.linalg.qr(normal(d, d, seed=seed + k)).Q for k in (0, 1000))
        generator = torch.Generator().manual_seed(seed)
        p, q = 0.05 + 0.15 * torch.rand(2, d, generator=generator, dtype=torch.float64)
        f, w_p = directpred.eigenspace_flow(
            (u * q**2) @ u.mT, (v * p) @ v.mT, torch.linspace(0, 60, 241), noise=NOISE,
            weight_decay=eta,
        )  # fmt: skip
        norms = directpred.commutator(f, w_p).norm(dim=(1, 2))
        peaks.append(float(norms.max() / norms[0]))
    return np.median(peaks)


def test_misalignment_grows_first_and_weight_decay_prevents_it():
    peaks = [commutator_peaks(eta) for eta in (0.0, 0.05, 0.09)]
    assert peaks[0] > 3
    assert peaks[0] > 2 * peaks[1]
    assert directpred.alignment_threshold(NOISE) < 0.09
    assert peaks[2] == pytest.approx(1.0, abs=0.02)


def test_alignment_pairs_eigenvectors_with_their_images():
    u = torch.linalg.qr(normal(5, 5, seed=0)).Q
    s = torch.tensor([0.1, 3.0, 1.0, 0.5, 2.0], dtype=torch.float64)
    signs = torch.tensor([1.0, 1, -1, 1, 1], dtype=torch.float64)
    f, w_p = (u * s) @ u.mT, (u * signs * s.sqrt()) @ u.mT
    expected = torch.tensor(
        [1.0, 1, -1, 1, 1], dtype=torch.float64
    )  # s = 1 is third of 3, 2, 1, .5, .1
    torch.testing.assert_close(directpred.alignment(w_p, f), expected)
    stacked = directpred.alignment(torch.stack([w_p, -w_p]), torch.stack([f, f]))
    torch.testing.assert_close(stacked, torch.stack([expected, -expected]))
    noise = directpred.alignment(normal(200, 200, seed=1), positive(200, 2))
    assert abs(noise.mean()) < 0.03
    assert directpred.asymmetry(f) < 1e-12
    assert directpred.asymmetry(normal(200, 200, seed=1)) == pytest.approx(np.sqrt(2), abs=0.02)


def test_optimal_predictor_is_where_the_predictor_rests():
    f = positive(5, 0)
    w_p = directpred.optimal_predictor(f, noise=NOISE, tau=0.8, ridge=0.04 / 2.0)
    torch.testing.assert_close(w_p, w_p.mT)
    rest = 2.0 * (0.8 * f - (1 + NOISE) * w_p @ f) - 0.04 * w_p
    assert rest.abs().max() < 1e-12
    one = torch.eye(5, dtype=torch.float64)
    flat = directpred.optimal_predictor(0.3 * one, noise=NOISE)
    torch.testing.assert_close(flat, one / (1 + NOISE))
    still = directpred.matrix_flow(one, flat, one, NOISE * one, torch.tensor([0.0, 1.0])).w[1] - one
    assert still.abs().max() < 1e-12, "the isotropic encoder gets no gradient"


# Modes


def aligned(p, s, seed=0):
    """W, W_p whose modes are p and s."""
    u = torch.linalg.qr(normal(len(p), len(p), seed=seed)).Q
    v = torch.linalg.qr(normal(len(p), len(p), seed=seed + 1)).Q
    return (u * torch.as_tensor(s).sqrt()) @ v.mT, (u * torch.as_tensor(p)) @ u.mT, u, v


@pytest.mark.parametrize("beta", [None, 0.4])
def test_modes_are_the_matrices(beta):
    generator = np.random.default_rng(0)
    p, s, tau = generator.uniform([[0.05], [0.02], [0.1]], [[0.6], [0.5], [0.9]], (3, 5))
    w, w_p, u, v = aligned(p, s)
    times = torch.linspace(0, 30, 31)
    one = torch.eye(5)
    target = None if beta is None else (u * torch.as_tensor(tau * np.sqrt(s))) @ v.mT
    choices = {"weight_decay": 0.03, "alpha_p": 1.5, "beta": beta}
    flow = directpred.matrix_flow(w, w_p, one, NOISE * one, times, w_a=target, **choices)
    modes = directpred.mode_flow(
        p, s, times, noise=NOISE, tau=1.0 if beta is None else tau, **choices
    )
    measured = torch.diagonal(u.mT @ flow.w_p @ u, dim1=1, dim2=2).numpy()
    assert np.abs(measured - modes.p).max() < 1e-8
    measured = torch.diagonal(u.mT @ flow.w @ flow.w.mT @ u, dim1=1, dim2=2).numpy()
    assert np.abs(measured - modes.s).max() < 1e-8
    if beta is not None:
        diagonals = [
            torch.diagonal(u.mT @ m @ v, dim1=1, dim2=2).numpy() for m in (flow.w_a, flow.w)
        ]
        assert np.abs(diagonals[0] / diagonals[1] - modes.tau).max() < 1e-7


STARTS = [(0.3, 0.3, 1.5, 0.04, None), (0.4, 0.05, 1.0, 0.05, 0.4), (-0.2, 0.5, 3.0, 0.02, None)]


@pytest.mark.parametrize(("p", "s", "alpha_p", "eta", "beta"), STARTS)
def test_integral_of_the_modes(p, s, alpha_p, eta, beta):
    times = np.linspace(0, 30, 301)
    modes = directpred.mode_flow(
        p, s, times, noise=NOISE, weight_decay=eta, alpha_p=alpha_p, beta=beta
    )
    c = directpred.mode_integral(modes.p, modes.s, times, weight_decay=eta, alpha_p=alpha_p)
    off_parabola = c[0] * np.exp(-2 * eta * times)
    assert np.abs(modes.s - modes.p**2 / alpha_p - off_parabola).max() < 1e-9
    assert np.abs(modes.s - modes.p**2 / alpha_p + off_parabola).max() > 0.2, "the printed sign"
    assert c[0] == pytest.approx(s - p**2 / alpha_p)
    assert c[150] == pytest.approx(c[0], abs=1e-7)


def test_alpha_p_only_rescales_s():
    times = np.linspace(0, 20, 21)
    choices = {"noise": NOISE, "weight_decay": 0.04}
    fast = directpred.mode_flow(0.3, 0.1, times, alpha_p=3.0, **choices)
    unit = directpred.mode_flow(0.3, 0.3, times, alpha_p=1.0, **choices)
    np.testing.assert_allclose(fast.p, unit.p, atol=1e-9)
    np.testing.assert_allclose(3 * fast.s, unit.s, atol=1e-9)


def test_fixed_points():
    points = directpred.fixed_points(0.04, NOISE, alpha_p=1.5)
    found = points.p_minus, points.p_plus, points.s_plus
    assert found == pytest.approx((0.042229, 0.757771, 0.382811), abs=1e-6)
    at_rest = {"noise": NOISE, "weight_decay": 0.04, "alpha_p": 1.5}
    for p in found[:2]:
        velocity = directpred.mode_velocity(p, p**2 / 1.5, **at_rest)
        assert np.abs(velocity).max() < 1e-15

    def rates(p, s, h=1e-6):
        """Eigenvalues of the Jacobian, by central differences."""
        columns = [
            np.subtract(
                directpred.mode_velocity(p + a, s + b, **at_rest)[:2],
                directpred.mode_velocity(p - a, s - b, **at_rest)[:2],
            )
            for a, b in ((h, 0.0), (0.0, h))
        ]
        return sorted(np.linalg.eigvals(np.stack(columns, 1) / (2 * h)))

    for p, expected in zip(found[:2], [(-0.08, 0.037771), (-0.677771, -0.08)], strict=True):
        assert rates(p, p**2 / 1.5) == pytest.approx(expected, abs=1e-6)
        assert 2 * p - 3 * 1.25 * p**2 - 0.04 == pytest.approx(
            next(r for r in expected if r != -0.08), abs=1e-6
        )
    assert rates(0.0, 0.0) == pytest.approx((-0.08, -0.04), abs=1e-6)


def test_collapse_threshold():
    threshold = directpred.collapse_threshold(NOISE)
    assert threshold == pytest.approx(0.2)
    assert directpred.collapse_threshold(NOISE, tau=0.4) == pytest.approx(0.032)
    eta = np.array([0.0, 0.19, 0.2 - 1e-9, 0.2 + 1e-9, 0.5])
    points = directpred.fixed_points(eta, NOISE)
    assert np.isnan(points.p_plus).tolist() == [False, False, False, True, True]
    assert (points.p_minus[0], points.p_plus[0]) == pytest.approx((0.0, 0.8))
    times = np.array([2000.0])
    end = [
        directpred.mode_flow(0.5, 0.25, times, weight_decay=e, noise=NOISE).p[0]
        for e in (0.19, 0.21)
    ]
    assert end[0] == pytest.approx(float(directpred.fixed_points(0.19, NOISE).p_plus), abs=1e-6)
    assert abs(end[1]) < 1e-6


def test_alignment_threshold_is_exact():
    p = np.linspace(1e-4, 1, 20001)
    for factor, sign in [(0.99, -1), (1.01, 1)]:
        for alpha_p, tau in [(1.0, 1.0), (4.0, 0.7)]:
            eta = float(factor * directpred.alignment_threshold(NOISE, tau))
            least = directpred.alignment_rate(
                p, p**2 / alpha_p, weight_decay=eta, noise=NOISE, tau=tau, alpha_p=alpha_p
            ).min()
            assert np.sign(least) == sign
    assert directpred.alignment_rate(0.3, 0.2, weight_decay=0.05, noise=NOISE) == pytest.approx(
        float(
            directpred.commutator_decay(
                torch.tensor([[0.2]]), torch.tensor([[0.3]]), noise=NOISE, weight_decay=0.05
            )
        )
    )


@pytest.mark.parametrize(
    ("p_0", "eta", "tau"),
    [
        (0.1, 0.04, 1),
        (0.03, 0.04, 1),
        (1.5, 0.1, 0.8),
        (0.6, 0.25, 1),
        (0.2, 0, 0.9),
        (1.1, 0, 0.9),
    ],
)
def test_passage_time_inverts_the_flow(p_0, eta, tau):
    """Up to p_+, down to 0 below p_−, down to p_+, down to 0 above the threshold; without decay."""
    choices = {"weight_decay": eta, "noise": NOISE, "tau": tau}
    times = np.linspace(0.0, 12.0, 25)
    p = directpred.mode_flow(p_0, p_0**2 / 1.5, times, alpha_p=1.5, **choices).p
    np.testing.assert_allclose(directpred.passage_time(p_0, p, **choices), times, atol=1e-6)


BASIN = {
    0.2: (0.0072, 0.0875, 0.395, 0.959, 1),
    1.0: (0.0011, 0.0164, 0.0789, 0.224, 1),
    5.0: (0, 0.0019, 0.0175, 0.0439, 1),
    20.0: (0, 0, 0, 0.0167, 1),
}


def collapsed_share(eta, alpha_p=1.0, tau=1.0):
    cells = (np.arange(60) + 0.5) / 120
    p, s = np.meshgrid(cells, cells)
    alive = directpred.survives(p, s, weight_decay=eta, noise=NOISE, tau=tau, alpha_p=alpha_p)
    return 1 - alive.mean()


def test_collapse_basin():
    """Shares of [0, 0.5]² that collapse, known from an independent integration on the same grid."""
    for alpha_p, row in BASIN.items():
        found = [collapsed_share(eta, alpha_p) for eta in (0.05, 0.10, 0.15, 0.19, 0.21)]
        assert found == pytest.approx(row, abs=1e-3)
    assert [collapsed_share(0.05, tau=tau) for tau in (1, 0.6, 0.4)] == pytest.approx(
        (0.0011, 0.0181, 1), abs=1e-3
    )


def test_survival_far_under_the_parabola():
    """A small weight decay gives p time to fall while s ~ 0: the fate by log s alone, p by the integral."""
    eta, p_0, s_0 = 0.01, 1.032, np.array([0.08, 0.1, 0.11, 0.2, 0.26, 0.3])

    def velocity(t, y):
        p = np.sqrt(np.exp(y) + (p_0**2 - s_0) * np.exp(-2 * eta * t))
        return 2 * (p * (1 - 2 * p) - eta)

    end = solve_ivp(velocity, (0, 1000), np.log(s_0), "LSODA", rtol=1e-8, atol=1e-8).y[:, -1]
    alive = directpred.survives(p_0, s_0, weight_decay=eta, noise=1.0)
    flow = directpred.mode_flow(p_0, s_0, [1000.0], weight_decay=eta, noise=1.0)
    assert alive.tolist() == (end > np.log(0.01)).tolist() == [False, False, True, True, True, True]
    np.testing.assert_allclose(flow.s[0], np.exp(end), rtol=1e-4, atol=1e-12)


def test_survival_is_where_the_full_flow_goes():
    generator = np.random.default_rng(1)
    p, s = generator.uniform([[-0.3], [0.001]], [[0.6], [0.5]], (2, 200))
    choices = {"weight_decay": 0.15, "noise": NOISE, "alpha_p": 0.7}
    end = directpred.mode_flow(p, s, [400.0], **choices)
    assert (directpred.survives(p, s, **choices) == (end.p[0] > 0.2)).all()


@pytest.mark.parametrize(
    ("noise", "tau", "alpha_p"), [(0.25, 1.0, 1.0), (0.25, 1.0, 0.3), (0.5, 0.6, 2.0)]
)
def test_end_without_weight_decay(noise, tau, alpha_p):
    generator = np.random.default_rng(0)
    p, s = generator.uniform(-1, 1, 300), generator.uniform(0.001, 1, 300)
    choices = {"noise": noise, "tau": tau, "alpha_p": alpha_p}
    end = directpred.end_state(p, s, **choices)
    flow = directpred.mode_flow(p, s, [3000.0], weight_decay=0.0, **choices)
    np.testing.assert_allclose(flow.p[0], end.p, atol=1e-3)
    np.testing.assert_allclose(flow.s[0], end.s, atol=1e-3)
    below = (s < p**2 / alpha_p) & (p > 0)
    mislabelled = (end.s[below] > 0).sum()
    assert mislabelled >= 10, "s > p²/α_p is sufficient for survival, not necessary"
    assert (end.s[s > p**2 / alpha_p] > 0).all()


# The moving average


def test_moving_average_in_closed_form():
    """On the parabola with τ(0) = 0: τ = β e^{−βt} / p(t) · ∫ p e^{βu} du."""
    beta, times = 0.4, np.linspace(0, 20, 4001)
    modes = directpred.mode_flow(
        0.3, 0.09, times, weight_decay=0.04, noise=NOISE, tau=0.0, beta=beta
    )
    weighted = modes.p * np.exp(beta * times)
    simpson = (weighted[:-2:2] + 4 * weighted[1:-1:2] + weighted[2::2]) * times[1] / 3
    closed = beta * np.exp(-beta * times[2::2]) / modes.p[2::2] * np.cumsum(simpson)
    assert np.abs(closed - modes.tau[2::2]).max() < 1e-7


def curriculum(beta):
    """Least K on the way, time to 90 % of p_+, and the end."""
    end = 25 if beta is None else 60 if beta > 0.1 else 250
    times = np.linspace(0, end, 20001)
    tau = 1.0 if beta is None else 0.0
    choices = {"weight_decay": 0.04, "noise": NOISE}
    modes = directpred.mode_flow(0.3, 0.09, times, tau=tau, beta=beta, **choices)
    rate = directpred.alignment_rate(modes.p, modes.s, tau=modes.tau, **choices)
    p_plus = float(directpred.fixed_points(0.04, NOISE).p_plus)
    return rate.min(), times[np.argmax(modes.p > 0.9 * p_plus)], modes.p[-1]


def test_moving_average_is_a_curriculum():
    none, usual, slow = (curriculum(beta) for beta in (None, 0.4, 0.04))
    assert [row[0] for row in (none, usual, slow)] == pytest.approx(
        [-0.071, 0.003, 0.021], abs=1.5e-3
    )
    assert usual[1] / none[1] == pytest.approx(3.0, rel=0.15)
    assert slow[1] / none[1] == pytest.approx(22.4, rel=0.15)
    assert none[2] == pytest.approx(0.758, abs=1e-3)
    assert usual[2] == pytest.approx(0.758, abs=1e-3)


def test_a_moving_average_that_does_not_see_the_encoder_grow_is_caught(monkeypatch):
    right = directpred.mode_velocity

    def without_the_last_term(p, s, tau, *, beta, **rest):
        d_p, d_s, _ = right(p, s, tau, **rest)
        return d_p, d_s, beta * (1 - tau)

    monkeypatch.setattr(directpred.modes, "mode_velocity", without_the_last_term)
    least, time, _ = curriculum(0.4)
    assert least == pytest.approx(-0.020, abs=1.5e-3)
    assert time == pytest.approx(11.45, rel=0.02)


# DirectSet


def directset(eta, delta, a, eps=0.0, noise=1.0, end=None):
    """From δI with three features and two nuisances."""
    one = torch.eye(5, dtype=torch.float64)
    nuisance = torch.diag(torch.tensor([0.0, 0, 0, 1, 1], dtype=torch.float64))
    w = directpred.directset_flow(
        delta * one, one, noise * nuisance, [end or 2000.0], weight_decay=eta, exponent=a, eps=eps
    )[-1]
    return w, one - nuisance


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("eta", [0.13, 0.2, 0.24])
def test_directset_keeps_features_and_forgets_nuisance(a, eta):
    limit = directpred.directset_limit(eta, noise=1.0, exponent=a)
    assert limit.filters
    w, features = directset(eta, 1.1 * limit.threshold, a)
    assert (w - limit.scale * features).abs().max() < 1e-3
    w, _ = directset(eta, 0.9 * limit.threshold, a)
    assert w.abs().max() < 1e-3


def test_directset_outside_its_window():
    low = directpred.directset_limit(0.10, noise=1.0)
    assert not low.filters
    w, _ = directset(0.10, 0.9, 1.0)
    assert w[3, 3] > 0.5, "too little weight decay keeps the nuisance"
    assert directpred.directset_limit(0.26, noise=1.0).scale == 0
    w, _ = directset(0.26, 0.9, 1.0)
    assert w.abs().max() < 1e-3, "too much kills all"


def test_a_small_eps_lifts_small_starts_and_a_large_one_ends_them():
    known = {0.15: 0.0, 0.16: 0.8285, 0.3: 0.7392, 0.8: 0.2154, 0.85: 0.0}
    for eps, scale in known.items():
        w, features = directset(0.13, 1e-3, 1.0, eps=eps, end=3000.0)
        assert (w - scale * features).abs().max() < 1e-3
        limit = directpred.directset_limit(0.13, noise=1.0, eps=eps)
        assert (limit.scale if limit.threshold < 1e-3 else 0.0) == pytest.approx(scale, abs=1e-3)


def test_a_predictor_from_the_normalised_f_has_no_such_threshold(monkeypatch):
    right = np.linalg.eigh

    def normalised(f):
        s, u = right(f)
        return s / s[-1], u

    limit = directpred.directset_limit(0.2, noise=1.0)
    monkeypatch.setattr(np.linalg, "eigh", normalised)
    w, features = directset(0.2, 1.1 * limit.threshold, 1.0, end=100.0)
    assert (w - limit.scale * features).abs().max() > 0.1


# What is refused


def test_bad_settings_are_refused():
    w, w_p, w_a, x, x_prime = setting()
    times = torch.linspace(0, 1, 3)
    with pytest.raises(InputError, match="weight_decay"):
        directpred.matrix_flow(w, w_p, x, x_prime, times, weight_decay=-1.0)
    with pytest.raises(InputError, match="alpha_p"):
        directpred.fixed_points(0.1, NOISE, alpha_p=0.0)
    with pytest.raises(InputError, match="beta"):
        directpred.matrix_flow(w, w_p, x, x_prime, times, w_a=w_a)
    with pytest.raises(InputError, match="beta"):
        directpred.matrix_flow(w, w_p, x, x_prime, times, beta=0.4, stop_gradient=False)
    with pytest.raises(InputError, match=r"\(n1, n1\)"):
        directpred.matrix_flow(w, w_p, x[:3], x_prime, times)
    with pytest.raises(InputError, match="NaN"):
        directpred.matrix_flow(w * torch.nan, w_p, x, x_prime, times)
    with pytest.raises(InputError, match="strictly increasing"):
        directpred.matrix_flow(w, w_p, x, x_prime, times.flip(0))
    with pytest.raises(InputError, match="every s above 0"):
        directpred.mode_flow(0.1, 0.0, times, weight_decay=0.0, noise=NOISE)
    with pytest.raises(InputError, match="one shape"):
        directpred.view_moments(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(InputError, match="square"):
        directpred.alignment(w_p, x)
    with pytest.raises(InputError, match="does not lead from p_0 to p"):
        directpred.passage_time(0.3, 0.1, weight_decay=0.04, noise=NOISE)
    with pytest.raises(InputError, match="does not lead from p_0 to p"):
        directpred.passage_time(0.03, 0.3, weight_decay=0.04, noise=NOISE)
    with pytest.raises(InputError, match="threshold"):
        directpred.passage_time(0.7, 0.5, weight_decay=0.2, noise=NOISE)


def test_a_flow_that_blows_up_is_a_failed_run():
    """With −I for a second moment nothing holds the weights."""
    one = torch.eye(2, dtype=torch.float64)
    with pytest.raises(RunError, match="could not be integrated"):
        directpred.matrix_flow(one, 2 * one, -one, 0 * one, torch.tensor([0.0, 100.0]))

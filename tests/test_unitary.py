"""Low-rank steps against dense ones, approximations against what they promise, and the optimiser against both."""

import copy

import pytest
import torch
from torch import nn

from ssltheory import unitary
from ssltheory.errors import InputError, RunError
from ssltheory.theory import projunn as theory
from ssltheory.unitary import ProjUNN, projunn_d, projunn_t

KINDS = (torch.float64, torch.complex128)
STEPS = {"d": (projunn_d, theory.dense_d), "t": (projunn_t, theory.dense_t)}
each_dtype = pytest.mark.parametrize("dtype", KINDS, ids=["real", "complex"])
each_kind = pytest.mark.parametrize("kind", STEPS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def start(n, dtype, *lead, seed=0):
    return unitary.random_unitary(*lead, n, generator=generator(seed), dtype=dtype)


# Steps


@each_dtype
@each_kind
@pytest.mark.parametrize(("n", "k"), [(64, 1), (64, 4), (120, 8), (6, 5), (1, 1)])
def test_low_rank_is_dense(dtype, kind, n, k):
    low, dense = STEPS[kind]
    u, a, b = start(n, dtype), randn(n, k, dtype=dtype, seed=1), randn(n, k, dtype=dtype, seed=2)
    a = 0.5 * a / n  # a step of about half of U itself
    found = low(u, a, b)
    assert (found - dense(u, a @ b.mH)).abs().max() < 1e-11
    assert unitary.unitarity_error(found) < 1e-12


@each_dtype
@each_kind
def test_side_by_side_is_one_by_one(dtype, kind):
    low, _ = STEPS[kind]
    u = start(7, dtype, 2, 3)
    a, b = randn(2, 3, 7, 2, dtype=dtype, seed=1), randn(2, 3, 7, 2, dtype=dtype, seed=2)
    found = low(u, a, b)
    for i in range(2):
        for j in range(3):
            assert torch.allclose(found[i, j], low(u[i, j], a[i, j], b[i, j]), atol=1e-12)


@each_dtype
@each_kind
def test_steps_of_any_rank(dtype, kind):
    """Zero, and columns that repeat: official code fails for a zero input."""
    low, dense = STEPS[kind]
    u, zero, a = start(12, dtype), torch.zeros(12, 3, dtype=dtype), randn(12, 3, dtype=dtype) / 12
    for one, other in ((zero, zero), (a, zero), (zero, a)):
        assert torch.allclose(low(u, one, other), u, atol=1e-14)
    repeated = a[:, :1].expand(12, 3)
    for one, other in ((repeated, a), (a, repeated), (u @ a, a), (u @ repeated, repeated)):
        assert torch.allclose(low(u, one, other), dense(u, one @ other.mH), atol=1e-12)


@pytest.mark.parametrize(
    "fault",
    [
        lambda u, d: u @ torch.linalg.matrix_exp(u.mH @ d - d.mH @ u),  # no 1/2 in Π
        lambda u, d: u @ torch.linalg.matrix_exp((u.mH @ d - d.mT @ u) / 2),  # T in the place of H
        lambda u, d: u + d,
    ],
)
def test_wrong_dense_forms_are_told_apart(fault):
    """The tolerance above is not so wide that a wrong factor would pass."""
    u, a, b = start(20, KINDS[1]), randn(20, 1, dtype=KINDS[1]) / 40, randn(20, 1, dtype=KINDS[1])
    assert (projunn_t(u, a, b) - fault(u, a @ b.mH)).abs().max() > 1e-4


def test_projection_and_transport_differ_by_the_square_of_the_step():
    u, a, b = start(30, KINDS[1]), randn(30, 2, dtype=KINDS[1]), randn(30, 2, dtype=KINDS[1])
    gaps = [(projunn_d(u, s * a, b) - projunn_t(u, s * a, b)).norm() for s in (1e-3, 1e-4)]
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=0.1)


def test_nothing_is_nearer_than_the_projection():
    u, a, b = start(9, KINDS[0]), 0.2 * randn(9, 1), randn(9, 1, seed=1)
    nearest = projunn_d(u, a, b)
    goal = u + a @ b.mH
    turns = [torch.linalg.matrix_exp(0.01 * (s - s.mT)) for s in randn(20, 9, 9)]
    assert all((goal - nearest).norm() < (goal - nearest @ turn).norm() for turn in turns)


@each_kind
def test_neither_drifts_where_the_published_form_of_d_does(kind):
    """400 steps, the step and the start off by the same rounding."""
    u = v = start(32, KINDS[1])
    for s in range(400):
        a, b = randn(2, 32, 4, dtype=KINDS[1], seed=s)
        u, v = STEPS[kind][0](u, -0.02 * a, b), theory.published_d(v, -0.02 * a, b)
    assert unitary.unitarity_error(u) < 1e-12
    assert unitary.unitarity_error(v) > 100 * unitary.unitarity_error(u)


def test_published_form_is_the_same_matrix():
    u, a, b = start(30, KINDS[1]), randn(30, 4, dtype=KINDS[1]) / 90, randn(30, 4, dtype=KINDS[1])
    assert torch.allclose(theory.published_d(u, a, b), projunn_d(u, a, b), atol=1e-12)


def test_published_form_is_lost_matrix_by_matrix():
    u, a, b = start(6, KINDS[1], 2), torch.zeros(2, 6, 1).cdouble(), torch.ones(2, 6, 1).cdouble()
    a[0] = torch.inf
    found = theory.published_d(u, a, b)
    assert found[0].isnan().all()
    assert torch.allclose(found[1], u[1])


@pytest.mark.parametrize(
    ("u", "a", "b", "message"),
    [
        ((4, 5), (4, 1), (4, 1), "square"),
        ((4,), (4, 1), (4, 1), "square"),
        ((4, 4), (4, 5), (4, 5), "k <= n"),
        ((4, 4), (4, 1), (4, 2), "k <= n"),
        ((4, 4), (5, 1), (5, 1), "k <= n"),
        ((4, 4), (4,), (4,), "k <= n"),
        ((2, 4, 4), (4, 1), (4, 1), "k <= n"),
    ],
)
def test_shapes_that_do_not_fit(u, a, b, message):
    for step in (projunn_d, projunn_t):
        with pytest.raises(InputError, match=message):
            step(torch.zeros(u), torch.zeros(a), torch.zeros(b))


def test_other_refusals():
    u, a = torch.eye(4), torch.zeros(4, 1)
    with pytest.raises(InputError, match="one dtype"):
        projunn_t(u, a, a.double())
    with pytest.raises(InputError, match="float32"):
        unitary.nearest_unitary(u.half())
    with pytest.raises(RunError, match="NaN"):
        projunn_d(u, a + float("nan"), a)
    with pytest.raises(InputError, match="real"):
        unitary.henaff_(torch.zeros(4, 4, dtype=KINDS[1]))


def test_dense_transport_moves_along_the_tangent_part():
    u, delta = start(12, KINDS[1]), 0.1 * randn(12, 12, dtype=KINDS[1])
    tangent = (delta - u @ delta.mH @ u) / 2
    assert torch.allclose(u.mH @ tangent + tangent.mH @ u, torch.zeros_like(u), atol=1e-12)
    expected = u @ torch.linalg.matrix_exp(u.mH @ tangent)
    assert torch.allclose(theory.dense_t(u, delta), expected, atol=1e-12)


# Approximations


@each_dtype
@pytest.mark.parametrize("find", [unitary.lsi, unitary.column_sampling])
def test_exact_up_to_its_rank(dtype, find):
    g = randn(2, 20, 3, dtype=dtype) @ randn(2, 3, 15, dtype=dtype, seed=1)
    for k in (3, 5):
        a, b = find(g, k, generator())
        assert a.shape == (2, 20, k)
        assert b.shape == (2, 15, k)
        assert torch.allclose(a @ b.mH, g, atol=1e-11)
    a, b = find(g, 2, generator())
    assert 0 < (g - a @ b.mH).norm() < g.norm()


@each_dtype
@pytest.mark.parametrize("find", [unitary.lsi, unitary.column_sampling])
def test_a_zero_gradient_has_a_zero_approximation(dtype, find):
    a, b = find(torch.zeros(6, 6, dtype=dtype), 2)
    assert torch.equal(a @ b.mH, torch.zeros(6, 6, dtype=dtype))


def test_lsi_is_a_projection_of_the_rows():
    g = randn(12, 12)
    a, b = unitary.lsi(g, 4, generator())
    assert torch.allclose(b.mT @ b, torch.eye(4, dtype=g.dtype), atol=1e-12)
    assert torch.allclose(a, g @ b)


def test_columns_are_drawn_by_their_norm_not_its_square():
    g = torch.diag(torch.tensor([1.0, 2, 4, 8, 0], dtype=torch.float64)).expand(4000, 5, 5)
    a, _ = unitary.column_sampling(g, 1, generator())
    shares = a.abs()[..., 0].mean(0)
    assert torch.allclose(shares, torch.tensor([1.0, 2, 4, 8, 0]).double() / 15, atol=0.03)
    a, _ = unitary.column_sampling(g, 4, generator())  # without replacement
    assert (a[..., 4, :] == 0).all()


def test_of_more_columns_the_largest_directions_are_kept():
    g = randn(30, 30) * 0.5 ** torch.arange(30)
    a, b = unitary.column_sampling(g, 4, generator(), columns=30)
    u, s, v = torch.linalg.svd(g)
    assert torch.allclose(a @ b.mH, u[:, :4] * s[:4] @ v[:4], atol=1e-10)
    smallest = u[:, -4:] @ u[:, -4:].mH @ g  # what the authors' code keeps
    assert (g - a @ b.mH).norm() < 0.2 * (g - smallest).norm()


@pytest.mark.parametrize(
    "call",
    [
        lambda g: unitary.lsi(g, 6),
        lambda g: unitary.lsi(g, 0),
        lambda g: unitary.lsi(g[0], 1),
        lambda g: unitary.column_sampling(g, 6),
        lambda g: unitary.column_sampling(g, 2, columns=1),
        lambda g: unitary.column_sampling(g, 2, columns=8),
    ],
)
def test_ranks_out_of_range(call):
    with pytest.raises(InputError, match="must lie between"):
        call(torch.zeros(5, 7))


# Starts


@each_dtype
def test_random_unitary_is_haar(dtype):
    u = unitary.random_unitary(3000, 3, generator=generator(), dtype=dtype)
    assert unitary.unitarity_error(u).max() < 1e-13
    assert u.mean(0).abs().max() < 0.05  # without the phases QR leaves a real diagonal of one sign
    assert abs(float(u.diagonal(0, -2, -1).sum(-1).abs().square().mean()) - 1) < 0.1  # E |tr U|²


def test_henaff_turns_pairs():
    w = unitary.henaff_(torch.empty(50, 5, 5, dtype=torch.float64), generator())
    assert unitary.unitarity_error(w).max() < 1e-14
    assert torch.equal(w[:, 4, 4], torch.ones(50, dtype=w.dtype))
    assert (w[:, :2, 2:] == 0).all()
    angles = torch.atan2(w[:, 1, 0], w[:, 0, 0])
    assert angles.min() < -2
    assert angles.max() > 2


def test_nearest_unitary_keeps_the_side_of_a_determinant():
    w = torch.diag(torch.tensor([2.0, 0.5, -3.0]))
    assert torch.allclose(unitary.nearest_unitary(w), w.sign())


# The optimiser


def rnn(n=24):
    torch.manual_seed(0)
    model = nn.RNN(3, n, nonlinearity="relu")
    unitary.henaff_(model.weight_hh_l0, generator())
    return model


def descend(model, optimizer, steps, seed=0):
    x, y = torch.randn(2, 6, 8, 3, generator=generator(seed))
    losses = []
    for _ in range(steps):
        loss = (model(x)[0].mean(-1) - y[..., 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("method", ["t", "d"])
@pytest.mark.parametrize("approximation", ["lsi", "columns"])
def test_a_recurrent_layer_learns_and_stays_orthogonal(method, approximation):
    model = rnn()
    before = model.weight_hh_l0.detach().clone()
    choice = {"method": method, "approximation": approximation, "divider": 1.0}
    optimizer = ProjUNN(model.parameters(), unitary=[model.weight_hh_l0], lr=3e-3, **choice)
    losses = descend(model, optimizer, 60)
    assert losses[-1] < 0.9 * losses[0]
    assert (model.weight_hh_l0 - before).norm() > 0.1
    assert unitary.unitarity_error(model.weight_hh_l0.detach()) < 1e-4


def test_other_parameters_are_as_with_rmsprop():
    mine, theirs = rnn(), rnn()
    for model in (mine, theirs):
        model.weight_hh_l0.requires_grad_(False)
    mine_opt = ProjUNN(mine.parameters(), unitary=[], lr=2e-3)
    settings = {"lr": 2e-3, "alpha": 0.99, "eps": 1e-8}
    their_opt = torch.optim.RMSprop(list(theirs.parameters()), **settings)
    assert descend(mine, mine_opt, 5) == pytest.approx(descend(theirs, their_opt, 5), rel=1e-6)


@each_dtype
@each_kind
@pytest.mark.parametrize("alpha", [None, 0.9])
def test_at_full_rank_an_update_is_the_dense_one(dtype, kind, alpha):
    p = nn.Parameter(start(10, dtype))
    goal, u, v = start(10, dtype, seed=1), p.detach().clone(), 0.0
    choice = {"lr": 0.3, "rank": 10, "method": kind, "alpha": alpha, "divider": 4.0}
    optimizer = ProjUNN([p], unitary=[p], **choice)
    for _ in range(3):
        p.grad = p.detach() - goal
        g = u - goal
        if alpha is not None:
            v = alpha * v + (1 - alpha) * g.abs().square()
            g = g / (v**0.5 + 1e-8)
        optimizer.step()
        u = STEPS[kind][1](u, -0.3 / 4 * g)
        assert torch.allclose(p.detach(), u, atol=1e-10)


def test_a_resumed_run_is_the_same_run():
    def fresh():
        model = rnn()
        hidden = [model.weight_hh_l0]
        return model, ProjUNN(model.parameters(), unitary=hidden, lr=1e-3, divider=1, rank=2)

    model, optimizer = fresh()
    descend(model, optimizer, 4)
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    descend(model, optimizer, 3)
    again, resumed = fresh()
    again.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    descend(again, resumed, 3)
    assert torch.equal(again.weight_hh_l0, model.weight_hh_l0)


def test_schedulers_and_closures_work():
    p = nn.Parameter(torch.eye(4))
    optimizer = ProjUNN([p], unitary=[p], lr=1.0, divider=1.0, alpha=None)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p - torch.eye(4).roll(1, 0)).square().sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == 8
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_no_gradient_and_a_zero_gradient_change_nothing():
    p, q = (nn.Parameter(unitary.henaff_(torch.empty(6, 6), generator(s))) for s in (0, 1))
    before = p.detach().clone(), q.detach().clone()
    optimizer = ProjUNN([p, q], unitary=[p, q])
    p.grad = torch.zeros(6, 6)
    optimizer.step()
    assert torch.allclose(p, before[0], atol=1e-6)
    assert torch.equal(q, before[1])


def test_reprojection_takes_rounding_away():
    p = nn.Parameter(torch.eye(8) + 1e-4 * torch.randn(8, 8, generator=generator()))
    optimizer = ProjUNN([p], unitary=[p], reproject_every=2)
    for at_most, at_least in ((1e-2, 1e-4), (1e-5, 0.0)):
        p.grad = torch.ones(8, 8)
        optimizer.step()
        assert at_least <= unitary.unitarity_error(p.detach()) < at_most


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rank": 9}, "rank=9"),
        ({"rank": 0}, "rank=0"),
        ({"lr": 0.0}, "lr"),
        ({"alpha": 1.0}, "alpha=1"),
        ({"method": "x"}, "method"),
        ({"approximation": "x"}, "approximation"),
        ({"divider": 0.0}, "divider"),
        ({"unitary": [nn.Parameter(torch.ones(8, 8))]}, "not unitary"),
        ({"unitary": [nn.Parameter(torch.full((8, 8), float("nan")))]}, "not unitary"),
        ({"unitary": [nn.Parameter(torch.eye(8)[:4])]}, "square"),
    ],
)
def test_optimizer_refusals(wrong, message):
    p = nn.Parameter(torch.eye(8))
    with pytest.raises(InputError, match=message):
        ProjUNN(**{"params": [p], "unitary": [p]} | wrong)


# The toy's law


def test_descent_on_the_whole_loss_is_the_flow():
    u, target, lr = start(40, KINDS[1]), start(40, KINDS[1], seed=1), 2e-3
    w = target.mH @ u
    for _ in range(500):
        u = theory.dense_t(u, -lr * (u - target))
    assert (target.mH @ u - theory.flow(w, 1.0)).abs().max() < 2e-3
    loss = (u - target).abs().square().sum() / 80
    assert float(loss) == pytest.approx(float(theory.remaining_from(w, [1.0])), rel=2e-3)


def test_eigenphases_move_each_alone():
    w, t = start(12, KINDS[1], 3), 0.7
    phi, moved = (torch.linalg.eigvals(x).angle().sort().values for x in (w, theory.flow(w, t)))
    expected = 2 * torch.atan(torch.exp(torch.tensor(-t)) * torch.tan(phi / 2))
    assert torch.allclose(moved, expected.sort().values, atol=1e-10)
    assert torch.allclose(theory.flow(w, 0.0), w, atol=1e-12)


def test_the_law_is_the_mean_over_uniform_phases():
    phi = torch.linspace(-torch.pi, torch.pi, 4001, dtype=torch.float64)[1:]
    t = torch.linspace(0, 5, 6, dtype=torch.float64)
    w = torch.polar(torch.ones_like(phi), phi)[:, None, None]  # matrices of one eigenvalue
    law = theory.remaining(t)
    assert torch.allclose(theory.remaining_from(w, t.tolist()).mean(0), law, atol=1e-3)
    assert torch.allclose(theory.effective_time(law), t, atol=1e-9)
    assert torch.allclose(theory.speed(t, theory.remaining(0.3 * t)), torch.tensor(0.3).double())
    long = torch.linspace(0, 40, 81, dtype=torch.float64)  # most of it below the line
    assert theory.speed(long, theory.remaining(0.3 * long)).item() == pytest.approx(0.3)

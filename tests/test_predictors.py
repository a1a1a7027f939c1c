"""Predictors: what they set is what the equations say, and a checkpoint holds all of it."""

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ssltheory import losses, train
from ssltheory.errors import InputError
from ssltheory.models import encoders, predictors
from ssltheory.models.predictors import DirectCopy, DirectPred
from ssltheory.theory import directpred


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch(seed=0, n=64, d=6):
    """Neither centred nor isotropic."""
    return normal(n, d, seed=seed) * torch.logspace(0, -1.5, d) + 0.4


def moment(z):
    return z.T @ z / len(z)


# DirectPred


def test_directpred_shares_the_eigenvectors_and_pairs_the_eigenvalues():
    predictor, z = DirectPred(6, eps=0.1), batch()
    predictor.update(z)
    s, u = torch.linalg.eigh(moment(z).double())
    p = (s / s[-1]).sqrt() + 0.1
    w_p = predictor.weight.double()
    error = (w_p @ u - u * p).norm() / p.norm()
    assert error < 1e-5
    torch.testing.assert_close(predictor.weight, predictor.weight.T, rtol=0, atol=1e-6)
    share = torch.linalg.eigvalsh(w_p) / torch.linalg.eigvalsh(w_p)[-1]
    torch.testing.assert_close(share, p / 1.1, rtol=0, atol=1e-5)
    torch.testing.assert_close(predictor(z), z @ predictor.weight.T)
    assert directpred.alignment(predictor.weight, predictor.f).min() > 0.9999

    def misses(p, u=u):
        return (w_p @ u - u * p).norm() / p.norm()

    assert misses(p.flip(0)) > 0.1, "eigenvalues in the wrong order"
    assert misses(s / s[-1] + 0.1) > 0.1, "s in the place of its root"
    s_c, u_c = torch.linalg.eigh(torch.cov(z.T, correction=0).double())
    assert misses((s_c / s_c[-1]).sqrt() + 0.1, u_c) > 0.1, "centred F"


@pytest.mark.parametrize("kind", [DirectPred, DirectCopy])
def test_moment_is_the_running_average_that_the_first_batch_initialises(kind):
    predictor, f = kind(6, rho=0.7), None
    for seed in range(4):
        z = batch(seed)
        f = moment(z) if f is None else 0.7 * f + 0.3 * moment(z)
        predictor.update(z)
        torch.testing.assert_close(predictor.f, f, rtol=0, atol=1e-6)
    from_zero = 0.3 * moment(batch(0))
    assert (f - from_zero).norm() > 0.1


def test_weights_do_not_see_the_scale_of_the_embedding_but_its_spectrum():
    """The code's form: min/max 0.108 for a spectrum e⁻⁸ … 1 at any scale."""
    f = torch.diag(torch.tensor([1.0, 0.1, torch.e**-8])).double()
    for scale in (0.05, 1.0, 50.0):
        p = torch.linalg.eigvalsh(DirectPred(3, eps=0.1).from_moment(scale * f))
        assert p[0] / p[-1] == pytest.approx(0.1076, abs=1e-4)
        paper = (scale * f.diag()).sqrt() + 0.1 * scale
        ratio = {0.05: 0.040, 1.0: 0.108, 50.0: 0.425}[scale]
        assert paper.min() / paper.max() == pytest.approx(ratio, abs=1e-3)


def test_a_batch_smaller_than_the_dimension_leaves_positive_weights():
    predictor = DirectPred(20, eps=0.0)
    predictor.update(normal(5, 20))
    assert torch.linalg.eigvalsh(predictor.weight).min() > 5e-5
    assert predictor.weight.isfinite().all()


def test_directcopy_is_the_moment_and_a_share_of_its_norm():
    predictor, z = DirectCopy(6, eps=0.3), batch()
    predictor.update(z)
    f = moment(z)
    expected = f + 0.3 * torch.linalg.eigvalsh(f)[-1] * torch.eye(6)
    torch.testing.assert_close(predictor.weight, expected)


# What passes through forward


def test_update_takes_both_views_of_a_step():
    predictor, z_a, z_b = DirectPred(6), batch(0), batch(1, n=32)
    predictor(z_a.requires_grad_())
    predictor(z_b)
    predictor.update()
    torch.testing.assert_close(predictor.f, moment(torch.cat([z_a, z_b]).detach()))
    with pytest.raises(InputError, match="since the last update"):
        predictor.update()


def test_measuring_leaves_no_trace():
    predictor = DirectPred(6)
    predictor(batch(0))
    with encoders.measuring(predictor):
        predictor(batch(1))
    predictor.update()
    torch.testing.assert_close(predictor.f, moment(batch(0)))


def test_given_embeddings_replace_what_passed():
    predictor = DirectPred(6)
    predictor(batch(0))
    predictor.update(batch(1))
    torch.testing.assert_close(predictor.f, moment(batch(1)))


def test_moment_is_not_rounded_in_mixed_precision():
    predictor, z = DirectPred(6), batch()
    with torch.autocast("cpu", torch.bfloat16):
        predictor(z)
    predictor.update()
    torch.testing.assert_close(predictor.f, moment(z), rtol=1e-5, atol=1e-6)


def test_predictor_has_no_gradient_unless_it_learns():
    assert not [p for p in DirectPred(4).parameters() if p.requires_grad]
    assert [p for p in DirectPred(4, learn=True).parameters() if p.requires_grad]


# Learnt predictors


def test_learnt_predictors():
    z = batch(d=6)
    for build in (predictors.linear, predictors.two_layer, predictors.Symmetric):
        one, same, other = build(6), build(6), build(6, seed=1)
        torch.testing.assert_close(one(z), same(z), rtol=0, atol=0)
        assert one(z).shape == z.shape
        assert not torch.equal(one(z), other(z))
    weight = predictors.linear(200).weight.detach()
    assert weight.abs().max() <= 200**-0.5
    assert weight.std() == pytest.approx((3 * 200) ** -0.5, rel=0.01)
    assert directpred.asymmetry(weight) == pytest.approx(2**0.5, abs=0.02)
    kinds = [type(layer) for layer in predictors.two_layer(6)]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [p.shape for p in predictors.two_layer(6, 32).parameters()] == [(32, 6), (6, 32)]


def test_symmetric_is_descent_with_symmetrisation_after_each_step():
    ours = predictors.Symmetric(5)
    theirs = nn.Parameter(ours.weight.detach().clone())
    settings = {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.01}
    descents = [torch.optim.SGD(p, **settings) for p in (ours.parameters(), [theirs])]
    z, target = normal(40, 5), normal(40, 5, seed=1)
    start = ours.weight.detach().clone()
    for _ in range(20):
        for descent, prediction in zip(descents, (ours(z), z @ theirs.T), strict=True):
            descent.zero_grad()
            (prediction - target).square().mean().backward()
            descent.step()
        with torch.no_grad():
            theirs.copy_((theirs + theirs.T) / 2)
    torch.testing.assert_close(ours.weight, theirs, rtol=1e-5, atol=1e-6)
    assert (ours.weight - start).norm() > 0.1
    assert torch.equal(ours.weight, ours.weight.T)


def test_optimal_is_the_regression_and_what_theory_calls_optimal():
    """Rows with E z zᵀ = (1+σ²)F and E z' zᵀ = τF exactly."""
    noise, tau = 0.25, 0.8
    root = normal(6, 6).double()
    f = root @ root.T
    q = torch.linalg.qr(normal(12, 12, seed=1).double()).Q * 12**0.5
    common, private = q[:, :6], q[:, 6:]
    z = (common + noise**0.5 * private) @ root.T
    predictor = predictors.Optimal(6, ridge=0.02).double()
    predictor.update(z, tau * common @ root.T)
    expected = directpred.optimal_predictor(f, noise=noise, tau=tau, ridge=0.02)
    torch.testing.assert_close(predictor.weight, expected)

    predictor = predictors.Optimal(6).double()
    z, target = normal(50, 6, seed=2).double(), normal(50, 6, seed=3).double()
    predictor.update(z, target)
    least = torch.linalg.lstsq(z, target).solution.T
    torch.testing.assert_close(predictor.weight, least)
    torch.testing.assert_close(predictor(z), z @ least.T)


# In a training


def siamese(predictor, target_seed=None, momentum=0.9):
    online = encoders.linear(10, 6)
    target = None
    if target_seed is not None:
        target = encoders.initialise_(encoders.linear(10, 6), target_seed)
    return predictors.Siamese(online, predictor, target, momentum)


def run(model, steps=8, every=1, **choices):
    x = normal(30, 10)
    views = train.pairs(x, x + 0.3 * normal(30, 10, seed=1), batch_size=12)
    hook = functools.partial(predictors.after_step, every=every)
    recipe = train.Recipe(steps=steps, lr=0.05)
    return train.train(model, views, losses.byol, recipe, after_step=hook, **choices)


@pytest.mark.parametrize("target_seed", [None, 3])
def test_training_step_by_hand(target_seed):
    """Online step with the predictor of the step before, then F and W_p, then the target."""
    model = siamese(DirectPred(6, rho=0.3), target_seed)
    w = model.online.weight.detach().clone().requires_grad_()
    w_a = w.detach() if target_seed is None else model.target.weight.clone()
    w_p, f = torch.eye(6), None
    run(model, steps=3)

    x = normal(30, 10)
    views = train.pairs(x, x + 0.3 * normal(30, 10, seed=1), batch_size=12)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        a, b = views(generator)
        z_a, z_b = a @ w.T, b @ w.T
        m_a = w if target_seed is None else w_a
        t_a, t_b = (a @ m_a.T).detach(), (b @ m_a.T).detach()
        cosines = [F.cosine_similarity(z @ w_p.T, t).mean() for z, t in ((z_a, t_b), (z_b, t_a))]
        (g,) = torch.autograd.grad(4 - 2 * sum(cosines), w)
        w = (w - 0.05 * g).detach().requires_grad_()
        m = moment(torch.cat([z_a, z_b]).detach())
        f = m if f is None else 0.3 * f + 0.7 * m
        s, u = torch.linalg.eigh(f)
        w_p = (u * ((s / s[-1]).sqrt() + 0.1)) @ u.T
        w_a = 0.9 * w_a + 0.1 * w.detach()
    torch.testing.assert_close(model.online.weight, w, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.predictor.weight, w_p, rtol=1e-4, atol=1e-5)
    if target_seed is not None:
        torch.testing.assert_close(model.target.weight, w_a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("learn", [False, True])
def test_an_interrupted_run_ends_where_the_other_does(learn, tmp_path):
    build = functools.partial(siamese, DirectPred(6, learn=learn), 3)
    whole, parts = copy.deepcopy(build()), copy.deepcopy(build())
    fresh = copy.deepcopy(parts)
    result = run(whole, every=3)

    interrupt = [KeyboardInterrupt]

    def observe(step, model, loss):
        if interrupt:
            raise interrupt.pop()

    options = {"checkpoint": train.Checkpoint(tmp_path / "run.pt", every=0), "every": 3}
    options |= {"observe": observe, "observe_steps": [5]}
    with pytest.raises(KeyboardInterrupt):
        run(parts, **options)
    resumed = run(fresh, **options)
    torch.testing.assert_close(resumed.curve, result.curve, rtol=0, atol=0)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_overwriting_now_and_then_leaves_descent_in_between():
    model = siamese(DirectPred(6, learn=True))
    found = []

    def after(step, model):
        before = model.predictor.weight.detach().clone()
        predictors.after_step(step, model, every=3)
        found.append(not torch.equal(before, model.predictor.weight))
        if not found[-1]:
            set_to = model.predictor.from_moment(model.predictor.f)
            assert (before - set_to).norm() > 1e-3

    x = normal(30, 10)
    views = train.pairs(x, x + 0.3 * normal(30, 10, seed=1))
    train.train(model, views, losses.byol, train.Recipe(steps=7, lr=0.05), after_step=after)
    assert found == [True, False, False, True, False, False, True]


def test_target_follows_and_never_learns():
    model = siamese(predictors.linear(6), target_seed=3, momentum=1.0)
    start = model.target.weight.clone()
    run(model)
    assert torch.equal(model.target.weight, start)
    model = siamese(predictors.linear(6), target_seed=3, momentum=0.0)
    run(model)
    torch.testing.assert_close(model.target.weight, model.online.weight)


def test_without_a_target_the_online_network_is_its_own():
    model = siamese(nn.Identity())
    p, z = model(normal(4, 10))
    assert p is z


# What is refused


def test_bad_settings_are_refused():
    for bad in ({"rho": 1.0}, {"rho": -0.1}, {"eps": -1.0}, {"eps": float("nan")}):
        with pytest.raises(InputError, match=next(iter(bad))):
            DirectPred(4, **bad)
    for build in (predictors.linear, predictors.two_layer, predictors.Symmetric, DirectPred):
        with pytest.raises(InputError, match="dimensions"):
            build(0)
    with pytest.raises(InputError, match="rows of 4"):
        DirectPred(4).update(normal(8, 5))
    with pytest.raises(InputError, match="ridge"):
        predictors.Optimal(4, ridge=-1.0)
    with pytest.raises(InputError, match=r"\(n, 4\)"):
        predictors.Optimal(4).update(normal(8, 4), normal(7, 4))
    net = encoders.linear(10, 6)
    with pytest.raises(InputError, match="momentum"):
        predictors.Siamese(net, nn.Identity(), momentum=1.5)
    for target in (net, encoders.linear(10, 5)):
        with pytest.raises(InputError, match="shape"):
            predictors.Siamese(net, nn.Identity(), target)

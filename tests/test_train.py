"""The training loop: against loops written out by hand, and through interruption."""

import copy
import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from ssltheory import progress
from ssltheory.errors import InputError, Paused, RunError
from ssltheory.models.encoders import (
    initialise_,
    linear,
    measuring,
    mlp,
    projector,
    resnet,
    small_conv,
    stack,
)
from ssltheory.train import (
    LARS,
    Checkpoint,
    Recipe,
    augmented,
    learning_rates,
    log_steps,
    pairs,
    stage,
    train,
)

torch.set_num_threads(2)
X = torch.from_numpy(load_digits().images[:, None] / 16).float()  # (1797, 1, 8, 8)


def spectral(z_a, z_b, weight=1.0):
    """The spectral contrastive loss, one value a leading index: small, smooth, bounded below."""
    n, d = z_a.shape[-2:]
    c = (z_a.mT @ z_b + z_b.mT @ z_a) / (2 * n)
    return (c - weight * torch.eye(d, dtype=c.dtype)).square().sum((-2, -1))


def noisy(x, generator, sigma=0.2):
    """Two views: the image with noise of its own."""
    return tuple(x + sigma * torch.randn(x.shape, generator=generator) for _ in range(2))


def fixed_pairs(n=64):
    return [v.flatten(1) for v in noisy(X[:n], torch.Generator().manual_seed(1))]


def by_hand(model, a, b, steps, lr, momentum=0.0):
    """Gradient descent in the plainest words: losses at steps 0 to ``steps``."""
    losses, velocity = [], [torch.zeros_like(p) for p in model.parameters()]
    for _ in range(steps + 1):
        value = spectral(model(a), model(b))
        losses.append(value.item())
        gradients = torch.autograd.grad(value, list(model.parameters()))
        with torch.no_grad():
            for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                v.mul_(momentum).add_(g)
                p -= lr * v
    return torch.tensor(losses)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_full_batch_descent_equals_a_loop_by_hand(momentum):
    a, b = fixed_pairs()
    lr = 0.02 * (1 - momentum)
    model = initialise_(mlp((64, 16, 4)), seed=2, scale=0.5)
    expected = by_hand(copy.deepcopy(model), a, b, 100, lr, momentum)
    result = train(model, pairs(a, b), spectral, Recipe(steps=100, lr=lr, momentum=momentum))
    torch.testing.assert_close(result.curve, expected, rtol=1e-5, atol=1e-6)
    assert expected[-1] < 0.5 * expected[0]
    assert result.steps.tolist() == log_steps(100)
    torch.testing.assert_close(result.losses, result.curve[result.steps])
    torch.testing.assert_close(result.times, lr * result.steps.double() / (1 - momentum))


def test_a_quadratic_decays_by_its_closed_form():
    """Half of Σ γ_i w_i²: without momentum every update takes lr_k (γ_i + weight decay) of w_i."""
    gamma = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    model = linear(3, 3).double()
    nn.init.eye_(model.weight)
    x = gamma.sqrt().diag()  # rows √γ_i e_i: z_i = √γ_i w_i

    def loss(z_a, z_b):
        return (z_a * z_b).sum() / 2

    recipe = Recipe(steps=40, lr=0.2, weight_decay=0.1, schedule="cosine", warmup=8)
    look = {"observe": lambda step, model, loss: model.weight, "observe_steps": range(41)}
    result = train(model, pairs(x, x), loss, recipe, **look)
    kept = (1 - recipe.rates()[:, None] * (gamma + 0.1)).cumprod(0)
    w = torch.cat([torch.ones(1, 3, dtype=torch.float64), kept])
    seen = torch.stack(result.observations)
    torch.testing.assert_close(seen, w.diag_embed(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(result.curve, (gamma * w**2).sum(1) / 2, rtol=1e-12, atol=1e-14)


def torch_loop(model, views, loss, recipe, after_step):
    """The loop as torch's tutorials write it, where nothing is observed, kept or shared."""
    generator = torch.Generator().manual_seed(recipe.seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    settings = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay, "fused": True}
    optimizer = torch.optim.SGD(parameters, recipe.lr, **settings)
    curve = []
    for step, rate in enumerate([*recipe.rates().tolist(), 0.0]):
        a, b = views(generator)
        value = loss(model(a), model(b))
        curve.append(value.detach())
        if step < recipe.steps:
            optimizer.zero_grad()
            value.backward()
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            after_step(step + 1, model)
    return torch.stack(curve)


@pytest.mark.parametrize("kind", ["mlp", "batchnorm", "target"])
def test_the_loop_as_in_torchs_tutorials_gives_the_same_bits(kind):
    loss = spectral
    model = initialise_(mlp((64, 16, 8), batch_norm=kind == "batchnorm"), seed=3, scale=0.5)
    if kind == "target":
        model, loss = Averaged(), cosine
    recipe = Recipe(
        steps=30, lr=0.02, momentum=0.9, weight_decay=1e-3, schedule="cosine", warmup=5, seed=7
    )
    own, views, steps = copy.deepcopy(model), augmented(X, noisy, 32), []

    def after_step(step, model):
        steps.append(step)
        if kind == "target":
            model.follow(step, model)

    result = train(model, views, loss, recipe, after_step=after_step)
    expected = torch_loop(own, views, loss, recipe, after_step)
    assert torch.equal(result.curve, expected)
    assert result.curve[-1] < result.curve[0]
    for name, value in own.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert steps == 2 * list(range(1, 31))


def test_float64_stays_float64():
    a, b = (v.double() for v in fixed_pairs())
    model = linear(64, 4).double()
    expected = by_hand(copy.deepcopy(model), a, b, 10, 0.01)
    curve = train(model, pairs(a, b), spectral, Recipe(steps=10, lr=0.01)).curve
    assert curve.dtype == torch.float64
    torch.testing.assert_close(curve, expected.double(), rtol=1e-6, atol=0)


def test_schedules():
    assert learning_rates(4, 0.3).tolist() == pytest.approx([0.3] * 4)
    warm = learning_rates(6, 1.0, "constant", warmup=4)
    assert warm.tolist() == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    cosine = learning_rates(10, 2.0, "cosine", warmup=2)
    assert cosine[:3].tolist() == pytest.approx([1.0, 2.0, 2.0])
    assert cosine[6].item() == pytest.approx(1.0)  # half way
    assert cosine[9].item() == pytest.approx(1 + math.cos(math.pi * 7 / 8))
    assert learning_rates(3, 1.0, "cosine", warmup=3).tolist() == pytest.approx([1 / 3, 2 / 3, 1])


def test_the_scheduled_rate_is_the_one_applied():
    a, b = fixed_pairs()
    recipe = Recipe(steps=6, lr=0.02, schedule="cosine", warmup=2)
    model = linear(64, 4)
    hand = copy.deepcopy(model)
    result = train(model, pairs(a, b), spectral, recipe, observe_steps=range(7))
    rates = learning_rates(6, 0.02, "cosine", 2)
    for rate in rates.tolist():
        spectral(hand(a), hand(b)).backward()
        with torch.no_grad():
            hand.weight -= rate * hand.weight.grad
        hand.weight.grad = None
    torch.testing.assert_close(model.weight, hand.weight, rtol=1e-5, atol=1e-7)
    assert result.times.tolist() == pytest.approx([0, *rates.cumsum(0).tolist()])


@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.5}, {"schedule": "cosine", "warmup": 100}],
    ids=["constant", "momentum", "cosine"],
)
def test_times_are_those_of_gradient_flow(settings):
    """One mode γ of the linear theory: p = C grows as 1 / (1 + (1 / p_0 − 1) e^{−8γt})."""
    gamma, p_0 = 2.0, 0.01
    x = torch.tensor([[gamma**0.5]], dtype=torch.float64)
    model = linear(1, 1).double()
    nn.init.constant_(model.weight, (p_0 / gamma) ** 0.5)
    lr = 5e-4 * (1 - settings.get("momentum", 0.0))

    def c(step, model, loss):
        return gamma * model.weight.item() ** 2

    recipe = Recipe(steps=1500, lr=lr, **settings)
    result = train(model, pairs(x, x), spectral, recipe, observe=c)
    p = 1 / (1 + (1 / p_0 - 1) * torch.exp(-8 * gamma * result.times))
    assert p[-1] > 0.7
    torch.testing.assert_close(torch.tensor(result.observations).double(), p, rtol=0, atol=0.02)
    late = 1 / (1 + (1 / p_0 - 1) * torch.exp(-8 * gamma * 1.1 * result.times))
    assert (p - late).abs().max() > 0.05  # a clock 10 % off would show


def test_log_steps():
    steps = log_steps(1000, 50)
    assert steps[0] == 0
    assert steps[-1] == 1000
    assert steps == sorted(set(steps))
    assert 35 < len(steps) <= 50
    assert log_steps(1) == [0, 1]


def test_lars_equals_the_formula():
    torch.manual_seed(0)
    weight, bias, still = torch.randn(5, 3), torch.randn(3), torch.zeros(2, 2)
    ours = [nn.Parameter(p.clone()) for p in (weight, bias, still)]
    lars = LARS(ours, lr=0.3, momentum=0.8, weight_decay=0.1, eta=0.02)
    v_weight, v_bias, v_still = torch.zeros(5, 3), torch.zeros(3), torch.zeros(2, 2)
    for _ in range(4):
        gradients = [torch.randn_like(p) for p in ours]
        for p, g in zip(ours, gradients, strict=True):
            p.grad = g.clone()
        lars.step()
        g = gradients[0] + 0.1 * weight
        v_weight = 0.8 * v_weight + 0.02 * weight.norm() / g.norm() * g
        v_bias = 0.8 * v_bias + gradients[1]  # no ratio, no decay
        ratio = 0.02 * still.norm() / (gradients[2] + 0.1 * still).norm() if still.any() else 1.0
        v_still = 0.8 * v_still + ratio * (gradients[2] + 0.1 * still)
        weight, bias, still = weight - 0.3 * v_weight, bias - 0.3 * v_bias, still - 0.3 * v_still
        for p, expected in zip(ours, (weight, bias, still), strict=True):
            torch.testing.assert_close(p.detach(), expected)


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
def test_groups_have_rates_and_decay_of_their_own(optimizer):
    """One update from equal gradients: w ← w − lr · lr_scale · (g + weight_decay · w)."""
    a, b = fixed_pairs()
    settings = {"steps": 1, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}

    def change(**own):
        model = mlp((64, 8, 4), bias=False)
        before = [p.detach().clone() for p in model.parameters()]
        train(model, pairs(a, b), spectral, Recipe(optimizer=optimizer, **settings, **own))
        return [after - p for after, p in zip(model.parameters(), before, strict=True)]

    (hidden, last), plain = change(groups={"3": {"lr_scale": 5.0}}), change()
    torch.testing.assert_close(hidden, plain[0])
    torch.testing.assert_close(last, 5 * plain[1])
    if optimizer == "sgd":
        (hidden, last) = change(groups={"1": {"weight_decay": 0.0}})
        torch.testing.assert_close(last, plain[1])
        torch.testing.assert_close(
            plain[0] - hidden, -0.01 * 0.1 * mlp((64, 8, 4), bias=False)[1].weight
        )


def test_a_checkpoint_of_other_groups_is_refused(tmp_path):
    a, b = fixed_pairs()
    one, other = Recipe(steps=3, lr=0.01, groups={"3": {"lr_scale": 5.0}}), Recipe(steps=3, lr=0.01)
    checkpoint = Checkpoint(tmp_path / "c.pt")
    train(mlp((64, 8, 4)), pairs(a, b), spectral, one, checkpoint=checkpoint)
    with pytest.raises(InputError, match="with groups ="):
        train(mlp((64, 8, 4)), pairs(a, b), spectral, other, checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("build", "lr"), [(lambda: mlp((64, 16, 4)), 0.02), (lambda: small_conv(1, (4, 8)), 0.2)]
)
def test_stacked_seeds_equal_separate_runs(build, lr):
    recipe = Recipe(steps=25, lr=lr, momentum=0.5, weight_decay=1e-3, seed=5)
    views = augmented(X, noisy, batch_size=32)

    members = [initialise_(build(), seed) for seed in range(3)]
    together = train(stack(members), views, spectral, recipe)
    separate = [train(member, views, spectral, recipe) for member in members]
    assert together.losses.shape == (len(together.steps), 3)
    expected = torch.stack([r.curve for r in separate], -1)
    torch.testing.assert_close(together.curve, expected, rtol=1e-4, atol=1e-5)
    assert not together.curve[:, 0].allclose(together.curve[:, 1], rtol=1e-2)


class Counted:
    """What follows each update; it can stop the run."""

    def __init__(self, stop=None):
        self.stop = stop

    def __call__(self, step, model):
        if step == self.stop:
            raise KeyboardInterrupt


def run(path, stop=None, **changes):
    """Minibatches, momentum, noise, BatchNorm, observations: all that a checkpoint must hold."""
    settings = {"steps": 24, "lr": 0.05, "momentum": 0.9, "schedule": "cosine", "seed": 3}
    settings |= {"x": X, "loss": spectral, "init": 0} | changes
    x, loss, init = (settings.pop(key) for key in ("x", "loss", "init"))
    model = initialise_(mlp((64, 16, 8), batch_norm=True), init)
    result = train(
        model,
        augmented(x, noisy, batch_size=64),
        loss,
        Recipe(**settings),
        observe=lambda step, m, loss: {"w": m[1].weight, "step": step, "loss": loss.item()},
        after_step=Counted(stop),
        checkpoint=Checkpoint(path, every=0.0) if path else None,
    )
    return model, result


def same(ours, theirs):
    (model, result), (other, expected) = ours, theirs
    torch.testing.assert_close(result.curve, expected.curve, rtol=1e-6, atol=1e-6)
    assert len(result.observations) == len(expected.observations) == len(expected.steps)
    for r, e in zip(result.observations, expected.observations, strict=True):
        torch.testing.assert_close(r, e, rtol=1e-6, atol=1e-6)
    for key, value in other.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=1e-6, atol=1e-6)


POINTS = torch.randperm(22, generator=torch.Generator().manual_seed(0))[:5] + 2


@pytest.mark.parametrize("stop", POINTS.tolist())
def test_an_interrupted_run_ends_in_the_same_curve(tmp_path, stop):
    whole = run(None)
    for at in (stop, min(stop + 2, 24)):  # twice
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run.pt", at)
    same(run(tmp_path / "run.pt"), whole)


@pytest.mark.parametrize("lost", ["generator", "optimizer"])
def test_what_a_checkpoint_holds_matters(tmp_path, lost):
    """The fault planted: a checkpoint without the generator or the momentum gives another curve."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.pt", 12)
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    if lost == "generator":
        state["generator"] = torch.Generator().manual_seed(3).get_state()
    else:
        state["optimizer"]["state"] = {}
    torch.save(state, tmp_path / "run.pt")
    with pytest.raises(AssertionError):
        same(run(tmp_path / "run.pt"), run(None))


def test_a_finished_run_is_returned_without_training(tmp_path):
    whole = run(tmp_path / "run.pt")
    again = run(tmp_path / "run.pt", stop=1)  # would stop if a step were taken
    same(again, whole)
    assert again[1].seconds <= whole[1].seconds
    assert not list(tmp_path.glob("*.part"))


CHILD = """
import os, signal, sys
import torch
sys.path.insert(0, {tests!r})
import test_train

torch.set_num_threads(1)  # as the tests: another number sums in another order
writes = 0
real = torch.save

def cut(state, file):
    global writes
    writes += 1
    if writes == 13:
        file.write(b"half a checkpoint")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    real(state, file)

torch.save = cut
test_train.run({path!r})
"""


def test_kill_9_while_writing_leaves_the_checkpoint_before_it(tmp_path):
    path = tmp_path / "run.pt"
    code = textwrap.dedent(CHILD).format(tests=os.path.dirname(__file__), path=str(path))
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert torch.load(path, weights_only=True)["step"] == 12
    assert (tmp_path / "run.pt.part").read_bytes() == b"half a checkpoint"
    same(run(path), run(None))


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "another file"])
def test_a_damaged_checkpoint_is_named_with_the_remedy(tmp_path, damage):
    path = tmp_path / "run.pt"
    run(path, steps=2)
    whole = path.read_bytes()
    broken = {"truncated": whole[: len(whole) // 2], "garbage": b"no archive" * 50, "empty": b""}
    if damage in broken:
        path.write_bytes(broken[damage])
    else:
        torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r"run\.pt cannot be read.*delete it to start again"):
        run(path, steps=2)


def test_at_the_deadline_it_pauses_and_the_same_call_goes_on(tmp_path):
    a, b = fixed_pairs()
    recipe = Recipe(steps=20, lr=0.01, momentum=0.9)
    whole = train(linear(64, 4), pairs(a, b), spectral, recipe)
    past = Checkpoint(tmp_path / "c.pt", deadline=0.0)  # one update a call
    for step in range(1, 21):
        with pytest.raises(Paused, match=f"time is up at step {step} of 20"):
            train(linear(64, 4), pairs(a, b), spectral, recipe, checkpoint=past)
    cut = train(linear(64, 4), pairs(a, b), spectral, recipe, checkpoint=past)
    torch.testing.assert_close(cut.curve, whole.curve)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 0.06}, "lr = 0.05, this run has 0.06"),
        ({"seed": 4}, "seed = 3, this run has 4"),
        ({"momentum": 0.8}, "momentum"),
        ({"loss": partial(spectral, weight=1.1)}, "loss = spectral"),
        ({"loss": lambda a, b: 1.1 * spectral(a, b)}, "loss"),
        ({"init": 1}, "other initial parameters or other data"),
        ({"x": X.flip(0)}, "other initial parameters or other data"),
    ],
)
def test_another_runs_checkpoint_is_refused(tmp_path, change, named):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.pt", 5)
    with pytest.raises(InputError, match=named):
        run(tmp_path / "run.pt", **change)


def test_another_weight_in_a_closure_is_refused(tmp_path):
    def loss(weight):
        return lambda a, b: spectral(a, b, weight)

    one, other = torch.tensor([1.0, 1.01])  # tensors have no name: the first loss tells
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.pt", 5, loss=loss(one))
    with pytest.raises(InputError, match="another loss"):
        run(tmp_path / "run.pt", loss=loss(other))


@pytest.mark.parametrize("told_by", ["code", "captured value"])
def test_another_loss_of_one_name_and_first_value_is_refused(tmp_path, told_by):
    """A stopped gradient changes the training, and neither the name of a closure nor the loss at step 0."""

    def flagged(stop):
        return lambda a, b: spectral(a, b.detach() if stop else b)

    pair = [flagged(False), flagged(True)]
    if told_by == "code":
        pair = [lambda a, b: spectral(a, b), lambda a, b: spectral(a, b.detach())]
    assert pair[0].__qualname__ == pair[1].__qualname__
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.pt", 5, loss=pair[0])
    with pytest.raises(InputError, match="was written with loss = "):
        run(tmp_path / "run.pt", loss=pair[1])
    same(run(tmp_path / "run.pt", loss=pair[0]), run(None, loss=pair[0]))


def test_a_checkpoint_of_an_older_version_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    run(path, steps=2)
    torch.save(torch.load(path, weights_only=True) | {"format": 1}, path)
    with pytest.raises(InputError, match=r"is of an older version of ssltheory: delete it"):
        run(path, steps=2)


def test_a_checkpoint_that_cannot_be_written_is_a_failed_run(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        run(tmp_path / "file" / "run.pt")


def test_divergence_stops_with_step_rate_and_remedy(tmp_path):
    a, b = fixed_pairs()
    with pytest.raises(RunError) as error:
        train(
            initialise_(linear(64, 4), scale=3.0),
            pairs(a, b),
            spectral,
            Recipe(steps=3000, lr=1.0),
            checkpoint=Checkpoint(tmp_path / "run.pt"),
        )
    message = str(error.value)
    assert "learning rate 1)" in message
    assert "lower the learning rate" in message
    step = int(message.split("at step ")[1].split()[0])
    losses = by_hand(initialise_(linear(64, 4), scale=3.0), a, b, step, 1.0)
    assert losses[:step].isfinite().all()
    assert not losses[step].isfinite()
    assert not (tmp_path / "run.pt").exists()


def test_divergence_of_one_seed_names_it_and_step_0_names_the_data():
    a, b = fixed_pairs()
    members = [initialise_(linear(64, 4), scale=s) for s in (0.1, 1e5, 0.1)]
    with pytest.raises(RunError, match=r"of seeds \[1\] became"):
        train(stack(members), pairs(a, b), spectral, Recipe(steps=50, lr=1e-3))
    with pytest.raises(RunError, match=r"NaN at step 0.*before any update"):
        train(linear(64, 4), pairs(a * torch.nan, b), spectral, Recipe(steps=50, lr=1e-3))


def test_observations_are_copies_at_their_steps():
    a, b = fixed_pairs()

    def observe(step, model, loss):
        with measuring(model):
            return step, model.weight, {"loss": loss, "mean": model(a).mean(0).numpy()}

    recipe = Recipe(steps=9, lr=0.01)
    look = {"observe": observe, "observe_steps": [9, 0, 4]}
    result = train(linear(64, 4), pairs(a, b), spectral, recipe, **look)
    seen = result.observations
    assert [step for step, *_ in seen] == result.steps.tolist() == [0, 4, 9]
    assert not seen[0][1].allclose(seen[1][1])
    torch.testing.assert_close(seen[0][1], linear(64, 4).weight.detach())
    for (_, w, measured), loss in zip(seen, result.losses, strict=True):
        torch.testing.assert_close(measured["loss"], loss)
        torch.testing.assert_close(spectral(a @ w.T, b @ w.T), loss)
        torch.testing.assert_close(measured["mean"], (a @ w.T).mean(0))
    with pytest.raises(InputError, match="observe returned a object"):
        train(linear(64, 4), pairs(a, b), spectral, recipe, observe=lambda *_: object())


def test_each_view_has_its_own_forward_pass():
    model = small_conv(1, (4,))
    train(model, augmented(X, noisy, 16), spectral, Recipe(steps=3, lr=0.01))
    assert model[1].num_batches_tracked.item() == 2 * (3 + 1)
    assert model.training


def test_batches_are_drawn_without_replacement_and_pairs_stay_pairs():
    a = torch.arange(10.0)[:, None]
    views, generator = pairs(a, -a, 6), torch.Generator().manual_seed(0)
    first, second = views(generator), views(generator)
    for z_a, z_b in (first, second):
        assert z_a.equal(-z_b)
        assert len(z_a.unique()) == 6
    assert not first[0].equal(second[0])
    assert pairs(a, -a)(generator)[0] is a
    with pytest.raises(InputError, match=r"batch_size must be in \[1, 10\]"):
        augmented(a, noisy, 11)
    with pytest.raises(InputError, match="one shape"):
        pairs(a, a[1:])


def test_bfloat16_is_for_the_forward_pass_alone():
    seen = []

    def loss(z_a, z_b):
        seen.append(z_a.dtype)
        return spectral(z_a, z_b)

    model, views, recipe = small_conv(1, (8, 8)), augmented(X, noisy, 64), Recipe(steps=5, lr=0.01)
    half = train(model, views, loss, recipe, amp=True)
    full = train(small_conv(1, (8, 8)), views, loss, recipe, amp=False)
    assert set(seen) == {torch.float32}
    assert model[0].weight.dtype == torch.float32
    assert not half.curve.equal(full.curve)
    torch.testing.assert_close(half.curve, full.curve, rtol=0.05, atol=0.05)


class Averaged(nn.Module):
    """A predictor on an online net, and a target that follows it: what BYOL needs of the loop."""

    def __init__(self):
        super().__init__()
        self.online, self.predictor = mlp((64, 16, 8)), linear(8, 8)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, x):
        return self.predictor(self.online(x)), self.target(x)

    def follow(self, step, model):
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.target.parameters()), list(self.online.parameters()), 0.1
            )


def cosine(a, b):
    similarity = torch.cosine_similarity
    return -(similarity(a[0], b[1]) + similarity(b[0], a[1])).mean()


def test_a_target_network_fits_and_resumes(tmp_path):
    def go(stop=None, path=tmp_path / "run.pt"):
        model = Averaged()

        def follow(step, trained):
            model.follow(step, trained)
            if step == stop:
                raise KeyboardInterrupt

        views = augmented(X, noisy, 32)
        recipe = Recipe(steps=20, lr=0.05, momentum=0.9)
        where = Checkpoint(path, every=0.0) if path else None
        return model, train(model, views, cosine, recipe, after_step=follow, checkpoint=where)

    whole = go(path=None)
    with pytest.raises(KeyboardInterrupt):
        go(stop=11)
    model, result = go()
    torch.testing.assert_close(result.curve, whole[1].curve, rtol=1e-6, atol=1e-6)
    moved = [p - q for p, q in zip(model.target.parameters(), Averaged().target.parameters())]  # noqa: B905
    assert all(m.any() for m in moved)


@pytest.mark.parametrize(
    ("depth", "stem", "size", "optimizer"),
    [(18, "imagenet", 96, "sgd"), (50, "imagenet", 64, "lars"), (18, "cifar", 32, "sgd")],
)
def test_resnets_train_a_few_steps(depth, stem, size, optimizer):
    encoder = resnet(depth, stem)
    model = nn.Sequential(encoder, projector((encoder.out_features, 32, 8)))
    x = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    before = encoder.conv1.weight.clone()
    views = augmented(x, partial(noisy, sigma=0.05), 2)
    result = train(model, views, spectral, Recipe(steps=2, lr=1e-3, optimizer=optimizer))
    assert result.curve.isfinite().all()
    assert not encoder.conv1.weight.equal(before)
    assert encoder.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_progress_counts_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLTHEORY_PROGRESS", str(tmp_path / "progress"))
    a, b = fixed_pairs()
    recipe = Recipe(steps=12, lr=0.01)
    train(linear(64, 4), pairs(a, b), spectral, recipe, description="descent")
    report = progress.last(tmp_path / "progress")
    assert report | {"description": "descent", "unit": "steps", "done": 12, "total": 12} == report


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be above 0"),
        ({"optimizer": "adam"}, "'sgd' or 'lars', got 'adam'"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"groups": {"head": {"lr_scale": 2.0}}}, "must name a part of the model"),
        ({"groups": {"weight": {"rate": 2.0}}}, "give 'lr_scale' or 'weight_decay'"),
        ({"groups": {"weight": {"lr_scale": -2.0}}}, "each 0 or more"),
        ({"schedule": "linear"}, "'constant' or 'cosine', got 'linear'"),
        ({"warmup": 6}, r"warmup must be in \[0, 5\]"),
    ],
)
def test_bad_settings_are_named_before_any_compute(change, named):
    with pytest.raises(InputError, match=named):
        train(linear(4, 2), never, spectral, Recipe(**{"steps": 5, "lr": 0.1} | change))


def never(generator):
    raise AssertionError("drew views")


def test_bad_arguments_are_named_before_any_compute():
    recipe = Recipe(steps=5, lr=0.1)
    with pytest.raises(InputError, match=r"observe_steps must be in \[0, 5\], got 0 to 6"):
        train(linear(4, 2), never, spectral, recipe, observe_steps=[0, 6])
    with pytest.raises(InputError, match="chunk_size must be 1 or more, got 0"):
        train(linear(4, 2), never, spectral, recipe, chunk_size=0)
    with pytest.raises(InputError, match="every must be 0 seconds or more"):
        Checkpoint("run.pt", every=-1)


def test_losses_of_the_wrong_shape_are_named():
    a, b = fixed_pairs()
    views, recipe = pairs(a, b), Recipe(steps=5, lr=0.1)
    with pytest.raises(InputError, match="must be a scalar"):
        train(linear(64, 4), views, lambda a, b: a * b, recipe)
    with pytest.raises(InputError, match="with SGD"):
        train(stack([linear(64, 4)]), views, spectral, replace(recipe, optimizer="lars"))
    with pytest.raises(InputError, match="requires a gradient"):
        train(linear(64, 4).requires_grad_(False), views, spectral, recipe)


def test_a_stage_is_computed_once_and_pauses_when_time_is_up(tmp_path):
    calls = []

    def compute():
        calls.append(None)
        return {"curve": torch.arange(3), "names": ["a"]}

    with pytest.raises(Paused, match="time is up after the stage 'one'"):
        stage("one", compute, tmp_path, deadline=0.0)
    arrays = stage("one", compute, tmp_path, deadline=0.0)
    assert len(calls) == 1
    assert arrays.keys() == {"curve", "names", "one_seconds"}
    assert torch.equal(arrays["curve"], torch.arange(3))
    stage("two", compute, tmp_path, deadline=math.inf)
    stage("one", compute)  # kept nowhere
    assert len(calls) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pt", "two.pt"]

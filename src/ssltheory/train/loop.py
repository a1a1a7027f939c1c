"""One training loop for every chapter: two views in, a loss down, observations on the way.

Time is gradient-flow time, t = Σ lr_k / (1 − momentum) over the updates done: lr × step for plain
SGD. Step k is the state after k updates, so step 0 is the initial model and a run of K steps has
K + 1 losses. The two views pass through the model separately, one after the other, as in the
authors' code of Barlow Twins and VICReg: each has its own BatchNorm statistics. The forward passes
may run in bfloat16 (``amp``); the loss never does. Images are laid channels-last where there are
convolutions, on a CPU as well, where a step can take two thirds of the time.

All randomness comes from one generator on the device. A checkpoint holds it with the model, the
optimiser and what was observed, so that an interrupted run ends in the same curve as one that was
not.

Several processes (``distributed``) share a batch: each embeds a share of it, the loss is that of the
whole. They draw the same batches from the same generator, and look at one clock, that of rank 0,
which alone observes, and keeps the checkpoint.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from ssltheory import progress
from ssltheory.errors import InputError, Paused
from ssltheory.train import distributed
from ssltheory.train.checkpoint import Checkpoint, RunFile, known_by, portable, sketch
from ssltheory.train.objective import has_convolutions, objective
from ssltheory.train.recipe import Recipe, build_optimizer, log_steps
from ssltheory.train.run import Result, Run
from ssltheory.train.views import Views

LOOK_EVERY = 5.0  # seconds between two looks at the losses, each of which waits for the device


def train(
    model: nn.Module,
    views: Views,
    loss: Callable[[Any, Any], Tensor],
    recipe: Recipe,
    *,
    observe: Callable[[int, nn.Module, Tensor], Any] | None = None,
    observe_steps: Iterable[int] | None = None,
    after_step: Callable[[int, nn.Module], None] | None = None,
    amp: bool | None = None,
    chunk_size: int | None = None,
    checkpoint: Checkpoint | None = None,
    description: str = "training",
) -> Result:
    """Minimise ``loss(model(a), model(b))`` with ``a, b = views(generator)``; trains in place.

    Several seeds at once: a ``encoders.stack`` with a loss of one value a seed. The values are
    summed for the backward pass, which leaves every seed the gradient that it has alone; all see
    the same batches.

    A loss that becomes NaN or infinite ends the run with ``RunError``. It is seen at the steps
    observed and at least every few seconds, so soon after.

    Args:
        model: on the device where the training runs, its parameters that require a gradient are
            trained. What it returns for a view goes to the loss as it is (a tuple may hold a
            prediction and a target).
        views: ``pairs(...)``, ``augmented(...)``, or any function of the generator; of several
            processes each takes its own share (``distributed.shard``).
        loss: of the two outputs, in float32 or better; a scalar, or ``(seeds,)``.
        recipe: steps, learning rates, optimiser and seed.
        observe: called, on rank 0, as ``observe(step, model, loss)`` with the model of that step;
            what it returns (tensors, numbers, strings, lists, tuples, dicts of them) is copied to
            the CPU and kept. Measure inside ``encoders.measuring``, or by ``encoders.embed``, which
            leave no trace on the model.
        observe_steps: when; by default ``log_steps(recipe.steps)``.
        after_step: called as ``after_step(step, model)`` after update number ``step`` (moving
            averages, closed-form layers). Its state belongs in the model's buffers, which the
            checkpoint holds.
        amp: bfloat16 autocast; None: with convolutions on CUDA. Its rounding (2⁻⁸) hides modes that
            are smaller than that: turn it off to see a small start.
        chunk_size: images of a process that pass through the model at a time, None: all. The result
            is the same, the memory for activations that of one chunk, the time that of one more
            forward pass. Not for BatchNorm, whose statistics are the batch's. See ``chunked``.
        checkpoint: where to write the state and to go on from; at its deadline the run ends with
            ``Paused``. A run that is done is returned as it was. Call with the model as it was
            initialised, not as trained.
        description: what the progress bar says.

    Raises:
        InputError: if a step to observe is none of the run's.

    >>> import torch
    >>> from ssltheory import train
    >>> model, x = torch.nn.Linear(1, 1, bias=False), torch.ones(8, 1)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> def loss(z_a, z_b):  # w² / 2, so that every update halves w
    ...     return (z_a * z_b).mean() / 2
    >>> train.train(model, train.pairs(x, x), loss, train.Recipe(steps=2, lr=0.5)).curve
    tensor([0.5000, 0.1250, 0.0312])
    """
    due = {int(s) for s in (log_steps(recipe.steps) if observe_steps is None else observe_steps)}
    if due and not 0 <= min(due) <= max(due) <= recipe.steps:
        span = f"{min(due)} to {max(due)}"
        raise InputError(f"observe_steps must be in [0, {recipe.steps}], got {span}")
    optimizer = build_optimizer(model, recipe)
    device = optimizer.param_groups[0]["params"][0].device
    generator = torch.Generator(device).manual_seed(recipe.seed)
    if amp is None:
        amp = device.type == "cuda" and has_convolutions(model)
    next_loss = objective(model, views, loss, generator, amp, chunk_size)
    run = Run(model, recipe, optimizer, generator)
    at = torch.tensor(sorted(due), dtype=torch.int64)
    file = None
    if checkpoint is not None:
        settings = asdict(recipe) | {"observe_steps": at.tolist(), "amp": amp}
        settings |= {"observe": known_by(observe), "after_step": known_by(after_step)}
        settings |= {"loss": known_by(loss, captured=True), "processes": distributed.world_size()}
        first = views(torch.Generator(device).manual_seed(recipe.seed))
        file = RunFile(checkpoint, settings, sketch([*run.parameters, *first]))
        _go_on(run, file, next_loss, 2e-2 if amp else 1e-4)
    with progress.track(recipe.steps, description, quiet=distributed.rank() > 0) as bar:
        _descend(run, next_loss, due, observe, after_step, file, bar)
        observations = distributed.broadcast(run.observations)
    curve = run.losses.cpu()
    return Result(at, recipe.times()[at], curve[at], observations, curve, run.seconds)


def _go_on(run: Run, file: RunFile, next_loss: Callable[[], Tensor], rtol: float) -> None:
    """Go to where an earlier call has stopped, if there was one."""
    state = distributed.broadcast(distributed.on_first(file.load))
    if state is not None:
        with torch.no_grad():
            file.check_first_loss(state["losses"][0], next_loss().cpu(), rtol)
        run.restore(state)


def _descend(
    run: Run,
    next_loss: Callable[[], Tensor],
    due: set[int],
    observe: Callable[[int, nn.Module, Tensor], Any] | None,
    after_step: Callable[[int, nn.Module], None] | None,
    file: RunFile | None,
    bar: progress.Bar,
) -> None:
    """The loop, from the run's next step on.

    Raises:
        Paused: at the checkpoint's deadline.
    """
    steps, rates, parameters = run.recipe.steps, run.recipe.rates().tolist(), run.parameters
    deadline = distributed.broadcast(file.checkpoint.deadline if file else None)
    spent, start = run.seconds, run.step
    began = written = looked = _clock()
    bar.update(min(start, steps))
    for step in range(start, steps + 1):
        last = step == steps
        value = next_loss()
        run.keep_loss(step, value.detach())
        if not last:
            for p in parameters:  # zero_grad would import torch._dynamo: seconds
                p.grad = None
            (value.sum() * distributed.world_size()).backward()  # their mean will be taken
        now = _clock()
        late = deadline is not None and now >= deadline and not last
        save = file and (last or late or now - written >= file.checkpoint.every)
        if step in due or last or save or now - looked >= LOOK_EVERY:
            run.check_finite(step)
            looked = now
        if step in due and observe is not None:
            seen = distributed.on_first(_observation, observe, step, run.model, value.detach())
            run.observations.append(seen)
            run.model.train()
        if not last:
            for group in run.optimizer.param_groups:
                group["lr"] = rates[step] * group["lr_scale"]
            run.optimizer.step()
            if after_step is not None:
                after_step(step + 1, run.model)
            bar.update(1)
        run.step = step + 1
        if file and save:
            run.seconds = spent + _clock() - began
            distributed.on_first(file.save, run.state())
            written = _clock()
        if late:
            raise Paused(f"time is up at step {run.step} of {steps}: run the same again to go on")
    if start <= steps:
        run.losses = run.losses.cpu()  # waits for the device
        run.seconds = spent + _clock() - began


def _observation(observe: Callable[..., Any], *now: Any) -> Any:
    return portable(observe(*now))


def _clock() -> float:
    """Seconds, those of rank 0."""
    return distributed.broadcast(time.monotonic())

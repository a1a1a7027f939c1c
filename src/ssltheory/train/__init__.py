"""One training loop for every chapter: two views in, a loss down, records on the way.

Time is gradient-flow time, t = Σ lr_k / (1 − momentum) over the updates done: lr × step for plain
SGD. Step k is the state after k updates, so step 0 is the initial model and a run of K steps has
K + 1 losses. The two views pass through the model separately, one after the other, as in the
authors' code of Barlow Twins and VICReg: each has its own BatchNorm statistics. The forward passes
may run in bfloat16 (``amp``); the loss never does.

All randomness comes from one generator on the device. A checkpoint holds it with the model, the
optimiser and what was recorded, so that an interrupted run ends in the same curve as one that was
not.

Several processes (``distributed``) share a batch: each embeds a share of it, the loss is that of the
whole. They draw the same batches from the same generator, and look at one clock, that of rank 0,
which alone records, and keeps the checkpoint.
"""

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.checkpoint import checkpoint as recomputed

from ssltheory import progress
from ssltheory.errors import InputError, Paused, RunError
from ssltheory.train import distributed

Views = Callable[[torch.Generator], tuple[Tensor, Tensor]]
SCHEDULES = ("constant", "cosine")
FORMAT = 1  # of a checkpoint
CHECK_EVERY = 5.0  # seconds between two looks at the losses, each of which waits for the device


@dataclass(frozen=True)
class Result:
    """What a run left, all on the CPU.

    Attributes:
        steps: ``(r,)`` int64, the steps that were recorded.
        times: ``(r,)`` float64, t at those steps.
        losses: ``(r,)``, or ``(r, seeds)`` of a stack, the loss at those steps.
        records: r values, what ``record`` returned; empty without it.
        curve: ``(steps + 1,)`` or ``(steps + 1, seeds)``, the loss at every step, each on its own
            batch.
        seconds: wall time in the loop, over all the runs that a resumed one took.
    """

    steps: Tensor
    times: Tensor
    losses: Tensor
    records: list[Any]
    curve: Tensor
    seconds: float


def pairs(x_a: Tensor, x_b: Tensor, batch_size: int | None = None) -> Views:
    """Fixed pairs ``x_a[i], x_b[i]``: all of them, or a random batch each step.

    Several processes share them out: the same batches as in one.

    Raises:
        InputError: if the shapes differ, or the batch is larger than the data; when called, if it is
            not divisible by the number of processes.
    """
    if x_a.shape != x_b.shape:
        raise InputError(f"pairs need one shape, got {tuple(x_a.shape)} and {tuple(x_b.shape)}")
    if batch_size is None:
        return lambda generator: (distributed.shard(x_a), distributed.shard(x_b))
    _check_batch(batch_size, len(x_a))

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = torch.randperm(len(x_a), generator=generator, device=x_a.device)[:batch_size]
        batch = distributed.shard(batch)
        return x_a[batch], x_b[batch]

    return draw


def augmented(
    x: Tensor,
    augment: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]],
    batch_size: int | None = None,
) -> Views:
    """Views that are drawn anew each step: ``augment(x[batch], generator) -> (a, b)``.

    A batch is a simple random sample without replacement, independent of the one before (ours; an
    epoch is n / batch_size steps on average). None: all of x. Several processes share out the batch
    that one would draw, and augment with a generator each: other views than those of one process.

    Raises:
        InputError: as ``pairs``.
    """
    if batch_size is None:
        return lambda generator: augment(distributed.shard(x), distributed.fork(generator))
    _check_batch(batch_size, len(x))

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = torch.randperm(len(x), generator=generator, device=x.device)[:batch_size]
        return augment(x[distributed.shard(batch)], distributed.fork(generator))

    return draw


def log_steps(steps: int, n: int = 100) -> list[int]:
    """About n whole numbers from 0 to ``steps``, both included, evenly spaced in log(1 + step)."""
    return sorted({round(s) for s in np.expm1(np.linspace(0, np.log1p(steps), n))})


def learning_rates(
    steps: int,
    lr: float,
    schedule: Literal["constant", "cosine"] = "constant",
    warmup: int = 0,
) -> Tensor:
    """The learning rate of each update, ``(steps,)`` float64.

    Update k < warmup has lr (k + 1) / warmup. After that lr is constant, or lr (1 + cos πu) / 2
    with u from 0 to 1 − 1 / (steps − warmup) (Loshchilov & Hutter 2017, without restarts).
    """
    k = torch.arange(steps, dtype=torch.float64)
    rates = torch.full_like(k, lr)
    if schedule == "cosine":
        rates = lr * (1 + torch.cos(math.pi * (k - warmup) / max(steps - warmup, 1))) / 2
    rates[:warmup] = lr * (k[:warmup] + 1) / max(warmup, 1)
    return rates


def train(
    model: nn.Module,
    views: Views,
    loss: Callable[[Any, Any], Tensor],
    *,
    steps: int,
    lr: float,
    optimizer: Literal["sgd", "lars"] = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    groups: Mapping[str, Mapping[str, float]] | None = None,
    schedule: Literal["constant", "cosine"] = "constant",
    warmup: int = 0,
    record: Callable[[int, nn.Module, Tensor], Any] | None = None,
    record_steps: Iterable[int] | None = None,
    after_step: Callable[[int, nn.Module], None] | None = None,
    seed: int = 0,
    amp: bool | None = None,
    channels_last: bool | None = None,
    compile: bool = False,
    chunk_size: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: float = 30.0,
    deadline: float | None = None,
    description: str = "training",
) -> Result:
    """Minimise ``loss(model(a), model(b))`` with ``a, b = views(generator)``; trains in place.

    Several seeds at once: a ``encoders.stack`` with a loss of one value a seed. The values are
    summed for the backward pass, which leaves every seed the gradient that it has alone; all see
    the same batches.

    Args:
        model: on the device where the training runs, its parameters that require a gradient are
            trained. What it returns for a view goes to the loss as it is (a tuple may hold a
            prediction and a target).
        views: ``pairs(...)``, ``augmented(...)``, or any function of the generator; of several
            processes each takes its own share (``distributed.shard``).
        loss: of the two outputs, in float32 or better; a scalar, or ``(seeds,)``.
        steps: updates.
        lr: peak learning rate.
        optimizer: ``"sgd"``, or ``"lars"`` (see ``LARS``; not for a stack, whose layers have no
            norms of their own).
        momentum: in [0, 1).
        weight_decay: added to the gradient as weight_decay × parameter; of every parameter with
            SGD, of none with one axis with LARS.
        groups: parts of the model with settings of their own, by name: ``{"predictor": {"lr_scale":
            10.0, "weight_decay": 0.0}}`` trains ``model.predictor`` at ten times the learning rate,
            undecayed. The clock stays that of lr.
        schedule: see ``learning_rates``.
        warmup: updates over which the learning rate rises.
        record: called, on rank 0, as ``record(step, model, loss)`` with the model of that step; what it returns
            (tensors, numbers, strings, lists, tuples, dicts of them) is copied to the CPU and kept.
            Measure inside ``encoders.measuring``, or by ``encoders.embed``, which leave no trace on
            the model.
        record_steps: when; by default ``log_steps(steps)``.
        after_step: called as ``after_step(step, model)`` after update number ``step`` (moving
            averages, closed-form layers). Its state belongs in the model's buffers, which the
            checkpoint holds.
        seed: of the generator; the model's initial parameters are the caller's.
        amp: bfloat16 autocast; None: with convolutions on CUDA. Its rounding (2⁻⁸) hides modes that
            are smaller than that: turn it off to see a small start.
        channels_last: memory format; None: with convolutions (of one model: a stack's have an axis
            too many), on a CPU as well, where a step can take two thirds of the time, but not on
            MPS.
        compile: ``torch.compile`` the model.
        chunk_size: images of a process that pass through the model at a time, None: all. Each passes
            again in the backward pass: gradient caching (Gao et al. 2021, arXiv 2101.06983). The
            result is that of one pass, the memory for activations that of one chunk, the time that
            of one more forward pass. Not for BatchNorm, whose statistics are the batch's.
        checkpoint: file to write to and to resume from; None: none. It stays when the run is done,
            and a second call returns what it holds. Call with the model as it was initialised, not
            as trained.
        checkpoint_every: seconds between two writes.
        deadline: the ``time.monotonic()`` at which to write the checkpoint and stop; None: never.
        description: what the progress bar says.

    Raises:
        InputError: for a bad setting; a checkpoint that cannot be read, or is of another run.
        RunError: if the loss becomes NaN or infinite (seen at records and at least every few
            seconds, so soon after), or a checkpoint cannot be written.
        Paused: at the deadline; the same call goes on from the checkpoint.
    """
    _check_settings(
        steps, lr, optimizer, momentum, weight_decay, schedule, warmup, checkpoint_every, chunk_size
    )
    kept = sorted({int(s) for s in (log_steps(steps) if record_steps is None else record_steps)})
    if deadline is not None and checkpoint is None:
        raise InputError("a deadline needs a checkpoint to go on from")
    if kept and not 0 <= kept[0] <= kept[-1] <= steps:
        raise InputError(f"record_steps must be in [0, {steps}], got {kept[0]} to {kept[-1]}")
    parts = _groups(model, groups or {}, weight_decay)
    parameters = [p for part in parts for p in part["params"]]
    if not parameters:
        raise InputError("the model has no parameter that requires a gradient")
    device = parameters[0].device
    kernels = [m.weight for m in model.modules() if isinstance(m, _ConvNd)]
    if amp is None:
        amp = bool(kernels) and device.type == "cuda"
    if channels_last is None:
        channels_last = any(k.ndim == 4 for k in kernels) and device.type != "mps"
    if channels_last:
        model.to(memory_format=torch.channels_last)
    model.train()
    whole = distributed.replicate(model if chunk_size is None else _Chunked(model, chunk_size))
    forward = torch.compile(whole) if compile else whole
    rates = learning_rates(steps, lr, schedule, warmup)
    rate = rates.tolist()
    clock = torch.cat([torch.zeros(1, dtype=torch.float64), rates.cumsum(0)]) / (1 - momentum)
    descent = _optimizer(optimizer, parts, lr, momentum)
    generator = torch.Generator(device).manual_seed(seed)
    precision = torch.autocast(device.type, torch.bfloat16) if amp else contextlib.nullcontext()

    def objective() -> Tensor:
        a, b = views(generator)
        if channels_last:
            a, b = (v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for v in (a, b))
        with precision, distributed.synchronised(model):
            z_a, z_b = forward(a), forward(b)
        return loss(distributed.gather(_full(z_a)), distributed.gather(_full(z_b)))

    def clock_time() -> float:
        return distributed.broadcast(time.monotonic())

    start, before = 0, 0.0
    records: list[Any] = []
    curve: Tensor | None = None  # (steps + 1,) or (steps + 1, seeds), on the device
    saved = None
    if checkpoint is not None:
        settings = {
            "steps": steps,
            "lr": lr,
            "optimizer": optimizer,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "groups": {name: dict(own) for name, own in (groups or {}).items()},
            "schedule": schedule,
            "warmup": warmup,
            "record_steps": kept,
            "loss": _name(loss),
            "record": _name(record),
            "after_step": _name(after_step),
            "seed": seed,
            "amp": amp,
            "processes": distributed.world_size(),
        }
        origin = _sketch(parameters, views(torch.Generator(device).manual_seed(seed)))
        saved = _Checkpoint(Path(checkpoint), settings, origin)
    if saved and (state := distributed.broadcast(distributed.on_first(saved.load))):
        with torch.no_grad():
            saved.check_first_loss(state["curve"][0], objective().cpu(), 2e-2 if amp else 1e-4)
        model.load_state_dict(state["model"])
        descent.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        start, before, records = state["step"], state["seconds"], state["records"]
        past = state["curve"].to(device)
        curve = past.new_full((steps + 1, *past.shape[1:]), torch.nan)
        curve[:start] = past

    due, sound = set(kept), start  # losses before ``sound`` are known to be finite
    deadline = distributed.broadcast(deadline)
    began = written = checked = clock_time()
    with progress.track(steps, description, quiet=distributed.rank() > 0) as bar:
        bar.update(min(start, steps))
        for step in range(start, steps + 1):
            last = step == steps
            value = objective()
            if curve is None:
                if value.ndim > 1 or (value.ndim and optimizer == "lars"):
                    raise InputError(
                        "the loss must be a scalar, or with SGD one value a seed (seeds,); "
                        f"it has shape {tuple(value.shape)}"
                    )
                curve = value.detach().new_full((steps + 1, *value.shape), torch.nan)
            curve[step] = value.detach()
            if not last:
                for p in parameters:  # zero_grad would import torch._dynamo: seconds
                    p.grad = None
                (value.sum() * distributed.world_size()).backward()  # their mean will be taken
            now = clock_time()
            late = deadline is not None and now >= deadline and not last
            save = bool(saved) and (last or late or now - written >= checkpoint_every)
            if step in due or last or save or now - checked >= CHECK_EVERY:
                _check_finite(curve, sound, step, rates, clock)
                sound, checked = step + 1, now
            if step in due and record is not None:
                made = distributed.on_first(
                    lambda *now: _portable(record(*now)), step, model, value.detach()
                )
                records.append(made)
                model.train()
            if not last:
                for group in descent.param_groups:
                    group["lr"] = rate[step] * group["lr_scale"]
                descent.step()
                if after_step is not None:
                    after_step(step + 1, model)
                bar.update(1)
            if saved and save:
                state = {
                    "step": step + 1,  # the next one
                    "model": model.state_dict(),
                    "optimizer": descent.state_dict(),
                    "generator": generator.get_state(),
                    "curve": curve[: step + 1].clone(),
                    "records": records,
                    "seconds": before + clock_time() - began,
                }
                distributed.on_first(saved.save, state)
                written = clock_time()
            if late:
                raise Paused(
                    f"time is up at step {step + 1} of {steps}: run the same again to go on"
                )
        curve = curve.cpu()  # type: ignore[union-attr]  # waits for the device
        seconds = before + (clock_time() - began if start <= steps else 0.0)
        records = distributed.broadcast(records)
    at = torch.tensor(kept, dtype=torch.int64)
    return Result(at, clock[at], curve[at], records, curve, seconds)


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman & Ginsburg 2017, arXiv 1708.03888).

    In the form of the authors' code of Barlow Twins: with g the gradient plus weight_decay × w,
    v ← momentum · v + η (‖w‖ / ‖g‖) g and w ← w − lr · v; the ratio η ‖w‖ / ‖g‖ is 1 where a norm
    is 0. Parameters of one axis (biases, BatchNorm) have neither ratio nor weight decay.

    Args:
        params: as for any torch optimiser.
        lr: learning rate.
        momentum, weight_decay: as above.
        eta: the trust coefficient η.
    """

    def __init__(self, params, lr: float, momentum=0.9, weight_decay=0.0, eta=0.001) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eta": eta}
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure=None) -> Any:
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad
                if w.ndim > 1:
                    g = g.add(w, alpha=group["weight_decay"])
                    norm_w, norm_g = w.norm(), g.norm()
                    ratio = group["eta"] * norm_w / norm_g
                    g = g * torch.where((norm_w > 0) & (norm_g > 0), ratio, 1.0)
                state = self.state[w]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(w)
                v = state["momentum_buffer"].mul_(group["momentum"]).add_(g)
                w.add_(v, alpha=-group["lr"])


class _Chunked(nn.Module):
    """The model on ``chunk_size`` images at a time; what a chunk needs for its gradient is computed again."""

    def __init__(self, model: nn.Module, chunk_size: int) -> None:
        super().__init__()
        if any(isinstance(m, _BatchNorm) for m in model.modules()):
            raise InputError(
                f"chunk_size={chunk_size}: BatchNorm needs the whole batch; train without a chunk_size, "
                "or a model without BatchNorm"
            )
        self.model, self.chunk_size = model, chunk_size

    def forward(self, view: Tensor) -> Any:
        chunks = view.split(self.chunk_size, distributed.images_axis(view))
        parts = [recomputed(self.model, chunk, use_reentrant=False) for chunk in chunks]
        if isinstance(parts[0], Tensor):
            return torch.cat(parts, -2)
        return tuple(torch.cat(part, -2) for part in zip(*parts, strict=True))


def _groups(model: nn.Module, groups: Mapping, weight_decay: float) -> list[dict[str, Any]]:
    """The trained parameters as torch's parameter groups: the named parts, then the rest."""
    left = {name: p for name, p in model.named_parameters() if p.requires_grad}
    parts = []
    for prefix, own in groups.items():
        names = [name for name in left if name == prefix or name.startswith(f"{prefix}.")]
        settings = {"lr_scale": 1.0, "weight_decay": weight_decay} | own
        if not names or len(settings) > 2 or not all(0 <= v < math.inf for v in settings.values()):
            raise InputError(
                f"groups[{prefix!r}] must name a part of the model that is trained, and give "
                f"'lr_scale' or 'weight_decay', each 0 or more; got {dict(own)}"
            )
        parts.append({"params": [left.pop(name) for name in names], **settings})
    rest = {"params": list(left.values()), "lr_scale": 1.0, "weight_decay": weight_decay}
    return [*parts, rest] if left else parts


def _optimizer(name: str, parts: list[dict[str, Any]], lr: float, momentum: float):
    if name == "lars":
        return LARS(parts, lr=lr, momentum=momentum)
    fused = all(p.device.type in ("cpu", "cuda") for part in parts for p in part["params"])
    return torch.optim.SGD(parts, lr=lr, momentum=momentum, fused=fused)


def _full(z: Any) -> Any:
    """bfloat16 outputs in float32, tuples member by member."""
    if isinstance(z, Tensor):
        return z.float() if z.dtype in (torch.bfloat16, torch.float16) else z
    return tuple(_full(part) for part in z)


def _portable(value: Any) -> Any:
    """A copy of a record on the CPU, of types that a checkpoint can hold."""
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case np.ndarray():
            return torch.tensor(value)
        case np.generic():
            return value.item()
        case None | str() | bool() | int() | float():
            return value
        case list():
            return [_portable(part) for part in value]
        case tuple():
            return tuple(_portable(part) for part in value)
        case dict():
            return {key: _portable(part) for key, part in value.items()}
    raise InputError(
        f"record returned a {type(value).__name__}: return tensors, numbers, strings, "
        "or lists, tuples and dicts of them"
    )


def _check_finite(curve: Tensor, start: int, step: int, rates: Tensor, clock: Tensor) -> None:
    finite = curve[start : step + 1].isfinite()
    if finite.all():
        return
    which = ""
    if finite.ndim > 1:
        which = f" of seeds {(~finite.all(0)).nonzero().flatten().tolist()}"
        finite = finite.all(1)
    first = start + int((~finite).nonzero()[0])
    what = "infinite" if curve[first].isinf().any() else "NaN"
    remedy = "lower the learning rate, or raise warmup"
    if first == 0:
        remedy = "the data, the initial scale or the loss itself gives it, before any update"
    raise RunError(
        f"the loss{which} became {what} at step {first} (t = {clock[first].item():.4g}, "
        f"learning rate {rates[max(first - 1, 0)].item():.4g}): {remedy}"
    )


def _name(function: Callable | None) -> str:
    if isinstance(function, functools.partial):
        return f"{_name(function.func)} {function.args} {sorted(function.keywords.items())}"
    return getattr(function, "__qualname__", type(function).__qualname__)


def _sketch(parameters: list[Tensor], views: tuple[Tensor, Tensor]) -> Tensor:
    """Norms by which the initial parameters and the first views are known again, to rounding."""
    parts = [t.detach().flatten() for t in (*parameters, *views)]
    return torch.stack([h.float().norm().cpu() for t in parts for h in (t, t[: len(t) // 2])])


@dataclass(frozen=True)
class _Checkpoint:
    """One file, replaced whole or not at all, and resumed only by the run that wrote it."""

    path: Path
    settings: dict[str, Any]
    origin: Tensor  # the ``_sketch`` of the initial model and the first views

    def save(self, state: dict[str, Any]) -> None:
        """Raises RunError, and leaves the file before it, if this one cannot be written."""
        state = state | {"format": FORMAT, "settings": self.settings, "origin": self.origin}
        temporary = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise RunError(
                f"the checkpoint {self.path} cannot be written ({error}): "
                "free some space, or name another path"
            ) from error

    def load(self) -> dict[str, Any] | None:
        """The state, or None where there is no file; InputError if it is not this run's."""
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']}, not {FORMAT}")
        except Exception as error:
            raise InputError(
                f"the checkpoint {self.path} cannot be read ({type(error).__name__}: "
                "it is truncated, or no checkpoint): delete it to start again"
            ) from error
        for name, value in self.settings.items():
            if (theirs := state["settings"].get(name)) != value:
                self._refuse(f"with {name} = {theirs}, this run has {value}")
        theirs = state["origin"]
        if theirs.shape != self.origin.shape or not theirs.allclose(self.origin, 1e-4, 0):
            self._refuse(
                "from other initial parameters or other data (give the model as initialised, "
                "not as trained)"
            )
        return state

    def check_first_loss(self, theirs: Tensor, ours: Tensor, rtol: float) -> None:
        """Catches what the settings cannot name: another weight inside a loss, say."""
        if theirs.shape != ours.shape or not theirs.allclose(ours, rtol):
            self._refuse(f"with another loss ({theirs.tolist()} at step 0, here {ours.tolist()})")

    def _refuse(self, why: str) -> None:
        raise InputError(
            f"the checkpoint {self.path} was written {why}: "
            "delete it to start again, or name another path"
        )


def _check_batch(batch_size: int, n: int) -> None:
    if not 1 <= batch_size <= n:
        raise InputError(f"batch_size must be in [1, {n}] (the data), got {batch_size}")


def _check_settings(
    steps, lr, optimizer, momentum, weight_decay, schedule, warmup, checkpoint_every, chunk_size
) -> None:
    whole = isinstance(steps, int) and steps >= 1
    demands = {
        f"steps must be a whole number of 1 or more, got {steps}": whole,
        f"lr must be above 0 and finite, got {lr}": 0 < lr < math.inf,
        f"optimizer must be 'sgd' or 'lars', got {optimizer!r}": optimizer in ("sgd", "lars"),
        f"momentum must be in [0, 1), got {momentum}": 0 <= momentum < 1,
        f"weight_decay must be 0 or more, got {weight_decay}": 0 <= weight_decay < math.inf,
        f"schedule must be one of {SCHEDULES}, got {schedule!r}": schedule in SCHEDULES,
        f"warmup must be in [0, {steps}] (the steps), got {warmup}": 0 <= warmup <= steps,
        f"checkpoint_every must be 0 or more, got {checkpoint_every}": checkpoint_every >= 0,
        f"chunk_size must be 1 or more, got {chunk_size}": chunk_size is None or chunk_size >= 1,
    }
    for message, met in demands.items():
        if not met:
            raise InputError(message)

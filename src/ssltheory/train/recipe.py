"""The settings of a training: its steps, learning rates and optimiser."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ssltheory.errors import InputError
from ssltheory.train.lars import LARS

Schedule = Literal["constant", "cosine"]
Method = Literal["sgd", "lars"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained, whatever the model, the views and the loss are.

    Attributes:
        steps: updates.
        lr: peak learning rate.
        optimizer: ``"sgd"``, or ``"lars"`` (see ``LARS``; not for a stack, whose layers have no norms
            of their own).
        momentum: in [0, 1).
        weight_decay: added to the gradient as weight_decay × parameter; of every parameter with SGD,
            of none with one axis with LARS.
        groups: parts of the model with settings of their own, by name: ``{"predictor": {"lr_scale":
            10.0, "weight_decay": 0.0}}`` trains ``model.predictor`` at ten times the learning rate,
            undecayed. The clock stays that of lr.
        schedule: see ``learning_rates``.
        warmup: updates over which the learning rate rises.
        seed: of the generator of views; the model's initial parameters are the caller's.

    Raises:
        InputError: for a setting out of its range, which it names.

    >>> recipe = Recipe(steps=4, lr=0.1, momentum=0.5, warmup=2)
    >>> recipe.rates().tolist()
    [0.05, 0.1, 0.1, 0.1]
    >>> [round(t, 2) for t in recipe.times().tolist()]
    [0.0, 0.1, 0.3, 0.5, 0.7]
    """

    steps: int
    lr: float
    optimizer: Method = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    schedule: Schedule = "constant"
    warmup: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "steps must be a whole number of 1 or more": isinstance(self.steps, int)
            and self.steps >= 1,
            "lr must be above 0 and finite": 0 < self.lr < math.inf,
            "optimizer must be 'sgd' or 'lars'": self.optimizer in get_args(Method),
            "momentum must be in [0, 1)": 0 <= self.momentum < 1,
            "weight_decay must be 0 or more": 0 <= self.weight_decay < math.inf,
            "schedule must be 'constant' or 'cosine'": self.schedule in get_args(Schedule),
            f"warmup must be in [0, {self.steps}] (the steps)": 0 <= self.warmup <= self.steps,
        }
        for demand, met in checks.items():
            if not met:
                raise InputError(f"{demand}, got {getattr(self, demand.split()[0])!r}")
        for name, own in self.groups.items():
            known = own.keys() <= {"lr_scale", "weight_decay"}
            if not known or not all(0 <= value < math.inf for value in own.values()):
                raise InputError(
                    f"groups[{name!r}] must give 'lr_scale' or 'weight_decay', each 0 or more and finite; "
                    f"got {dict(own)}"
                )

    def rates(self) -> Tensor:
        """The learning rate of each update, ``(steps,)`` float64."""
        return learning_rates(self.steps, self.lr, self.schedule, self.warmup)

    def times(self) -> Tensor:
        """Gradient-flow time t = Σ lr_k / (1 − momentum) at each step, ``(steps + 1,)`` float64."""
        zero = torch.zeros(1, dtype=torch.float64)
        return torch.cat([zero, self.rates().cumsum(0)]) / (1 - self.momentum)


def log_steps(steps: int, n: int = 100) -> list[int]:
    """About n whole numbers from 0 to ``steps``, both included, evenly spaced in log(1 + step)."""
    return sorted({round(s) for s in np.expm1(np.linspace(0, np.log1p(steps), n))})


def learning_rates(
    steps: int, lr: float, schedule: Schedule = "constant", warmup: int = 0
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


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser of the parameters that require a gradient; each group holds its ``lr_scale``."""
    groups = _parameter_groups(model, recipe)
    if recipe.optimizer == "lars":
        return LARS(groups, lr=recipe.lr, momentum=recipe.momentum)
    fused = all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=fused)


def _parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The trained parameters as torch's parameter groups: the named parts, then the rest.

    Raises:
        InputError: if there is nothing to train, or a group names no part that is.
    """
    usual = {"lr_scale": 1.0, "weight_decay": recipe.weight_decay}
    left = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not left:
        raise InputError("the model has no parameter that requires a gradient")
    parts = []
    for prefix, own in recipe.groups.items():
        names = [name for name in left if name == prefix or name.startswith(f"{prefix}.")]
        if not names:
            raise InputError(f"groups[{prefix!r}] must name a part of the model that is trained")
        parts.append({"params": [left.pop(name) for name in names], **usual, **own})
    return [*parts, {"params": list(left.values()), **usual}] if left else parts

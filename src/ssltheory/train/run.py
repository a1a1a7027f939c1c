"""How far a training has come, and what it leaves."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ssltheory.errors import InputError, RunError
from ssltheory.train.recipe import Recipe


@dataclass(frozen=True)
class Result:
    """What a training left, all on the CPU.

    Attributes:
        steps: ``(r,)`` int64, the steps that were observed.
        times: ``(r,)`` float64, t at those steps.
        losses: ``(r,)``, or ``(r, seeds)`` of a stack, the loss at those steps.
        observations: r values, what ``observe`` returned; empty without it.
        curve: ``(steps + 1,)`` or ``(steps + 1, seeds)``, the loss at every step, each on its own
            batch.
        seconds: wall time in the loop, over all the calls that a paused one took.
    """

    steps: Tensor
    times: Tensor
    losses: Tensor
    observations: list[Any]
    curve: Tensor
    seconds: float


@dataclass
class Run:
    """A training on its way.

    Attributes:
        step: the next one.
        losses: ``(steps + 1,)`` or ``(steps + 1, seeds)`` on the device, NaN from ``step`` on; empty
            before the first.
        checked: losses before this step are known to be finite.
        observations: so far.
        seconds: wall time in the loop, as of the last checkpoint.
    """

    model: nn.Module
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    step: int = 0
    losses: Tensor = field(default_factory=lambda: torch.empty(0))
    checked: int = 0
    observations: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def parameters(self) -> list[Tensor]:
        """All that is trained."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def keep_loss(self, step: int, value: Tensor) -> None:
        """Keep the loss of a step, ``()`` or ``(seeds,)``.

        Raises:
            InputError: if it has another shape, or LARS trains a stack.
        """
        if not len(self.losses):
            if value.ndim > 1 or (value.ndim and self.recipe.optimizer == "lars"):
                raise InputError(
                    "the loss must be a scalar, or with SGD one value a seed (seeds,); "
                    f"it has shape {tuple(value.shape)}"
                )
            self._make_room(value)
        self.losses[step] = value

    def check_finite(self, step: int) -> None:
        """Check the losses up to this step's. Waits for the device.

        Raises:
            RunError: if one is NaN or infinite.
        """
        finite = self.losses[self.checked : step + 1].isfinite()
        if finite.all():
            self.checked = step + 1
            return
        which = ""
        if finite.ndim > 1:
            which = f" of seeds {(~finite.all(0)).nonzero().flatten().tolist()}"
            finite = finite.all(1)
        first = self.checked + int((~finite).nonzero()[0])
        what = "infinite" if self.losses[first].isinf().any() else "NaN"
        remedy = "lower the learning rate, or raise warmup"
        if first == 0:
            remedy = "the data, the initial scale or the loss itself gives it, before any update"
        time, rate = (
            self.recipe.times()[first].item(),
            self.recipe.rates()[max(first - 1, 0)].item(),
        )
        raise RunError(
            f"the loss{which} became {what} at step {first} (t = {time:.4g}, "
            f"learning rate {rate:.4g}): {remedy}"
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "losses": self.losses[: self.step].clone(),
            "observations": self.observations,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where a ``state`` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step = self.checked = state["step"]
        self._make_room(state["losses"][0].to(self.parameters[0].device))
        self.losses[: self.step] = state["losses"]
        self.observations, self.seconds = state["observations"], state["seconds"]

    def _make_room(self, value: Tensor) -> None:
        self.losses = value.detach().new_full((self.recipe.steps + 1, *value.shape), torch.nan)

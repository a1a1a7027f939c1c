"""The measurements of chapter 17: recurrent networks on the copying task, step times in turns, parts of gradients.

The copying task is that of kiani2022projunn. A network sees ten letters, a long stretch of blanks and a mark, and must
then repeat the letters. The trivial answer is to say only blanks and to guess the letters.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ssltheory import progress, train
from ssltheory.errors import Paused
from ssltheory.models import encoders
from ssltheory.theory import projunn as theory
from ssltheory.train import stages
from ssltheory.train.supervised import Classifier, cross_entropy, labelled
from ssltheory.unitary import column_sampling, henaff_, lsi, projunn_t, random_unitary

LETTERS, LENGTH = 8, 10
BLANK, MARK = LETTERS, LETTERS + 1
#: Ways of taking a step, in the order of ``step_seconds``.
WAYS = ("projUNN-T, rank 1", "plain, not unitary", "dense exponential", "dense polar factor")


def copying(delay: int, *shape: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Sequences of the copying task (letters, ``delay − 1`` blanks, the mark, blanks) and the answers to them.

    Args:
        delay: T, the number of steps from the last letter to the mark.
        shape: of the batch.
        generator: draws the letters, on the device where the sequences are made.

    Returns:
        Tokens and targets, int64 ``(delay + 20, *shape)``; targets are letters or blank.
    """
    random: dict[str, Any] = {"generator": generator, "device": generator.device}
    letters = torch.randint(LETTERS, (LENGTH, *shape), **random)
    tokens = torch.full((delay + 2 * LENGTH, *shape), BLANK, device=letters.device)
    targets = tokens.clone()
    tokens[:LENGTH], tokens[LENGTH + delay - 1], targets[-LENGTH:] = letters, MARK, letters
    return tokens, targets


def trivial_loss(delay: int) -> float:
    """Mean cross-entropy of the trivial answer, 10 ln 8 / (T + 20)."""
    return LENGTH * math.log(LETTERS) / (delay + 2 * LENGTH)


class Recurrent(nn.Module):
    """Networks side by side, h_t = relu(h_{t−1} W + V[x_t]), with the output O h_t + c at every step.

    W starts as Henaff's rotations, V and O as N(0, 1/n) (ours), h and c at zero. Each seed draws its own, on the CPU.

    Args:
        width: n.
        seeds: one for each network.
    """

    def __init__(self, width: int, seeds: list[int]) -> None:
        super().__init__()
        draws = [Generator().manual_seed(seed) for seed in seeds]
        deviation = width**-0.5
        self.recurrent = nn.Parameter(
            torch.stack([henaff_(torch.empty(width, width), g) for g in draws])
        )
        self.inputs = nn.Parameter(
            torch.stack([deviation * torch.randn(MARK + 1, width, generator=g) for g in draws])
        )
        self.outputs = nn.Parameter(
            torch.stack([deviation * torch.randn(width, BLANK + 1, generator=g) for g in draws])
        )
        self.bias = nn.Parameter(torch.zeros(len(seeds), 1, BLANK + 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``(T, seeds, batch)`` -> logits ``(T, seeds, batch, 9)``."""
        seen = F.one_hot(tokens, MARK + 1).to(self.inputs.dtype) @ self.inputs
        return _Unrolled.apply(seen, self.recurrent) @ self.outputs + self.bias


class _Unrolled(torch.autograd.Function):
    """h_t = relu(h_{t−1} W + x_t) for all t, with W's gradient in one product instead of one for each step."""

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor) -> Tensor:
        h = x.clone()
        h[0].relu_()
        for t in range(1, len(h)):
            h[t].baddbmm_(h[t - 1], w).relu_()
        ctx.save_for_backward(h, w)
        return h

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        h, w = ctx.saved_tensors
        alive, d, back = h > 0, g.clone(), w.mT
        d[-1].mul_(alive[-1])
        for t in range(len(h) - 2, -1, -1):
            d[t].baddbmm_(d[t + 1], back).mul_(alive[t])
        before, after = (part.transpose(0, 1).flatten(1, 2) for part in (h[:-1], d[1:]))
        return d, before.mT @ after


def learn_copying(
    net: Recurrent,
    optimizer: torch.optim.Optimizer,
    delay: int,
    batch_size: int,
    steps: int,
    seed: int,
    checkpoint: Path | None = None,
    deadline: float | None = None,
    description: str = "copying",
) -> Tensor:
    """Train in place on sequences drawn anew in each step.

    Args:
        net: on its device.
        optimizer: of its parameters.
        delay: T.
        batch_size: sequences for each step and network.
        steps: number of updates.
        seed: of the sequences.
        checkpoint: file from which to resume.
        deadline: the ``time.monotonic()`` at which to write the checkpoint and stop.
        description: label of the progress bar.

    Returns:
        The loss of every step on its own batch, ``(steps, seeds)``.

    Raises:
        Paused: at the deadline; the same call resumes.
    """
    device, count = net.bias.device, len(net.bias)
    generator = Generator(device).manual_seed(seed)
    losses = torch.zeros(steps, count, device=device)
    done = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        losses[: (done := state["done"])] = state["losses"].to(device)
    with progress.track(steps, description) as bar:
        bar.update(done)
        for step in range(done, steps):
            tokens, targets = copying(delay, count, batch_size, generator=generator)
            logits = net(tokens)
            each = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
            loss = each.view(targets.shape).mean((0, 2))
            net.zero_grad()
            loss.sum().backward()
            optimizer.step()
            losses[step] = loss.detach()
            bar.update(1)
            late = deadline is not None and time.monotonic() >= deadline
            if late and checkpoint is not None and step + 1 < steps:
                state = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
                state |= {"generator": generator.get_state(), "done": step + 1}
                stages.write(checkpoint, state | {"losses": losses[: step + 1].cpu()})
                raise Paused(f"time is up at step {step + 1} of {steps}: run the same to go on")
    return losses.cpu()


def step_seconds(
    widths: Sequence[int], rounds: int, device: torch.device, longest: float = 30.0
) -> Tensor:
    """Seconds of one step on an orthogonal n × n matrix in float32, the ``WAYS`` in turn, ``rounds`` times per width.

    The low-rank step includes finding its factors by LSI. An extra first round does not count. Seconds are inf for a
    way that, growing as n³, is expected to take longer than ``longest``.

    Args:
        widths: n, ascending.
        rounds: number of rounds at each width.
        device: where to compute.
        longest: seconds.

    Returns:
        ``(widths, 4, rounds)``.
    """
    times = torch.full((len(widths), len(WAYS), rounds), math.inf)
    expected, before = [0.0] * len(WAYS), widths[0]
    for at, n in enumerate(widths):
        random = Generator(device).manual_seed(n)
        u = random_unitary(n, generator=random, dtype=torch.float32, device=device)
        g = torch.randn(n, n, generator=random, device=device)

        def low_rank(u=u, g=g, random=random) -> Tensor:
            a, b = lsi(g, 1, random)
            return projunn_t(u, -1e-3 * a, b)

        works = [
            low_rank,
            lambda u=u, g=g: u - 1e-3 * g,
            lambda u=u, g=g: theory.dense_t(u, -1e-3 * g),
            lambda u=u, g=g: theory.dense_d(u, -1e-3 * g),
        ]
        taken = [i for i in range(len(WAYS)) if expected[i] * (n / before) ** 3 <= longest]
        for turn in range(-1, rounds):
            for i in taken:
                seconds = _seconds(works[i], device)
                if turn >= 0:
                    times[at, i, turn] = seconds
        expected, before = times[at].amin(-1).tolist(), n
    return times


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def classifier(
    encoder: Literal["mlp", "resnet18"],
    shape: tuple[int, int, int],
    classes: int,
    seed: int,
) -> nn.Sequential:
    """A network with a square layer: an MLP with two hidden layers of 256, or a ResNet-18 (its last convolution)."""
    if encoder == "mlp":
        net = encoders.mlp([math.prod(shape), 256, 256, classes])
    else:
        body: Any = encoders.resnet(18, "cifar" if shape[-1] < 64 else "imagenet", shape[0])
        net = nn.Sequential(body, nn.Linear(body.out_features, classes))
    return encoders.finish_(net, classes, seed)


def gradient_shares(
    nets: Sequence[nn.Sequential],
    x: Tensor,
    y: Tensor,
    lr: float,
    steps: int,
    seed: int,
    batch_size: int = 128,
) -> dict[str, Tensor]:
    """In which directions the gradient of the square layer lies while classifiers learn, by SGD with momentum 0.9.

    Args:
        nets: made by ``classifier``; MLPs are trained side by side.
        x: ``(seeds, n, c, h, w)``.
        y: labels ``(seeds, n)``.
        lr: learning rate.
        steps: of training.
        seed: of the batches.
        batch_size: images in each step, and the number of first images on which the gradient is taken.

    Returns:
        ``gradient_steps`` ``(r,)``; ``gradient_share`` ``(seeds, r, 64)``, the share of the squared norm in the first
        1 to 64 singular directions (a convolution's gradient is a matrix of output channels by all the rest);
        ``gradient_random`` ``(seeds, 64)``, the same for a product of Gaussian matrices of the same shape and rank;
        ``gradient_kept`` ``(seeds, 2)``, the share of the last gradient that LSI and a sample of 16 columns keep at
        rank 8, relative to the best approximation of rank 8.
    """
    looks = sorted({0, min(10, steps), steps // 4, steps})
    together = len(nets[0]) > 2
    members = [encoders.stack(nets)] if together else list(nets)

    def taken_apart(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        weight = net.get_parameter("2.weight" if together else "0.layer4.1.conv2.weight")
        loss = cross_entropy(net(x), y).sum()
        (g,) = torch.autograd.grad(loss, weight)
        return g if together else g.flatten(1)[None]

    rows, last = [], []
    for net, images, labels in zip(
        members, [x] if together else x, [y] if together else y, strict=True
    ):
        first = images[..., :batch_size, :, :, :], labels[..., :batch_size]

        def share(step: int, model: nn.Module, loss: Tensor, first=first) -> Tensor:
            return _share(taken_apart(model.get_submodule("net"), *first))

        result = train.train(
            Classifier(net.to(x.device)),
            labelled(images, labels, lambda v, generator: v, batch_size),
            cross_entropy,
            train.Recipe(steps=steps, lr=lr, momentum=0.9, seed=seed),
            observe=share,
            observe_steps=looks,
            description="gradients",
        )
        rows.append(torch.stack(result.observations, 1))
        last.append(taken_apart(net, *first))
    g = torch.cat(last)
    draw: dict[str, Any] = {"generator": Generator(x.device).manual_seed(seed), "device": x.device}
    pairs = [lsi(g, 8, draw["generator"]), column_sampling(g, 8, draw["generator"], columns=16)]
    rank = min(batch_size, *g.shape[1:]) if together else min(g.shape[1:])
    left = torch.randn(len(y), g.shape[1], rank, **draw)
    return {
        "gradient_steps": torch.tensor(looks),
        "gradient_share": torch.cat(rows),
        "gradient_kept": torch.stack([_kept(g, *pair) for pair in pairs], -1),
        "gradient_random": _share(left @ torch.randn(len(y), rank, g.shape[2], **draw)),
    }


def _share(g: Tensor) -> Tensor:
    """Share of the squared norm in the first 1 to 64 singular directions: ``(..., n, m) -> (..., 64)``."""
    g = g if g.shape[-2] <= g.shape[-1] else g.mT
    energy = torch.linalg.eigvalsh(g @ g.mT).flip(-1).clamp(min=0)
    return (energy.cumsum(-1) / energy.sum(-1, keepdim=True))[..., :64].cpu()


def _kept(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """1 − ‖G − a bᴴ‖² / ‖G‖², divided by the same for the best matrix of that rank: ``(...)``."""
    left = (g - a @ b.mH).square().sum((-2, -1)) / g.square().sum((-2, -1))
    return (1 - left).cpu() / _share(g)[..., a.shape[-1] - 1]


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)

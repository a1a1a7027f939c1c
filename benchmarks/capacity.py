"""Cost curves for the page on capacity: ``python -m benchmarks.capacity`` writes ``book/capacity.json``.

Sizes of one curve are timed in turn, round after round, so that a busy minute falls on all of them; the median counts.
The two largest sizes of each curve are held out of its fit. On a machine of several GPUs, ``--processes 8`` times one
training step shared out among up to eight.

glibc is told to keep the memory that is freed. Otherwise it gives large tensors back at once and takes them anew, and
the page faults make a step the slower the larger it is: no polynomial in the images.
"""

import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Work, arguments, duration, environment
from ssltheory import augmentations, losses, train
from ssltheory.book import provenance
from ssltheory.book.capacity import Curve
from ssltheory.models import encoders
from ssltheory.theory import stepwise
from ssltheory.train import distributed

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
BATCH, DIM, LR = 256, 64, 1e-4
CHUNKED, CHUNKS = 1024, (None, 256, 64)  # images a batch; of them at a time


def step(model: nn.Module, views: train.Views, steps: int = 2) -> Work:
    """A training run of so many updates; the last loss, which a run measures as well, is a forward pass more."""
    recipe = train.Recipe(steps=steps, lr=LR)
    return lambda: train.train(model, views, losses.barlow_twins, recipe, observe_steps=[])


def small_conv(n: int, device: str) -> Work:
    """Training steps of the small conv net on n images of 32 pixels, drawn and augmented."""
    encoder = encoders.small_conv(3)
    model = nn.Sequential(encoder, encoders.projector((encoder.out_features, 128, DIM)))
    x = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, device=device)
    return step(model.to(device), train.augmented(x, augmentations.TwoViews(32)))


def resnet(depth: int, size: int) -> nn.Module:
    """ResNet with a projector, for images of a size: the CIFAR stem at 32 pixels."""
    encoder = encoders.resnet(depth, "cifar" if size == 32 else "imagenet")
    return nn.Sequential(encoder, encoders.projector((encoder.out_features, 2048, DIM)))


def resnet18(n: int, device: str) -> Work:
    """Training steps of ResNet-18 on n images of 32 pixels, drawn and augmented."""
    x = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, device=device)
    return step(resnet(18, 32).to(device), train.augmented(x, augmentations.TwoViews(32)), 1)


def resnet50(n: int, device: str) -> Work:
    """Training steps of ResNet-50 on n images of 96 pixels, drawn and augmented."""
    x = torch.randint(0, 256, (n, 3, 96, 96), dtype=torch.uint8, device=device)
    return step(resnet(50, 96).to(device), train.augmented(x, augmentations.TwoViews(96)), 1)


def operations(depth: int, size: int) -> float:
    """Floating-point operations of a training step per image: two views, forward and backward."""
    model, x = resnet(depth, size), torch.rand(2, 3, size, size)
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return counter.get_total_flops()


def width(w: int, device: str) -> Work:
    """Training steps of a network of two hidden layers of w units, 256 pairs."""
    x_a, x_b = torch.randn(2, BATCH, 192, device=device)
    return step(encoders.mlp((192, w, w, DIM)).to(device), train.pairs(x_a, x_b))


def dimension(d: int, device: str) -> Work:
    """The Barlow Twins loss and its gradient, 256 pairs in d dimensions (linear in d where d is above the pairs)."""
    z_a, z_b = torch.randn(2, BATCH, d, device=device).requires_grad_()
    return lambda: torch.autograd.grad(losses.barlow_twins(z_a, z_b), (z_a, z_b))


def kernel(n: int, device: str) -> Work:
    """The closed form of the linear model from an (n, n) moment: its eigenvectors, and the loss at 100 times."""
    x = torch.randn(n, n, dtype=torch.float64, device=device)
    gamma, w0 = (x @ x.T) / n, 1e-3 * x[:10]
    times = torch.logspace(-2, 3, 100, dtype=torch.float64, device=device)
    return lambda: stepwise.linear_barlow_twins(gamma, dim=10, w0=w0).loss(times)


# Each begins where its costs have come to grow as counted: below, caches hold everything, and the fixed costs rule.
CURVES: dict[str, tuple[Callable[[int, str], Work], str, tuple[int, ...], tuple[int, ...]]] = {
    "small conv net, 32 px: a step": (
        small_conv,
        "images a step",
        (0, 1),
        (512, 640, 768, 1024, 1536, 2048),
    ),
    "ResNet-18, 32 px: a step": (resnet18, "images a step", (0, 1), (4, 8, 16, 32, 64)),
    "ResNet-50, 96 px: a step": (resnet50, "images a step", (0, 1), (2, 4, 8, 16, 24)),
    "MLP, two hidden layers: a step": (
        width,
        "width",
        (0, 1, 2),
        (128, 256, 512, 1024, 2048, 4096),
    ),
    "Barlow Twins, loss and gradient": (
        dimension,
        "embedding dimension d",
        (0, 1),
        (512, 768, 1024, 1536, 2048, 3072),
    ),
    "closed form of the linear model": (
        kernel,
        "kernel size n",
        (2, 3),
        (1000, 1250, 1500, 1750, 2000, 2500),
    ),
}


def measured(rounds: int, device: str) -> Iterator[Curve]:
    """Each curve in turn."""
    for name, (work, unit, powers, sizes) in CURVES.items():
        works = [work(size, device) for size in sizes]
        for call in works:
            call()  # warm
        times = [[duration(call, 1, device) for call in works] for _ in range(rounds)]
        medians = tuple(map(statistics.median, zip(*times, strict=True)))
        yield Curve(name, unit, powers, sizes, medians)


def seconds_a_step(model: nn.Module, views: train.Views, chunk_size: int | None = None) -> float:
    """Of ten updates, after one that warms."""
    options = {"observe_steps": [], "chunk_size": chunk_size}
    for steps in (1, 10):
        recipe = train.Recipe(steps=steps, lr=LR)
        result = train.train(model, views, losses.barlow_twins, recipe, **options)
    return result.seconds / steps


def shared(processes: int, device: str) -> float:
    """Seconds a step of the small conv net on 512 images, shared out among processes of one thread."""

    def run() -> float:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        encoder = encoders.small_conv(3)
        model = nn.Sequential(encoder, encoders.projector((encoder.out_features, 128, DIM)))
        x = torch.randint(0, 256, (512, 3, 32, 32), dtype=torch.uint8, device=device)
        views = train.augmented(x, augmentations.TwoViews(32))
        return seconds_a_step(model.to(device), views)

    return distributed.launch(run, processes=processes, device=device)


def chunked(chunk_size: int | None, device: str) -> dict[str, float]:
    """A step of the small conv net without BatchNorm on ``CHUNKED`` images, so many of them at a time: seconds, and
    bytes of memory over what was there before. For a process of its own."""
    encoder = encoders.small_conv(3, batch_norm=False)
    model = nn.Sequential(encoder, nn.Linear(encoder.out_features, DIM)).to(device)
    views = train.pairs(*torch.rand(2, CHUNKED, 3, 32, 32, device=device))
    where = torch.device(device)
    before = provenance.peak_memory(where)
    seconds = seconds_a_step(model, views, chunk_size)
    return {"seconds": seconds, "bytes": provenance.peak_memory(where) - before}


def main() -> None:
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # read when a process starts
        command = [sys.executable, "-m", "benchmarks.capacity", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | KEEP_MEMORY)
    chosen = arguments("capacity", processes=2)
    where = environment(chosen.device)
    curves = []
    for curve in measured(chosen.rounds, chosen.device):
        errors = ", ".join(f"{error:+.0%}" for error in curve.errors)
        print(f"{curve.name}: {curve.seconds[-1]:.3g} s at {curve.sizes[-1]}; held out {errors}")
        curves.append(curve.to_dict())
    counts = [2**k for k in range(chosen.processes.bit_length()) if 2**k <= chosen.processes]
    rounds = [[shared(n, chosen.device) for n in counts] for _ in range(chosen.rounds)]
    steps = dict(zip(counts, map(statistics.median, zip(*rounds, strict=True)), strict=True))
    print("a step shared out:", ", ".join(f"{n}: {t:.3g} s" for n, t in steps.items()))
    spawned = {"max_workers": 1, "mp_context": get_context("spawn"), "max_tasks_per_child": 1}
    with ProcessPoolExecutor(**spawned) as own:
        tried = [
            [own.submit(chunked, chunk, chosen.device).result() for chunk in CHUNKS]
            for _ in range(chosen.rounds)
        ]
    chunks = [
        {
            "chunk_size": chunk,
            **{key: statistics.median(t[key] for t in of_one) for key in of_one[0]},
        }
        for chunk, of_one in zip(CHUNKS, zip(*tried, strict=True), strict=True)
    ]
    for c in chunks:
        print(
            f"{c['chunk_size'] or 'all'} at a time: {c['seconds']:.3g} s, {c['bytes'] / 1e6:.0f} MB"
        )
    document = {
        "environment": where,
        "curves": curves,
        "processes": steps,
        "chunks": {"images": CHUNKED, "measured": chunks},
        "operations": {f"{d} {s}": operations(d, s) for d, s in ((18, 32), (50, 96), (50, 224))},
    }
    Path("book/capacity.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

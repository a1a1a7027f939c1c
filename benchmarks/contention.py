"""How much slower work gets beside busy processes: ``python -m benchmarks.contention``.

Views, a training step of a small conv net, an eigendecomposition and a quick chapter, quiet and beside one and two
processes that keep a core each busy, a round of each in turn. The peer is torchvision's transforms, image by image.
"""

import multiprocessing
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torchvision.transforms import v2

from benchmarks.harness import Work, arguments, duration, environment, write
from ssltheory import train
from ssltheory.augmentations import TwoViews
from ssltheory.losses import barlow_twins
from ssltheory.models import encoders

BUSY = (0, 1, 2)
AIM = 0.45  # of the quiet speed, beside one busy process on two cores
ROOT = Path(__file__).resolve().parent.parent


def works(folder: Path, smoke: bool) -> dict[str, Work]:
    """What is timed; with ``smoke`` a part of it, to see that it runs."""
    images = torch.randint(0, 256, (32 if smoke else 256, 3, 32, 32), dtype=torch.uint8)
    ours, each = TwoViews(32), peer()
    body = encoders.small_conv(3)
    net = torch.nn.Sequential(body, encoders.projector((body.out_features, 128, 64)))
    views, recipe = train.augmented(images, ours, len(images)), train.Recipe(steps=1, lr=1e-4)
    matrix = torch.randn(64 if smoke else 1024, 64 if smoke else 1024, dtype=torch.float64)
    matrix = matrix @ matrix.mT
    chapter = [sys.executable, "-m", "ssltheory", "run", "01-linear-staircase", "--recompute"]
    chapter += ["--scale", "tiny" if smoke else "quick", "--out", str(folder)]
    return {
        "two views": lambda: ours(images),
        "two views, torchvision": lambda: [each(image) for _ in "ab" for image in images],
        "conv training step": lambda: train.train(net, views, barlow_twins, recipe),
        "eigendecomposition": lambda: torch.linalg.eigh(matrix),
        "a chapter": lambda: subprocess.run(chapter, check=True, capture_output=True, cwd=ROOT),
    }


def peer() -> v2.Transform:
    """SimCLR's augmentations as torchvision has them."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=(0.08, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], p=0.5),
        ]
    )


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes beside this one, each with a core's worth of work."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_work, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.join()


def _work() -> None:
    while True:
        sum(range(10_000))


def main() -> None:
    """Time, print the table and write it as JSON."""
    chosen = arguments("contention", smoke=False)
    with tempfile.TemporaryDirectory() as folder:
        timed = works(Path(folder), chosen.smoke)
        seconds: dict[str, dict[int, list[float]]] = {name: {n: [] for n in BUSY} for name in timed}
        for work in timed.values():
            work()
        for _ in range(chosen.rounds):
            for n in BUSY:
                with busy(n):
                    for name, work in timed.items():
                        seconds[name][n].append(duration(work, 1, chosen.device))
    rows = {}
    print(f"{'':26}{'quiet, ms':>10}{'beside 1':>10}{'beside 2':>10}   (share of the quiet speed)")
    for name, of in seconds.items():
        quiet, *beside = (statistics.median(of[n]) for n in BUSY)
        shares = [quiet / one for one in beside]
        rows[name] = {
            "quiet_seconds": quiet,
            "share_of_speed": dict(zip(BUSY[1:], shares, strict=True)),
        }
        met = "met" if shares[0] >= AIM else "MISSED"
        print(
            f"{name:26}{1e3 * quiet:10.1f}{shares[0]:10.2f}{shares[1]:10.2f}   aim >= {AIM}: {met}"
        )
    write(
        {"benchmark": "contention", "environment": environment(chosen.device), "works": rows},
        chosen.out,
    )


if __name__ == "__main__":
    main()

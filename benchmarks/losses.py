"""Losses, forward and backward, against lightly's: ``python -m benchmarks.losses``."""

from collections.abc import Callable

import lightly.loss
import torch
from torch import Tensor

from benchmarks.harness import Comparison, arguments, compare, report
from ssltheory.losses import barlow_twins, simclr, vicreg

PAIRS = {
    "barlow_twins": (barlow_twins, lightly.loss.BarlowTwinsLoss(lambda_param=0.0051)),
    "vicreg": (vicreg, lightly.loss.VICRegLoss()),
    "simclr": (simclr, lightly.loss.NTXentLoss(temperature=0.5)),
}


def gradients(loss: Callable[[Tensor, Tensor], Tensor], z_a: Tensor, z_b: Tensor):
    return torch.autograd.grad(loss(z_a, z_b), (z_a, z_b))


def compare_loss(name: str, n: int, d: int, device: str, rounds: int) -> Comparison:
    ours, theirs = PAIRS[name]
    z = torch.randn(n, d, device=device)
    z_a, z_b = ((z + 0.5 * torch.randn(n, d, device=device)).requires_grad_() for _ in range(2))

    def agree() -> None:  # lightly's Barlow Twins adds 1e-5 to the variance
        torch.testing.assert_close(ours(z_a, z_b), theirs(z_a, z_b), rtol=1e-4, atol=1e-5)
        for a, b in zip(gradients(ours, z_a, z_b), gradients(theirs, z_a, z_b), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3 * b.abs().max().item())

    (comparison,) = compare(
        f"{name} n={n} d={d}",
        lambda: gradients(ours, z_a, z_b),
        {"lightly": lambda: gradients(theirs, z_a, z_b)},
        agree,
        rounds=rounds,
        aims={"lightly": 1.0},
        device=device,
    )
    return comparison


def main() -> None:
    chosen = arguments("losses")
    comparisons = [
        compare_loss(name, 256, d, chosen.device, chosen.rounds)
        for d in (128, 2048)
        for name in PAIRS
    ]
    report("losses", comparisons, chosen.device, chosen.out)


if __name__ == "__main__":
    main()

"""A projUNN step against plain and dense steps, width by width: ``python -m benchmarks.unitary``.

Ours is all of it at rank one: LSI of a dense gradient, and the transport. A plain step leaves the unitary matrices and
is the floor; the dense ways back are a matrix exponential and a singular value decomposition. ``--max-n 2048`` goes
further.
"""

import torch

from benchmarks.harness import Comparison, arguments, compare, report
from ssltheory import unitary
from ssltheory.theory import projunn as theory

WIDTHS = (128, 256, 512, 1024, 2048, 4096)
LR = 1e-3
AIMS = {"dense exponential": 20.0}  # at n = 1024 and above


def compare_step(n: int, device: str, rounds: int) -> list[Comparison]:
    random = torch.Generator(device).manual_seed(n)
    u = unitary.random_unitary(n, generator=random, dtype=torch.float32, device=device)
    g = torch.randn(n, n, generator=random, device=device)

    def step() -> torch.Tensor:
        a, b = unitary.lsi(g, 1, random)
        return unitary.projunn_t(u, -LR * a, b)

    peers = {
        "plain step, not unitary": lambda: u - LR * g,
        "dense exponential": lambda: theory.dense_t(u, -LR * g),
        "dense polar factor": lambda: theory.dense_d(u, -LR * g),
    }

    def agree() -> None:
        """On a gradient of rank one, which LSI keeps whole."""
        a, b = torch.randn(2, n, 1, generator=random, device=device)
        low = unitary.lsi(a @ b.mT, 1, random)
        delta = -LR * a @ b.mT
        for ours, dense in (
            (unitary.projunn_t, theory.dense_t),
            (unitary.projunn_d, theory.dense_d),
        ):
            torch.testing.assert_close(
                ours(u, -LR * low[0], low[1]), dense(u, delta), rtol=0, atol=1e-4
            )

    aims = AIMS if n >= 1024 else None
    name = f"projUNN-T, k=1, n={n}"
    return compare(name, step, peers, agree, rounds=rounds, aims=aims, device=device)


def main() -> None:
    chosen = arguments("unitary", max_n=1024)
    comparisons = [
        comparison
        for n in WIDTHS
        if n <= chosen.max_n
        for comparison in compare_step(n, chosen.device, max(3, chosen.rounds // 3))
    ]
    report("unitary", comparisons, chosen.device, chosen.out)


if __name__ == "__main__":
    main()

"""Kernels against their peers and against size: ``python -m benchmarks.ntk``.

First the empirical tangent kernel, layer by layer, against torch.func: whole Jacobians by vmap, and a loop over points.
Then the closed forms against scikit-learn's pairwise kernels. Last, time and memory of a kernel and of its top
eigenpairs against the number of points, held as a matrix and multiplied block by block without ever being held;
``--max-n 20000`` goes as far as 3.2 GB.
"""

import functools
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from sklearn.metrics import pairwise
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from benchmarks.harness import Comparison, arguments, compare, environment, report
from ssltheory.book import figures
from ssltheory.measure import kernels, ntk
from ssltheory.models import encoders

POINTS, INPUTS = 256, 192  # 8×8×3 pixels
SIZES = (1000, 2000, 5000, 10_000, 20_000)
PAIRS = 10  # top eigenpairs
FEATURES = 100


def jacobian(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """x ``(m,)`` -> every output's gradient, ``(d, parameters)``."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def one(x: Tensor) -> Tensor:
        parts = jacrev(lambda p: functional_call(model, p, (x[None],))[0])(parameters)
        return torch.cat([part.flatten(1) for part in parts.values()], 1)

    return one


def by_vmap(model: nn.Module, x: Tensor) -> Tensor:
    j = vmap(jacobian(model))(x)
    return contracted(j)


def by_loop(model: nn.Module, x: Tensor) -> Tensor:
    one = jacobian(model)
    return contracted(torch.stack([one(point) for point in x]))


def contracted(j: Tensor) -> Tensor:
    """(1/d) Σ_i J_i J_iᵀ of ``(n, d, parameters)``."""
    rows = j.flatten(1)
    return rows @ rows.T / j.shape[1]


def compare_empirical(
    name: str, model: nn.Module, x: Tensor, rounds: int, device: str
) -> list[Comparison]:
    model, x = model.double().to(device), x.double().to(device)
    kernel = functools.partial(ntk.empirical_ntk, model, x)
    peers = {"torch.func, vmap": functools.partial(by_vmap, model, x)}
    peers["torch.func, loop"] = functools.partial(by_loop, model, x)

    def agree() -> None:
        for peer in peers.values():
            torch.testing.assert_close(kernel(), peer(), rtol=1e-9, atol=1e-9)

    aims = {"torch.func, vmap": 20.0}
    return compare(name, kernel, peers, agree, rounds=rounds, aims=aims, device=device)


def compare_closed(rounds: int) -> list[Comparison]:
    x = torch.randn(4000, FEATURES, dtype=torch.float64)
    rows = x.numpy()

    def agree() -> None:
        theirs = pairwise.rbf_kernel(rows, gamma=0.01)
        torch.testing.assert_close(kernels.rbf(x, gamma=0.01), torch.from_numpy(theirs))

    return compare(
        "rbf n=4000",
        lambda: kernels.rbf(x, gamma=0.01),
        {"scikit-learn": lambda: pairwise.rbf_kernel(rows, gamma=0.01)},
        agree,
        rounds=rounds,
        aims={"scikit-learn": 1.0},
    )


def measured(n: int, held: bool, threads: int) -> dict[str, float]:
    """Seconds and peak memory of an NTK of n points and of its top eigenpairs, in a process of its own."""
    torch.set_num_threads(threads)
    kernel = functools.partial(ntk.relu_ntk, depth=2)
    falling = torch.arange(1, FEATURES + 1) ** -0.5  # variance 1/j, as of photographs
    x = falling * torch.randn(n, FEATURES, generator=torch.Generator().manual_seed(0)).double()
    before, start = peak_bytes(), time.perf_counter()
    k = kernel(x) if held else kernels.operator(kernel, x)
    formed = time.perf_counter() - start
    values, _ = kernels.top_eigenpairs(k, PAIRS)
    both = time.perf_counter() - start
    return {
        "n": n,
        "held": held,
        "kernel_seconds": formed,
        "eigenpairs_seconds": both - formed,
        "bytes": peak_bytes() - before,
        "matrix_bytes": 8 * n**2,
        "largest": float(values[0]),
    }


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in kilobytes


def scaling(max_n: int, threads: int) -> list[dict[str, float]]:
    """A process a size, so that the peak is its own; matrix-free only where a matrix-vector product is bearable."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for n in (n for n in SIZES if n <= max_n):
        for held in (True, False):
            if not held and n > 10_000:
                continue  # each product forms the kernel anew
            with context.Pool(1) as pool:
                rows.append(pool.apply(measured, (n, held, threads)))
            row = rows[-1]
            print(
                f"n = {n:6}  {'held' if held else 'matrix-free':12}"
                f"kernel {row['kernel_seconds']:7.2f} s  top {PAIRS} {row['eigenpairs_seconds']:7.2f} s  "
                f"{row['bytes'] / 2**30:6.2f} GiB (matrix {row['matrix_bytes'] / 2**30:.2f})",
                flush=True,
            )
        held, free = (rows[-2], rows[-1]) if rows[-1]["held"] is False else (rows[-1], None)
        assert free is None or abs(free["largest"] / held["largest"] - 1) < 1e-9
    return rows


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Time and memory against n, with the slope of n²."""
    figures.style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.8))
    colors = {True: figures.COLORS["barlow_twins"], False: figures.COLORS["simclr"]}
    for held, label in ((True, "held"), (False, "matrix-free")):
        some = [row for row in rows if row["held"] is held]
        n = [row["n"] for row in some]
        if held:
            left.plot(
                n,
                [row["kernel_seconds"] for row in some],
                "o-",
                color="#7f7f7f",
                label="forming the kernel",
            )
        eigen = [row["eigenpairs_seconds"] for row in some]
        left.plot(n, eigen, "s-", color=colors[held], label=f"top {PAIRS} eigenpairs, {label}")
        right.plot(n, [row["bytes"] / 2**30 for row in some], "o-", color=colors[held], label=label)
    n = [row["n"] for row in rows if row["held"]]
    right.plot(
        n,
        [8 * m**2 / 2**30 for m in n],
        "--",
        color=figures.THEORY,
        lw=1.2,
        label="one n × n matrix",
    )
    left.set(xscale="log", yscale="log", xlabel="points n", ylabel="seconds")
    right.set(
        xscale="log", yscale="log", xlabel="points n", ylabel="peak memory beyond the points  (GiB)"
    )
    for axes in (left, right):
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    chosen = arguments("ntk", max_n=5000)
    x = torch.randn(POINTS, INPUTS)
    conv = encoders.small_conv(3, (8, 16), batch_norm=False)
    models = {
        f"MLP 64-10, n={POINTS}": (encoders.mlp((INPUTS, 64, 10)), x),
        f"MLP 64-64-10, n={POINTS}": (encoders.mlp((INPUTS, 64, 64, 10)), x),
        f"conv 8-16, n={POINTS}": (conv, x.view(-1, 3, 8, 8)),
    }
    rounds = max(3, chosen.rounds // 5)
    comparisons = [
        comparison
        for name, (model, points) in models.items()
        for comparison in compare_empirical(name, model, points, rounds, chosen.device)
    ]
    comparisons += compare_closed(rounds)
    report("ntk", comparisons, chosen.device, chosen.out)
    rows = scaling(chosen.max_n, chosen.threads)
    out = chosen.out.with_name("ntk-scaling.json")
    out.write_text(
        json.dumps({"environment": environment(chosen.device), "rows": rows}, indent=2) + "\n"
    )
    draw(rows, out.with_suffix(".png"))
    print(f"-> {out}, {out.with_suffix('.png')}")


if __name__ == "__main__":
    main()

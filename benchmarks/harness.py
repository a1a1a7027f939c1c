"""Ours against its peers in one process: agreement first, then interleaved rounds, then ratios.

A shared machine moves every timing by more than most differences, so what counts is the ratio
inside one round, where both ran within a moment of each other; its median and range are reported,
beside each one's own times.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ssltheory.book import provenance

Work = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds a call, over the rounds."""

    minimum: float
    median: float
    quartiles: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Ours and one peer; ``ratio`` is the peer's time over ours in the same round (above 1: we are faster)."""

    name: str
    peer: str
    rounds: int
    items: int
    ours: Times
    theirs: Times
    ratio: float
    ratio_range: tuple[float, float]
    aim: float | None


def compare(
    name: str,
    ours: Work,
    peers: Mapping[str, Work],
    agree: Callable[[], None],
    rounds: int = 15,
    items: int = 1,
    peer_items: Mapping[str, int] | None = None,
    aims: Mapping[str, float] | None = None,
    device: str = "cpu",
    at_least: float = 5e-3,
) -> list[Comparison]:
    """Times ``ours`` and each peer, a round of each in turn.

    Args:
        name: what is compared.
        ours, peers: calls without arguments.
        agree: raises unless ours and the peers compute the same; runs before any clock.
        rounds: how often each is timed; the order is reversed every other round.
        items: images, views, ... that a call of ours handles; times are for that many.
        peer_items: the same of a peer whose call handles fewer; its times are scaled to ``items``.
        aims: the ratio each peer should reach, for the table.
        device: synchronised around each timing if it is a GPU.
        at_least: a fast call is repeated until a timing takes about this many seconds.
    """
    agree()
    contenders = {"ours": ours, **peers}
    repeats = {}
    for who, work in contenders.items():
        once = duration(work, 1, device)
        if once < 1:  # a longer call needs no repeating
            once = min(duration(work, 1, device) for _ in range(3))
        repeats[who] = max(1, round(at_least / once))
    seconds: dict[str, list[float]] = {who: [] for who in contenders}
    for i in range(rounds):
        for who in list(contenders)[:: -1 if i % 2 else 1]:
            scale = items / (peer_items or {}).get(who, items)
            seconds[who].append(scale * duration(contenders[who], repeats[who], device))
    return [
        _comparison(name, who, seconds["ours"], seconds[who], items, (aims or {}).get(who))
        for who in peers
    ]


def report(benchmark: str, comparisons: list[Comparison], device: str, out: Path) -> None:
    """Prints the table and writes it as JSON, with what the numbers depend on."""
    print(f"{'':28}{'peer':>24}{'ours, ms':>10}{'peer, ms':>10}{'ratio':>8}   {'range':16}aim")
    for c in comparisons:
        aim = "" if c.aim is None else f">= {c.aim:g} {'met' if c.ratio >= c.aim else 'MISSED'}"
        spread = f"{c.ratio_range[0]:.2f} - {c.ratio_range[1]:.2f}"
        print(
            f"{c.name:28}{c.peer:>24}{1e3 * c.ours.median:10.3f}{1e3 * c.theirs.median:10.3f}"
            f"{c.ratio:8.2f}   {spread:16}{aim}"
        )
    document = {
        "benchmark": benchmark,
        "environment": environment(device),
        "comparisons": [asdict(c) for c in comparisons],
    }
    write(document, out)


def write(document: Mapping[str, object], out: Path) -> None:
    """As JSON, and says where."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"-> {out}")


def environment(device: str) -> dict[str, object]:
    """What a timing depends on: versions, device, threads and how busy the machine is."""
    threads = torch.get_num_threads()
    name = provenance.device_name(torch.device(device))
    return {
        "python": platform.python_version(),
        "versions": {
            name: _version(name) for name in ("torch", "torchvision", "lightly", "kornia")
        },
        "device": name.removesuffix(f" ({threads} threads)"),
        "threads": threads,
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def arguments(benchmark: str, **own: int) -> argparse.Namespace:
    """``--device``, ``--rounds``, ``--threads`` and ``--out`` of a benchmark's command line, and its own numbers and
    switches (False)."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{benchmark}")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks") / f"{benchmark}.json")
    for name, default in own.items():
        kind = {"action": "store_true"} if default is False else {"type": int, "default": default}
        parser.add_argument(f"--{name.replace('_', '-')}", **kind)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    return chosen


def duration(work: Work, repeats: int, device: str) -> float:
    """Seconds a call."""
    _synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    _synchronize(device)
    return (time.perf_counter() - start) / repeats


def _synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _comparison(
    name: str, peer: str, ours: list[float], theirs: list[float], items: int, aim: float | None
) -> Comparison:
    ratios = [t / o for o, t in zip(ours, theirs, strict=True)]
    return Comparison(
        name=name,
        peer=peer,
        rounds=len(ratios),
        items=items,
        ours=_times(ours),
        theirs=_times(theirs),
        ratio=statistics.median(ratios),
        ratio_range=(min(ratios), max(ratios)),
        aim=aim,
    )


def _times(seconds: list[float]) -> Times:
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Times(min(seconds), middle, (low, high))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

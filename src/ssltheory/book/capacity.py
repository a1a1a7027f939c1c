"""What a figure costs: measured times at small sizes, a polynomial of known degree through them, and what it foretells.

A cost curve is t(s) = Σ_k c_k s^k with c_k >= 0 and the powers k that counting operations gives (a product of n × n
matrices: 3). It is fitted in relative error at the smaller sizes; the larger ones are held out and judge it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import nnls

#: Trainings of a ResNet at the papers' scale: name, network and pixels, updates, images an update.
RUNS = (
    ("chapter 02, three losses from two starts", "50 96", 6 * 4_000, 256),
    ("chapter 05, one training", "18 32", 39_062, 128),
    ("chapter 06, three methods", "18 32", 3 * 39_062, 128),
    ("chapter 13, one training", "18 32", 1_500, 512),
    ("chapter 02 on ImageNet: one loss, 100 epochs at 224 pixels", "50 224", 500_455, 256),
)
SUSTAINED = 100e12  # operations a second of a GPU, assumed


@dataclass(frozen=True)
class Curve:
    """One measured cost curve.

    Attributes:
        name: what was timed.
        unit: what a size counts.
        powers: k of the terms c_k s^k.
        sizes, seconds: ``(n,)`` rising sizes, and the median time of each.
        held_out: how many of the largest sizes were kept from the fit.
    """

    name: str
    unit: str
    powers: tuple[int, ...]
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    held_out: int = 2

    @property
    def coefficients(self) -> np.ndarray:
        """c_k, ``(len(powers),)``, from the sizes that are not held out."""
        return fit(
            self.sizes[: -self.held_out or None],
            self.seconds[: -self.held_out or None],
            self.powers,
        )

    def foretold(self, size: float) -> float:
        """Seconds at a size."""
        return float(np.power(float(size), self.powers) @ self.coefficients)

    @property
    def errors(self) -> list[float]:
        """Foretold / measured − 1 at the sizes that were held out."""
        pairs = zip(self.sizes, self.seconds, strict=True)
        return [self.foretold(s) / t - 1 for s, t in list(pairs)[len(self.sizes) - self.held_out :]]

    def to_dict(self) -> dict:
        """For JSON; ``Curve(**...)`` reads it."""
        return asdict(self)


def fit(sizes: Sequence[float], seconds: Sequence[float], powers: Sequence[int]) -> np.ndarray:
    """The c >= 0 that minimise Σ (Σ_k c_k s^k / t − 1)²."""
    terms = np.power.outer(np.asarray(sizes, dtype=float), powers) / np.asarray(seconds)[:, None]
    scale = terms.max(0)
    return nnls(terms / scale, np.ones(len(terms)))[0] / scale


def to_markdown(document: dict) -> str:
    """The tables of the page on capacity, from what ``benchmarks.capacity`` wrote."""
    curves = [Curve(**curve) for curve in document["curves"]]
    where = document["environment"]
    lines = [
        f"Measured on {where['time'][:10]} on {where['device']} with {where['threads']} threads, torch "
        f"{where['versions']['torch']}; medians. The fit knows none of the sizes held out.\n",
        "| cost | model, seconds | held out: measured, foretold | error |",
        "| --- | --- | --- | --- |",
    ]
    for curve in curves:
        pairs = list(zip(curve.sizes, curve.seconds, strict=True))[-curve.held_out :]
        seen = "; ".join(f"{s:,}: {t:.3g} s, {curve.foretold(s):.3g} s" for s, t in pairs)
        errors = "; ".join(f"{error:+.0%}".replace("-", "−") for error in curve.errors)
        lines.append(f"| {curve.name} ({curve.unit}) | {_formula(curve)} | {seen} | {errors} |")
    shared = {int(n): t for n, t in document["processes"].items()}
    lines += [
        "\nA step of the small conv net on 512 images, shared out among processes of one thread each:\n",
        "| processes | seconds a step | speed-up |",
        "| --- | --- | --- |",
        *(f"| {n} | {t:.3g} | {shared[1] / t:.2f} |" for n, t in shared.items()),
    ]
    return "\n".join(lines) + "\n"


def chunks_to_markdown(document: dict) -> str:
    """What taking a batch in chunks saves and costs, as ``benchmarks.capacity`` measured it."""
    measured, where = document["chunks"]["measured"], document["environment"]
    lines = [
        f"A step of the small conv net without BatchNorm on {document['chunks']['images']:,} images of 32 pixels "
        f"({where['device']}, {where['threads']} threads; memory is what the training adds):\n",
        "| images at a time | memory, MB | seconds a step |",
        "| --- | --- | --- |",
        *(
            f"| {c['chunk_size'] or 'all'} | {c['bytes'] / 1e6:,.0f} | {c['seconds']:.2g} |"
            for c in measured
        ),
    ]
    return "\n".join(lines) + "\n"


def runs_to_markdown(document: dict) -> str:
    """What the trainings at the papers' scale need, from the operations counted and the seconds of a CPU."""
    curves = {curve["name"]: Curve(**curve) for curve in document["curves"]}
    rates = {}  # operations a second, seen on large batches
    for network, name in (
        ("18 32", "ResNet-18, 32 px: a step"),
        ("50 96", "ResNet-50, 96 px: a step"),
    ):
        rates[network] = document["operations"][network] / curves[name].coefficients[1]
    rates["50 224"] = rates["50 96"]
    lines = [
        "| trainings | updates × images | operations | this CPU | one GPU at 100 TFLOP/s | eight |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, network, updates, images in RUNS:
        work = updates * images * document["operations"][network]
        cpu, gpu = work / rates[network], work / SUSTAINED
        lines.append(
            f"| {name} | {updates:,} × {images} | {work / 1e15:,.0f} PFLOP | {_long(cpu)} | {_long(gpu)} "
            f"| {_long(gpu / 8)} |"
        )
    return "\n".join(lines) + "\n"


def _long(seconds: float) -> str:
    """Seconds in the unit that a person would take."""
    units = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    unit, size = next(((u, s) for u, s in units if seconds >= 2 * s), units[-1])
    return f"{seconds / size:,.0f} {unit}"


def _formula(curve: Curve) -> str:
    """c_0 + c_1 s + …, without the terms that the fit left out."""
    terms = zip(curve.coefficients, curve.powers, strict=True)
    written = {0: "", 1: " s"}
    parts = [f"{c:.2g}{written.get(k, f' s<sup>{k}</sup>')}" for c, k in terms if c > 0]
    return " + ".join(parts)

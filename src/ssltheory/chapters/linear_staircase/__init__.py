"""Chapter 01: one eigenmode at a time, in a linear model."""

from typing import Literal

from ssltheory.book.checks import check_count, check_crop, shape_of
from ssltheory.book.parameters import Dataset, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 01."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    n_images: int = at(1797, tiny=400, full=2000, paper=500, ge=2, means="images drawn, two random crops each")
    pixels: Literal["unit", "normalised"] = at(
        "unit", full="normalised", paper="normalised",
        means="in [0, 1], or each channel less its mean, over a constant",
    )
    crop: int = at(6, tiny=4, full=20, paper=20, ge=1, means="side of the crops in pixels")
    shift: int = at(-1, ge=-1, means="the second crop lies at most so many pixels from the first; -1: anywhere")
    dim: int = at(10, tiny=4, ge=1, means="embedding dimension d, the number of steps")
    init_scale: float = at(1e-7, tiny=1e-5, gt=0, lt=1, means="α: the entries of W(0) are independent, N(0, α²)")
    lr_fraction: float = at(
        0.1, tiny=0.2, full=0.06, paper=0.06, gt=0, lt=1,
        means="learning rate, as a fraction of the stability limit 1 / 4γ₁",
    )
    n_seeds: int = at(5, tiny=2, ge=1, le=100, means="repetitions, each with its own images, crops and start")
    # fmt: on

    def check(self, source: Source) -> None:
        """Check number of images, crop and dimension against the data set."""
        shape = shape_of(source)
        check_count(source, "n_images", self.n_images)
        check_crop(self.crop, shape)
        if self.pixels == "normalised" and shape[0] != 3:
            raise InputError(
                f"pixels=normalised: {source.name} has images of {shape[0]} channel, and the deviations are those of "
                f"red, green and blue; take pixels=unit"
            )
        inputs = shape[0] * self.crop**2
        if self.dim > inputs:
            raise InputError(
                f"dim={self.dim}: crops of {self.crop}×{self.crop}×{shape[0]} have m = {inputs} inputs, "
                f"dim is at most m"
            )


CHAPTER = Chapter(
    id="01-linear-staircase",
    title="One eigenmode at a time",
    paper="simon2023stepwise",
    figure="Figure 1 A, B",
    claim=(
        "A linear model trained with Barlow Twins from a small start learns the top eigenmodes of Γ one after "
        "another, each along a logistic curve at a time known before training."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: two draws, four modes, a coarse learning rate.",
        "full": "The paper's setting with four times its images: 2,000 of CIFAR-10.",
        "paper": (
            "The paper's data and sizes: 500 CIFAR-10 images, 20×20 crops (m = 1200); d, α and the scale of the "
            "pixels as its figure shows them, a learning rate near its own."
        ),
    },
    seconds={"tiny": 5, "quick": 20, "full": 120, "paper": 120},
)

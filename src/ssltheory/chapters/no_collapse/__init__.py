"""Chapter 04: why networks without negatives do not collapse."""

from ssltheory.book.checks import check_count, shape_of
from ssltheory.book.parameters import Dataset, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 04."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    n_images: int = at(600, tiny=100, full=2000, paper=2000, ge=2, means="images, all of them in every step")
    dim: int = at(
        16, tiny=4, full=32, paper=32, ge=1, means="modes: dimensions of the whitened inputs and of the embedding"
    )
    noise: float = at(0.25, gt=0, le=4, means="σ², variance of the augmentation")
    weight_decay: float = at(0.17, paper=0.04, ge=0, lt=1, means="η, weight decay of the runs on images")
    lr: float = at(0.1, tiny=0.2, full=0.05, paper=0.01, gt=0, le=0.2, means="learning rate of the runs on images")
    horizon: float = at(
        40.0, tiny=20.0, full=60.0, paper=60.0, ge=5, le=1000,
        means="length of the runs on images in time, learning rate × step",
    )
    n_seeds: int = at(
        2, tiny=1, full=5, paper=5, ge=1, le=100, means="repetitions, each with its own images, start and noise"
    )
    # fmt: on

    def check(self, source: Source) -> None:
        """Check number of images and modes against the data set."""
        channels, height, width = shape_of(source)
        check_count(source, "n_images", self.n_images)
        most = min(channels * height * width, self.n_images) // 2
        if self.dim > most:
            raise InputError(
                f"dim={self.dim}: {self.n_images} images of {height}×{width}×{channels} are whitened "
                f"to at most {most} modes, half of what their rank can be"
            )


CHAPTER = Chapter(
    id="04-no-collapse",
    title="Why nothing collapses",
    paper="tian2021directpred",
    figure="Figures 3, 4 and 5",
    claim=(
        "Predictor and stop-gradient together keep each mode of an embedding alive that starts outside a known "
        "basin, as long as the weight decay is below a known threshold; without either, everything decays."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: four modes, a short training.",
        "full": "Natural images on a CPU: more of them, a finer step, five repetitions.",
        "paper": "The paper's learning rate and weight decay of its simulations; σ², start and data are ours.",
    },
    seconds={"tiny": 6, "quick": 25, "full": 240, "paper": 600},
)

"""Chapter 03: the embedding gains one dimension a step, from a point to a solid."""

from typing import Literal

from ssltheory.book.checks import check_count, check_crop, shape_of
from ssltheory.book.parameters import Dataset, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 03."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    model: Literal["linear", "mlp"] = at("linear", means="what is trained")
    n_images: int = at(200, tiny=60, full=2000, paper=500, ge=4, means="images drawn, two random crops each")
    resolution: int = at(16, tiny=8, full=0, paper=0, ge=0, means="side that images are resized to; 0: as they are")
    crop: int = at(12, tiny=5, full=16, paper=20, ge=1, means="side of the crops in pixels")
    dim: int = at(5, tiny=4, ge=4, le=64, means="embedding dimension d, the number of steps")
    init_scale: float = at(1e-7, gt=0, lt=1, means="linear: α, the entries of W(0) are independent, N(0, α²)")
    lr_fraction: float = at(
        0.1, tiny=0.2, full=0.02, paper=0.02, gt=0, lt=1,
        means="linear: learning rate, as a fraction of the stability limit 1 / 4γ₁",
    )
    net_width: int = at(256, tiny=32, ge=1, means="mlp: units of both hidden layers")
    net_scale: float = at(0.3, gt=0, means="mlp: factor on every parameter of He's initialisation")
    net_lr: float = at(0.005, tiny=0.01, full=0.001, paper=0.001, gt=0, means="mlp: learning rate")
    net_steps: int = at(1600, tiny=200, full=8000, paper=8000, ge=200, means="mlp: steps of gradient descent")
    n_seeds: int = at(5, tiny=2, ge=1, le=100, means="repetitions, each with its own images, crops and start")
    # fmt: on

    def check(self, source: Source) -> None:
        """Check number of images, crop and dimension against the data set."""
        shape = shape_of(source, self.resolution)
        check_count(source, "n_images", self.n_images)
        check_crop(self.crop, shape)
        inputs = shape[0] * self.crop**2
        if self.dim > inputs:
            raise InputError(
                f"dim={self.dim}: crops of {self.crop}×{self.crop} have m = {inputs} inputs, "
                f"dim is at most m"
            )


CHAPTER = Chapter(
    id="03-embedding-dimensions",
    title="From a point to a solid",
    paper="simon2023stepwise",
    figure="Figure 1, right",
    claim=(
        "Between two learning steps the embeddings of all images fill as many dimensions as steps were taken, "
        "and a learnt dimension stays where it is: a point, a line, a surface, a solid."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: two draws of small crops, a coarse learning rate.",
        "full": "Natural images on a CPU: 2,000 of them, with smaller crops than the paper's.",
        "paper": (
            "The data and sizes of the paper's linear panels: 500 CIFAR-10 images, 20×20 crops (m = 1200). The panel "
            "itself shows a ResNet on STL-10 whose settings could not be read; d, α, the learning rate and the pixel "
            "scaling are ours."
        ),
    },
    seconds={"tiny": 6, "quick": 14, "full": 60, "paper": 180},
)

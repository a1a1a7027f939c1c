"""Chapter 03: the embedding gains one dimension a step, from a point to a solid."""

from typing import Literal

from ssltheory.book.checks import check_count, check_crop, shape_of
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError

MOST_LINEAR = 64  # dimensions of a linear model


class Parameters(Settings):
    """Settings of chapter 03."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", long="stl10-sample", paper="cifar10")
    model: Literal["linear", "mlp", "resnet18"] = at("linear", long="resnet18", means="what is trained")
    n_images: int = at(200, tiny=60, full=2000, long=230, paper=500, ge=4, means="images drawn, two views each")
    resolution: int = at(
        16, tiny=8, full=0, long=0, paper=0, ge=0, means="side that images are resized to; 0: as they are"
    )
    crop: int = at(12, tiny=5, full=16, long=64, paper=20, ge=1, means="side of the views in pixels")
    augment: Literal["crop", "standard"] = at(
        "crop", long="standard", means="views by random crops alone, or by SimCLR's augmentations"
    )
    dim: int = at(5, tiny=4, long=512, ge=4, le=512, means="embedding dimension d; linear: the number of steps")
    init_scale: float = at(1e-7, gt=0, lt=1, means="linear: α, the entries of W(0) are independent, N(0, α²)")
    lr_fraction: float = at(
        0.1, tiny=0.2, full=0.02, paper=0.02, gt=0, lt=1,
        means="linear: learning rate, as a fraction of the stability limit 1 / 4γ₁",
    )
    net_width: int = at(
        256, tiny=32, long=512, ge=1, means="mlp: units of both hidden layers; resnet18: of the projector's"
    )
    net_scale: float = at(0.3, long=0.35, gt=0, means="networks: factor on every parameter of the standard start")
    net_lr: float = at(0.005, tiny=0.01, full=0.001, long=0.012, paper=0.001, gt=0, means="networks: learning rate")
    net_steps: int = at(
        1600, tiny=200, full=8000, long=600, paper=8000, ge=1, means="networks: steps of gradient descent"
    )
    bfloat16: bool = at(False, long=True, means="networks train in bfloat16; what is measured never is")
    n_seeds: int = at(5, tiny=2, long=1, ge=1, le=100, means="repetitions, each with its own images, views and start")
    minutes: Minutes = at(0.0, long=100.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check number of images, crop and dimension against the data set."""
        shape = shape_of(source, self.resolution)
        check_count(source, "n_images", self.n_images)
        if self.augment == "crop":
            check_crop(self.crop, shape)
        inputs = shape[0] * self.crop**2
        if self.model != "resnet18" and self.dim > inputs:
            raise InputError(
                f"dim={self.dim}: crops of {self.crop}×{self.crop} have m = {inputs} inputs, "
                f"dim is at most m"
            )
        if self.model == "linear" and self.dim > MOST_LINEAR:
            raise InputError(
                f"dim={self.dim}: a record holds all dimensions of a linear model, take {MOST_LINEAR} at most"
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
        "long": (
            "The paper's picture on a CPU: a ResNet-18 with d = 512, trained with Barlow Twins on 230 fixed pairs of "
            "64-pixel views in full batches. The images are PNG copies of 296 of STL-10's, to be put into the data "
            "folder as stl10-sample.npz."
        ),
        "paper": (
            "The data and sizes of the paper's linear panels: 500 CIFAR-10 images, 20×20 crops (m = 1200). The panel "
            "itself shows a ResNet on STL-10, for which see the scale long; d, α, the learning rate and the pixel "
            "scaling are ours."
        ),
    },
    seconds={"tiny": 6, "quick": 14, "full": 60, "long": 2100, "paper": 180},
)

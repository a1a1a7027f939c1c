"""Chapter 12: what a deterministic network maximises when it is said to maximise information."""

from typing import Literal

from ssltheory.book.checks import check_batch, check_most, no_labels, shape_of, training_images
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 12."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    encoder: Literal["mlp", "resnet18"] = at(
        "mlp", paper="resnet18", means="network; the MLP has two hidden layers with ReLU"
    )
    augment: Literal["crop", "cifar10"] = at(
        "crop", paper="cifar10", means="views by crops alone, or as is usual on CIFAR-10"
    )
    size: int = at(8, paper=32, ge=4, means="side of the views in pixels")
    area: float = at(0.8, full=0.5, paper=0.2, gt=0, le=1, means="smallest crop, as a fraction of the image's area")
    n_images: int = at(0, ge=0, means="training images; 0: all")
    n_points: int = at(200, tiny=60, paper=500, ge=10, means="test images, the centres of the mixture")
    n_probe: int = at(
        32, tiny=10, full=50, paper=200, ge=1, means="how many of the test images have their neighbourhood tested"
    )
    n_affine: int = at(
        6, tiny=4, full=12, paper=8, ge=1, means="at how many of the test images J is computed, in float64"
    )
    n_draws: int = at(512, tiny=64, ge=20, means="draws of the noise around an image")
    hidden: int = at(256, tiny=32, paper=512, ge=1, means="units of the MLP's hidden layers")
    dim: int = at(64, tiny=8, ge=2, means="outputs d; the representation of a ResNet-18 has 512")
    width: int = at(0, paper=2048, ge=0, means="units of the projector's hidden layer; 0: no projector")
    batch_size: int = at(64, tiny=32, paper=256, ge=2, means="images per step")
    lr: float = at(
        0.03, full=0.015, paper=0.003, gt=0,
        means="peak learning rate of VICReg, a third of the others'; cosine schedule",
    )
    steps: int = at(500, tiny=20, full=1000, paper=1950, ge=1, means="steps of gradient descent")
    sigma: float = at(0.03, gt=0, means="σ, noise of the inputs in the conditional term")
    read_noise: float = at(1.0, gt=0, means="s, standard deviation of the components of the mixture")
    n_seeds: int = at(
        3, tiny=1, full=5, paper=1, ge=1, le=100, means="repetitions, each with its own network and batches"
    )
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check the sizes against each other and the data set, which must have labels."""
        shape_of(source)
        check_batch(self.batch_size, training_images(source, self.n_images, "train", self.seed))
        if (source.labels[source.indices("train", self.seed)] < 0).any():
            raise no_labels(source)
        tests = len(source.indices("test", self.seed))
        check_most("n_points", self.n_points, tests, f"test images in {source.name}")
        for name in ("n_probe", "n_affine"):
            check_most(name, getattr(self, name), self.n_points, "images of n_points")
        if self.encoder == "resnet18" and self.n_seeds > 1:
            raise InputError(
                f"n_seeds={self.n_seeds}: a ResNet is measured one at a time, take n_seeds=1 and another seed"
            )


CHAPTER = Chapter(
    id="12-what-we-maximise",
    title="What do we maximise?",
    paper="shwartzziv2022what",
    figure="normality of the outputs against the noise of the inputs, and the terms of the bound; settings ours",
    claim=(
        "A deterministic network turns a little Gaussian noise around an image into a Gaussian, so that outputs are "
        "a mixture of Gaussians whose information can be bounded; VICReg's terms are such a bound, tight in one regime."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: a few steps of a small network.",
        "full": "Natural images on a CPU: crops of 8 pixels a side, five repetitions.",
        "paper": (
            "ResNet-18 on CIFAR-10, its 512 features in front of a projector, 512 draws an image; what is not of the "
            "papers' abstracts is ours. One seed, hence no intervals: a ResNet is measured one at a time. One GPU; "
            "run the same command again until it is done."
        ),
    },
    seconds={"tiny": 10, "quick": 28, "full": 105, "paper": 480},
)

"""Chapter 11: covariances at the projector's output, dependence at its input."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, no_labels, shape_of, training_images
from ssltheory.data import Source, training_split
from ssltheory.errors import InputError


class PairwiseIndependence(Parameters):
    """Settings of chapter 11."""

    variants: Literal["most", "all"] = Field(
        "most", description="projectors; all: also a wide one that is learnt, and SimCLR"
    )
    encoder: Literal["mlp", "resnet18"] = Field("mlp", description="network")
    augment: Literal["crop", "cifar10"] = Field(
        "crop", description="views: crops alone, or those usual on CIFAR-10"
    )
    size: int = Field(8, ge=4, description="side of the views in pixels")
    area: float = Field(
        0.6, gt=0, le=1, description="smallest crop, as a share of the image's area"
    )
    n_images: int = Field(0, ge=0, description="training images; 0: all")
    n_probe: int = Field(
        150, ge=20, description="test images on which dependence is measured, or all there are"
    )
    n_labels: int = Field(1000, ge=10, description="labelled images that a probe learns from")
    hidden: int = Field(256, ge=1, description="hidden layer of the MLP")
    dim: int = Field(64, ge=3, description="representation d of the MLP; a ResNet-18 has 512")
    narrow: int = Field(64, ge=2, description="least width of a projector")
    wide: int = Field(1024, ge=2, description="largest width of a projector")
    batch_size: int = Field(64, ge=2, description="images a step, two views each")
    lr: float = Field(0.01, gt=0, description="learning rate")
    steps: int = Field(200, ge=1, description="steps of gradient descent")
    n_samples: int = Field(
        2000, ge=100, description="samples of the sources that are mixed and recovered"
    )
    n_seeds: int = Field(1, ge=1, le=100, description="repetitions: other networks and batches")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold the sizes against each other and the data set, which must have labels."""
        shape_of(source)
        images = training_images(source, self.n_images, training_split(source.name), self.seed)
        check_batch(self.batch_size, images)
        if (source.labels < 0).all():
            raise no_labels(source)
        available = len(source.indices("train", self.seed))
        if self.n_labels > available:
            raise InputError(
                f"n_labels={self.n_labels}: {source.name} has {available} labelled training images"
            )
        if self.wide < 4 * self.narrow:
            raise InputError(
                f"wide={self.wide}: a trend needs at least 4 × narrow, {4 * self.narrow}"
            )


CHAPTER = Chapter(
    id="11-pairwise-independence",
    title="Independent in pairs",
    paper="mialon2022variance",
    figure="Figure 1 and the experiment on independent components",
    claim=(
        "Decorrelating the outputs of a projector makes its inputs pairwise independent, the more so the wider it is, "
        "and a random one will do; the same penalty separates mixed signals."
    ),
    parameters=PairwiseIndependence,
    seconds={"tiny": 15, "quick": 25, "full": 300, "paper": 480},
)

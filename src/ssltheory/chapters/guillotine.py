"""Chapter 13: where to cut a network after it was trained."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, check_count, no_labels, shape_of
from ssltheory.data import Source


class Guillotine(Parameters):
    """Settings of chapter 13."""

    encoder: Literal["mlp", "small_conv", "resnet18"] = Field(
        "mlp", description="trunk: an MLP of two hidden layers, three convolutions, or a ResNet-18"
    )
    resolution: int = Field(0, ge=0, description="images resized to this side; 0: as they are")
    n_images: int = Field(1200, ge=20, description="training images of a repetition")
    n_test: int = Field(597, ge=20, description="test images of a repetition")
    backbone: int = Field(64, ge=4, description="features of the backbone; the ResNet has 512")
    width: int = Field(128, ge=1, description="hidden layers of the MLP and of the projector")
    dim: int = Field(32, ge=2, description="outputs of the projector")
    depth: int = Field(3, ge=1, le=8, description="linear layers of the projector")
    rotation: float = Field(
        20.0, ge=0, le=180, description="a view is turned by up to so many degrees"
    )
    shift: float = Field(0.125, ge=0, le=0.5, description="and shifted by this share of its side")
    brightness: float = Field(0.4, ge=0, lt=1, description="and made brighter or darker by this")
    temperature: float = Field(0.2, gt=0, description="of SimCLR")
    covariance: float = Field(
        1.0, ge=0, description="VICReg's weight of the covariances; invariance and variance: 25"
    )
    batch_size: int = Field(64, ge=2, description="pairs a step")
    lr: float = Field(0.3, gt=0, description="peak learning rate; cosine schedule, momentum 0.9")
    steps: int = Field(600, ge=1, description="steps of gradient descent")
    sweeps: Literal["none", "ends", "all"] = Field(
        "ends",
        description="other rotations, weights, temperatures, depths: none, extremes, or more",
    )
    n_seeds: int = Field(3, ge=1, le=100, description="repetitions: other images, network, batches")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold sizes against the data set, which must have labels."""
        shape_of(source, self.resolution)
        if (source.labels < 0).any():
            raise no_labels(source)
        check_count(source, "n_images + n_test", self.n_images + self.n_test)
        check_batch(self.batch_size, self.n_images)


CHAPTER = Chapter(
    id="13-guillotine",
    title="Where to cut",
    paper="bordes2023guillotine",
    figure="probes at every layer; all settings ours",
    claim=(
        "What a pretext task throws away it throws away in the last layers: cut them off, and augmentations and "
        "hyper-parameters matter less; where positive pairs come from labels there is nothing to gain."
    ),
    parameters=Guillotine,
    seconds={"tiny": 8, "quick": 40, "full": 340, "paper": 480},
)

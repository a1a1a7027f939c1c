"""Chapter 12: what a deterministic network maximises when it is said to maximise information."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, no_labels, shape_of, training_images
from ssltheory.data import Source
from ssltheory.errors import InputError


class WhatWeMaximise(Parameters):
    """Settings of chapter 12."""

    encoder: Literal["mlp", "resnet18"] = Field(
        "mlp", description="network: two hidden layers with ReLU, or a ResNet-18"
    )
    augment: Literal["crop", "cifar10"] = Field(
        "crop", description="views: crops alone, or those usual on CIFAR-10"
    )
    size: int = Field(8, ge=4, description="side of the views in pixels")
    area: float = Field(
        0.8, gt=0, le=1, description="smallest crop, as a share of the image's area"
    )
    n_images: int = Field(0, ge=0, description="training images; 0: all")
    n_points: int = Field(200, ge=10, description="test images, the centres of the mixture")
    n_probe: int = Field(32, ge=1, description="of these, images whose neighbourhood is tested")
    n_affine: int = Field(6, ge=1, description="of these, images where J is computed, in float64")
    n_draws: int = Field(512, ge=20, description="draws of the noise around an image")
    hidden: int = Field(256, ge=1, description="hidden layers of the MLP")
    dim: int = Field(64, ge=2, description="outputs d; the representation of a ResNet-18 has 512")
    width: int = Field(0, ge=0, description="hidden layer of a projector; 0: no projector")
    batch_size: int = Field(64, ge=2, description="images a step")
    lr: float = Field(
        0.03, gt=0, description="VICReg's peak learning rate, a third of the others'; cosine"
    )
    steps: int = Field(500, ge=1, description="steps of gradient descent")
    sigma: float = Field(0.03, gt=0, description="noise of the inputs in the conditional term")
    read_noise: float = Field(
        1.0, gt=0, description="s, deviation of the components of the mixture"
    )
    n_seeds: int = Field(3, ge=1, le=100, description="repetitions: other networks and batches")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold the sizes against each other and the data set, which must have labels."""
        shape_of(source)
        check_batch(self.batch_size, training_images(source, self.n_images, "train", self.seed))
        if (source.labels[source.indices("train", self.seed)] < 0).any():
            raise no_labels(source)
        tests = len(source.indices("test", self.seed))
        if self.n_points > tests:
            raise InputError(
                f"n_points={self.n_points}: {source.name} has {tests} test images, take less"
            )
        for name in ("n_probe", "n_affine"):
            if getattr(self, name) > self.n_points:
                raise InputError(
                    f"{name}={getattr(self, name)}: these are of the n_points={self.n_points} "
                    "test images, take at most as many"
                )
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
    parameters=WhatWeMaximise,
    seconds={"tiny": 10, "quick": 28, "full": 105, "paper": 480},
)

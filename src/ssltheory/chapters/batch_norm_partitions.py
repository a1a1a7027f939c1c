"""Chapter 15: what BatchNorm does to the partition of a network's inputs."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, check_count, no_labels, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError

#: A network folded: with nothing, with the mean only, with the deviation only, with both as BatchNorm has them.
FOLDED = ("none", "centre", "scale", "bn")
#: What is trained: these, and BatchNorm in every step.
TRAINED = (*FOLDED, "full")
INITS = ("torch", "he")
GROUPS = (256, 64, 16, 8)  # over which BatchNorm's statistics are taken, of 256 points
BATCHES = (8, 32, 128)


class BatchNormPartitions(Parameters):
    """Settings of chapter 15."""

    encoder: Literal["mlp", "conv"] = Field(
        "mlp", description="networks on images: an MLP, or 3×3 convolutions"
    )
    resolution: int = Field(0, ge=0, description="images resized to this side; 0: as they are")
    n_images: int = Field(1400, ge=200, description="training images of a repetition")
    n_test: int = Field(397, ge=20, description="test images of a repetition")
    depth: int = Field(10, ge=2, le=50, description="hidden layers of the networks on images")
    dim: int = Field(64, ge=2, description="their units, or channels, a layer")
    points: int = Field(200, ge=1, description="images, and places in noise, to look around")
    directions: int = Field(16, ge=1, description="random places on the sphere around each")
    radius: float = Field(
        0.1,
        gt=0,
        description="of the sphere, as a share of the images' RMS distance from their mean",
    )
    batch_size: int = Field(64, ge=2, description="images a step")
    lr: float = Field(0.05, gt=0, description="learning rate, constant")
    steps: int = Field(330, ge=1, description="steps of gradient descent")
    n_nets: int = Field(60, ge=1, le=500, description="random networks on the plane")
    n_moons: int = Field(10, ge=2, le=100, description="repetitions on the two moons")
    moon_steps: int = Field(200, ge=1, description="steps of Adam on the two moons")
    n_seeds: int = Field(4, ge=1, le=100, description="repetitions: other images, network, batches")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold sizes against the data set, which must have labels."""
        shape_of(source, self.resolution)
        if (source.labels < 0).any():
            raise no_labels(source)
        check_count(source, "n_images + n_test", self.n_images + self.n_test)
        check_batch(self.batch_size, self.n_images)
        if self.points > self.n_test:
            raise InputError(
                f"points={self.points}: there are {self.n_test} test images to look around, take less"
            )


CHAPTER = Chapter(
    id="15-batch-norm-partitions",
    title="BatchNorm draws the map",
    paper="balestriero2022batchnorm",
    figure="partition of the plane layer by layer; density of boundaries by depth; margin by batch size",
    claim=(
        "BatchNorm moves the boundaries of a network's partition to the data, whatever the weights and before any "
        "training; mini-batches make the boundaries shake, and the margin grows."
    ),
    parameters=BatchNormPartitions,
    seconds={"tiny": 15, "quick": 28, "full": 140, "paper": 480},
)

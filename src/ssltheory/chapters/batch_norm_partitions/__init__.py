"""Chapter 15: what BatchNorm does to the partition of a network's inputs."""

from typing import Literal

from ssltheory.book.checks import check_classifier, check_most
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source


class Parameters(Settings):
    """Settings of chapter 15."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    encoder: Literal["mlp", "conv"] = at("mlp", paper="conv", means="networks on images; conv has 3×3 convolutions")
    resolution: int = at(0, paper=32, ge=0, means="side that images are resized to; 0: as they are")
    n_images: int = at(1400, tiny=300, full=5000, paper=50000, ge=200, means="training images per repetition")
    n_test: int = at(397, tiny=100, full=1000, paper=10000, ge=20, means="test images per repetition")
    depth: int = at(10, tiny=3, paper=9, ge=2, le=50, means="hidden layers of the networks on images")
    dim: int = at(64, tiny=16, ge=2, means="units, or channels, of each of these layers")
    points: int = at(200, tiny=20, ge=1, means="test images, and as many places in noise, to look around")
    directions: int = at(16, tiny=4, ge=1, means="random places on the sphere around each")
    radius: float = at(0.1, gt=0, means="radius of the sphere, in units of the images' RMS distance from their mean")
    batch_size: int = at(64, tiny=32, paper=256, ge=2, means="images per step")
    lr: float = at(0.05, full=0.01, gt=0, means="learning rate, constant")
    steps: int = at(330, tiny=20, full=800, paper=1000, ge=1, means="steps of gradient descent")
    n_nets: int = at(60, tiny=2, full=200, paper=500, ge=1, le=500, means="random networks on the plane")
    n_moons: int = at(10, tiny=2, full=20, paper=40, ge=2, le=100, means="repetitions on the two moons")
    moon_steps: int = at(200, tiny=30, ge=1, means="steps of Adam on the two moons")
    n_seeds: int = at(
        4, tiny=1, full=5, paper=5, ge=1, le=100, means="repetitions, each with its own images, network and batches"
    )
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against the data set, which must have labels."""
        check_classifier(source, self.resolution, self.n_images, self.n_test, self.batch_size)
        check_most("points", self.points, self.n_test, "test images")


CHAPTER = Chapter(
    id="15-batch-norm-partitions",
    title="BatchNorm draws the map",
    paper="balestriero2022batchnorm",
    figure="partition of the plane layer by layer; density of boundaries by depth; margin by batch size",
    claim=(
        "BatchNorm moves the boundaries of a network's partition to the data, whatever the weights and before any "
        "training; mini-batches make the boundaries shake, and the margin grows."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: few networks, few steps, one repetition.",
        "full": (
            "Natural images on a CPU: MLPs on CIFAR-10's pixels, five repetitions; more networks on the plane and on "
            "the moons."
        ),
        "paper": (
            "Convolutional networks of nine layers on CIFAR-10: on the plane the paper's network, four layers of six "
            "units; of its networks on images no setting was at hand, these are ours. One GPU; fifty trainings of "
            "five epochs. Run the same command again until it is done."
        ),
    },
    seconds={"tiny": 15, "quick": 28, "full": 140, "paper": 480},
)

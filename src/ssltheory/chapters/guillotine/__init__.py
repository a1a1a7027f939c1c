"""Chapter 13: where to cut a network after it was trained."""

from typing import Literal

from ssltheory.book.checks import check_classifier
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source


class Parameters(Settings):
    """Settings of chapter 13."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    encoder: Literal["mlp", "small_conv", "resnet18"] = at(
        "mlp", full="small_conv", paper="resnet18", means="trunk; mlp: two hidden layers, small_conv: three"
    )
    resolution: int = at(0, full=12, paper=32, ge=0, means="side that images are resized to; 0: as they are")
    n_images: int = at(1200, tiny=400, full=6000, paper=50000, ge=20, means="training images per repetition")
    n_test: int = at(597, tiny=300, full=3000, paper=10000, ge=20, means="test images per repetition")
    backbone: int = at(64, tiny=32, paper=512, ge=4, means="features of the backbone; the ResNet has 512")
    width: int = at(128, tiny=32, paper=2048, ge=1, means="units of the hidden layers of the MLP and of the projector")
    dim: int = at(32, tiny=16, paper=2048, ge=2, means="outputs of the projector")
    depth: int = at(3, ge=1, le=8, means="linear layers of the projector")
    rotation: float = at(20.0, ge=0, le=180, means="views: largest rotation in degrees")
    shift: float = at(0.125, ge=0, le=0.5, means="views: largest shift in each direction, as a fraction of the side")
    brightness: float = at(0.4, ge=0, lt=1, means="views: largest change of brightness, as a fraction of it")
    temperature: float = at(0.2, gt=0, means="temperature of SimCLR")
    covariance: float = at(1.0, ge=0, means="weight of VICReg's covariance term; invariance and variance have 25")
    batch_size: int = at(64, tiny=32, paper=512, ge=2, means="pairs per step")
    lr: float = at(0.3, full=0.1, paper=0.1, gt=0, means="peak learning rate; cosine schedule, momentum 0.9")
    steps: int = at(600, tiny=30, full=400, paper=1500, ge=1, means="steps of gradient descent")
    sweeps: Literal["none", "ends", "all"] = at(
        "ends", full="all", means="sweep rotation, covariance; all: temperature, depth too"
    )
    n_seeds: int = at(
        3, tiny=1, full=5, paper=1, ge=1, le=100, means="repetitions, each with its own images, network and batches"
    )
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against the data set, which must have labels."""
        check_classifier(source, self.resolution, self.n_images, self.n_test, self.batch_size)


CHAPTER = Chapter(
    id="13-guillotine",
    title="Where to cut",
    paper="bordes2023guillotine",
    figure="probes at every layer; all settings ours",
    claim=(
        "What a pretext task throws away it throws away in the last layers: cut them off, and augmentations and "
        "hyper-parameters matter less; where positive pairs come from labels there is nothing to gain."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: a narrow network, few steps, one repetition.",
        "full": (
            "Natural images on a CPU: a small convolutional network on CIFAR-10 reduced to 12×12, all sweeps, five "
            "repetitions."
        ),
        "paper": (
            "A network of the usual size on CIFAR-10; the paper's settings could not be read, these are ours. One "
            "GPU; run the same command again until it is done. One repetition, so no interval over seeds: -p "
            "n_seeds=5 takes as many times longer."
        ),
    },
    seconds={"tiny": 8, "quick": 40, "full": 340, "paper": 480},
)

"""Chapter 14: which classes pay for a regulariser."""

from typing import Literal

from ssltheory.book.checks import check_batch, check_count, check_labelled, shape_of
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 14."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    sweeps: Literal["crop", "all", "fine"] = at(
        "crop", full="all", paper="fine", means="crops; all: jitter and weight decay too; fine: finer grids"
    )
    encoder: Literal["small_conv", "resnet18"] = at("small_conv", paper="resnet18", means="network")
    size: int = at(8, full=16, paper=32, ge=4, means="side of the images that the network sees, in pixels")
    flip: float = at(0.0, full=0.5, paper=0.5, ge=0, le=1, means="probability of a horizontal flip")
    dim: int = at(32, tiny=16, full=64, paper=512, ge=4, means="channels of the small network's last layer")
    n_test: int = at(
        1197, full=4353, paper=10000, ge=1,
        means="test images for all repetitions: the test split, then training images",
    )
    n_images: int = at(
        300, tiny=100, full=4000, paper=0, ge=0,
        means="training images per repetition, drawn from the rest; 0: all of the rest",
    )
    batch_size: int = at(60, tiny=20, full=64, paper=512, ge=2, means="images per step")
    lr: float = at(0.1, paper=0.2, gt=0, means="peak learning rate")
    weight_decay: float = at(5e-4, gt=0, means="weight decay while the augmentation changes")
    steps: int = at(200, tiny=10, full=1200, paper=1172, ge=1, means="steps of gradient descent")
    n_seeds: int = at(
        10, tiny=2, full=5, paper=5, ge=2, le=100,
        means="repetitions, each with its own training images, network and batches",
    )
    n_ridge: int = at(150, full=1000, paper=1000, ge=10, means="training images of the ridge regression")
    n_splits: int = at(100, tiny=4, full=40, paper=40, ge=2, means="splits on which the ridge regression is repeated")
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check the sizes against the data set, which must have labels."""
        channels, _, _ = shape_of(source)
        check_labelled(source)
        train, test = (len(source.indices(part, self.seed)) for part in ("train", "test"))
        left = train + test - max(self.n_test, test)
        if left < max(self.n_images, 2):
            raise InputError(
                f"n_test={self.n_test}: this leaves {max(left, 0)} of the {train + test} images of {source.name} "
                f"to train on: lower n_test, or n_images={self.n_images}"
            )
        check_batch(self.batch_size, self.n_images or left)
        check_count(source, "n_ridge", self.n_ridge + 1)
        if self.sweeps != "crop" and channels == 1:
            raise InputError(
                f"sweeps={self.sweeps}: the images of {source.name} are grey, jitter has no colours to change; "
                "take sweeps=crop"
            )


CHAPTER = Chapter(
    id="14-class-dependent",
    title="Which classes pay",
    paper="balestriero2022class",
    figure="abstract: accuracy of single classes under random crops and weight decay",
    claim=(
        "A regulariser that raises the average accuracy can cost single classes more than the average gains; which "
        "ones only repetitions with intervals tell."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: two repetitions of a few steps, and few splits.",
        "full": (
            "Natural images on a CPU: five repetitions of a small network on 16-pixel images, with jitter and weight "
            "decay. Tested on 4,353 images: of the subset with exact pixels all 1,017 test images and 3,336 training "
            "images that no repetition trains on."
        ),
        "paper": (
            "CIFAR-10 with a ResNet-18, five repetitions of 12 epochs on a finer grid (ours: the paper has ImageNet "
            "and a ResNet-50): 65 trainings. One GPU and 6 GB of disk for checkpoints; run the same command again "
            "until it is done."
        ),
    },
    seconds={"tiny": 8, "quick": 40, "full": 800, "paper": 480},
)

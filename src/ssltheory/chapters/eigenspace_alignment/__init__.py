"""Chapter 05: the predictor's eigenspaces align with those of the embedding."""

from typing import Literal

from ssltheory.book.checks import check_batch, shape_of, training_images
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source, training_split


class Parameters(Settings):
    """Settings of chapter 05."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    encoder: Literal["small_conv", "resnet18"] = at("small_conv", paper="resnet18", means="network")
    augment: Literal["crop", "cifar10", "stl10"] = at(
        "crop", full="cifar10", paper="cifar10", means="views by mild crops, or the paper's for that data set"
    )
    size: int = at(8, full=16, paper=32, ge=4, means="side of the views in pixels")
    area: float = at(0.8, full=0.08, paper=0.08, gt=0, le=1, means="smallest crop, as a fraction of the image's area")
    n_images: int = at(0, ge=0, means="training images; 0: all")
    n_probe: int = at(2000, tiny=500, paper=2048, ge=2, means="images on which F is measured; all, if there are fewer")
    width: int = at(128, tiny=32, paper=512, ge=1, means="units of the projector's hidden layer")
    dim: int = at(64, tiny=32, paper=128, ge=2, means="embedding dimension d")
    batch_size: int = at(64, full=128, paper=128, ge=2, means="images per step, two views each")
    lr: float = at(0.03, gt=0, means="learning rate of encoder and projector")
    alpha_p: float = at(1.0, gt=0, means="learning rate of the predictor, in units of lr")
    momentum: float = at(0.9, ge=0, lt=1, means="momentum of gradient descent")
    weight_decay: float = at(4e-4, ge=0, means="η, weight decay of every parameter")
    average: float = at(
        0.996, ge=0, lt=1, means="γ_a, fraction of the target network kept each step; 0: none (SimSiam)"
    )
    steps: int = at(1000, tiny=100, full=2200, paper=39062, ge=1, means="steps of gradient descent")
    n_seeds: int = at(1, full=5, ge=1, le=100, means="repetitions, each with its own network and batches")
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check the sizes against the data set."""
        shape_of(source)
        images = training_images(source, self.n_images, training_split(source.name), self.seed)
        check_batch(self.batch_size, images)


CHAPTER = Chapter(
    id="05-eigenspace-alignment",
    title="Eigenspaces align",
    paper="tian2021directpred",
    figure="Figure 2",
    claim=(
        "While a network learns without negatives, the eigenvectors of its linear predictor turn into those of the "
        "embedding's second moment, mode by mode, and the predictor becomes symmetric by itself."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: a few steps of a narrow embedding.",
        "full": (
            "Natural images on a CPU: 16-pixel views with the paper's augmentations, five repetitions of each "
            "predictor."
        ),
        "paper": (
            "The paper's network and settings on CIFAR-10, for 100 epochs. One GPU; run the same command again until "
            "it is done. For STL-10: -p dataset=stl10 -p augment=stl10 -p size=96 -p steps=82031"
        ),
    },
    seconds={"tiny": 10, "quick": 30, "full": 780, "paper": 480},
)

"""Chapter 14: which classes pay for a regulariser."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, check_count, no_labels, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError

#: Smallest crop as a share of the image's area, the first without crops; jitter strengths; weight decays.
AREAS = {
    "crop": (1.0, 0.75, 0.5, 0.25, 0.08),
    "all": (1.0, 0.75, 0.5, 0.25, 0.08),
    "fine": (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.08),
}
JITTERS = {"crop": (), "all": (0.4, 0.8), "fine": (0.2, 0.4, 0.8)}
DECAYS = {"crop": (), "all": (0.0, 2e-3, 8e-3), "fine": (0.0, 2e-3, 8e-3)}


class ClassDependent(Parameters):
    """Settings of chapter 14."""

    sweeps: Literal["crop", "all", "fine"] = Field(
        "crop",
        description="five crops; or also colour jitter and the network's weight decay; or both on a finer grid",
    )
    encoder: Literal["small_conv", "resnet18"] = Field("small_conv", description="network")
    size: int = Field(8, ge=4, description="side of the images that the network sees, in pixels")
    flip: float = Field(0.0, ge=0, le=1, description="probability of a horizontal flip")
    dim: int = Field(32, ge=4, description="channels of the small network's last layer")
    n_test: int = Field(
        1197,
        ge=1,
        description="test images, the same for all; the test split, then training images",
    )
    n_images: int = Field(
        300, ge=0, description="training images of a repetition, drawn from the rest; 0: all of it"
    )
    batch_size: int = Field(60, ge=2, description="images a step")
    lr: float = Field(0.1, gt=0, description="peak learning rate")
    weight_decay: float = Field(
        5e-4, gt=0, description="weight decay while the augmentation changes"
    )
    steps: int = Field(200, ge=1, description="steps of gradient descent")
    n_seeds: int = Field(
        10, ge=2, le=100, description="repetitions: other training images, network, batches"
    )
    n_ridge: int = Field(150, ge=10, description="training images of the ridge regression")
    n_splits: int = Field(100, ge=2, description="splits on which the ridge regression is repeated")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold the sizes against the data set, which must have labels."""
        channels, _, _ = shape_of(source)
        if (source.labels < 0).any():
            raise no_labels(source)
        train, test = (len(source.indices(part, self.seed)) for part in ("train", "test"))
        left = train + test - max(self.n_test, test)
        if left < max(self.n_images, 2):
            raise InputError(
                f"n_test={self.n_test}: of {source.name}'s {train + test} images {max(left, 0)} are left "
                f"to train on, take fewer for the test or for n_images={self.n_images}"
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
    parameters=ClassDependent,
    seconds={"tiny": 8, "quick": 40, "full": 800, "paper": 480},
)

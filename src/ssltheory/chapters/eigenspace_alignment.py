"""Chapter 05: the predictor's eigenspaces align with those of the embedding."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, shape_of, training_images
from ssltheory.data import Source, training_split


class EigenspaceAlignment(Parameters):
    """Settings of chapter 05."""

    encoder: Literal["small_conv", "resnet18"] = Field("small_conv", description="network")
    augment: Literal["crop", "cifar10", "stl10"] = Field(
        "crop", description="views: mild crops alone, or those that the paper has for a data set"
    )
    size: int = Field(8, ge=4, description="side of the views in pixels")
    area: float = Field(
        0.8, gt=0, le=1, description="smallest crop, as a share of the image's area"
    )
    n_images: int = Field(0, ge=0, description="training images; 0: all")
    n_probe: int = Field(
        2000, ge=2, description="images on which F is measured; all there are if they are fewer"
    )
    width: int = Field(128, ge=1, description="hidden layer of the projector")
    dim: int = Field(64, ge=2, description="embedding dimension d")
    batch_size: int = Field(64, ge=2, description="images a step, two views each")
    lr: float = Field(0.03, gt=0, description="learning rate of encoder and projector")
    alpha_p: float = Field(1.0, gt=0, description="the predictor's, in units of it")
    momentum: float = Field(0.9, ge=0, lt=1, description="of gradient descent")
    weight_decay: float = Field(4e-4, ge=0, description="η, of every parameter")
    average: float = Field(
        0.996, ge=0, lt=1, description="γ_a, share of the target that stays; 0: none (SimSiam)"
    )
    steps: int = Field(1000, ge=1, description="steps of gradient descent")
    n_seeds: int = Field(1, ge=1, le=100, description="repetitions: other networks and batches")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold the sizes against the data set."""
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
    parameters=EigenspaceAlignment,
    seconds={"tiny": 10, "quick": 30, "full": 780, "paper": 480},
)

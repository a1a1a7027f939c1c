"""Chapter 06: the predictor set by hand, and what happens without one."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, no_labels, shape_of, training_images
from ssltheory.data import Source, training_split
from ssltheory.errors import InputError

#: Every method by name, in the order of the figures.
METHODS = (
    *("directpred", "directpred_5", "directcopy", "byol_linear", "byol", "simsiam"),
    *("no_predictor", "no_stop_gradient"),
)
THREE = ("directpred", "byol_linear", "no_predictor")


class DirectPred(Parameters):
    """Settings of chapter 06."""

    methods: Literal["three", "all"] = Field(
        "three", description="DirectPred, a learnt linear predictor and none; or all eight methods"
    )
    encoder: Literal["small_conv", "resnet18"] = Field("small_conv", description="network")
    augment: Literal["crop", "cifar10", "stl10"] = Field(
        "crop", description="views: crops alone, or those that the paper has for a data set"
    )
    size: int = Field(8, ge=4, description="side of the views in pixels")
    area: float = Field(
        0.6, gt=0, le=1, description="smallest crop, as a share of the image's area"
    )
    n_images: int = Field(0, ge=0, description="training images; 0: all")
    n_probe: int = Field(
        2000, ge=2, description="images on which F is measured; all there are if they are fewer"
    )
    n_labels: int = Field(100, ge=10, description="labelled images that a probe learns from")
    width: int = Field(128, ge=1, description="hidden layer of the projector")
    dim: int = Field(64, ge=2, description="embedding dimension d")
    batch_size: int = Field(64, ge=2, description="images a step, two views each")
    lr: float = Field(0.03, gt=0, description="learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="of gradient descent")
    weight_decay: float = Field(4e-4, ge=0, description="η, of every parameter")
    average: float = Field(
        0.996, ge=0, lt=1, description="γ_a, share of the target that stays; 0: none"
    )
    eps: float = Field(0.1, ge=0, description="ε of DirectPred")
    steps: int = Field(1000, ge=1, description="steps of gradient descent")
    n_seeds: int = Field(1, ge=1, le=100, description="repetitions: other split, network, batches")
    ablation_seeds: int = Field(
        0, ge=0, description="repetitions of the sweeps over ε, η, γ_a and α_p; 0: no sweeps"
    )
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold the sizes against the data set, which must have labels."""
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

    @property
    def chosen(self) -> tuple[str, ...]:
        """The methods to run."""
        return METHODS if self.methods == "all" else THREE


CHAPTER = Chapter(
    id="06-directpred",
    title="DirectPred",
    paper="tian2021directpred",
    figure="Tables 6 and 8",
    claim=(
        "A predictor set from the embedding's second moment, with no gradient of its own, keeps more modes alive than "
        "a learnt one and is the better for it; with no predictor or no stop-gradient everything collapses."
    ),
    parameters=DirectPred,
    seconds={"tiny": 12, "quick": 40, "full": 800, "paper": 480},
)

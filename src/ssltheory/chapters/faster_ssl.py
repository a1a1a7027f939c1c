"""Chapter 08: the small eigendirections pulled up."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, check_crop, no_labels, shape_of, training_images
from ssltheory.data import Source


class FasterSSL(Parameters):
    """Settings of chapter 08."""

    alpha: float = Field(
        1e-5, gt=0, lt=0.1, description="start of the linear model: entries N(0, α²)"
    )
    eps: float = Field(
        0.1, gt=0, le=100, description="ε of the networks' preconditioner (S + εI)⁻¹"
    )
    encoder: Literal["mlp", "resnet18"] = Field(
        "mlp", description="network; only the ResNet has BatchNorm"
    )
    resolution: int = Field(0, ge=0, description="images resized to this side; 0: as they are")
    crop: int = Field(6, ge=1, description="side of the views in pixels")
    augment: Literal["crop", "standard"] = Field(
        "crop", description="views: random crops alone, or SimCLR's augmentations"
    )
    n_images: int = Field(1400, ge=0, description="training images; 0: all")
    batch_size: int = Field(64, ge=2, description="pairs a step, their views drawn anew")
    width: int = Field(64, ge=2, description="hidden layers of the MLP or of the projector")
    dim: int = Field(8, ge=2, description="embedding dimension d")
    init_scale: float = Field(
        0.3, gt=0, lt=1, description="small start: every parameter of He's start times this"
    )
    lr_barlow_twins: float = Field(
        0.03, gt=0, description="small start: Barlow Twins, plain and preconditioned"
    )
    lr_vicreg: float = Field(
        0.016, gt=0, description="small start: VICReg, plain and preconditioned"
    )
    lr_isoloss: float = Field(
        0.16, gt=0, description="IsoLoss; a fortieth of it from the standard start"
    )
    lr_barlow_twins_standard: float = Field(
        0.0005, gt=0, description="standard start: plain Barlow Twins"
    )
    lr_preconditioned_standard: float = Field(
        0.004, gt=0, description="standard start: preconditioned Barlow Twins"
    )
    lr_vicreg_standard: float = Field(
        0.0032, gt=0, description="standard start: VICReg, plain and preconditioned"
    )
    steps: int = Field(800, ge=2, description="steps of gradient descent, the same for all")
    n_seeds: int = Field(4, ge=2, le=100, description="repetitions: other starts")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold sizes against the data set and against each other."""
        check_crop(self.crop, shape_of(source, self.resolution))
        train = source.indices("train", self.seed)
        if len(set(source.labels[train].tolist())) < 2:
            raise no_labels(source)
        images = training_images(source, self.n_images, "train", self.seed)
        check_batch(self.batch_size, images)


CHAPTER = Chapter(
    id="08-faster-ssl",
    title="Pull up the small directions",
    paper="simon2023stepwise",
    figure="appendix G and the authors' blog, a proposal without a recipe: ours",
    claim=(
        "Most of the time of a small start goes by in waiting for directions that are not there yet; a gradient "
        "rescaled by the inverse of the embedding's own second moment cuts that waiting by a known factor."
    ),
    parameters=FasterSSL,
    seconds={"tiny": 8, "quick": 32, "full": 900, "paper": 480},
)

"""Chapter 02: the staircase of deep networks, under three losses."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_crop, shape_of, training_images
from ssltheory.data import Source, training_split
from ssltheory.errors import InputError


class DeepStaircase(Parameters):
    """Settings of chapter 02."""

    loss: Literal["barlow_twins", "simclr", "vicreg", "all"] = Field(
        "barlow_twins", description="the loss, or all three one after another"
    )
    encoder: Literal["mlp", "small_conv", "resnet18", "resnet50"] = Field(
        "mlp", description="network; only the ResNets have BatchNorm"
    )
    resolution: int = Field(16, ge=0, description="images resized to this side; 0: as they are")
    crop: int = Field(14, ge=1, description="side of the views in pixels")
    augment: Literal["crop", "standard"] = Field(
        "crop", description="views: random crops alone, or SimCLR's augmentations"
    )
    n_images: int = Field(96, ge=0, description="training images, two views each; 0: all")
    batch_size: int = Field(
        0, ge=0, description="pairs a step, their views drawn anew; 0: fixed pairs, full batch"
    )
    n_probe: int = Field(
        512, ge=2, description="images of the fixed probe set; with fixed pairs, these themselves"
    )
    width: int = Field(128, ge=16, description="hidden layers of the MLP or of the projector")
    dim: int = Field(10, ge=2, description="embedding dimension d, the number of steps")
    init_scale: float = Field(
        0.3, gt=0, lt=1, description="small start: every parameter of He's start times this"
    )
    lr_barlow_twins: float = Field(0.008, gt=0, description="learning rate of Barlow Twins")
    lr_simclr: float = Field(0.005, gt=0, description="learning rate of SimCLR")
    lr_vicreg: float = Field(0.001, gt=0, description="learning rate of VICReg")
    lr_standard: float = Field(
        0.02, gt=0, description="learning rate of the standard start, as a share of the above"
    )
    warmup: int = Field(0, ge=0, description="steps over which the learning rate rises")
    steps: int = Field(2500, ge=1, description="steps of gradient descent")
    n_seeds: int = Field(5, ge=1, le=100, description="repetitions: other start, images and crops")
    processes: int = Field(1, ge=1, description="processes on this machine that share each batch")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold sizes against the data set and against each other."""
        shape = shape_of(source, self.resolution)
        if self.augment == "crop":
            check_crop(self.crop, shape)
        images = training_images(source, self.n_images, training_split(source.name), self.seed)
        if images < 2:
            raise InputError(f"n_images={images}: contrast needs two images or more")
        if self.batch_size == 1 or self.batch_size > images:
            raise InputError(
                f"batch_size={self.batch_size}: take 2 to {images} (the images), or 0 for fixed pairs"
            )
        if (self.batch_size or images) % self.processes:
            raise InputError(
                f"processes={self.processes}: a batch of {self.batch_size or images} cannot be shared "
                "out evenly; take a divisor of it"
            )
        if self.warmup > self.steps:
            raise InputError(f"warmup={self.warmup}: the run has {self.steps} steps, take less")


CHAPTER = Chapter(
    id="02-deep-staircase",
    title="The staircase of deep networks",
    paper="simon2023stepwise",
    figure="Figure 1 C, D and section 6",
    claim=(
        "A deep network trained with Barlow Twins, SimCLR or VICReg from a small start learns its embedding one "
        "dimension at a time: each step of the loss is one new eigenvalue."
    ),
    parameters=DeepStaircase,
    seconds={"tiny": 10, "quick": 30, "full": 80, "paper": 480},
)

"""Chapter 02: the staircase of deep networks, under three losses."""

from typing import Literal

from ssltheory.book.checks import check_crop, shape_of, training_images
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source, training_split
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 02."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="stl10")
    loss: Literal["barlow_twins", "simclr", "vicreg", "all"] = at(
        "barlow_twins", full="all", paper="all", means="loss; all: the three, one by one"
    )
    encoder: Literal["mlp", "small_conv", "resnet18", "resnet50"] = at(
        "mlp", paper="resnet50", means="network; only ResNets have BatchNorm"
    )
    resolution: int = at(16, tiny=8, paper=96, ge=0, means="side that images are resized to; 0: as they are")
    crop: int = at(14, tiny=7, full=12, paper=96, ge=1, means="side of the views in pixels")
    augment: Literal["crop", "standard"] = at(
        "crop", paper="standard", means="views by random crops alone, or by SimCLR's augmentations"
    )
    n_images: int = at(96, tiny=48, paper=0, ge=0, means="training images, two views each; 0: all")
    batch_size: int = at(
        0, paper=256, ge=0, means="pairs per step, with new views each time; 0: fixed pairs, full batch"
    )
    n_probe: int = at(
        512, tiny=32, ge=2, means="images whose embeddings are measured; fixed pairs are measured on themselves"
    )
    width: int = at(128, tiny=32, paper=2048, ge=16, means="units of the hidden layers of the MLP, or of the projector")
    dim: int = at(10, tiny=4, paper=50, ge=2, means="embedding dimension d, the number of steps")
    init_scale: float = at(
        0.3, tiny=0.4, full=0.25, gt=0, lt=1, means="small start: factor on every parameter of He's initialisation"
    )
    lr_barlow_twins: float = at(
        0.008, tiny=0.01, paper=0.01, gt=0, means="learning rate of Barlow Twins from the small start"
    )
    lr_simclr: float = at(0.005, paper=0.01, gt=0, means="learning rate of SimCLR from the small start")
    lr_vicreg: float = at(0.001, full=0.002, paper=0.002, gt=0, means="learning rate of VICReg from the small start")
    lr_standard: float = at(0.02, gt=0, means="learning rate from the standard start, as a fraction of those above")
    warmup: int = at(0, paper=100, ge=0, means="steps over which the learning rate rises")
    steps: int = at(2500, tiny=800, paper=4000, ge=1, means="steps of gradient descent")
    n_seeds: int = at(5, tiny=2, paper=1, ge=1, le=100, means="repetitions, each with its own start, images and crops")
    processes: int = at(1, ge=1, means="processes on this machine that share each batch; on GPUs, one GPU each")
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against the data set and against each other."""
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
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: a narrow network and four modes.",
        "full": (
            "Natural images on a CPU: three losses, both starts, fixed pairs of 12×12 crops of images reduced to "
            "16×16 and full batches. For views that are drawn anew each step, a second command: -p loss=barlow_twins "
            "-p batch_size=256 -p n_images=8000"
        ),
        "paper": (
            "The paper's network and data: ResNet-50 on STL-10 (train and unlabelled) at 96 pixels, three losses. All "
            "other settings are ours. One GPU; run the same command again until it is done."
        ),
    },
    seconds={"tiny": 10, "quick": 30, "full": 80, "paper": 480},
)

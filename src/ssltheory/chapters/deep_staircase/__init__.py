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
    dataset: Dataset = at("digits", full="cifar10", long="stl10-sample", paper="stl10")
    form: Literal["published", "standard"] = at(
        "published", means="losses as Simon et al. ran them, or as usual"
    )
    similarity: Literal["cosine", "dot product"] = at(
        "dot product", long="cosine", paper="cosine", means="the logits of SimCLR"
    )
    loss: Literal["barlow_twins", "simclr", "vicreg", "all"] = at(
        "barlow_twins", full="all", long="all", paper="all", means="loss; all: the three, one by one"
    )
    encoder: Literal["mlp", "small_conv", "resnet18", "resnet50"] = at(
        "mlp", long="resnet18", paper="resnet50", means="network; only ResNets have BatchNorm"
    )
    resolution: int = at(16, tiny=8, long=0, paper=96, ge=0, means="side that images are resized to; 0: as they are")
    crop: int = at(14, tiny=7, full=12, long=64, paper=96, ge=1, means="side of the views in pixels")
    augment: Literal["crop", "standard"] = at(
        "crop", long="standard", paper="standard", means="views by random crops alone, or by SimCLR's augmentations"
    )
    n_images: int = at(96, tiny=48, long=230, paper=0, ge=0, means="training images, two views each; 0: all")
    batch_size: int = at(
        0, paper=256, ge=0, means="pairs per step, with new views each time; 0: fixed pairs, full batch"
    )
    n_probe: int = at(
        512, tiny=32, ge=2, means="images whose embeddings are measured; fixed pairs are measured on themselves"
    )
    width: int = at(
        128, tiny=32, long=512, paper=512, ge=16, means="units of the hidden layers of the MLP, or of the projector"
    )
    dim: int = at(10, tiny=4, long=512, paper=512, ge=2, means="embedding dimension d")
    dim_others: int = at(0, long=128, paper=128, ge=0, means="d of SimCLR and VICReg; 0: as of Barlow Twins")
    biases: bool = at(
        False, long=True, paper=True, means="linear layers start as torch's do; false: He's law, no biases"
    )
    init_scale_barlow_twins: float = at(
        0.3, tiny=0.4, full=0.25, long=0.2, paper=0.2, gt=0, lt=1, means="small start of Barlow Twins, a factor"
    )
    init_scale_simclr: float = at(0.3, full=0.25, long=0.12, paper=0.12, gt=0, lt=1, means="small start of SimCLR")
    init_scale_vicreg: float = at(0.3, full=0.25, long=0.25, paper=0.25, gt=0, lt=1, means="small start of VICReg")
    lr_barlow_twins: float = at(
        0.008, tiny=0.01, long=0.006, paper=0.01, gt=0, means="learning rate of Barlow Twins from the small start"
    )
    lr_simclr: float = at(
        0.005, long=0.1, paper=0.1, gt=0, means="learning rate of SimCLR; with cosines, in units of the squared length"
    )
    lr_vicreg: float = at(
        0.001, full=0.0015, long=0.025, paper=0.002, gt=0, means="learning rate of VICReg from the small start"
    )
    lr_standard: float = at(0.02, gt=0, means="learning rate from the standard start, as a fraction of those above")
    warmup: int = at(0, paper=100, ge=0, means="steps over which the learning rate rises")
    steps: int = at(2500, tiny=800, long=380, paper=4000, ge=1, means="steps of gradient descent")
    steps_others: int = at(0, long=600, ge=0, means="steps of SimCLR and VICReg; 0: as many")
    steps_standard: int = at(0, long=50, ge=0, means="steps from the standard start; 0: as many")
    bfloat16: bool = at(False, long=True, means="networks train in bfloat16; the loss and what is measured never do")
    n_seeds: int = at(5, tiny=2, paper=1, ge=1, le=100, means="repetitions, each with its own start, images and crops")
    n_seeds_others: int = at(0, long=2, ge=0, le=100, means="repetitions of SimCLR and VICReg; 0: as many")
    processes: int = at(1, ge=1, means="processes on this machine that share each batch; on GPUs, one GPU each")
    minutes: Minutes = at(0.0, long=100.0, paper=7.0)
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
        shortest = min(n for n in (self.steps, self.steps_others, self.steps_standard) if n)
        if self.warmup > shortest:
            raise InputError(f"warmup={self.warmup}: a run has {shortest} steps, take less")
        if self.n_seeds_others > self.n_seeds:
            raise InputError(
                f"n_seeds_others={self.n_seeds_others}: Barlow Twins has n_seeds={self.n_seeds}, take no more"
            )


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
            "-p batch_size=256 -p n_images=50000"
        ),
        "long": (
            "A ResNet-18 on natural images on a CPU: 230 fixed pairs of 64-pixel views, full batches, the losses as "
            "published. The images are PNG copies of 296 of STL-10's, to be put into the data folder as "
            "stl10-sample.npz."
        ),
        "paper": (
            "The paper's network and data: ResNet-50 on STL-10 (train and unlabelled) at 96 pixels, three losses. All "
            "other settings are ours. One GPU; run the same command again until it is done."
        ),
    },
    seconds={"tiny": 10, "quick": 30, "full": 135, "long": 14400, "paper": 480},
)

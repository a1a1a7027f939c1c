"""Chapter 08: the small eigendirections pulled up."""

from typing import Literal

from ssltheory.book.checks import check_batch, check_crop, no_labels, shape_of, training_images
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source


class Parameters(Settings):
    """Settings of chapter 08."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    alpha: float = at(1e-5, gt=0, lt=0.1, means="linear model: α, the entries of W(0) are independent, N(0, α²)")
    eps: float = at(0.1, gt=0, le=100, means="ε of the networks' preconditioner (S + εI)⁻¹")
    encoder: Literal["mlp", "resnet18"] = at("mlp", paper="resnet18", means="network; only the ResNet has BatchNorm")
    resolution: int = at(0, full=12, paper=32, ge=0, means="side that images are resized to; 0: as they are")
    crop: int = at(6, full=10, paper=32, ge=1, means="side of the views in pixels")
    augment: Literal["crop", "standard"] = at(
        "crop", paper="standard", means="views by random crops alone, or by SimCLR's augmentations"
    )
    n_images: int = at(1400, tiny=256, full=8000, paper=0, ge=0, means="training images; 0: all")
    batch_size: int = at(64, full=128, paper=512, ge=2, means="pairs per step, with new views each time")
    width: int = at(
        64, tiny=32, full=96, paper=1024, ge=2, means="units of the hidden layers of the MLP, or of the projector"
    )
    dim: int = at(8, tiny=6, paper=64, ge=2, means="embedding dimension d")
    init_scale: float = at(0.3, gt=0, lt=1, means="small start: factor on every parameter of He's initialisation")
    lr_barlow_twins: float = at(
        0.03, full=0.02, paper=0.01, gt=0, means="small start: rate of Barlow Twins, plain and preconditioned"
    )
    lr_vicreg: float = at(
        0.016, full=0.008, paper=0.002, gt=0, means="small start: rate of VICReg, plain and preconditioned"
    )
    lr_isoloss: float = at(
        0.16, full=0.08, paper=0.02, gt=0, means="small start: rate of IsoLoss; standard start: a 40th of it"
    )
    lr_barlow_twins_standard: float = at(5e-4, paper=2e-4, gt=0, means="standard start: rate of plain Barlow Twins")
    lr_preconditioned_standard: float = at(
        0.004, paper=0.001, gt=0, means="standard start: rate of preconditioned Barlow Twins"
    )
    lr_vicreg_standard: float = at(
        0.0032, full=0.0016, paper=0.002, gt=0, means="standard start: rate of VICReg, plain and preconditioned"
    )
    steps: int = at(
        800, tiny=300, full=2000, paper=2000, ge=2, means="steps of gradient descent, the same for all methods"
    )
    n_seeds: int = at(4, tiny=3, full=5, paper=2, ge=2, le=100, means="repetitions, each with its own start")
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against the data set and against each other."""
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
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: three draws, a narrow network, six dimensions.",
        "full": "Natural images on a CPU: CIFAR-10 reduced to 12×12, views of 10×10 that are drawn anew each step.",
        "paper": (
            "Larger, on one GPU; the paper has no such experiment, all of it is ours. Run the same command again "
            "until it is done."
        ),
    },
    seconds={"tiny": 8, "quick": 32, "full": 900, "paper": 480},
)

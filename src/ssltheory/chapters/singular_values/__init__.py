"""Chapter 16: what a skip connection does to the singular values that shape the loss."""

from ssltheory.book.checks import check_classifier, check_most
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source


class Parameters(Settings):
    """Settings of chapter 16."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    sigma: float = at(0.25, gt=0, le=10, means="σ of the small residual branches; He's size is σ = √2")
    eta: float = at(
        0.0, ge=-1, lt=1, means="slope of the negative side, in slice and trained networks; 0: ReLU, −1: abs"
    )
    dim: int = at(1000, tiny=200, paper=4096, ge=4, means="order of the matrices I + σG; a quarter of it in the scan")
    width: int = at(64, tiny=24, paper=512, ge=4, means="units per layer of the random networks")
    depth: int = at(8, tiny=4, paper=32, ge=4, le=64, means="layers behind the first in the deepest random network")
    n_draws: int = at(12, tiny=4, full=20, paper=10, ge=2, means="random matrices and networks per repetition")
    resolution: int = at(0, full=12, paper=16, ge=0, means="side that images are resized to; 0: as they are")
    n_images: int = at(1200, tiny=200, full=6000, paper=50000, ge=16, means="training images per repetition")
    n_test: int = at(597, tiny=100, full=2000, paper=10000, ge=16, means="test images per repetition")
    n_local: int = at(
        32, tiny=16, full=48, ge=8, means="test images at which M is taken; an eighth of them between layers"
    )
    channels: int = at(16, tiny=6, paper=24, ge=2, means="channels of the trained networks")
    blocks: int = at(8, tiny=4, ge=2, means="blocks of the trained networks")
    batch_size: int = at(64, tiny=16, paper=256, ge=1, means="images per step")
    share: float = at(1.0, gt=0, means="peak learning rate of each network, in units of 1 / curvature at the start")
    steps: int = at(
        240, tiny=24, full=400, paper=1500, ge=8, means="steps of gradient descent; cosine schedule, momentum 0.9"
    )
    n_seeds: int = at(
        3, tiny=1, full=5, paper=5, ge=1, le=100, means="repetitions, each with its own matrices, images and networks"
    )
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against the data set, which must have labels."""
        check_classifier(source, self.resolution, self.n_images, self.n_test, self.batch_size)
        check_most("n_local", self.n_local, self.n_test, "test images")


CHAPTER = Chapter(
    id="16-singular-values",
    title="Why skips help",
    paper="riedi2022singular",
    figure="abstract: singular values and condition numbers of ConvNets and ResNets; all settings ours",
    claim=(
        "The squared error is piecewise quadratic in a layer's weights, with the singular values of one matrix for its "
        "axes. A skip connection keeps them away from zero, as long as what it skips is smaller than itself."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: small matrices, few steps, one repetition.",
        "full": "Natural images on a CPU: CIFAR-10 reduced to 12×12, five repetitions.",
        "paper": (
            "Larger matrices, deeper products and networks; the paper's settings could not be read, these are ours. "
            "One GPU. Run the same command again until it is done."
        ),
    },
    seconds={"tiny": 10, "quick": 27, "full": 120, "paper": 450},
)

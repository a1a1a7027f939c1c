"""Chapter 17: unitary matrices trained by low-rank steps."""

from typing import Literal

from ssltheory.book.checks import check_labelled, shape_of, training_images
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 17."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    dim: int = at(128, tiny=32, paper=2048, ge=2, means="toy: side n of the complex matrix that is learnt")
    toy_batch: int = at(16, tiny=8, ge=1, means="toy: inputs per step, the largest rank")
    toy_lr: float = at(0.02, paper=0.002, gt=0, means="toy: learning rate")
    toy_steps: int = at(400, tiny=60, paper=5000, ge=10, means="toy: steps of gradient descent")
    max_width: int = at(
        1024, tiny=128, full=2048, paper=8192, ge=64,
        means="timing of a step: largest width; from 64, doubled up to this",
    )
    rounds: int = at(3, tiny=2, ge=1, means="timing of a step: how often each width is timed")
    delay: int = at(30, tiny=10, full=60, paper=1000, ge=1, means="copying task: T, from the letters to the answer")
    width: int = at(96, tiny=24, paper=190, ge=2, means="copying task: hidden units")
    batch_size: int = at(32, tiny=8, paper=128, ge=1, means="copying task: sequences per step")
    lr: float = at(0.004, paper=7e-4, gt=0, means="copying task: peak learning rate")
    divider: float = at(12.0, paper=32.0, gt=0, means="copying task: the recurrent matrix has lr divided by this")
    steps: int = at(700, tiny=30, full=1300, paper=4000, ge=1, means="copying task: steps of training")
    rates: Literal["same", "three"] = at(
        "same", full="three", means="rates of the free recurrent matrix; three adds a 4th and a 16th"
    )
    encoder: Literal["mlp", "resnet18"] = at("mlp", paper="resnet18", means="network whose gradient is taken apart")
    resolution: int = at(0, full=12, paper=32, ge=0, means="side that images are resized to; 0: as they are")
    n_images: int = at(
        1200, tiny=256, full=6000, paper=50000, ge=128, means="images that this network trains on, 128 per step"
    )
    net_lr: float = at(0.05, full=0.02, paper=0.02, gt=0, means="learning rate of this network; momentum 0.9")
    net_steps: int = at(200, tiny=20, full=400, paper=1000, ge=1, means="steps of this network")
    n_seeds: int = at(
        2, tiny=1, full=5, paper=5, ge=1, le=100, means="repetitions, each with its own start and batches"
    )
    minutes: Minutes = at(0.0, paper=4.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against each other and against the data set, which must have labels."""
        shape_of(source, self.resolution)
        check_labelled(source)
        training_images(source, self.n_images, "train", self.seed)
        if self.toy_batch > self.dim:
            raise InputError(
                f"toy_batch={self.toy_batch}: a rank is at most dim={self.dim}, take less"
            )


CHAPTER = Chapter(
    id="17-projunn",
    title="Unitary at the price of rank one",
    paper="kiani2022projunn",
    figure="Figures 1a, 2a and 2b, and the copying task; sizes ours",
    claim=(
        "A matrix is kept unitary through training by steps of low rank, at a price that grows as a plain step's does; "
        "steps of rank k learn k times as fast as steps of rank one, up to the rank of the gradient."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: small matrices, few steps, one repetition.",
        "full": (
            "Five repetitions, a longer silence in the copying task at three rates of the unconstrained matrix, "
            "photographs."
        ),
        "paper": (
            "The toy at the paper's size and the copying task at its width and delay, on one GPU; a ResNet-18 where "
            "the paper has a ResNet-9. Rates and iterations are ours. Run the same command again until it is done."
        ),
    },
    seconds={"tiny": 12, "quick": 26, "full": 190, "paper": 480},
)

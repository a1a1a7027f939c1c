"""Chapter 17: unitary matrices trained by low-rank steps."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import no_labels, shape_of, training_images
from ssltheory.data import Source
from ssltheory.errors import InputError


class ProjUNN(Parameters):
    """Settings of chapter 17."""

    dim: int = Field(128, ge=2, description="toy: side n of the complex matrix that is learnt")
    toy_batch: int = Field(16, ge=1, description="toy: inputs a step, the largest rank")
    toy_lr: float = Field(0.02, gt=0, description="toy: learning rate")
    toy_steps: int = Field(400, ge=10, description="toy: steps of gradient descent")
    max_width: int = Field(
        1024, ge=64, description="seconds of a step: widths from 64, doubled up to this"
    )
    rounds: int = Field(3, ge=1, description="seconds of a step: times that each is taken")
    delay: int = Field(30, ge=1, description="copying task: T, from the letters to the answer")
    width: int = Field(96, ge=2, description="copying task: hidden units")
    batch_size: int = Field(32, ge=1, description="copying task: sequences a step")
    lr: float = Field(4e-3, gt=0, description="copying task: peak learning rate")
    divider: float = Field(
        12.0, gt=0, description="copying task: the recurrent matrix has lr over this"
    )
    steps: int = Field(700, ge=1, description="copying task: steps of training")
    rates: Literal["same", "three"] = Field(
        "same",
        description="copying task: rates of the unconstrained matrix; three: also a 4th and a 16th",
    )
    encoder: Literal["mlp", "resnet18"] = Field(
        "mlp", description="network whose gradient is taken apart"
    )
    resolution: int = Field(0, ge=0, description="images resized to this side; 0: as they are")
    n_images: int = Field(1200, ge=128, description="images that it trains on, 128 a step")
    net_lr: float = Field(0.05, gt=0, description="its learning rate; momentum 0.9")
    net_steps: int = Field(200, ge=1, description="its steps")
    n_seeds: int = Field(2, ge=1, le=100, description="repetitions: other starts and batches")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold sizes against each other and against the data set, which must have labels."""
        shape_of(source, self.resolution)
        if (source.labels < 0).any():
            raise no_labels(source)
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
    parameters=ProjUNN,
    seconds={"tiny": 12, "quick": 26, "full": 190, "paper": 480},
)

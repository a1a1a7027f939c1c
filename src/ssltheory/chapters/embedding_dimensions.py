"""Chapter 03: the embedding gains one dimension a step, from a point to a solid."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Parameters
from ssltheory.chapters._images import check_count, check_crop, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError


class EmbeddingDimensions(Parameters):
    """Settings of chapter 03."""

    model: Literal["linear", "mlp"] = Field("linear", description="what is trained")
    n_images: int = Field(200, ge=4, description="images drawn, two random crops each")
    resolution: int = Field(16, ge=0, description="side that images are resized to; 0: as they are")
    crop: int = Field(12, ge=1, description="side of the crops in pixels")
    dim: int = Field(5, ge=4, le=64, description="embedding dimension d, the number of steps")
    init_scale: float = Field(
        1e-7, gt=0, lt=1, description="linear: α, W(0) has independent entries N(0, α²)"
    )
    lr_fraction: float = Field(
        0.1, gt=0, lt=1, description="linear: learning rate, of the stability limit 1 / 4γ₁"
    )
    net_width: int = Field(256, ge=1, description="mlp: units of both hidden layers")
    net_scale: float = Field(
        0.3, gt=0, description="mlp: factor on every parameter of the He initialisation"
    )
    net_lr: float = Field(0.005, gt=0, description="mlp: learning rate")
    net_steps: int = Field(1600, ge=200, description="mlp: steps of gradient descent")
    n_seeds: int = Field(5, ge=1, le=100, description="repetitions: other images, crops and start")

    def check(self, source: Source) -> None:
        """Hold number of images, crop and dimension against the data set."""
        shape = shape_of(source, self.resolution)
        check_count(source, "n_images", self.n_images)
        check_crop(self.crop, shape)
        inputs = shape[0] * self.crop**2
        if self.dim > inputs:
            raise InputError(
                f"dim={self.dim}: crops of {self.crop}×{self.crop} have m = {inputs} inputs, "
                f"dim is at most m"
            )


CHAPTER = Chapter(
    id="03-embedding-dimensions",
    title="From a point to a solid",
    paper="simon2023stepwise",
    figure="Figure 1, right",
    claim=(
        "Between two learning steps the embeddings of all images fill as many dimensions as steps were taken, "
        "and a learnt dimension stays where it is: a point, a line, a surface, a solid."
    ),
    parameters=EmbeddingDimensions,
    seconds={"tiny": 6, "quick": 14, "full": 60, "paper": 180},
)

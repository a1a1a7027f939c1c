"""Chapter 01: one eigenmode at a time, in a linear model."""

from pydantic import Field

from ssltheory.chapters import Chapter, Parameters
from ssltheory.chapters._images import check_count, check_crop, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError


class LinearStaircase(Parameters):
    """Settings of chapter 01."""

    n_images: int = Field(1797, ge=2, description="images drawn, two random crops each")
    crop: int = Field(6, ge=1, description="side of the crops in pixels")
    dim: int = Field(10, ge=1, description="embedding dimension d, the number of steps")
    init_scale: float = Field(
        1e-7, gt=0, lt=1, description="α: W(0) has independent entries N(0, α²)"
    )
    lr_fraction: float = Field(
        0.1, gt=0, lt=1, description="learning rate, of the stability limit 1 / 4γ₁"
    )
    n_seeds: int = Field(5, ge=1, le=100, description="repetitions: other images, crops and start")

    def check(self, source: Source) -> None:
        """Hold number of images, crop and dimension against the data set."""
        shape = shape_of(source)
        check_count(source, "n_images", self.n_images)
        check_crop(self.crop, shape)
        inputs = shape[0] * self.crop**2
        if self.dim > inputs:
            raise InputError(
                f"dim={self.dim}: crops of {self.crop}×{self.crop}×{shape[0]} have m = {inputs} inputs, "
                f"dim is at most m"
            )


CHAPTER = Chapter(
    id="01-linear-staircase",
    title="One eigenmode at a time",
    paper="simon2023stepwise",
    figure="Figure 1 A, B",
    claim=(
        "A linear model trained with Barlow Twins from a small start learns the top eigenmodes of Γ one after "
        "another, each along a logistic curve at a time known before training."
    ),
    parameters=LinearStaircase,
    seconds={"tiny": 5, "quick": 20, "full": 120, "paper": 120},
)

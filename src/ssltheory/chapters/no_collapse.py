"""Chapter 04: why networks without negatives do not collapse."""

from pydantic import Field

from ssltheory.chapters import Chapter, Parameters
from ssltheory.chapters._images import check_count, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError


class NoCollapse(Parameters):
    """Settings of chapter 04."""

    n_images: int = Field(600, ge=2, description="images, all of them in every step")
    dim: int = Field(16, ge=1, description="modes: whitened inputs and embedding dimensions")
    noise: float = Field(0.25, gt=0, le=4, description="σ², variance of the augmentation")
    weight_decay: float = Field(0.17, ge=0, lt=1, description="η of the runs on images")
    lr: float = Field(0.1, gt=0, le=0.2, description="learning rate of the runs on images")
    horizon: float = Field(40.0, ge=5, le=1000, description="their length in t = lr × step")
    n_seeds: int = Field(2, ge=1, le=100, description="repetitions: other images, start and noise")

    def check(self, source: Source) -> None:
        """Hold number of images and modes against the data set."""
        channels, height, width = shape_of(source)
        check_count(source, "n_images", self.n_images)
        most = min(channels * height * width, self.n_images) // 2
        if self.dim > most:
            raise InputError(
                f"dim={self.dim}: {self.n_images} images of {height}×{width}×{channels} are whitened "
                f"to at most {most} modes, half of what their rank can be"
            )


CHAPTER = Chapter(
    id="04-no-collapse",
    title="Why nothing collapses",
    paper="tian2021directpred",
    figure="Figures 3, 4 and 5",
    claim=(
        "Predictor and stop-gradient together keep each mode of an embedding alive that starts outside a known "
        "basin, as long as the weight decay is below a known threshold; without either, everything decays."
    ),
    parameters=NoCollapse,
    seconds={"tiny": 6, "quick": 25, "full": 240, "paper": 600},
)

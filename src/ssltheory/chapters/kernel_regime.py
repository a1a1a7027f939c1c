"""Chapter 09: the kernel that self-supervision induces."""

from typing import Literal

from pydantic import Field

from ssltheory.chapters import Chapter, Parameters
from ssltheory.chapters._images import check_count, no_labels, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError


class KernelRegime(Parameters):
    """Settings of chapter 09."""

    kernel: Literal["rbf", "arc_cosine", "relu_ntk"] = Field(
        "rbf", description="base kernel: rbf, arc_cosine, relu_ntk"
    )
    n_images: int = Field(256, ge=50, description="unlabelled images")
    max_views: int = Field(8, ge=2, le=64, description="views of each, 1, 2, 4, … up to this")
    flip: bool = Field(False, description="whether views are also mirrored")
    dim: int = Field(16, ge=1, description="embedding dimension d")
    n_seeds: int = Field(3, ge=1, le=100, description="repetitions: other images, views and labels")

    def check(self, source: Source) -> None:
        """Hold sizes against the data set and one another."""
        shape_of(source)
        if (source.labels < 0).any():
            raise no_labels(source)
        source.indices("test")
        check_count(source, "n_images", self.n_images, source.indices("train", self.seed))
        if self.dim >= self.n_images:
            raise InputError(f"dim={self.dim} must be below n_images={self.n_images}")
        if self.max_views & (self.max_views - 1):
            raise InputError(f"max_views={self.max_views} must be a power of two, 2 or more")


CHAPTER = Chapter(
    id="09-kernel-regime",
    title="The kernel that augmentations make",
    paper="kiani2022joint",
    figure="the spiral, and accuracies on small data sets, as far as they could be read",
    claim=(
        "Self-supervised learning of a kernel machine has a closed-form end: a new kernel, made of the old one and of "
        "which views belong together, in which views of one image are near and others far."
    ),
    parameters=KernelRegime,
    seconds={"tiny": 5, "quick": 40, "full": 600, "paper": 900},
)

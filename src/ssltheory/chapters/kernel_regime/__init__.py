"""Chapter 09: the kernel that self-supervision induces."""

from typing import Literal

from ssltheory.book.checks import check_count, check_labelled, shape_of
from ssltheory.book.parameters import Dataset, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 09."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    kernel: Literal["rbf", "arc_cosine", "relu_ntk"] = at("rbf", paper="relu_ntk", means="base kernel")
    n_images: int = at(256, tiny=60, full=500, paper=2000, ge=50, means="unlabelled images")
    max_views: int = at(8, tiny=2, ge=2, le=64, means="largest number of views per image: 1, 2, 4, … up to this")
    flip: bool = at(False, full=True, paper=True, means="whether views are also mirrored")
    dim: int = at(16, tiny=8, full=32, paper=64, ge=1, means="embedding dimension d")
    n_seeds: int = at(
        3, tiny=1, full=5, paper=5, ge=1, le=100, means="repetitions, each with its own images, views and labels"
    )
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against the data set and one another."""
        shape_of(source)
        check_labelled(source)
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
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: few images, two views.",
        "full": "Natural images on a CPU: more of them, mirrored views, five repetitions.",
        "paper": "The kernel of a network, as in the paper; its data and sizes could not be read, these are ours.",
    },
    seconds={"tiny": 5, "quick": 40, "full": 600, "paper": 900},
)

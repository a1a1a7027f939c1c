"""Chapter 10: what self-supervised methods embed, and when which one wins."""

from ssltheory.book.checks import check_count, check_labelled, check_most, shape_of
from ssltheory.book.parameters import Dataset, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 10."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10")
    n_graph: int = at(150, tiny=40, full=300, paper=256, ge=20, le=1000, means="images of the neighbour graph")
    neighbours: int = at(6, tiny=5, full=8, ge=1, means="nearest images that each image is linked to")
    n_images: int = at(1000, tiny=240, full=1500, paper=256, ge=100, means="collages of two images to train on")
    components: int = at(
        90, tiny=40, full=128, paper=64, ge=12, means="principal components that collages are reduced to"
    )
    dim: int = at(32, tiny=16, ge=1, means="embedding dimension d of the linear networks")
    n_labels: int = at(50, full=100, ge=10, means="labels that the small probe learns from")
    n_seeds: int = at(
        2, tiny=1, full=5, paper=5, ge=1, le=100, means="repetitions, each with its own images, collages and starts"
    )
    # fmt: on

    def check(self, source: Source) -> None:
        """Check sizes against the data set and one another."""
        channels, height, width = shape_of(source)
        check_labelled(source)
        for split in ("train", "test"):
            source.indices(split)
        check_count(source, "n_graph", self.n_graph)
        if self.neighbours >= self.n_graph:
            raise InputError(f"neighbours={self.neighbours} must be below n_graph={self.n_graph}")
        most = min(2 * channels * height * width, self.n_images // 2)
        if not self.dim <= self.components <= most:
            raise InputError(
                f"components={self.components} must lie between dim={self.dim} and {most}: half of the "
                f"collages, and no more than they have pixels"
            )
        check_most("n_labels", self.n_labels, self.n_images, "collages")


CHAPTER = Chapter(
    id="10-spectral-embeddings",
    title="What the pairs contain",
    paper="balestriero2022spectral",
    figure="Theorems 1 to 7, and the abstract's two recommendations",
    claim=(
        "What VICReg, SimCLR and Barlow Twins learn is an eigenproblem of the graph of positive pairs; whether the "
        "pairs fit the task decides which of them is the better choice."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: few images, few components.",
        "full": "Natural images on a CPU: more of them, five repetitions.",
        "paper": "The paper's N = 256 and K = 32 of its synthetic figures, as notes give them; the data are ours.",
    },
    seconds={"tiny": 5, "quick": 20, "full": 300, "paper": 300},
)

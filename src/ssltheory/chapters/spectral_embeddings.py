"""Chapter 10: what self-supervised methods embed, and when which one wins."""

from pydantic import Field

from ssltheory.chapters import Chapter, Parameters
from ssltheory.chapters._images import check_count, no_labels, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError


class SpectralEmbeddings(Parameters):
    """Settings of chapter 10."""

    n_graph: int = Field(150, ge=20, le=1000, description="images of the neighbour graph")
    neighbours: int = Field(6, ge=1, description="nearest images that each is linked to")
    n_images: int = Field(1000, ge=100, description="collages of two images to train on")
    components: int = Field(
        90, ge=12, description="principal components that collages are reduced to"
    )
    dim: int = Field(32, ge=1, description="embedding dimension d of the linear networks probed")
    n_labels: int = Field(50, ge=10, description="labels of the small probe")
    n_seeds: int = Field(2, ge=1, le=100, description="repetitions: other images, collages, starts")

    def check(self, source: Source) -> None:
        """Hold sizes against the data set and one another."""
        channels, height, width = shape_of(source)
        if (source.labels < 0).any():
            raise no_labels(source)
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
        if self.n_labels > self.n_images:
            raise InputError(
                f"n_labels={self.n_labels}: there are n_images={self.n_images} collages"
            )


CHAPTER = Chapter(
    id="10-spectral-embeddings",
    title="What the pairs contain",
    paper="balestriero2022spectral",
    figure="Theorems 1 to 7, and the abstract's two recommendations",
    claim=(
        "What VICReg, SimCLR and Barlow Twins learn is an eigenproblem of the graph of positive pairs; whether the "
        "pairs fit the task decides which of them is the better choice."
    ),
    parameters=SpectralEmbeddings,
    seconds={"tiny": 5, "quick": 20, "full": 300, "paper": 300},
)

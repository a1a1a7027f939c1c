"""Chapter 16: what a skip connection does to the singular values that shape the loss."""

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_batch, check_count, no_labels, shape_of
from ssltheory.data import Source


class SingularValues(Parameters):
    """Settings of chapter 16."""

    sigma: float = Field(
        0.25, gt=0, le=10, description="σ of the small residual branches; He's size is σ = √2"
    )
    eta: float = Field(
        0.0,
        ge=-1,
        lt=1,
        description="slope of the negative side, of the slice and of the trained networks: 0 is ReLU, −1 abs",
    )
    dim: int = Field(
        1000, ge=4, description="order of the matrices I + σG; those of the scan have a quarter"
    )
    width: int = Field(64, ge=4, description="units of a layer of the random networks")
    depth: int = Field(8, ge=4, le=64, description="further layers of the deepest of them")
    n_draws: int = Field(12, ge=2, description="random matrices and networks of a repetition")
    resolution: int = Field(0, ge=0, description="images resized to this side; 0: as they are")
    n_images: int = Field(1200, ge=16, description="training images of a repetition")
    n_test: int = Field(597, ge=16, description="test images of a repetition")
    n_local: int = Field(
        32, ge=8, description="test images at which M is taken; between layers at an eighth of them"
    )
    channels: int = Field(16, ge=2, description="channels of the trained networks")
    blocks: int = Field(8, ge=2, description="their blocks")
    batch_size: int = Field(64, ge=1, description="images a step")
    share: float = Field(
        1.0,
        gt=0,
        description="peak learning rate of each network, in units of one over its curvature at the start",
    )
    steps: int = Field(240, ge=8, description="steps of gradient descent; momentum 0.9, cosine")
    n_seeds: int = Field(
        3, ge=1, le=100, description="repetitions: other matrices, images, networks"
    )
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold sizes against the data set, which must have labels."""
        shape_of(source, self.resolution)
        if (source.labels < 0).any():
            raise no_labels(source)
        check_count(source, "n_images + n_test", self.n_images + self.n_test)
        check_count(source, "n_local", self.n_local, source.labels[: self.n_test])
        check_batch(self.batch_size, self.n_images)


CHAPTER = Chapter(
    id="16-singular-values",
    title="Why skips help",
    paper="riedi2022singular",
    figure="abstract: singular values and condition numbers of ConvNets and ResNets; all settings ours",
    claim=(
        "The squared error is piecewise quadratic in a layer's weights, with the singular values of one matrix for its "
        "axes. A skip connection keeps them away from zero, as long as what it skips is smaller than itself."
    ),
    parameters=SingularValues,
    seconds={"tiny": 10, "quick": 27, "full": 120, "paper": 450},
)

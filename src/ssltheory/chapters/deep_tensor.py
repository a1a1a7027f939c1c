"""Chapter 18: a noisy matrix as the product of untrained networks' outputs."""

from pydantic import Field

from ssltheory.chapters import Chapter, Minutes, Parameters
from ssltheory.chapters._images import check_count, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError

SIDE = 64  # of every matrix


class DeepTensor(Parameters):
    """Settings of chapter 18."""

    dim: int = Field(32, ge=4, description="channels of every layer of the networks")
    steps: int = Field(500, ge=2, description="iterates, on the smooth matrices")
    level_steps: int = Field(200, ge=2, description="iterates at the other noises, and on images")
    official_dim: int = Field(32, ge=4, description="channels, on the official signals")
    official_lr: float = Field(1e-3, gt=0, description="learning rate, on the official signals")
    official_steps: int = Field(150, ge=2, description="iterates, on the official signals")
    cube_side: int = Field(32, ge=8, description="side of the cube, in pixels and in bands")
    cube_lr: float = Field(5e-3, gt=0, description="learning rate, on the cube")
    cube_steps: int = Field(350, ge=1, description="iterates at most, on the cube")
    timing_side: int = Field(32, ge=16, description="side of the largest cube that is timed")
    n_seeds: int = Field(3, ge=1, le=50, description="repetitions: other signals, noise, networks")
    minutes: Minutes = 0.0

    def check(self, source: Source) -> None:
        """Hold the images against the mosaic that is made of them."""
        _, height, width = shape_of(source)
        if height != width or SIDE % height:
            raise InputError(
                f"the images of {source.name} are {height}×{width}: the mosaic of {SIDE}×{SIDE} takes squares of a "
                f"side that divides {SIDE}, e.g. digits or CIFAR-10"
            )
        check_count(source, "a mosaic", (SIDE // height) ** 2)


CHAPTER = Chapter(
    id="18-deep-tensor",
    title="Factors from untrained networks",
    paper="saragadam2022deeptensor",
    figure="matrix and cube denoising (official figure 6 in part; signals of our own beside it)",
    claim=(
        "A noisy matrix fitted by the product of two untrained convolutional networks, and stopped in time, is cleaner "
        "than its SVD of the same rank; what the networks add is that neighbours are alike."
    ),
    parameters=DeepTensor,
    seconds={"tiny": 10, "quick": 32, "full": 220, "paper": 420},
)

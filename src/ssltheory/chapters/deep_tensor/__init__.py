"""Chapter 18: a noisy matrix as the product of untrained networks' outputs."""

from ssltheory.book.checks import check_count, shape_of
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError

SIDE = 64  # of every matrix


class Parameters(Settings):
    """Settings of chapter 18."""

    # fmt: off
    dataset: Dataset = at(
        "digits", full="cifar10", paper="cifar10",
        means="images for mosaics: a name that `ssltheory data list` shows, or a path",
    )
    dim: int = at(32, tiny=8, ge=4, means="channels of every layer of the networks")
    steps: int = at(500, tiny=12, ge=2, means="iterations on the smooth matrices")
    level_steps: int = at(
        200, tiny=6, full=400, paper=400, ge=2, means="iterations at the other noise levels, and on images"
    )
    official_dim: int = at(32, tiny=8, full=128, paper=128, ge=4, means="channels, on the official signals")
    official_lr: float = at(0.001, full=1e-4, paper=1e-4, gt=0, means="learning rate, on the official signals")
    official_steps: int = at(150, tiny=6, full=1000, paper=1000, ge=2, means="iterations, on the official signals")
    cube_side: int = at(32, tiny=16, full=64, paper=64, ge=8, means="side of the cube, in pixels and in bands")
    cube_lr: float = at(0.005, full=0.002, paper=0.002, gt=0, means="learning rate, on the cube")
    cube_steps: int = at(350, tiny=6, full=1500, paper=1500, ge=1, means="largest number of iterations, on the cube")
    timing_side: int = at(32, tiny=16, full=64, paper=128, ge=16, means="side of the largest cube that is timed")
    n_seeds: int = at(
        3, tiny=1, full=5, paper=5, ge=1, le=50, means="repetitions, each with its own signals, noise and networks"
    )
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check the images against the mosaic that is made of them."""
        _, height, width = shape_of(source)
        if height != width or SIDE % height:
            raise InputError(
                f"the images of {source.name} are {height}×{width}: the mosaic needs square images whose side "
                f"divides {SIDE}, e.g. digits or CIFAR-10"
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
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: few iterates, small networks, a small cube.",
        "full": (
            "Five repetitions, the official figure 6 as its code has it (64×64, 128 channels, rank 32, Gaussian 0.2, "
            "1e-4, 1000 iterates), more iterates of the rest, the cube of 64³, mosaics of CIFAR-10; on one CPU core."
        ),
        "paper": (
            "As at the full scale, and cubes timed up to 128³. One GPU; run the same command again until it is done."
        ),
    },
    seconds={"tiny": 10, "quick": 32, "full": 220, "paper": 420},
)

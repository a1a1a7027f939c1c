"""Chapter 07: kernel machines, and networks as the kernel machines that they end as."""

from ssltheory.book.checks import check_crop, shape_of
from ssltheory.book.parameters import Dataset, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 07."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    n_images: int = at(50, tiny=20, ge=4, le=500, means="training images, two crops each; as many are held out")
    crop: int = at(6, full=20, paper=20, ge=1, means="side of the crops in pixels")
    dim: int = at(
        5, tiny=3, paper=8, ge=1, means="smallest embedding dimension d; it is cut at the widest gap up to 2 dim"
    )
    init_scale: float = at(
        1e-16, tiny=1e-12, gt=0, lt=1, means="standard deviation of the kernel machines' coefficients at the start"
    )
    width: int = at(256, tiny=64, full=512, paper=4096, ge=1, means="hidden units of the lazy network")
    rich_width: int = at(32, tiny=16, full=48, paper=64, ge=1, means="hidden units of the rich network")
    rich_start: float = at(
        0.1, tiny=0.2, gt=0, le=1, means="first-layer weights of the rich network, in units of the standard start"
    )
    lr: float = at(
        0.17, tiny=0.1, full=0.2, paper=0.2, gt=0, le=1, means="learning rate of Barlow Twins in the networks"
    )
    steps: int = at(4000, tiny=500, full=7000, paper=7000, ge=10, means="steps of gradient descent of every network")
    n_seeds: int = at(1, full=5, paper=5, ge=1, le=100, means="repetitions, each with its own images, crops and start")
    # fmt: on

    def check(self, source: Source) -> None:
        """Check the number of images, the crop and the dimension against the data set."""
        shape = shape_of(source)
        if 2 * self.n_images > len(source):
            raise InputError(
                f"n_images={self.n_images}: {source.name} has only {len(source)} images, and as many are held out: "
                f"take at most half of them"
            )
        check_crop(self.crop, shape)
        most = min(self.n_images // 4, shape[0] * self.crop**2 // 4)
        if self.dim > most:
            raise InputError(
                f"dim={self.dim}: {self.n_images} images with crops of {self.crop}×{self.crop}×{shape[0]} "
                f"allow at most {most}, a quarter of the pairs and of the pixels"
            )


CHAPTER = Chapter(
    id="07-kernel-and-ntk",
    title="A network is the kernel it ends with",
    paper="simon2023stepwise",
    figure="Proposition 5.1 and the NTK experiment",
    claim=(
        "Where Barlow Twins takes a kernel machine is known in closed form, on every point; and a trained network "
        "embeds its images as a kernel machine with the network's own final tangent kernel would."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: one draw, small networks, few steps.",
        "full": "The paper's 50 images of CIFAR-10, on a CPU. Widths, starts, d and learning rate are ours.",
        "paper": (
            "As far as it is known: 50 images of CIFAR-10, 7000 epochs of full-batch descent (the same number of "
            "steps), one hidden layer. Its width, d, starts and learning rate could not be read: a wider network and "
            "more dimensions than at full scale."
        ),
    },
    seconds={"tiny": 6, "quick": 22, "full": 300, "paper": 600},
)

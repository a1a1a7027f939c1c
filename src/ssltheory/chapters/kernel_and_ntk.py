"""Chapter 07: kernel machines, and networks as the kernel machines that they end as."""

from pydantic import Field

from ssltheory.chapters import Chapter, Parameters
from ssltheory.chapters._images import check_crop, shape_of
from ssltheory.data import Source
from ssltheory.errors import InputError


class KernelAndNtk(Parameters):
    """Settings of chapter 07."""

    n_images: int = Field(
        50, ge=4, le=500, description="images to train on, two crops each; as many are held out"
    )
    crop: int = Field(6, ge=1, description="side of the crops in pixels")
    dim: int = Field(
        5,
        ge=1,
        description="least embedding dimension; d is cut at the widest gap from it to twice it",
    )
    init_scale: float = Field(
        1e-16,
        gt=0,
        lt=1,
        description="size of the kernel machine's start, its coefficients N(0, ·²)",
    )
    width: int = Field(256, ge=1, description="hidden units of the lazy network")
    rich_width: int = Field(32, ge=1, description="hidden units of the rich network")
    rich_start: float = Field(
        0.1,
        gt=0,
        le=1,
        description="first-layer weights of the rich network, of the standard start",
    )
    lr: float = Field(0.17, gt=0, le=1, description="learning rate of Barlow Twins in the networks")
    steps: int = Field(4000, ge=10, description="gradient steps of every network")
    n_seeds: int = Field(1, ge=1, le=100, description="repetitions: other images, crops and starts")

    def check(self, source: Source) -> None:
        """Hold the number of images, the crop and the dimension against the data set."""
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
    parameters=KernelAndNtk,
    seconds={"tiny": 6, "quick": 22, "full": 300, "paper": 600},
)

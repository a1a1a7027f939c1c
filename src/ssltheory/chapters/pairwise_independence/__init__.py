"""Chapter 11: covariances at the projector's output, dependence at its input."""

from typing import Literal

from ssltheory.book.checks import check_probe
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.data import Source
from ssltheory.errors import InputError


class Parameters(Settings):
    """Settings of chapter 11."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    variants: Literal["most", "all"] = at(
        "most", full="all", paper="all", means="projectors; all adds a wide one that is learnt, and SimCLR"
    )
    encoder: Literal["mlp", "resnet18"] = at("mlp", paper="resnet18", means="network")
    augment: Literal["crop", "cifar10"] = at(
        "crop", paper="cifar10", means="views by crops alone, or as is usual on CIFAR-10"
    )
    size: int = at(8, paper=32, ge=4, means="side of the views in pixels")
    area: float = at(0.6, full=0.2, paper=0.2, gt=0, le=1, means="smallest crop, as a fraction of the image's area")
    n_images: int = at(0, ge=0, means="training images; 0: all")
    n_probe: int = at(
        150, tiny=60, full=300, paper=1024, ge=20,
        means="test images on which dependence is measured; all, if there are fewer",
    )
    n_labels: int = at(1000, tiny=300, paper=50000, ge=10, means="labelled images that a probe learns from")
    hidden: int = at(256, tiny=64, paper=512, ge=1, means="units of the MLP's hidden layer")
    dim: int = at(64, tiny=16, paper=512, ge=3, means="dimension d of the MLP's representation; a ResNet-18 has 512")
    narrow: int = at(64, tiny=16, paper=256, ge=2, means="smallest width of a projector")
    wide: int = at(1024, tiny=128, paper=8192, ge=2, means="largest width of a projector")
    batch_size: int = at(64, tiny=32, paper=256, ge=2, means="images per step, two views each")
    lr: float = at(0.01, full=0.003, paper=0.003, gt=0, means="learning rate")
    steps: int = at(200, tiny=20, full=400, paper=1560, ge=1, means="steps of gradient descent")
    n_samples: int = at(
        2000, tiny=500, full=4000, paper=4000, ge=100, means="samples of the sources that are mixed and recovered"
    )
    n_seeds: int = at(1, full=5, ge=1, le=100, means="repetitions, each with its own network and batches")
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check the sizes against each other and the data set, which must have labels."""
        check_probe(source, self.n_images, self.batch_size, self.n_labels, self.seed)
        if self.wide < 4 * self.narrow:
            raise InputError(
                f"wide={self.wide} must be at least 4 × narrow, {4 * self.narrow}, to show a trend"
            )


CHAPTER = Chapter(
    id="11-pairwise-independence",
    title="Independent in pairs",
    paper="mialon2022variance",
    figure="Figure 1 and the experiment on independent components",
    claim=(
        "Decorrelating the outputs of a projector makes its inputs pairwise independent, the more so the wider it is, "
        "and a random one will do; the same penalty separates mixed signals."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: a few steps of a small network.",
        "full": "Natural images on a CPU: every variant, five repetitions, crops of 8 pixels a side.",
        "paper": (
            "ResNet-18 on CIFAR-10, projectors up to 8192 wide, 8 epochs each (ours: the paper's network is a "
            "ResNet-50 on ImageNet). One GPU; run the same command again until it is done. One repetition, so no "
            "interval over seeds: -p n_seeds=5 takes as many times longer."
        ),
    },
    seconds={"tiny": 15, "quick": 25, "full": 300, "paper": 480},
)

"""Chapter 06: the predictor set by hand, and what happens without one."""

from typing import Literal

from ssltheory.book.checks import check_probe
from ssltheory.book.parameters import Dataset, Minutes, Settings, at
from ssltheory.book.registry import Chapter
from ssltheory.chapters.directpred.experiment import METHODS, THREE
from ssltheory.data import Source


class Parameters(Settings):
    """Settings of chapter 06."""

    # fmt: off
    dataset: Dataset = at("digits", full="cifar10", paper="cifar10")
    methods: Literal["three", "all"] = at("three", means="DirectPred, a learnt linear predictor and none; or all eight")
    encoder: Literal["small_conv", "resnet18"] = at("small_conv", paper="resnet18", means="network")
    augment: Literal["crop", "cifar10", "stl10"] = at(
        "crop", full="cifar10", paper="cifar10", means="views by crops, or the paper's for that data set"
    )
    size: int = at(8, full=16, paper=32, ge=4, means="side of the views in pixels")
    area: float = at(0.6, full=0.08, paper=0.08, gt=0, le=1, means="smallest crop, as a fraction of the image's area")
    n_images: int = at(0, ge=0, means="training images; 0: all")
    n_probe: int = at(2000, tiny=500, paper=2048, ge=2, means="images on which F is measured; all, if there are fewer")
    n_labels: int = at(100, full=500, paper=50000, ge=10, means="labelled images that a probe learns from")
    width: int = at(128, tiny=32, paper=512, ge=1, means="units of the projector's hidden layer")
    dim: int = at(64, tiny=32, paper=128, ge=2, means="embedding dimension d")
    batch_size: int = at(64, tiny=32, full=128, paper=128, ge=2, means="images per step, two views each")
    lr: float = at(0.03, gt=0, means="learning rate")
    momentum: float = at(0.9, ge=0, lt=1, means="momentum of gradient descent")
    weight_decay: float = at(4e-4, ge=0, means="η, weight decay of every parameter")
    average: float = at(0.996, ge=0, lt=1, means="γ_a, fraction of the target network kept each step; 0: none")
    eps: float = at(0.1, ge=0, means="ε of DirectPred")
    steps: int = at(1000, tiny=60, full=1500, paper=39062, ge=1, means="steps of gradient descent")
    n_seeds: int = at(1, full=5, ge=1, le=100, means="repetitions, each with its own split, network and batches")
    ablation_seeds: int = at(0, ge=0, means="repetitions of the sweeps over ε, η, γ_a and α_p; 0: no sweeps")
    minutes: Minutes = at(0.0, paper=7.0)
    # fmt: on

    def check(self, source: Source) -> None:
        """Check the sizes against the data set, which must have labels."""
        check_probe(source, self.n_images, self.batch_size, self.n_labels, self.seed)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The methods to run."""
        return METHODS if self.methods == "all" else THREE


CHAPTER = Chapter(
    id="06-directpred",
    title="DirectPred",
    paper="tian2021directpred",
    figure="Tables 6 and 8",
    claim=(
        "A predictor set from the embedding's second moment, with no gradient of its own, keeps more modes alive than "
        "a learnt linear one and is the better for it; with no predictor or no stop-gradient everything collapses."
    ),
    parameters=Parameters,
    scales={
        "tiny": "Does it run at all: a few steps of a narrow embedding.",
        "full": (
            "Natural images on a CPU: three methods, five repetitions, 16-pixel views with the paper's augmentations. "
            "All eight methods and the sweeps on digits are a second command: ssltheory run 06-directpred -p "
            "methods=all -p n_seeds=5 -p ablation_seeds=1"
        ),
        "paper": (
            "The paper's network and settings on CIFAR-10, for 100 epochs; the probe is ours. One GPU; run the same "
            "command again until it is done. STL-10: -p dataset=stl10 -p augment=stl10 -p size=96 -p steps=82031 -p "
            "n_labels=5000; all methods: -p methods=all"
        ),
    },
    seconds={"tiny": 12, "quick": 40, "full": 800, "paper": 480},
)

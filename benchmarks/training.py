"""A whole SimCLR training step against lightly's loop: ``python -m benchmarks.training``.

The same encoder, batch, loss and optimiser; what differs is where the images are (a tensor on the device here, PIL
images behind a DataLoader there) and how they are augmented. lightly's loop is timed as its tutorials write it,
with and without worker processes.
"""

import copy
import itertools
import warnings
from collections.abc import Iterator

import torch
from lightly.loss import NTXentLoss
from lightly.transforms import SimCLRTransform
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.augmentations import BATCH, MEAN, SIZE, STD, smooth_images
from benchmarks.harness import arguments, compare, report
from ssltheory import losses, train
from ssltheory.augmentations import TwoViews
from ssltheory.models import encoders

IMAGES, STEPS, TEMPERATURE, LR = 1024, 8, 0.5, 0.05
AIMS = {"lightly, 0 workers": 2.0, "lightly, 2 workers": 2.0}


class Pictures(Dataset):
    """PIL images and their two views, one by one."""

    def __init__(self, x: torch.Tensor) -> None:
        self.pictures = [v2.functional.to_pil_image(image) for image in x]
        self.views = SimCLRTransform(input_size=SIZE, cj_strength=0.5)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        return self.views(self.pictures[index])


def loader(x: torch.Tensor, workers: int) -> Iterator[list[torch.Tensor]]:
    """Two views of a batch after another, without end."""
    batches = DataLoader(
        Pictures(x),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return itertools.chain.from_iterable(itertools.repeat(batches))


def lightly_steps(
    batches: Iterator[list[torch.Tensor]], model: nn.Module, device: str, steps: int = STEPS
):
    """So many steps a call; the batches go on from call to call."""
    criterion = NTXentLoss(temperature=TEMPERATURE)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)

    def work() -> None:
        for _ in range(steps):
            a, b = next(batches)
            loss = criterion(model(a.to(device)), model(b.to(device)))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return work


def our_steps(views: train.Views, model: nn.Module, steps: int = STEPS):
    """The same by our loop, in the same precision."""
    recipe = train.Recipe(steps=steps, lr=LR, momentum=0.9)
    return lambda: train.train(
        model,
        views,
        lambda a, b: losses.simclr(a, b, TEMPERATURE),
        recipe,
        observe_steps=[],
        amp=False,
    )


def main() -> None:
    warnings.filterwarnings("ignore")
    chosen = arguments("training")
    x = smooth_images(IMAGES)
    encoder = encoders.small_conv(3)
    model = nn.Sequential(encoder, encoders.projector((encoder.out_features, 128, 64))).to(
        chosen.device
    )
    models = [copy.deepcopy(model) for _ in range(3)]
    views = train.augmented(x.to(chosen.device), TwoViews(SIZE, mean=MEAN, std=STD), BATCH)

    def agree() -> None:
        """One update of each loop from one start on one batch: the parameters move alike, to float32's rounding.

        Channels-last, as our loop lays images, sums in another order and moves them up to 0.3 % otherwise: here both
        are laid so.
        """
        layout = {"memory_format": torch.channels_last}
        a, b = (v.to(**layout) for v in views(torch.Generator(chosen.device).manual_seed(0)))
        ours, theirs = copy.deepcopy(model), copy.deepcopy(model).to(**layout)
        our_steps(train.pairs(a, b), ours, 1)()
        lightly_steps(iter([[a, b]]), theirs, chosen.device, 1)()
        for start, p, q in zip(*(net.parameters() for net in (model, ours, theirs)), strict=True):
            assert p.ne(start).any()
            assert (p - q).norm() <= 1e-4 * (q - start).norm()

    peers = {
        f"lightly, {workers} workers": lightly_steps(loader(x, workers), peer, chosen.device)
        for workers, peer in zip((0, 2), models[1:], strict=True)
    }
    comparisons = compare(
        f"step, {BATCH} pairs, {SIZE} px",
        our_steps(views, models[0]),
        peers,
        agree,
        rounds=chosen.rounds,
        items=STEPS,
        aims=AIMS,
        device=chosen.device,
    )
    report("training", comparisons, chosen.device, chosen.out)


if __name__ == "__main__":
    main()

"""A whole SimCLR training step against lightly's loop: ``python -m benchmarks.training``.

The same encoder, batch, loss and optimiser; what differs is where the images are (a tensor on the device here, PIL
images behind a DataLoader there) and how they are augmented. lightly's loop is timed as its tutorials write it,
with and without worker processes.
"""

import copy
import itertools
import warnings

import torch
from lightly.loss import NTXentLoss
from lightly.transforms import SimCLRTransform
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.augmentations import BATCH, MEAN, SIZE, STD, smooth_images
from benchmarks.harness import arguments, compare, report
from ssltheory import encoders, losses, train
from ssltheory.augmentations import TwoViews

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


def lightly_steps(x: torch.Tensor, model: nn.Module, workers: int, device: str):
    """``STEPS`` steps a call; the loader goes on from call to call."""
    loader = DataLoader(
        Pictures(x),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    criterion = NTXentLoss(temperature=TEMPERATURE)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)

    def work() -> None:
        for _ in range(STEPS):
            a, b = next(batches)
            loss = criterion(model(a.to(device)), model(b.to(device)))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return work


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

    def ours() -> None:
        train.train(
            models[0],
            views,
            lambda a, b: losses.simclr(a, b, TEMPERATURE),
            steps=STEPS,
            lr=LR,
            momentum=0.9,
            record_steps=[],
        )

    def agree() -> None:
        z_a, z_b = torch.randn(2, BATCH, 64)
        torch.testing.assert_close(
            losses.simclr(z_a, z_b, TEMPERATURE), NTXentLoss(TEMPERATURE)(z_a, z_b)
        )

    peers = {
        f"lightly, {workers} workers": lightly_steps(x, peer, workers, chosen.device)
        for workers, peer in zip((0, 2), models[1:], strict=True)
    }
    comparisons = compare(
        f"step, {BATCH} pairs, {SIZE} px",
        ours,
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

"""Two SimCLR views of 32 px images against the peers': ``python -m benchmarks.augmentations``.

Peers get the form that they are made for: lightly PIL images, torchvision uint8 tensors one by one,
kornia the batch in floating point. The per-image peers handle a part of the batch and are scaled
up.
"""

import warnings

import kornia.augmentation as K
import torch
from lightly.transforms import SimCLRTransform
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.harness import arguments, compare, report
from ssltheory.augmentations import TwoViews

SIZE, BATCH, PART = 32, 256, 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # lightly's default
AIMS = {"lightly, per image": 20.0, "torchvision v2, per image": 20.0, "kornia, batched": 3.0}


def smooth_images(n: int) -> Tensor:
    """uint8 with the smoothness of photographs: noise at 8 px, enlarged."""
    coarse = torch.rand(n, 3, 8, 8)
    x = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)
    return (255 * x).to(torch.uint8)


def torchvision_view() -> v2.Transform:
    return v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, scale=(0.08, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], p=0.5),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def kornia_view() -> K.AugmentationSequential:
    return K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE), scale=(0.08, 1.0)),
        K.RandomHorizontalFlip(),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        data_keys=["input"],
    )


def statistics(views: Tensor) -> Tensor:
    """Mean, spread, colour and roughness of the views: what the augmentations act on."""
    views = views.cpu()
    return torch.stack(
        [
            views.mean(),
            views.std(),
            (views.amax(1) - views.amin(1)).mean(),
            (views[..., 1:] - views[..., :-1]).abs().mean(),
        ]
    )


def main() -> None:
    warnings.filterwarnings("ignore")
    chosen = arguments("augmentations")
    x = smooth_images(BATCH).to(chosen.device)
    part = x[:PART].cpu()
    pictures = [v2.functional.to_pil_image(image) for image in part]
    ours = TwoViews(SIZE, mean=MEAN, std=STD)
    per_image, batched = torchvision_view(), kornia_view()
    pil = SimCLRTransform(input_size=SIZE, cj_strength=0.5)  # 0.5 of 0.8, 0.8, 0.8, 0.2: ours

    def lightly_views() -> tuple[Tensor, Tensor]:
        a, b = zip(*(pil(picture) for picture in pictures), strict=True)
        return torch.stack(a), torch.stack(b)

    def torchvision_views() -> tuple[Tensor, Tensor]:
        a, b = zip(*((per_image(image), per_image(image)) for image in part), strict=True)
        return torch.stack(a), torch.stack(b)

    def kornia_views() -> tuple[Tensor, Tensor]:
        images = x.float() / 255
        return batched(images), batched(images)

    peers = dict(zip(AIMS, (lightly_views, torchvision_views, kornia_views), strict=True))

    def agree() -> None:
        """The same images a hundred times over: statistics within a tenth."""

        def of(views, times):
            return statistics(torch.cat([torch.cat(views()) for _ in range(times)]))

        expected = of(lambda: ours(part.to(chosen.device)), 40)
        for who, views in peers.items():
            if who == "kornia, batched":
                few = part.to(chosen.device).float() / 255
                found = of(lambda few=few: (batched(few), batched(few)), 40)
            else:
                found = of(views, 40)
            torch.testing.assert_close(
                found, expected, rtol=0.1, atol=0.03, msg=lambda m, who=who: f"{who}: {m}"
            )

    comparisons = compare(
        f"two views, {BATCH} x {SIZE} px",
        lambda: ours(x),
        peers,
        agree,
        rounds=chosen.rounds,
        items=2 * BATCH,
        peer_items={"lightly, per image": 2 * PART, "torchvision v2, per image": 2 * PART},
        aims=AIMS,
        device=chosen.device,
    )
    for c in comparisons:
        print(
            f"{c.peer}: {c.items / c.theirs.median:,.0f} views a second, best "
            f"{c.items / c.theirs.minimum:,.0f}"
        )
    c = comparisons[0]
    print(
        f"ours: {c.items / c.ours.median:,.0f} views a second, best {c.items / c.ours.minimum:,.0f}"
    )
    report("augmentations", comparisons, chosen.device, chosen.out)


if __name__ == "__main__":
    main()

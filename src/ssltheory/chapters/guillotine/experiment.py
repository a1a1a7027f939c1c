"""Networks that can be cut at any layer, and views that remember how they were made (bordes2023guillotine).

A network is a trunk, whose output is the backbone, and a projector, the head, whose output the loss takes. ``cuts``
names the layers that a probe can read. ``trained`` trains networks of one shape side by side, each with its own
method, views and weights: a ``Variant``.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ssltheory import losses, train
from ssltheory.errors import InputError
from ssltheory.measure import probes
from ssltheory.models import encoders
from ssltheory.train.supervised import Classifier, cross_entropy, labelled

RESNET_STAGES = ("relu", "layer1", "layer2", "layer3")


@dataclass(frozen=True)
class Style:
    """Views with known parameters: turned, shifted, made brighter or darker. Ours.

    Attributes:
        rotation: largest angle in degrees.
        shift: largest shift in each direction, as a share of the side.
        brightness: largest relative change of brightness.
    """

    rotation: float = 20.0
    shift: float = 0.125
    brightness: float = 0.4

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        """The views of x for parameters u: angle, shift across and down, brightness, in units of the largest.

        Interpolation is bilinear, and anything from outside the image is black. u = 0 does not change the images.

        Args:
            x: ``(n, c, h, w)``, floating point, black at 0.
            u: ``(n, 4)`` in [−1, 1].

        Returns:
            ``(n, c, h, w)``.

        Raises:
            InputError: if the shapes do not match.
        """
        if x.ndim != 4 or u.shape != (len(x), 4):
            raise InputError(
                f"a view takes images (n, c, h, w) and four numbers for each, (n, 4), got {tuple(x.shape)} "
                f"and {tuple(u.shape)}"
            )
        angle = math.radians(self.rotation) * u[:, 0]
        across, down = 2 * self.shift * u[:, 1], 2 * self.shift * u[:, 2]
        rows = [angle.cos(), -angle.sin(), across, angle.sin(), angle.cos(), down]
        grid = F.affine_grid(
            torch.stack(rows, -1).view(-1, 2, 3), list(x.shape), align_corners=False
        )
        turned = F.grid_sample(x, grid, align_corners=False)
        return turned * (1 + self.brightness * u[:, 3])[:, None, None, None]


def draw(*shape: int, generator: Generator) -> Tensor:
    """Parameters of views: ``(*shape, 4)``, independent and uniform in [−1, 1]."""
    return 2 * torch.rand(*shape, 4, generator=generator, device=generator.device) - 1


@dataclass(frozen=True)
class Variant:
    """How a network is trained.

    Attributes:
        method: SimCLR; VICReg; SimCLR on pairs of images of one class; or a classifier behind the projector.
        style: of its views.
        temperature: of SimCLR.
        covariance: VICReg's weight of the covariance term; those of invariance and variance are 25.
        depth: number of linear layers of the projector.
    """

    method: Literal["simclr", "vicreg", "labels", "supervised"] = "simclr"
    style: Style = Style()
    temperature: float = 0.2
    covariance: float = 1.0
    depth: int = 3

    def loss(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        """``(seeds, n, d)`` of each view -> ``(seeds,)``. VICReg's loss is divided by 25, the size of its weights."""
        if self.method == "vicreg":
            return losses.vicreg(z_a, z_b, covariance=self.covariance) / 25
        return losses.simclr(z_a, z_b, self.temperature)


def network(
    encoder: Literal["mlp", "small_conv", "resnet18"],
    shape: tuple[int, int, int],
    backbone: int,
    width: int,
    dim: int,
    depth: int,
    classes: int = 0,
    seed: int = 0,
) -> nn.Sequential:
    """``trunk``, ``head`` and, if there are classes, ``classifier``; BatchNorm and ReLU after hidden layers.

    The backbone follows a ReLU (and, with convolutions, the average over the image); the output is linear.

    Args:
        encoder: ``mlp`` with two hidden layers, ``small_conv`` with two before the last, or ``resnet18``.
        shape: ``(c, h, w)`` of the images.
        backbone: number of features of the backbone; ignored for the ResNet, which has 512.
        width: units in each hidden layer of the MLP and of the projector.
        dim: number of outputs of the projector.
        depth: number of linear layers of the projector.
        classes: number of outputs of the classifier; 0: there is none.
        seed: of the initial parameters.
    """
    channels, height, side = shape
    trunk: Any  # with ``out_features``
    if encoder == "resnet18":
        trunk = encoders.resnet(18, "cifar" if side < 64 else "imagenet", channels)
        backbone = trunk.out_features
    elif encoder == "small_conv":
        trunk = encoders.small_conv(channels, (backbone // 4, backbone // 2, backbone))
    else:
        trunk = encoders.mlp([channels * height * side, width, width, backbone], batch_norm=True)
        trunk = nn.Sequential(*trunk, nn.BatchNorm1d(backbone), nn.ReLU())
    parts = OrderedDict(
        trunk=trunk, head=encoders.projector([backbone, *[width] * (depth - 1), dim])
    )
    if classes:
        parts["classifier"] = nn.Linear(dim, classes)
    return encoders.finish_(nn.Sequential(parts), classes or dim, seed)


def cuts(net: nn.Sequential) -> list[str]:
    """Layers from the stem to the end of the projector: after each ReLU (in a ResNet, its stem and stages), ``trunk``
    for the backbone, and ``head`` for the output."""

    def rectified(part: nn.Module) -> list[str]:
        return [name for name, module in part.named_children() if isinstance(module, nn.ReLU)]

    trunk, head = net.get_submodule("trunk"), net.get_submodule("head")
    inner = RESNET_STAGES if hasattr(trunk, "layer4") else rectified(trunk)[:-1]
    return [
        *(f"trunk.{name}" for name in inner),
        "trunk",
        *(f"head.{name}" for name in rectified(head)),
        "head",
    ]


def views(x: Tensor, y: Tensor, variants: Sequence[Variant], batch_size: int) -> train.Views:
    """Positive pairs for a stack of ``variants × seeds`` networks.

    Each seed draws a batch of its own images and two sets of parameters. Variants share them; they differ in the
    largest parameters and, with ``labels``, in the second image: any image of the same class among that seed's.

    Args:
        x: ``(seeds, n, c, h, w)``.
        y: labels ``(seeds, n)``.
        variants: none of them supervised.
        batch_size: images for each step and seed, without replacement.

    Returns:
        ``draw(generator) -> (a, b)``, each ``(variants · seeds, batch, c, h, w)``.

    Raises:
        InputError: if the batch is larger than the data.
    """
    if not 1 <= batch_size <= y.shape[1]:
        raise InputError(f"batch_size must be in [1, {y.shape[1]}] (the data), got {batch_size}")
    seeds = torch.arange(len(y), device=y.device)[:, None]
    by_label = any(variant.method == "labels" for variant in variants)

    def pairs(generator: Generator) -> tuple[Tensor, Tensor]:
        random: dict[str, Any] = {"generator": generator, "device": y.device}
        image = torch.rand(y.shape, **random).argsort(1)[:, :batch_size]
        partner = partners(y, image, generator) if by_label else image
        u = draw(2, *image.shape, generator=generator)

        @cache
        def view(which: int, other: bool, style: Style) -> Tensor:
            batch = x[seeds, partner if other else image].flatten(0, 1)
            return style(batch, u[which].flatten(0, 1)).unflatten(0, image.shape)

        a = [view(0, False, variant.style) for variant in variants]
        b = [view(1, variant.method == "labels", variant.style) for variant in variants]
        return torch.cat(a), torch.cat(b)

    return pairs


def partners(y: Tensor, image: Tensor, generator: Generator) -> Tensor:
    """For each of ``image``, ``(seeds, batch)``, one of that seed's images with the same label, possibly itself."""
    same = y[:, None] == y.gather(1, image)[..., None]
    chance = torch.rand(same.shape, generator=generator, device=y.device)
    return chance.masked_fill(~same, -1.0).argmax(-1)


def trained(
    nets: Sequence[nn.Sequential],
    variants: Sequence[Variant],
    x: Tensor,
    y: Tensor,
    batch_size: int,
    normalise: Callable[[Tensor], Tensor],
    recipe: train.Recipe,
    **options,
) -> float:
    """Train ``variants × seeds`` networks of one shape in place; a single one is not stacked.

    Args:
        nets: in the order of variants, then seeds.
        variants: all supervised, or none.
        x: ``(seeds, n, c, h, w)``.
        y: labels ``(seeds, n)``.
        batch_size: images for each step and network.
        normalise: applied to views.
        recipe: of the training.
        options: of ``train.train``.

    Returns:
        Seconds spent in the loop.
    """
    alone, shape = len(nets) == 1, (len(variants), len(y))
    model = nets[0] if alone else encoders.stack(nets)
    if variants[0].method == "supervised":
        if alone:
            x, y = x[0], y[0]
        style = variants[0].style

        def augment(images: Tensor, generator: Generator) -> Tensor:
            return normalise(style(images, draw(len(images), generator=generator)))

        result = train.train(
            Classifier(model),
            labelled(x, y, augment, batch_size),
            cross_entropy,
            recipe,
            **options,
        )
    else:
        pairs = views(x, y, variants, batch_size)

        def drawn(generator: Generator) -> tuple[Tensor, Tensor]:
            a, b = (normalise(view) for view in pairs(generator))
            return (a[0], b[0]) if alone else (a, b)

        def loss(z_a: Tensor, z_b: Tensor) -> Tensor:
            z_a, z_b = (z[None, None] if alone else z.unflatten(0, shape) for z in (z_a, z_b))
            each = [variant.loss(*z) for variant, *z in zip(variants, z_a, z_b, strict=True)]
            return each[0][0] if alone else torch.cat(each)

        result = train.train(model, drawn, loss, recipe, **options)
    if not alone:
        state = model.get_submodule("member").state_dict()
        for k, net in enumerate(nets):
            net.load_state_dict({name: value[k] for name, value in state.items()})
    return result.seconds


def shuffled_probe(
    z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor, times: int = 20, seed: int = 0
) -> Tensor:
    """Accuracies of ridge probes trained on shuffled labels, ``(times,)``, each on a shuffle of its own.

    A shuffle affects whole classes: single accuracies scatter around chance far more than independent guesses would.
    So it takes many shuffles, and the spread between them, to detect a leak.
    """
    generator = Generator().manual_seed(seed)
    orders = [torch.randperm(len(y_train), generator=generator) for _ in range(times)]
    sets = [(z_train, y_train[order.to(y_train.device)], z_test, y_test) for order in orders]
    return torch.tensor([probes.ridge_probe(*one).accuracy for one in sets])

"""Encoders f: images or rows to embeddings, their initial scale, and several seeds run as one.

Each builder returns an ``nn.Module`` with ``out_features``, initialised by ``initialise_`` with seed 0.
Call ``initialise_(model, seed, scale)`` for another seed or a small start.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal, TypeVar

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ssltheory.errors import InputError

M = TypeVar("M", bound=nn.Module)


def linear(m: int, d: int, bias: bool = False) -> nn.Linear:
    """f(x) = W x on rows: ``(n, m) -> (n, d)``; ``weight`` is W, ``(d, m)``."""
    return initialise_(nn.Linear(m, d, bias=bias))


def mlp(widths: Sequence[int], batch_norm: bool = False, bias: bool = True) -> nn.Sequential:
    """Linear layers with ReLU between them (after BatchNorm, if wanted), none after the last.

    Args:
        widths: ``(m, hidden..., d)``. Images of m values are flattened.
        batch_norm: normalise every hidden layer.
        bias: of every linear layer.

    Raises ``InputError`` if there are fewer than two widths, or one is below 1.
    """
    _check_widths("mlp", widths, least=2)
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (width_in, width_out) in enumerate(pairwise(widths)):
        if i:
            layers += [nn.BatchNorm1d(widths[i])] if batch_norm else []
            layers += [nn.ReLU()]
        layers += [nn.Linear(width_in, width_out, bias=bias)]
    return finish_(nn.Sequential(*layers), widths[-1])


def projector(widths: Sequence[int], batch_norm: bool = True) -> nn.Sequential:
    """The head g of z = g(f(x)): an ``mlp`` with BatchNorm and no biases, as in Barlow Twins."""
    return mlp(widths, batch_norm=batch_norm, bias=False)


def small_conv(
    channels_in: int, widths: Sequence[int] = (16, 32, 64), batch_norm: bool = True
) -> nn.Sequential:
    """3×3 convolutions with ReLU, all but the first of stride 2, then the global average (ours).

    ``(n, channels_in, h, w) -> (n, widths[-1])``, for 8×8 to 32×32 images. Convolutions have a bias
    if there is no BatchNorm.

    Raises ``InputError`` if a width is below 1, or there is none.
    """
    _check_widths("small_conv", widths, least=1)
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        stride = 2 if i else 1
        layers += [nn.Conv2d(channels_in, width, 3, stride, padding=1, bias=not batch_norm)]
        layers += [nn.BatchNorm2d(width)] if batch_norm else []
        layers += [nn.ReLU()]
        channels_in = width
    return finish_(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), widths[-1])


def resnet(
    depth: Literal[18, 50], stem: Literal["imagenet", "cifar"] = "imagenet", channels_in: int = 3
) -> nn.Module:
    """torchvision's ResNet without its classifier: ``(n, channels_in, h, w) -> (n, 512 or 2048)``.

    Args:
        depth: 18 or 50.
        stem: ``"imagenet"`` (7×7 stride 2, max-pool) or ``"cifar"`` (3×3 stride 1, no max-pool).
        channels_in: 3 for colour, 1 for grey.

    Raises:
        InputError: for another depth or stem.
    """
    builders = {18: torchvision.models.resnet18, 50: torchvision.models.resnet50}
    if depth not in builders or stem not in ("imagenet", "cifar"):
        raise InputError(
            f"resnet has depth 18 or 50 and stem 'imagenet' or 'cifar', got {depth!r}, {stem!r}"
        )
    net = builders[depth](weights=None)
    out_features = net.fc.in_features
    net.fc = nn.Identity()
    size, stride, padding = (3, 1, 1) if stem == "cifar" else (7, 2, 3)
    net.conv1 = nn.Conv2d(channels_in, 64, size, stride, padding, bias=False)
    if stem == "cifar":
        net.maxpool = nn.Identity()
    return finish_(net, out_features)


@torch.no_grad()
def initialise_(module: M, seed: int = 0, scale: float = 1.0) -> M:
    """He initialisation from a given seed, in place, then ``scale_parameters_``.

    Weights of linear and convolutional layers are N(0, 2 / fan_in); biases 0; BatchNorm gains 1,
    shifts 0. They are drawn on the CPU in float32: the numbers are the same on every device, and
    torch's global seed is not touched.

    Args:
        module: plain layers; stack several (``stack``) after initialising each.
        seed: of the draw.
        scale: of every parameter.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | _ConvNd):
            deviation = (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.copy_(deviation * torch.randn(layer.weight.shape, generator=generator))
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, _BatchNorm):
            layer.reset_parameters()
    return scale_parameters_(module, scale)


@torch.no_grad()
def initialise_with_biases_(module: M, seed: int = 0, scale: float = 1.0) -> M:
    """As ``initialise_``, but linear layers by torch's own law, which has biases.

    Their weights and biases are uniform on ±1 / √fan_in. On the unit sphere a small start needs
    biases: they scale as s, what an image adds to them as s² or faster, so that all images begin at
    one point. Without biases the embedding keeps its shape however small it is.

    Args:
        module, seed, scale: of ``initialise_``.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=generator)
        elif isinstance(layer, _ConvNd):
            deviation = (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.copy_(deviation * torch.randn(layer.weight.shape, generator=generator))
        elif isinstance(layer, _BatchNorm):
            layer.reset_parameters()
    return scale_parameters_(module, scale)


@torch.no_grad()
def scale_parameters_(module: M, factor: float) -> M:
    """Multiply EVERY parameter by ``factor``, in place: weights, biases, norms' gains and shifts.

    Without BatchNorm or biases an L-layer net's output scales as factor^L. BatchNorm undoes the
    scale of the layers before it, and only its own gain counts: with one before the last linear
    layer the output scales as factor² (until its ε = 10⁻⁵ matters). Check ``rms`` of the embeddings
    at step 0.

    Raises:
        InputError: if the factor is not above 0 (at 0 nothing is learnt: every gradient is 0).
    """
    if not factor > 0:
        raise InputError(f"the scale of the parameters must be above 0, got {factor}")
    if factor != 1:
        for parameter in module.parameters():
            parameter.mul_(factor)
    return module


def rms(z: Tensor) -> Tensor:
    """√ mean z² over the last two axes: ``(..., n, d) -> (...)``."""
    return z.to(torch.promote_types(z.dtype, torch.float32)).square().mean((-2, -1)).sqrt()


def stack(models: Sequence[nn.Module]) -> nn.Module:
    """Several models of one shape (seeds) as one module, with a leading axis of seeds.

    It passes ``(n, ...)`` to every seed; ``(seeds, n, ...)`` has different inputs for each seed. Rows
    are ``(n, m)``, images ``(n, c, h, w)``. The output is ``(seeds, n, d)``. A chain of linear layers
    and ReLU becomes batched products; anything else, including BatchNorm, goes through
    ``torch.func.vmap``, each seed with its own statistics. On two CPU cores, eight seeds at once took a
    third of the loop's time for small MLPs and half for ``small_conv`` on 8×8 images. Large nets
    (ResNets) gain nothing: loop over the seeds.

    The parameters are copies, stacked along a new first axis.

    Raises:
        InputError: if there is no model, or the shapes of their parameters differ.
    """
    shapes = {tuple((k, v.shape) for k, v in model.state_dict().items()) for model in models}
    if len(shapes) != 1:
        raise InputError(
            "stack takes one or more models of the same shape: build each the same way"
        )
    columns = list(zip(*map(_layers, models), strict=True))
    if all(isinstance(layer, nn.Flatten | nn.Linear | nn.ReLU) for (layer, *_) in columns):
        stacked: nn.Module = _StackedMLP(
            *(
                _StackedLinear(column) if isinstance(column[0], nn.Linear) else nn.ReLU()
                for column in columns
                if not isinstance(column[0], nn.Flatten)
            )
        )
    else:
        stacked = _Vmapped(models)
    stacked.out_features = models[0].out_features
    return stacked


def _layers(model: nn.Module) -> list[nn.Module]:
    return list(model) if isinstance(model, nn.Sequential) else [model]


class _StackedLinear(nn.Module):
    """Weights ``(seeds, in, out)``, biases ``(seeds, 1, out)``."""

    def __init__(self, members: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([m.weight.detach().mT for m in members]))
        self.bias = None
        if members[0].bias is not None:
            self.bias = nn.Parameter(torch.stack([m.bias.detach()[None] for m in members]))

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(len(self.weight), *x.shape[-2:])
        return x @ self.weight if self.bias is None else torch.baddbmm(self.bias, x, self.weight)


class _StackedMLP(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(-3) if x.ndim > 3 else x)


class _Vmapped(nn.Module):
    """One member's code, mapped over stacked parameters and buffers."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.member = copy.deepcopy(models[0])
        parameters, buffers = stack_module_state(list(models))
        for name, value in (parameters | buffers).items():
            owner, _, leaf = name.rpartition(".")
            place = self.member.get_submodule(owner)
            setattr(place, leaf, nn.Parameter(value.detach()) if name in parameters else value)

    def forward(self, x: Tensor) -> Tensor:
        state = dict(self.member.named_parameters()) | dict(self.member.named_buffers())
        own = 0 if x.ndim in (3, 5) else None
        return vmap(lambda s, x: functional_call(self.member, s, (x,)), in_dims=(0, own))(state, x)


@contextmanager
def measuring(model: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Inside, no gradients and evaluation mode; afterwards modes and BatchNorm averages are as before.

    Args:
        model: any module.
        batch_statistics: BatchNorm uses the statistics of its input, as in training, and its running
            averages (meaningless at step 0) do not change.
    """
    modes = [(module, module.training) for module in model.modules()]
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    model.eval()
    for norm in norms if batch_statistics else ():
        norm.training, norm.track_running_stats = True, False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for norm in norms:
            norm.track_running_stats = True


def embed(
    model: nn.Module, x: Tensor, batch_size: int | None = None, batch_statistics: bool = False
) -> Tensor:
    """Embeddings of ``x``, without gradients and without changing the model (see ``measuring``).

    Args:
        model: an encoder, or a stack of them.
        x: ``(n, ...)``.
        batch_size: images at a time; None: all at once (the only choice with ``batch_statistics``).
        batch_statistics: see ``measuring``.

    Returns:
        ``(n, d)``, or ``(seeds, n, d)`` for a stack.

    Raises:
        InputError: if both a batch size and batch statistics are given.
    """
    if batch_size and batch_statistics:
        raise InputError("batch_statistics=True needs all of x in one batch: leave batch_size out")
    with measuring(model, batch_statistics):
        return torch.cat([model(chunk) for chunk in x.split(batch_size or len(x))], -2)


def activations(
    model: nn.Module,
    x: Tensor,
    layers: Sequence[str] | None = None,
    batch_statistics: bool = False,
) -> dict[str, Tensor]:
    """The outputs of the named layers for ``x``: hidden representations, for their spectra.

    Args:
        model: any module.
        x: ``(n, ...)``, passed through at once.
        layers: names as in ``model.named_modules()``; None: the direct children (the blocks of a
            ResNet, the layers of an ``mlp``).
        batch_statistics: see ``measuring``.

    Returns:
        Name to output, ``(n, features)`` or ``(n, c, h, w)``, in the order of the forward pass.

    Raises:
        InputError: for a layer that the model does not have.
    """
    modules = dict(model.named_modules())
    names = [name for name, _ in model.named_children()] if layers is None else list(layers)
    if unknown := [name for name in names if name not in modules]:
        raise InputError(f"no layer {unknown[0]!r} in the model; it has {', '.join(modules)[2:]}")
    outputs: dict[str, Tensor] = {}

    def keep(name: str):  # a copy: an in-place ReLU may follow
        return lambda module, inputs, output: outputs.__setitem__(name, output.clone())

    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        with measuring(model, batch_statistics):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def finish_(net: M, out_features: int, seed: int = 0) -> M:
    """Set a network's ``out_features`` and initialise it (``initialise_``), in place."""
    net.out_features = out_features  # type: ignore[assignment]
    return initialise_(net, seed)


def _check_widths(name: str, widths: Sequence[int], least: int) -> None:
    if len(widths) < least or any(width < 1 for width in widths):
        raise InputError(f"{name} needs {least} or more widths, each at least 1, got {widths}")

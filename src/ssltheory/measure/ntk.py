"""Neural tangent kernels: of infinitely wide ReLU networks in closed form, and of a given network.

Rows and results are those of ``measure.kernels``.

The networks are those of ``relu_network``, in the parameterisation of Jacot et al. 2018 (arXiv 1806.07572):
layer l of fan-in m_l computes √(2/m_l) W a (+ b), with every entry of W, and of b if there is one, N(0, 1).
The 2 is for ReLU, so that the outputs at the start are distributed like those of a He-initialised
``encoders.mlp`` of the same widths; the effective learning rates of its layers differ.
"""

import copy
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ssltheory.errors import InputError
from ssltheory.measure.kernels import BLOCK, _by_rows, _expectations
from ssltheory.models import encoders

POINTS = 1024  # points differentiated at a time for the empirical kernel
Pass = tuple[Tensor, Tensor]  # inputs (n, places, in) and gradients (n, d, places, out) of a layer


def relu_nngp(x: Tensor, y: Tensor | None = None, depth: int = 1, bias: bool = False) -> Tensor:
    """Covariance of an output of an infinitely wide ``relu_network`` at the start, ``(n, n')``.

    Σ⁰ = 2 x·y/m + β and Σˡ = 2 E[relu(u) relu(v)] + β with (u, v) ~ N(0, Σˡ⁻¹), where β is 1 with biases and 0
    without.

    Args:
        x, y: ``(n, m)`` and ``(n', m)``.
        depth: number of hidden layers L, 0 or more.
        bias: of every layer.

    Raises ``InputError`` if x and y differ in m, or the depth is negative.
    """
    return _by_rows(lambda a, b: _infinite(a, b, depth, bias)[0], x, y)


def relu_ntk(x: Tensor, y: Tensor | None = None, depth: int = 1, bias: bool = False) -> Tensor:
    """Neural tangent kernel of an infinitely wide ``relu_network``, ``(n, n')``.

    Θ⁰ = Σ⁰ and Θˡ = Σˡ + Θˡ⁻¹ · 2 E[1(u > 0) 1(v > 0)], with Σ and (u, v) as in ``relu_nngp``. For d outputs it is
    Θ times the identity: each output has this kernel, and between two outputs it is zero.

    Arguments and errors are those of ``relu_nngp``.

    Source: Jacot et al. 2018 (arXiv 1806.07572), Theorem 1.
    """
    return _by_rows(lambda a, b: _infinite(a, b, depth, bias)[1], x, y)


def relu_network(widths: Sequence[int], bias: bool = False, seed: int = 0) -> nn.Sequential:
    """The network whose wide limits are ``relu_nngp`` and ``relu_ntk``: see the module.

    Args:
        widths: ``(m, hidden..., d)``; images of m values are flattened.
        bias: of every layer.
        seed: of the start; every weight (and bias) is N(0, 1), in float32.

    Returns:
        A module with ``out_features``; its last linear layer is ``[-1]``, the one before it ``[-4]``.

    Raises ``InputError`` if there are fewer than two widths, or one is below 1.
    """
    plain = encoders.mlp(widths, bias=bias)
    layers: list[nn.Module] = []
    generator = torch.Generator().manual_seed(seed)
    for layer in plain:
        if isinstance(layer, nn.Linear):
            layers.append(_Scale((2 / layer.in_features) ** 0.5))
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
        layers.append(layer)
    network = nn.Sequential(*layers)
    network.out_features = plain.out_features
    return network


@torch.enable_grad()
def empirical_ntk(model: nn.Module, x: Tensor, y: Tensor | None = None) -> Tensor:
    """The kernel that gradient descent follows from a network's current parameters, ``(n, n')``.

    It is (1/d) Σ_i Σ_θ ∂f_i(x)/∂θ ∂f_i(y)/∂θ over the d outputs and the trained parameters: the mean of the diagonal
    blocks of the d × d kernel, which theory uses for a network of several outputs. The off-diagonal blocks are left
    out; they vanish for infinite width.

    It is computed layer by layer, and no Jacobian is ever stored. With inputs a and backpropagated gradients
    g_i = ∂f_i/∂(output), a linear layer adds (a(x)·a(y) + β) · (1/d) Σ_i g_i(x)·g_i(y), where β is 1 with a bias. A
    convolution sums over pairs of places or, if there are too many of them, multiplies its per-point gradients.

    Args:
        model: linear and convolutional layers, with anything that has no trained parameters between them. A float64
            copy of it in evaluation mode is differentiated. No point may influence the output of another.
        x, y: ``(n, ...)`` and ``(n', ...)`` as the model takes them.

    Returns:
        ``(n, n')`` float64.

    Raises:
        InputError: if a trained parameter belongs to a layer of another kind, or is shared by two layers.
    """
    model = copy.deepcopy(model).double().eval()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | _ConvNd) and _trained(m)]
    if sum(len(_trained(m)) for m in layers) != len(_trained(model)) or any(
        isinstance(m, _ConvNd) and not _plain(m) for m in layers
    ):
        raise InputError(
            "empirical_ntk knows linear layers and ungrouped 2-d convolutions, each with parameters of its own: "
            "freeze the others with requires_grad_(False)"
        )
    symmetric, x = y is None, x.detach().double()
    y = x if y is None else y.detach().double()
    kernel = x.new_empty(len(x), len(y))
    for i in range(0, len(x), POINTS):
        here = _passes(model, layers, x[i : i + POINTS])
        for j in range(i if symmetric else 0, len(y), POINTS):
            there = here if symmetric and i == j else _passes(model, layers, y[j : j + POINTS])
            block = reduce(torch.add, map(_contribution, layers, here, there))
            kernel[i : i + POINTS, j : j + POINTS] = block
            if symmetric:
                kernel[j : j + POINTS, i : i + POINTS] = block.mT
    return kernel


class _Scale(nn.Module):
    """Multiplication by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def _infinite(x: Tensor, y: Tensor, depth: int, bias: bool) -> tuple[Tensor, Tensor]:
    """Σᴸ and Θᴸ."""
    if depth < 0:
        raise InputError(f"depth is the number of hidden layers, 0 or more, got {depth}")
    m, beta = x.shape[1], float(bias)
    sigma = x @ y.mT * (2 / m) + beta
    s_x, s_y = (z.square().sum(1) * (2 / m) + beta for z in (x, y))  # Σ(x, x)
    theta = sigma.clone()
    for _ in range(depth):
        sigma, step = _expectations(sigma, s_x, s_y)
        s_x, s_y, sigma = s_x + beta, s_y + beta, sigma + beta
        theta = theta.mul_(step).add_(sigma)
    return sigma, theta


def _passes(model: nn.Module, layers: Sequence[nn.Module], x: Tensor) -> list[Pass]:
    """The input of every layer, and the gradient of each output with respect to the layer's output."""
    calls: dict[nn.Module, list[Pass]] = {layer: [] for layer in layers}
    hooks = [
        layer.register_forward_hook(lambda layer, a, out: calls[layer].append((a[0].detach(), out)))
        for layer in layers
    ]
    try:
        f = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    flat = [(layer, a, out) for layer in layers for a, out in calls[layer]]
    outputs = [out for *_, out in flat]
    d = f.shape[1]
    gradients = [
        torch.autograd.grad(f[:, i].sum(), outputs, retain_graph=i < d - 1, materialize_grads=True)
        for i in range(d)
    ]
    passes: dict[nn.Module, list[Pass]] = {layer: [] for layer in layers}
    for (layer, a, _), g in zip(flat, zip(*gradients, strict=True), strict=True):
        passes[layer].append(
            (_places(layer, a), torch.stack([_channels_last(layer, z) for z in g], 1))
        )
    return [
        (torch.cat([a for a, _ in passes[layer]], 1), torch.cat([g for _, g in passes[layer]], 2))
        for layer in layers
    ]


def _contribution(layer: nn.Module, x: Pass, y: Pass) -> Tensor:
    """(1/d) Σ_i Σ_places (a·a' + β)(g_i·g_i'), ``(n, n')``; β counts the bias."""
    (a, g), (b, h) = ((_with_bias(layer, a), g) for a, g in (x, y))
    n, d, places, out = g.shape
    if places == 1:
        return (a[:, 0] @ b[:, 0].mT) * (g.flatten(1) @ h.flatten(1).mT) / d
    inside, others = a.shape[2], len(b)
    if others * places**2 * (inside + out) < (others + places) * inside * out:
        blocks = []
        for rows in torch.arange(n, device=a.device).split(max(1, BLOCK // (others * places**2))):
            forward = torch.einsum("npa,mqa->npmq", a[rows], b)
            backward = torch.einsum("nipo,miqo->npmq", g[rows], h)
            blocks.append((forward * backward).sum((1, 3)) / d)
        return torch.cat(blocks)
    kernel = a.new_zeros(n, others)
    for i in range(d):
        for some in torch.arange(out, device=a.device).split(max(1, 8 * BLOCK // (n * inside))):
            j_x = (a.mT @ g[:, i, :, some]).flatten(1)
            j_y = j_x if y is x else (b.mT @ h[:, i, :, some]).flatten(1)
            kernel += j_x @ j_y.mT
    return kernel / d


def _with_bias(layer: nn.Module, a: Tensor) -> Tensor:
    """The inputs that multiply trained parameters, with a one for the bias; none for a frozen weight."""
    parts = [a] if layer.weight.requires_grad else []
    if layer.bias is not None and layer.bias.requires_grad:
        parts.append(a.new_ones(*a.shape[:2], 1))
    return torch.cat(parts, 2)


def _places(layer: Any, a: Tensor) -> Tensor:
    """Inputs as ``(n, places, in)``: for a convolution, its patches."""
    if isinstance(layer, nn.Linear):
        return a.reshape(len(a), -1, a.shape[-1])
    return F.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride).mT


def _channels_last(layer: nn.Module, g: Tensor) -> Tensor:
    """Gradients as ``(n, places, out)``."""
    return g.reshape(len(g), -1, g.shape[-1]) if isinstance(layer, nn.Linear) else g.flatten(2).mT


def _plain(layer: nn.Module) -> bool:
    """Whether it is a 2-d convolution that ``unfold`` can unfold."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]

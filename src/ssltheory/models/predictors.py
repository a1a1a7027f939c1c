"""Predictors h of the methods without negatives, p = h(z): learnt by gradient, or set from the embeddings.

They are square and linear unless stated otherwise: ``weight`` is W_p, ``(d, d)``, and p = W_p z. Those that are set
keep F = E z zᵀ, uncentred, in buffers. They remember the embeddings that pass through ``forward`` in training mode,
and ``update`` takes these into F: once a step, after the optimiser (``train.train(after_step=predictors.after_step)``).
All their state is in the state dict, so that a checkpoint resumes them.
"""

import math
from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn

from ssltheory.errors import InputError
from ssltheory.train import distributed

M = TypeVar("M", bound=nn.Module)


def linear(dim: int, bias: bool = False, seed: int = 0) -> nn.Linear:
    """The learnt linear predictor ("regular" in tian2021directpred): ``(..., dim) -> (..., dim)``."""
    _check_dim(dim)
    return _initialise(nn.Linear(dim, dim, bias=bias), seed)


def two_layer(dim: int, hidden: int = 512, bias: bool = False, seed: int = 0) -> nn.Sequential:
    """Linear, BatchNorm without a gain or shift, ReLU, linear: ``(n, dim) -> (n, dim)``."""
    return _hidden_layer(dim, hidden, dim, bias, seed)


def projector(dim_in: int, hidden: int, dim: int, seed: int = 0) -> nn.Sequential:
    """The head in front of the predictor: like ``two_layer``, but with biases, ``(n, dim_in) -> (n, dim)``.

    Source: the authors' code of tian2021directpred (512, 512 and 128 units).
    """
    return _hidden_layer(dim_in, hidden, dim, True, seed)


def _hidden_layer(dim_in: int, hidden: int, dim: int, bias: bool, seed: int) -> nn.Sequential:
    _check_dim(dim_in, hidden, dim)
    layers = nn.Linear(dim_in, hidden, bias=bias), nn.Linear(hidden, dim, bias=bias)
    norm = nn.BatchNorm1d(hidden, affine=False)
    return _initialise(nn.Sequential(layers[0], norm, nn.ReLU(), layers[1]), seed)


class Symmetric(nn.Module):
    """A learnt linear predictor that stays symmetric, W_p = (V + Vᵀ)/2.

    The gradient for V is the symmetrised one, so that gradient descent here and "W_p ← (W_p + W_pᵀ)/2 after
    each step" (tian2021directpred) follow the same trajectory, with or without momentum and weight decay.
    """

    def __init__(self, dim: int, seed: int = 0) -> None:
        super().__init__()
        self.v = linear(dim, seed=seed).weight

    @property
    def weight(self) -> Tensor:
        return (self.v + self.v.mT) / 2

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.mT


class _FromMoment(nn.Module, ABC):
    """A predictor that is a function of F ← ρF + (1−ρ) E z zᵀ; the first batch initialises F."""

    f: Tensor
    started: Tensor
    moment: Tensor
    count: Tensor

    def __init__(self, dim: int, rho: float, eps: float, learn: bool) -> None:
        super().__init__()
        _check_dim(dim)
        if not 0 <= rho < 1:
            raise InputError(
                f"rho={rho} must be in [0, 1): F keeps that share of itself at each batch, and with 1 it would "
                "never change"
            )
        if not 0 <= eps < math.inf:
            raise InputError(f"eps={eps} must be finite and 0 or more")
        self.dim, self.rho, self.eps = dim, rho, eps
        self.weight = nn.Parameter(torch.eye(dim), requires_grad=learn)
        self.register_buffer("f", torch.zeros(dim, dim))
        self.register_buffer("started", torch.zeros(()))
        self.register_buffer("moment", torch.zeros(dim, dim))  # Σ z zᵀ since the last update
        self.register_buffer("count", torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        if self.training:
            self._remember(z)
        return z @ self.weight.mT

    @torch.no_grad()
    def update(self, z: Tensor | None = None, overwrite: bool = True) -> None:
        """Take a batch into F, and set ``weight`` from F.

        Args:
            z: ``(..., dim)`` embeddings; None: all that passed through ``forward`` in training mode since the
                last update, which are both views of a step.
            overwrite: False takes the batch into F but does not change the weight.

        Raises:
            InputError: if there is no batch.
        """
        if z is not None:
            self._forget()
            self._remember(z)
        elif not self.waiting:
            raise InputError(
                "no embedding has passed since the last update: call the predictor in training mode, "
                "or give update the embeddings"
            )
        batch = distributed.total(self.moment) / distributed.total(self.count)
        self.f.copy_(batch + self.rho * self.started * (self.f - batch))
        self.started.fill_(1)
        if overwrite:
            self.weight.copy_(self.from_moment(self.f))
        self._forget()

    waiting = False  # whether any embedding has passed; its moment is in the buffers

    @torch.no_grad()
    def _remember(self, z: Tensor) -> None:
        if z.shape[-1:] != (self.dim,) or z.numel() == 0:
            raise InputError(f"the predictor takes rows of {self.dim}, got {tuple(z.shape)}")
        with torch.autocast(z.device.type, enabled=False):
            rows = z.detach().reshape(-1, self.dim).to(self.f.dtype)
            self.moment += rows.mT @ rows
            self.count += len(rows)
        self.waiting = True

    def _forget(self) -> None:
        self.moment.zero_()
        self.count.zero_()
        self.waiting = False

    @abstractmethod
    def from_moment(self, f: Tensor) -> Tensor:
        """W_p of a given F, ``(d, d)``."""


class DirectPred(_FromMoment):
    """W_p = U diag(√(s_j / s_max) + ε) Uᵀ of F = U diag(s) Uᵀ (tian2021directpred), with eigenvalues of 1e-4 or more.

    This is the form of the authors' code. The paper's p_j = √s_j + ε max_j s_j is the same only if s_max = 1. For a
    spectrum from e⁻⁸ s_max to s_max at ε = 0.1, p_min / p_max is 0.108 at any scale here, but 0.040, 0.108 and 0.425
    at s_max = 0.05, 1 and 50 in the paper's form. Until the first update W_p = I (ours; the authors' first step uses
    a random one).

    Args:
        dim: d.
        rho: ρ, the share of F that is kept when a batch is taken in.
        eps: ε.
        learn: let the optimiser change ``weight`` between two updates that overwrite it.

    Raises:
        InputError: for a setting out of range.
    """

    def __init__(self, dim: int, rho: float = 0.3, eps: float = 0.1, learn: bool = False) -> None:
        super().__init__(dim, rho, eps, learn)

    def from_moment(self, f: Tensor) -> Tensor:
        """W_p of a given F, ``(d, d)``."""
        s, u = torch.linalg.eigh((f + f.mT) / 2)
        p = ((s / s[-1]).clamp(min=0).sqrt() + self.eps).clamp(min=1e-4)
        return (u * p) @ u.mT


class DirectCopy(_FromMoment):
    """W_p = F + ε ‖F‖ I with the spectral norm: no eigenvectors (wang2021directcopy, arXiv 2110.04947).

    Only the paper's abstract was read: the norm and the defaults are ours. The published code of halvagal2023implicit
    supports the norm: its DirectCopy is F / s_max + 0.25 I. A loss of cosines does not depend on the scale of W_p.

    Arguments and errors are those of ``DirectPred``.
    """

    def __init__(self, dim: int, rho: float = 0.5, eps: float = 0.3, learn: bool = False) -> None:
        super().__init__(dim, rho, eps, learn)

    def from_moment(self, f: Tensor) -> Tensor:
        """W_p of a given F, ``(d, d)``."""
        one = torch.eye(self.dim, dtype=f.dtype, device=f.device)
        return f + self.eps * torch.linalg.matrix_norm(f, 2) * one


class Optimal(nn.Module):
    """W_p = E[z' zᵀ] (E[z zᵀ] + λI)⁻¹, the ridge regression of the target z' on z.

    It predicts better than the predictor that descent finds, and is much worse for the representation (Table 1 of
    tian2021directpred).

    Args:
        dim: d.
        ridge: λ.

    Raises:
        InputError: for a setting out of range.
    """

    weight: Tensor

    def __init__(self, dim: int, ridge: float = 0.0) -> None:
        super().__init__()
        _check_dim(dim)
        if not 0 <= ridge < math.inf:
            raise InputError(f"ridge={ridge} must be finite and 0 or more")
        self.ridge = ridge
        self.register_buffer("weight", torch.eye(dim))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.mT

    @torch.no_grad()
    def update(self, z: Tensor, target: Tensor) -> None:
        """Set ``weight`` from one batch.

        Args:
            z, target: ``(n, dim)``, the online embedding of one view and the target's embedding of the other.

        Raises:
            InputError: if the shapes differ.
        """
        if z.shape != target.shape or z.shape[1:] != self.weight.shape[1:] or len(z) == 0:
            raise InputError(
                f"Optimal.update takes two (n, {len(self.weight)}) batches, "
                f"got {tuple(z.shape)} and {tuple(target.shape)}"
            )
        z, target = (rows.to(self.weight.dtype) for rows in (z, target))
        one = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        second = z.mT @ z / len(z) + self.ridge * one
        self.weight.copy_(torch.linalg.solve(second, target.mT @ z / len(z), left=False))


class Siamese(nn.Module):
    """The two networks around a predictor: a view to ``(p, z')``, as ``losses.byol`` takes it.

    p is the predictor's output for the online network's projection, and z' is the target's projection. The target runs
    in the online network's mode, so its BatchNorm uses the batch, as in the authors' code.

    Args:
        online: encoder and projector.
        predictor: of the projection; ``nn.Identity()``: none.
        target: a network of the same shape that follows the online one: its copy (BYOL), or an independent
            one (tian2021directpred's code). None: the online network itself (SimSiam).
        momentum: γ_a, the share of the target's parameters that is kept at each step.

    Raises:
        InputError: if the target has another shape, or momentum is not in [0, 1].
    """

    def __init__(
        self,
        online: nn.Module,
        predictor: nn.Module,
        target: nn.Module | None = None,
        momentum: float = 0.996,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise InputError(f"momentum={momentum} must be in [0, 1]")
        if target is not None:
            shapes = [[p.shape for p in net.parameters()] for net in (online, target)]
            if target is online or shapes[0] != shapes[1]:
                raise InputError(
                    "the target must be a second network with parameters of the same shapes as the online one's: "
                    "give copy.deepcopy(online), or None to use the online network itself"
                )
            target.requires_grad_(False)
        self.online, self.predictor, self.target = online, predictor, target
        self.momentum = momentum

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor]:
        z = self.online(view)
        return self.predictor(z), z if self.target is None else self.target(view)


@torch.no_grad()
def after_step(step: int, model: Siamese, every: int = 1) -> None:
    """For ``train.train``: set a predictor that is not learnt, then move the target.

    Args:
        step: number of the update that was just done, from 1.
        model: the trained model.
        every: a ``DirectPred`` or ``DirectCopy`` takes in every batch and overwrites its weight after updates
            1, 1 + every, … (``functools.partial(after_step, every=5)``).
    """
    if isinstance(model.predictor, _FromMoment):
        model.predictor.update(overwrite=(step - 1) % every == 0)
    if model.target is not None:
        pairs = zip(model.target.parameters(), model.online.parameters(), strict=True)
        for theirs, ours in pairs:
            theirs.lerp_(ours, 1 - model.momentum)


@torch.no_grad()
def _initialise(module: M, seed: int) -> M:
    """PyTorch's default for linear layers, U(±1/√fan_in), from a given seed."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            for parameter in layer.parameters():
                draw = torch.rand(parameter.shape, generator=generator)
                parameter.copy_((2 * draw - 1) / math.sqrt(layer.in_features))
    return module


def _check_dim(*dims: int) -> None:
    if any(dim < 1 for dim in dims):
        raise InputError(f"a predictor needs dimensions of 1 or more, got {dims}")

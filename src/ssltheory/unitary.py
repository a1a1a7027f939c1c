"""Unitary and orthogonal matrices that stay so while they are trained, at the price of low-rank steps (projUNN).

A gradient step takes a unitary U away from the unitary matrices. kiani2022projunn approximate the step by one of rank
k, Δ = a bᴴ, and bring U back at a cost of O(k n²), where a dense polar factor or matrix exponential costs O(n³):

- ``projunn_d``, *projection*: the unitary matrix nearest to U + Δ;
- ``projunn_t``, *transport*: along the geodesic whose direction is the tangent part of Δ.

Both turn U within the span Q of b and Uᴴa, at most 2k directions, and leave the rest alone: U (I + Q (F − I) Qᴴ) with
a unitary F of 2k × 2k. With N = (Qᴴ Uᴴ a)(Qᴴ b)ᴴ, F is the polar factor of I + N, or the exponential of (N − Nᴴ) / 2.
In this form a step multiplies U by a unitary matrix and does nothing else, so neither kind drifts.

``lsi`` and ``column_sampling`` find a and b from a gradient, and ``ProjUNN`` is an optimiser that does all of this:

    optimizer = ProjUNN(rnn.parameters(), unitary=[rnn.weight_hh_l0], lr=1e-3)

Every function takes leading axes, for matrices side by side, in float32, float64 and their complex counterparts.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from ssltheory.errors import InputError, RunError

LOOSE = 1e-3  # largest unitarity error, per √n, of a parameter that an optimiser accepts as unitary
DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


# Steps


def projunn_d(u: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The unitary matrix nearest to U + a bᴴ in the Frobenius norm: its polar factor, in O(k n²).

    It is not unique where U + a bᴴ is singular, which takes a step as large as U itself in some direction.

    Args:
        u: U, ``(..., n, n)``, unitary.
        a, b: ``(..., n, k)``, k <= n; both may have any rank, including zero.

    Returns:
        ``(..., n, n)``.

    Raises ``InputError`` if the shapes or dtypes do not match, and ``RunError`` if there is a NaN or an infinity in
    them.

    Source: kiani2022projunn, projUNN-D; the form with a polar factor of 2k × 2k is ours.

    Examples:
        >>> u, a, b = torch.eye(2), torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [2.0]])
        >>> moved = projunn_d(u, a, b)
        >>> torch.allclose(moved, nearest_unitary(u + a @ b.mH), atol=1e-6)
        True
    """
    return _turned(u, a, b, lambda n: nearest_unitary(n + _eye(n)))


def projunn_t(u: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """U exp(Uᴴ Π(a bᴴ)) with Π(X) = (X − U Xᴴ U) / 2, the part of X that is tangent at U, in O(k n²).

    It agrees with ``projunn_d`` up to the square of the step. It never changes the sign of a real matrix's determinant.

    Arguments, result and errors are those of ``projunn_d``.

    Source: kiani2022projunn, projUNN-T.

    Examples:
        >>> u, quarter = torch.eye(2), torch.tensor([[torch.pi], [0.0]])
        >>> projunn_t(u, quarter, torch.tensor([[0.0], [1.0]])).round().abs().tolist()  # a quarter turn
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return _turned(u, a, b, lambda n: torch.linalg.matrix_exp((n - n.mH) / 2))


def nearest_unitary(x: Tensor) -> Tensor:
    """The polar factor X (Xᴴ X)^−½, the unitary matrix nearest to X, by a singular value decomposition in O(n³).

    Args:
        x: ``(..., n, n)``. If it is singular, the result is one of several nearest matrices.

    Returns:
        ``(..., n, n)``.

    Raises:
        RunError: if x holds a NaN or an infinity.

    An x that is not square, or is of another dtype, is an ``InputError``.

    Examples:
        >>> nearest_unitary(torch.tensor([[3.0, 0.0], [0.0, -0.5]])).round().abs().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    _check_square("nearest_unitary", x)
    try:
        v, _, w = torch.linalg.svd(x)
    except torch.linalg.LinAlgError as error:
        raise RunError(
            "the matrix holds a NaN or an infinity, so no unitary matrix is nearest to it: if training "
            "diverged, take a smaller learning rate"
        ) from error
    return v @ w


def unitarity_error(u: Tensor) -> Tensor:
    """‖Uᴴ U − I‖_F, zero for a unitary matrix: ``(..., n, n) -> (...)``.

    Examples:
        >>> unitarity_error(torch.eye(2)).item(), unitarity_error(2 * torch.eye(1)).item()  # 2² − 1
        (0.0, 3.0)
    """
    _check_square("unitarity_error", u)
    return torch.linalg.matrix_norm(u.mH @ u - _eye(u))


def _turned(u: Tensor, a: Tensor, b: Tensor, factor: Callable[[Tensor], Tensor]) -> Tensor:
    """U (I + Q (F − I) Qᴴ), F = factor(N), with Q N Qᴴ = Uᴴ a bᴴ."""
    _check_step(u, a, b)
    a_hat = _from_left(u, a)
    q = torch.linalg.qr(torch.cat([b, a_hat], -1)).Q  # orthonormal whatever the rank
    f = factor((q.mH @ a_hat) @ (q.mH @ b).mH)
    left, right = u @ q, (f - _eye(f)) @ q.mH
    if u.ndim == 2:
        return torch.addmm(u, left, right)  # in one pass, where u + left @ right takes two
    return torch.baddbmm(*(x.flatten(0, -3) for x in (u, left, right))).view_as(u)


def _from_left(x: Tensor, a: Tensor) -> Tensor:
    """Xᴴ a, read along the rows of X: many times as fast as ``x.mH @ a`` if a is thin."""
    return (a.mH @ x).mH


# Gradients of low rank


def lsi(g: Tensor, k: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """G ≈ a bᴴ of rank k: G on the span of k random combinations of its rows. Exact if its rank is at most k.

    The columns of b are the rows of Rᴴ G made orthonormal, with R Gaussian (only its span counts), and a = G b.

    Args:
        g: G, ``(..., n, m)``.
        k: at most n and m.
        generator: on the device of G.

    Returns:
        a, ``(..., n, k)``, and b, ``(..., m, k)``.

    Raises ``InputError`` if k is out of range.

    Source: kiani2022projunn, the LSI approximation.

    Examples:
        >>> g = torch.outer(torch.arange(4.0), torch.arange(3.0))  # of rank 1
        >>> a, b = lsi(g, k=1, generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(a @ b.mH, g, atol=1e-5)
        True
    """
    _check_rank(g, k)
    r = torch.randn(*g.shape[:-1], k, generator=generator, dtype=g.dtype, device=g.device)
    b = torch.linalg.qr(_from_left(g, r)).Q
    return g @ b, b


def column_sampling(
    g: Tensor, k: int, generator: Generator | None = None, columns: int | None = None
) -> tuple[Tensor, Tensor]:
    """G ≈ a bᴴ of rank k: G projected onto some of its columns, drawn in proportion to their norms.

    ``columns`` of them are drawn without replacement; a spans them or, if there are more than k, their k LARGEST
    singular directions; b = Gᴴ a. A zero gradient has a zero approximation.

    Args:
        g: G, ``(..., n, m)``.
        k: at most n and m.
        generator: on the device of G.
        columns: from k to m; None: k.

    Returns:
        a, ``(..., n, k)``, orthonormal, and b, ``(..., m, k)``.

    Raises:
        InputError: if k or the number of columns is out of range.

    Source: kiani2022projunn, column sampling.

    Examples:
        >>> g = torch.outer(torch.arange(4.0), torch.arange(3.0))  # of rank 1
        >>> a, b = column_sampling(g, k=1, generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(a @ b.mH, g, atol=1e-5)
        True
    """
    _check_rank(g, k)
    columns = k if columns is None else columns
    if not k <= columns <= g.shape[-1]:
        raise InputError(f"columns={columns} must lie between k={k} and {g.shape[-1]}")
    norms = _squares(g).sum(-2).sqrt()
    waits = torch.empty_like(norms).exponential_(generator=generator)
    drawn = (norms / waits).topk(columns).indices  # without replacement, in proportion to norms
    c = g.gather(-1, drawn.unsqueeze(-2).expand(*g.shape[:-1], columns))
    a = torch.linalg.qr(c).Q if columns == k else torch.linalg.svd(c, False).U[..., :k]
    return a, _from_left(g, a)


# Starts


def random_unitary(
    *shape: int,
    generator: Generator | None = None,
    dtype: torch.dtype = torch.complex128,
    device: torch.device | str | None = None,
) -> Tensor:
    """Haar-distributed unitary matrices, orthogonal for a real dtype: ``(*shape, n)`` for ``shape = (..., n)``.

    Examples:
        >>> u = random_unitary(5, 3, generator=torch.Generator().manual_seed(0))
        >>> u.shape, bool((unitarity_error(u) < 1e-12).all())
        (torch.Size([5, 3, 3]), True)
    """
    z = torch.randn(*shape, shape[-1], generator=generator, dtype=dtype, device=device)
    q, r = torch.linalg.qr(z)
    phases = torch.sgn(r.diagonal(0, -2, -1))
    return (q * phases.unsqueeze(-2)).contiguous()  # QR leaves columns side by side


@torch.no_grad()
def henaff_(weight: Tensor, generator: Generator | None = None) -> Tensor:
    """Fill real matrices with rotations of pairs of coordinates by angles uniform in [−π, π), in place.

    It is a start for recurrent layers that should remember. An odd last coordinate is not rotated.

    Args:
        weight: ``(..., n, n)``.
        generator: on the device of the weight.

    Returns:
        The weight.

    Raises:
        InputError: if the weight is not square and real.

    Examples:
        >>> weight = henaff_(torch.empty(3, 3), torch.Generator().manual_seed(0))
        >>> weight[2].tolist()  # an odd last coordinate
        [0.0, 0.0, 1.0]
        >>> bool(weight[0, 0] == weight[1, 1]) and bool(weight[0, 1] == -weight[1, 0])
        True
    """
    _check_square("henaff_", weight)
    if weight.is_complex():
        raise InputError("henaff_ fills real matrices: for complex ones take random_unitary")
    pairs = weight.shape[-1] // 2
    angle = torch.empty(*weight.shape[:-2], pairs, dtype=weight.dtype, device=weight.device)
    angle.uniform_(-math.pi, math.pi, generator=generator)
    weight.copy_(_eye(weight))
    even = torch.arange(0, 2 * pairs, 2, device=weight.device)
    odd = even + 1
    weight[..., even, even] = weight[..., odd, odd] = angle.cos()
    weight[..., even, odd], weight[..., odd, even] = -angle.sin(), angle.sin()
    return weight


# The optimiser


class ProjUNN(torch.optim.Optimizer):
    """Trains some square parameters as unitary matrices, by rank-k steps, and the others as usual.

    An update is RMSprop's −lr g / (√v + ε), or −lr g. For a unitary parameter it is divided by ``divider``, cut to rank
    k and passed to ``projunn_t`` or ``projunn_d``: O(k n²), like a plain update. Every ``reproject_every`` steps the
    parameter is replaced by its nearest unitary matrix, so that rounding does not add up.

    Args:
        params: all parameters, e.g. ``model.parameters()``.
        unitary: those of them, ``(..., n, n)``, that stay unitary (orthogonal if real); they must start unitary.
        lr: learning rate.
        rank: k.
        method: ``"t"`` (transport) or ``"d"`` (projection).
        approximation: ``"lsi"`` or ``"columns"``.
        alpha: share of RMSprop's moving average that is kept at each step; None: plain gradient descent.
        eps: ε.
        divider: divides the learning rate of unitary parameters; 32, 10 or 1 in the authors' code, by task.
        reproject_every: number of steps between two reprojections; 0: never.
        seed: of the approximation; the random numbers of a step depend only on it and on the step.

    Raises:
        InputError: for a setting out of range; for a parameter that is not square, not unitary, or smaller than k.

    Source: kiani2022projunn; the reprojection, and averaging the squared modulus of complex gradients, are ours.

    Examples:
        >>> u, quarter_turn = torch.nn.Parameter(torch.eye(2)), torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        >>> optimizer = ProjUNN([u], unitary=[u], lr=0.3, alpha=None, divider=1.0)
        >>> for _ in range(20):
        ...     optimizer.zero_grad()
        ...     (u - quarter_turn).square().sum().backward()
        ...     optimizer.step()
        >>> u.round().abs().tolist(), unitarity_error(u).item() < 1e-5
        ([[0.0, 1.0], [1.0, 0.0]], True)
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        unitary: Iterable[Tensor],
        lr: float = 1e-3,
        rank: int = 1,
        method: Literal["t", "d"] = "t",
        approximation: Literal["lsi", "columns"] = "lsi",
        alpha: float | None = 0.99,
        eps: float = 1e-8,
        divider: float = 32.0,
        reproject_every: int = 1000,
        seed: int = 0,
    ) -> None:
        if not (lr > 0 and divider > 0 and eps > 0 and reproject_every >= 0):
            raise InputError("lr, divider and eps must be above 0, reproject_every at least 0")
        if alpha is not None and not 0 <= alpha < 1:
            raise InputError(f"alpha={alpha} must lie in [0, 1); None is plain gradient descent")
        if method not in STEPS or approximation not in APPROXIMATIONS:
            raise InputError(
                f"method is 't' or 'd', approximation 'lsi' or 'columns', got {method!r}, {approximation!r}"
            )
        turned = list(unitary)
        for p in turned:
            _check_unitary(p, rank)
        own = {id(p) for p in turned}
        others = [p for p in params if id(p) not in own]
        groups = [{"params": turned, "unitary": True}, {"params": others, "unitary": False}]
        groups = [group for group in groups if group["params"]]
        defaults: dict[str, Any] = {"lr": lr, "rank": rank, "method": method}
        defaults |= {"approximation": approximation, "alpha": alpha, "eps": eps, "divider": divider}
        super().__init__(groups, defaults | {"reproject_every": reproject_every, "seed": seed})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad, group)
        return loss

    def _update(self, p: Tensor, g: Tensor, group: dict) -> None:
        state = self.state[p]
        if not state:
            state["step"] = 0
            if group["alpha"] is not None:
                state["square_avg"] = torch.zeros_like(p.real if p.is_complex() else p)
        state["step"] += 1
        if group["alpha"] is not None:
            state["square_avg"].lerp_(_squares(g), 1 - group["alpha"])
            g = g / (state["square_avg"].sqrt() + group["eps"])
        if not group["unitary"]:
            p.add_(g, alpha=-group["lr"])
            return
        draw = Generator(p.device).manual_seed(group["seed"] + state["step"])
        a, b = APPROXIMATIONS[group["approximation"]](g, group["rank"], draw)
        p.copy_(STEPS[group["method"]](p, -group["lr"] / group["divider"] * a, b))
        if group["reproject_every"] and state["step"] % group["reproject_every"] == 0:
            p.copy_(nearest_unitary(p))


STEPS = {"t": projunn_t, "d": projunn_d}
APPROXIMATIONS = {"lsi": lsi, "columns": column_sampling}


def _eye(x: Tensor) -> Tensor:
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)


def _squares(x: Tensor) -> Tensor:
    return (x * x.conj()).real if x.is_complex() else x.square()


# Checks


def _check_square(name: str, x: Tensor) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise InputError(f"{name} takes square matrices (..., n, n), got {tuple(x.shape)}")
    if x.dtype not in DTYPES:
        raise InputError(f"{name} takes float32, float64 or complex, got {x.dtype}")


def _check_step(u: Tensor, a: Tensor, b: Tensor) -> None:
    _check_square("a projUNN step", u)
    if not (a.shape == b.shape == (*u.shape[:-1], a.shape[-1]) and 1 <= a.shape[-1] <= u.shape[-1]):
        raise InputError(
            f"a step on U {tuple(u.shape)} takes a and b of (..., n, k) with 1 <= k <= n, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if not u.dtype == a.dtype == b.dtype:
        raise InputError(f"U, a and b have one dtype, got {u.dtype}, {a.dtype}, {b.dtype}")


def _check_rank(g: Tensor, k: int) -> None:
    if g.ndim < 2 or not 1 <= k <= min(g.shape[-2:]):
        raise InputError(
            f"k={k} must lie between 1 and the smaller side of the gradient {tuple(g.shape)}"
        )


def _check_unitary(p: Tensor, rank: int) -> None:
    _check_square("ProjUNN(unitary=...)", p)
    if not 1 <= rank <= p.shape[-1]:
        raise InputError(f"rank={rank} must lie between 1 and the parameter's side {p.shape[-1]}")
    error = float(unitarity_error(p.detach()).max())
    if not error <= LOOSE * p.shape[-1] ** 0.5:
        raise InputError(
            f"a parameter in `unitary` is not unitary, |UᴴU − I| = {error:.2g}: start it so, "
            "e.g. by torch.nn.init.orthogonal_, henaff_, or p.copy_(nearest_unitary(p))"
        )

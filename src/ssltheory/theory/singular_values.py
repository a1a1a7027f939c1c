"""Singular values of the matrix through which a layer's weights act (riedi2022singular, "singular value perturbation
and deep network optimization").

From the trained layer onwards, a network of width n is

    z_{l+1} = D_l (W_l z_l + b_l) + ρ z_l,   D_l = diag(1 where W_l z_l + b_l > 0, η elsewhere),   f = W_out z_L:

a ConvNet at ρ = 0, a ResNet at ρ = 1; η = 0 is ReLU, 0 < η < 1 leaky ReLU, η = −1 the absolute value, η = 1 the
identity. As long as no unit changes sides, f is affine in the first of these weights,

    f = M_x W z_x + const,   M_x = W_out ∏_{l>0} (D_l W_l + ρ I) D_0,

and the squared error is a quadratic whose axes are set by the singular values of M_x. The paper's abstract says that
the loss is piecewise quadratic, that these singular values shape it, and that adding a multiple of the identity and
multiplying by a diagonal perturb them. Its theorems could not be read. The formulas here are standard ones, in our
notation.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssltheory.errors import InputError

Layers = Tensor | Sequence[Tensor]  # one entry for each layer

Bounds = tuple[Tensor, Tensor]  # lower, upper


def shifted_edges(rho: float | Tensor, sigma: float | Tensor) -> Bounds:
    """Smallest and largest singular value of ρ I + σ G / √n for n → ∞, G an (n, n) standard normal matrix.

    With a = √(1 + 8ρ²/σ²), s_max = σ √((a + 3)³ / 8(a + 1)) and s_min = σ √((a − 3)³ / 8(a − 1)), which is 0 for
    σ ≥ ρ. At ρ = 0 they are 0 and 2σ.

    Args:
        rho: ρ, at least 0.
        sigma: σ, above 0; the two broadcast.

    Returns:
        ``(s_min, s_max)``, float64.

    Raises:
        InputError: if an argument is out of its range.

    Source: standard (spectrum of an identity plus noise).

    Examples:
        >>> s_min, s_max = shifted_edges(rho=0.0, sigma=1.0)
        >>> s_min.item(), round(s_max.item(), 6)  # the quarter circle
        (0.0, 2.0)
        >>> s_min, s_max = shifted_edges(rho=1.0, sigma=1.0)  # a = 3
        >>> s_min.item(), round(s_max.item() ** 2, 6)  # 6³ / 32
        (0.0, 6.75)
    """
    rho, sigma = (torch.as_tensor(v, dtype=torch.float64) for v in (rho, sigma))
    if not ((rho >= 0).all() and (sigma > 0).all()):
        raise InputError(f"shifted_edges needs rho >= 0 and sigma > 0, got {rho} and {sigma}")
    a = (1 + 8 * (rho / sigma) ** 2).sqrt()
    inner = (a - 3).clamp(min=0) ** 3 / (8 * (a - 1).clamp(min=1e-300))
    return sigma * inner.sqrt(), sigma * ((a + 3) ** 3 / (8 * (a + 1))).sqrt()


def mean_log_condition(n: int) -> float:
    """E ln cond(G) ≈ ln n + 1.537 for an (n, n) normal matrix, n large (edelman1988eigenvalues).

    Examples:
        >>> round(mean_log_condition(1000), 3)
        8.445
    """
    return math.log(n) + 1.537


def condition(s: Tensor) -> Tensor:
    """Largest over smallest nonzero singular value, where nonzero means above n ε times the largest.

    Args:
        s: ``(..., n)``, descending, as ``torch.linalg.svdvals`` returns them.

    Returns:
        ``(...)``; infinite where all are zero.

    Examples:
        >>> condition(torch.tensor([4.0, 2.0, 0.0])).item()
        2.0
    """
    floor = s.shape[-1] * torch.finfo(s.dtype).eps * s[..., :1]
    ratio = s[..., 0] / s.where(s > floor, torch.inf).amin(-1)
    return ratio.where(s[..., 0] > 0, torch.inf)


def shift_bounds(m: Tensor) -> Callable[[float], Bounds]:
    """Where the singular values of M + ρI can lie, from those of M and the eigenvalues of M + Mᵀ.

    The tightest of |s_i(M + ρI) − s_i(M)| ≤ ρ, |s_i(M + ρI) − ρ| ≤ ‖M‖, s_i(M + ρI) ≥ ρ + λ_min(M + Mᵀ)/2, and
    Weyl's inequality for the Gram matrix, s_i(M)² + ρ² + ρ λ_min(M + Mᵀ) ≤ s_i(M + ρI)² ≤ the same with λ_max.

    Args:
        m: M, ``(..., n, n)``.

    Returns:
        ``bounds(rho) -> (lower, upper)``, ρ at least 0, each ``(..., n)``, descending.

    Source: standard.

    Examples:
        >>> bounds = shift_bounds(torch.diag(torch.tensor([2.0, 1.0])))
        >>> lower, upper = bounds(1.0)  # they are 3 and 2
        >>> [round(s**2, 4) for s in lower.tolist()], [round(s, 4) for s in upper.tolist()]
        ([7.0, 4.0], [3.0, 2.0])
    """
    s, symmetric = torch.linalg.svdvals(m), torch.linalg.eigvalsh(m + m.mT)
    norm, low, high = s[..., :1], symmetric[..., :1], symmetric[..., -1:]

    def bounds(rho: float) -> Bounds:
        gram = s.square() + rho**2
        lower = (gram + rho * low).clamp(min=0).sqrt()
        upper = (gram + rho * high).clamp(min=0).sqrt()
        for other in (s - rho, rho - norm, rho + low / 2):
            lower = torch.maximum(lower, other)
        for other in (s + rho, norm + rho):
            upper = torch.minimum(upper, other)
        return lower, upper

    return bounds


def activation_bounds(s: Tensor, eta: float, q: int) -> Bounds:
    """Where the singular values of D W can lie, D = diag(1 or η) with η in [−1, 1].

    max(|η| s_i(W), s_{i+q}(W)) ≤ s_i(D W) ≤ s_i(W). η = −1 changes none; with ReLU, η = 0, q may be lost.

    Args:
        s: singular values of W, ``(..., n)``, descending.
        eta: η.
        q: how many entries of D are η.

    Returns:
        ``(lower, upper)``, each ``(..., n)``.

    Raises ``InputError`` if η is not in [−1, 1].

    Source: standard (products, and interlacing of the rows that are kept).

    Examples:
        >>> lower, upper = activation_bounds(torch.tensor([3.0, 2.0, 1.0]), eta=0.0, q=1)
        >>> lower.tolist(), upper.tolist()
        ([2.0, 1.0, 0.0], [3.0, 2.0, 1.0])
    """
    _check_eta(eta)
    tail = torch.cat([s[..., q:], torch.zeros_like(s[..., :q])], -1)
    return torch.maximum(abs(eta) * s, tail), s


def flip_bound(row: Tensor, eta: float) -> Tensor:
    """(1 − η) |w_j|, the most by which any singular value of D W moves when unit j changes sides.

    Args:
        row: w_j, ``(..., n)``, the unit's weights.
        eta: η.

    Returns:
        ``(...)``.

    Raises ``InputError`` if η is not in [−1, 1].

    Source: standard (the change is a matrix of rank one).

    Examples:
        >>> flip_bound(torch.tensor([3.0, 4.0]), eta=0.0).item()
        5.0
    """
    _check_eta(eta)
    return (1 - eta) * row.norm(dim=-1)


def forward(
    z: Tensor, weights: Layers, biases: Layers, eta: float, rho: float
) -> tuple[Tensor, list[Tensor]]:
    """The output z_L of the layers, and the diagonals of D_l.

    Args:
        z: inputs of the first layer, ``(..., x, n)``.
        weights: W_l, each ``(..., n, n)``.
        biases: b_l, each ``(..., n)``.
        eta: η.
        rho: ρ.

    Returns:
        z_L, ``(..., x, n)``, and the slopes of each layer, ``(..., x, n)``.

    Examples:
        >>> z, slopes = forward(torch.tensor([[1.0, -1.0]]), [torch.eye(2)], [torch.zeros(2)], 0.5, rho=1.0)
        >>> slopes[0].tolist()  # the negative side has η = 0.5
        [[1.0, 0.5]]
        >>> z.tolist()  # the skip adds the input
        [[2.0, -1.5]]
    """
    slopes = []
    for w, b in zip(weights, biases, strict=True):
        h = z @ w.mT + b.unsqueeze(-2)
        slopes.append(torch.ones_like(h).where(h > 0, eta))
        z = slopes[-1] * h + rho * z
    return z, slopes


def local_matrices(weights: Layers, slopes: Layers, rho: float) -> Tensor:
    """∏_{l>0} (D_l W_l + ρ I) D_0 for each input: M_x without the readout.

    Args:
        weights: W_l, each ``(..., n, n)``; the first is not used.
        slopes: diagonals of D_l, each ``(..., x, n)``.
        rho: ρ.

    Returns:
        ``(..., x, n, n)``.

    Examples:
        >>> weights = [torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])]
        >>> slopes = [torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])]
        >>> local_matrices(weights, slopes, rho=0.0).tolist()  # the second unit is off
        [[[1.0, 0.0], [3.0, 0.0]]]
    """
    m = torch.diag_embed(slopes[0])
    for w, d in zip(weights[1:], slopes[1:], strict=True):
        m = d.unsqueeze(-1) * (w.unsqueeze(-3) @ m) + rho * m
    return m


def layer_hessian(m: Tensor, z: Tensor) -> Tensor:
    """Hessian of Σ_x |y_x − f(x)|² in the row-major entries of W: 2 Σ_x (M_xᵀ M_x) ⊗ (z_x z_xᵀ).

    For a single x its nonzero eigenvalues are 2 s_i(M)² |z|², so that its condition number is cond(M)².

    Args:
        m: M_x with the readout, ``(x, k, n)``.
        z: inputs of the layer, ``(x, n)``.

    Returns:
        ``(n·n, n·n)``.

    Examples:
        >>> layer_hessian(m=torch.tensor([[[3.0]]]), z=torch.tensor([[2.0]])).item()  # 2 · 3² · 2²
        72.0
    """
    n = m.shape[-1] * z.shape[-1]
    return 2 * torch.einsum("xki,xkj,xa,xb->iajb", m, m, z, z).reshape(n, n)


def contraction(condition: float | Tensor) -> float | Tensor:
    """(k² − 1) / (k² + 1), k = cond(M): the most that a step of gradient descent at the best rate leaves.

    Examples:
        >>> contraction(1.0), contraction(3.0)
        (0.0, 0.8)
    """
    return (condition**2 - 1) / (condition**2 + 1)


@dataclass(frozen=True)
class Pieces:
    """A function of t that is quadratic between knots.

    Attributes:
        knots: ``(k + 1,)`` rising, both ends included.
        coefficients: ``(k, 3)``, of 1, t − knot and (t − knot)² on the piece right of each knot but the last.

    Examples:
        >>> knots = torch.tensor([-1.0, 0.0, 1.0])
        >>> square_then_line = Pieces(knots, torch.tensor([[1.0, -2.0, 1.0], [0.0, 1.0, 0.0]]))
        >>> square_then_line(torch.tensor([-0.5, 0.5])).tolist()
        [0.25, 0.5]
    """

    knots: Tensor
    coefficients: Tensor

    def __call__(self, t: Tensor) -> Tensor:
        """The values at ``t``, of any shape."""
        piece = torch.searchsorted(self.knots[1:-1].contiguous(), t.contiguous())
        c0, c1, c2 = self.coefficients[piece].unbind(-1)
        away = t - self.knots[piece]
        return c0 + away * (c1 + away * c2)


def loss_along(
    direction: Tensor,
    z: Tensor,
    y: Tensor,
    weights: Layers,
    biases: Layers,
    readout: Tensor,
    eta: float,
    rho: float,
    reach: float,
) -> Pieces:
    """Σ_x |y_x − f(x)|² along W_0 + t V for |t| ≤ reach, exactly: piece by piece, from one unit's change to the next.

    Args:
        direction: V, ``(n, n)``.
        z: inputs of the layer, ``(x, n)``.
        y: targets, ``(x, k)``.
        weights, biases, eta, rho: as for ``forward``, without leading axes.
        readout: W_out, ``(k, n)``.
        reach: largest |t|.

    Returns:
        The loss as a function of t.

    Raises:
        InputError: if the reach is not above 0.

    Examples:
        >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
        >>> loss = loss_along(one, one, zero, [one], [torch.zeros(1)], one, eta=0.0, rho=0.0, reach=2.0)
        >>> loss.knots.tolist()  # ReLU(1 + t)² has its knot at −1
        [-2.0, -1.0, 2.0]
        >>> loss(torch.tensor([-1.5, 0.0, 1.0])).tolist()
        [0.0, 1.0, 4.0]
    """
    if not reach > 0:
        raise InputError(f"loss_along needs a reach above 0, got {reach}")
    push, t = z @ direction.mT, -reach
    moved = [weights[0] + t * direction, *weights[1:]]
    slopes = torch.stack(forward(z, moved, biases, eta, rho)[1])
    positive = slopes == 1 if eta != 1 else torch.ones_like(slopes, dtype=torch.bool)
    knots, coefficients = [t], []
    while t < reach:
        value, speed, crossings = z, torch.zeros_like(z), []
        for layer, (w, b, side) in enumerate(zip(weights, biases, positive, strict=True)):
            h, dh = value @ w.mT + b, speed @ w.mT
            if layer == 0:
                h, dh = h + t * push, push
            d = torch.ones_like(h).where(side, eta)
            value, speed = d * h + rho * value, d * dh + rho * speed
            ahead = torch.where(side, dh < 0, dh > 0) & (eta != 1)
            crossings.append(torch.where(ahead, (-h / dh).clamp(min=0), torch.inf))
        error, slope = y - value @ readout.mT, -speed @ readout.mT
        terms = error.square(), 2 * error * slope, slope.square()
        coefficients.append(torch.stack([term.sum() for term in terms]))
        first = torch.stack(crossings).flatten().argmin()
        t = min(t + float(torch.stack(crossings).flatten()[first]), reach)
        positive = positive.flatten().index_put((first,), ~positive.flatten()[first])
        positive = positive.view_as(slopes)
        knots.append(t)
    return Pieces(z.new_tensor(knots), torch.stack(coefficients))


def _check_eta(eta: float) -> None:
    if not -1 <= eta <= 1:
        raise InputError(f"the slope of the negative side must be in [-1, 1], got eta={eta}")

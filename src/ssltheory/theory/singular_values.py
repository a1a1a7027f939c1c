"""Singular values of the matrix through which a layer's weights act (riedi2022singular, "singular value perturbation
and deep network optimization").

From the layer that is trained on, a network of width n is

    z_{l+1} = D_l (W_l z_l + b_l) + ρ z_l,   D_l = diag(1 where W_l z_l + b_l > 0, η elsewhere),   f = W_out z_L:

a ConvNet at ρ = 0, a ResNet at ρ = 1; η = 0 is ReLU, 0 < η < 1 leaky ReLU, η = −1 the absolute value, η = 1 the
identity. As long as no unit changes its side, f is affine in the first of these weights,

    f = M_x W z_x + const,   M_x = W_out ∏_{l>0} (D_l W_l + ρ I) D_0,

and the squared error a quadratic whose axes are the singular values of M_x. That the loss is piecewise quadratic, that
these singular values shape it, and that adding a multiple of the identity and multiplying by a diagonal perturb them is
the paper's abstract; its theorems could not be read. The formulas here are standard ones, in notation of ours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssltheory.errors import InputError

Layers = Tensor | Sequence[Tensor]  # an entry a layer

Bounds = tuple[Tensor, Tensor]  # lower, upper


def shifted_edges(rho: float | Tensor, sigma: float | Tensor) -> Bounds:
    """Smallest and largest singular value of ρ I + σ G / √n for n → ∞, G an (n, n) standard normal matrix.

    With a = √(1 + 8ρ²/σ²): s_max = σ √((a + 3)³ / 8(a + 1)) and s_min = σ √((a − 3)³ / 8(a − 1)), which is 0 from
    σ = ρ on. At ρ = 0 they are 0 and 2σ.

    Args:
        rho: ρ, at least 0.
        sigma: σ, above 0; the two broadcast.

    Returns:
        ``(s_min, s_max)``, float64.

    Raises:
        InputError: if an argument is out of its range.

    Source: standard (spectrum of an identity plus noise).
    """
    rho, sigma = (torch.as_tensor(v, dtype=torch.float64) for v in (rho, sigma))
    if not ((rho >= 0).all() and (sigma > 0).all()):
        raise InputError(f"shifted_edges needs rho >= 0 and sigma > 0, got {rho} and {sigma}")
    a = (1 + 8 * (rho / sigma) ** 2).sqrt()
    inner = (a - 3).clamp(min=0) ** 3 / (8 * (a - 1).clamp(min=1e-300))
    return sigma * inner.sqrt(), sigma * ((a + 3) ** 3 / (8 * (a + 1))).sqrt()


def mean_log_condition(n: int) -> float:
    """E ln cond(G) ≈ ln n + 1.537 of an (n, n) normal matrix, n large (edelman1988eigenvalues)."""
    return math.log(n) + 1.537


def condition(s: Tensor) -> Tensor:
    """Largest over smallest nonzero singular value, nonzero being above n ε times the largest.

    Args:
        s: ``(..., n)``, descending, as ``torch.linalg.svdvals`` has them.

    Returns:
        ``(...)``; infinite where all are zero.
    """
    floor = s.shape[-1] * torch.finfo(s.dtype).eps * s[..., :1]
    found = s[..., 0] / s.where(s > floor, torch.inf).amin(-1)
    return found.where(s[..., 0] > 0, torch.inf)


def shift_bounds(m: Tensor) -> Callable[[float], Bounds]:
    """Where the singular values of M + ρI can lie, from those of M and the eigenvalues of M + Mᵀ.

    The best of |s_i(M + ρI) − s_i(M)| ≤ ρ, of |s_i(M + ρI) − ρ| ≤ ‖M‖, of s_i(M + ρI) ≥ ρ + λ_min(M + Mᵀ)/2, and of
    Weyl's inequality for the Gram matrix, s_i(M)² + ρ² + ρ λ_min(M + Mᵀ) ≤ s_i(M + ρI)² ≤ the same with λ_max.

    Args:
        m: M, ``(..., n, n)``.

    Returns:
        ``bounds(rho) -> (lower, upper)``, ρ at least 0, each ``(..., n)``, descending.

    Source: standard.
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

    max(|η| s_i(W), s_{i+q}(W)) ≤ s_i(D W) ≤ s_i(W): η = −1 changes none; of ReLU, η = 0, q are lost.

    Args:
        s: singular values of W, ``(..., n)``, descending.
        eta: η.
        q: how often η is in D.

    Returns:
        ``(lower, upper)``, each ``(..., n)``.

    Source: standard (products, and interlacing of the rows that are kept).
    """
    _check_eta(eta)
    kept = torch.cat([s[..., q:], torch.zeros_like(s[..., :q])], -1)
    return torch.maximum(abs(eta) * s, kept), s


def flip_bound(row: Tensor, eta: float) -> Tensor:
    """(1 − η) |w_j|, the most by which any singular value of D W moves when unit j changes its side.

    Args:
        row: w_j, ``(..., n)``, the unit's weights.
        eta: η.

    Returns:
        ``(...)``. Standard: the change is a matrix of rank one.
    """
    _check_eta(eta)
    return (1 - eta) * row.norm(dim=-1)


def forward(
    z: Tensor, weights: Layers, biases: Layers, eta: float, rho: float
) -> tuple[Tensor, list[Tensor]]:
    """The layers' output z_L, and the diagonals of D_l.

    Args:
        z: inputs of the first layer, ``(..., x, n)``.
        weights: W_l, each ``(..., n, n)``.
        biases: b_l, each ``(..., n)``.
        eta: η; rho: ρ.

    Returns:
        z_L, ``(..., x, n)``, and for each layer its slopes, ``(..., x, n)``.
    """
    slopes = []
    for w, b in zip(weights, biases, strict=True):
        h = z @ w.mT + b.unsqueeze(-2)
        slopes.append(torch.ones_like(h).where(h > 0, eta))
        z = slopes[-1] * h + rho * z
    return z, slopes


def local_matrices(weights: Layers, slopes: Layers, rho: float) -> Tensor:
    """∏_{l>0} (D_l W_l + ρ I) D_0 of each input: M_x but for the readout.

    Args:
        weights: W_l, each ``(..., n, n)``; the first does not enter.
        slopes: diagonals of D_l, each ``(..., x, n)``.
        rho: ρ.

    Returns:
        ``(..., x, n, n)``.
    """
    m = torch.diag_embed(slopes[0])
    for w, d in zip(weights[1:], slopes[1:], strict=True):
        m = d.unsqueeze(-1) * (w.unsqueeze(-3) @ m) + rho * m
    return m


def layer_hessian(m: Tensor, z: Tensor) -> Tensor:
    """Hessian of Σ_x |y_x − f(x)|² in the row-major entries of W: 2 Σ_x (M_xᵀ M_x) ⊗ (z_x z_xᵀ).

    Of a single x its nonzero eigenvalues are 2 s_i(M)² |z|², so that its condition is cond(M)².

    Args:
        m: M_x with the readout, ``(x, k, n)``.
        z: inputs of the layer, ``(x, n)``.

    Returns:
        ``(n·n, n·n)``.
    """
    n = m.shape[-1] * z.shape[-1]
    return 2 * torch.einsum("xki,xkj,xa,xb->iajb", m, m, z, z).reshape(n, n)


def contraction(condition: float | Tensor) -> float | Tensor:
    """(k² − 1) / (k² + 1), k = cond(M): what a step of gradient descent, at the best rate, leaves at most."""
    return (condition**2 - 1) / (condition**2 + 1)


@dataclass(frozen=True)
class Pieces:
    """A function of t that is quadratic between knots.

    Attributes:
        knots: ``(k + 1,)`` rising, both ends included.
        coefficients: ``(k, 3)``, of 1, t − knot and (t − knot)² on the piece right of each knot but the last.
    """

    knots: Tensor
    coefficients: Tensor

    def __call__(self, t: Tensor) -> Tensor:
        """Its values at ``t``, of any shape."""
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
    """Σ_x |y_x − f(x)|² along W_0 + t V for |t| ≤ reach, exactly: piece by piece, from one change of side to the next.

    Args:
        direction: V, ``(n, n)``.
        z: inputs of the layer, ``(x, n)``; y: targets, ``(x, k)``.
        weights, biases, eta, rho: as for ``forward``, without leading axes.
        readout: W_out, ``(k, n)``.
        reach: largest |t|.
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

"""Plateaus of the losses: what each is worth while k modes are learnt and the others are still zero.

The forms are those that simon2023stepwise trained (Figure 1 C, D): Barlow Twins without centring or scaling and with
λ = 1, VICReg with its two variance terms added rather than averaged, SimCLR on the unit sphere with negatives from the
other view and both directions added. Views are taken to agree, so that no loss is left to invariance. The formulas
are ours, from the losses themselves.
"""

import math
from dataclasses import dataclass

from scipy.special import gammaln, ive

from ssltheory.errors import InputError


@dataclass(frozen=True)
class Plateau:
    """Where a loss rests with k modes learnt.

    Attributes:
        eigenvalue: of each learnt mode, in C for Barlow Twins and in the covariance for VICReg.
        loss: there.

    Examples:
        >>> Plateau(eigenvalue=1.0, loss=509.0).loss
        509.0
    """

    eigenvalue: float
    loss: float


def barlow_twins(modes: int, dim: int) -> Plateau:
    """‖C − I‖²_F with k eigenvalues of C at 1 and the others at 0: d − k.

    Args:
        modes: k, from 0 to d.
        dim: the embedding dimension d.

    An ``InputError`` says what is wrong with a k outside.

    Examples:
        >>> barlow_twins(3, 512)
        Plateau(eigenvalue=1.0, loss=509.0)
    """
    _check(modes, dim, least=0)
    return Plateau(1.0, float(dim - modes))


def vicreg_start(variance: float = 25.0, eps: float = 1e-4) -> float:
    """VICReg of an embedding that is one point: 2μ (1 − √ε), the two variance terms added.

    Examples:
        >>> vicreg_start()
        49.5
    """
    return 2 * variance * (1 - math.sqrt(eps))


def vicreg(modes: int, dim: int, variance: float = 25.0, covariance: float = 1.0) -> Plateau:
    """VICReg of two equal views whose covariance has k equal eigenvalues λ, spread evenly over the d coordinates.

    Every coordinate then has variance kλ/d, and the squares off the diagonal add up to kλ² − (kλ)²/d in each view:

        L(λ) = 2μ (1 − √(kλ/d)) + (2ν/d) (kλ² − (kλ)²/d),    λ = (μ √(d/k) / 4ν (1 − k/d))^(2/3).

    Where that λ would pass d/k the hinge is closed before: λ = d/k. An even spread is best for a given spectrum: the
    square root is concave. ε is left out, 10⁻⁴ beside kλ/d.

    Args:
        modes: k, from 1 to d.
        dim: d.
        variance, covariance: the weights μ and ν of the two terms.

    An ``InputError`` says what is wrong with a k outside.

    Examples:
        >>> plateau = vicreg(1, 128)
        >>> round(plateau.eigenvalue, 1), round(plateau.loss, 1)
        (17.2, 36.3)
    """
    _check(modes, dim, least=1)
    share = modes / dim
    closed = 1 / share  # every coordinate has variance 1
    eigenvalue = closed
    if modes < dim and covariance > 0:
        resting = (variance / (4 * covariance * math.sqrt(share) * (1 - share))) ** (2 / 3)
        eigenvalue = min(resting, closed)
    spread = modes * eigenvalue
    hinge = 2 * variance * (1 - math.sqrt(spread / dim))
    off_diagonal = modes * eigenvalue**2 - spread**2 / dim
    return Plateau(eigenvalue, hinge + 2 * covariance / dim * off_diagonal)


def simclr_start(n: int) -> float:
    """SimCLR of n images that all lie on one point, cross-view negatives, both directions added: 2 ln n.

    Examples:
        >>> round(simclr_start(256), 2)
        11.09
    """
    return 2 * math.log(n)


def simclr_bound(modes: int, n: int, temperature: float) -> float:
    """Least SimCLR loss of n images whose embeddings lie on the unit sphere of k dimensions.

    Cross-view negatives, both directions added: 2 (ln n + ln E exp(u₁/T) − 1/T), with u uniform on the sphere
    S^(k−1) and E exp(κu₁) = Γ(k/2) (2/κ)^(k/2−1) I_(k/2−1)(κ). Of all distributions on the sphere the uniform one has
    the least mean of ln ∫ exp(u·v/T) (wang2020understanding, Theorem 1), that of n points included: the bound holds
    for each n, and points that lie evenly come close to it.

    Args:
        modes: k, 1 or more.
        n: images, 1 or more.
        temperature: T > 0.

    Raises:
        InputError: for k or n below 1, or a temperature that is not above 0.

    Examples:
        >>> [round(simclr_bound(k, 256, 0.2), 2) for k in (3, 4, 5)]
        [6.49, 5.64, 5.02]
    """
    if modes < 1 or n < 1 or not temperature > 0:
        raise InputError(
            f"the bound takes modes >= 1, n >= 1 and a temperature above 0, got {modes}, {n}, {temperature}"
        )
    kappa, order = 1 / temperature, modes / 2 - 1
    mean_exp = gammaln(modes / 2) - order * math.log(kappa / 2) + math.log(ive(order, kappa))
    return float(2 * (math.log(n) + mean_exp))  # ive carries exp(−κ), the positive pair's share


def _check(modes: int, dim: int, least: int) -> None:
    if not least <= modes <= dim:
        raise InputError(f"modes must be in [{least}, {dim}] (the dimension), got {modes}")

"""Entropy of a representation: bounds for a mixture of Gaussians, VICReg's terms as an entropy bound.

shwartzziv2022what, arXiv 2207.10081, and its sequel, arXiv 2303.00633. The randomness is in the input, x ~ N(x_i, σ² I)
around each image: a network that is affine there maps it to N(f(x_i), σ² J Jᵀ), so that the representation is a mixture
of one Gaussian an image. Entropies are in nats, everything is computed in float64.
"""

import math

import torch
from torch import Tensor

from ssltheory.errors import InputError


def gaussian_entropy(covariance: Tensor) -> Tensor:
    """½ log det(2πe Σ) of ``(..., d, d)``: the largest entropy at that covariance."""
    d = covariance.shape[-1]
    return (d * math.log(2 * math.pi * math.e) + torch.linalg.slogdet(covariance.double())[1]) / 2


def logdet_entropy(means: Tensor, noise: float) -> Tensor:
    """Upper bound of the entropy of the mixture: that of one Gaussian with its covariance.

    ½ log det 2πe (Cov(μ) + noise² I), Cov with 1 / n. Tight where the components overlap, and useless where they
    lie apart.

    Args:
        means: ``(n, d)``, the centres μ_i of equally likely components.
        noise: standard deviation of each component, in every direction.

    Raises:
        InputError: for another shape, or noise that is not above 0.
    """
    means = _means(means, noise)
    centred = means - means.mean(0)
    one = torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
    return gaussian_entropy(centred.mT @ centred / len(means) + noise**2 * one)


def pairwise_entropy_bounds(means: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bound of the entropy of the mixture, from the distances of its centres.

    h − mean_i log mean_j exp(−‖μ_i − μ_j‖² / 2 c noise²), with h the entropy of a component: c = 1, from the divergence
    of two components, above, and c = 4, from their Chernoff ½-distance, below (Kolchinsky & Tracey 2017). Both tight
    where the components lie apart.

    Args and Raises: as ``logdet_entropy``.
    """
    means = _means(means, noise)
    n, d = means.shape
    own = d / 2 * math.log(2 * math.pi * math.e * noise**2)
    squares = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist").square()

    def bound(c: float) -> Tensor:
        return own - ((-squares / (2 * c * noise**2)).logsumexp(1) - math.log(n)).mean()

    return bound(4.0), bound(1.0)


def mixture_entropy(
    means: Tensor, noise: float, n_draws: int = 10_000, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Entropy of the mixture by Monte Carlo, −mean log p(z) over draws z, and its standard error.

    Raises:
        InputError: as ``logdet_entropy``.
    """
    means = _means(means, noise)
    n, d = means.shape
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(n, (n_draws,), generator=generator)
    shift = noise * torch.randn(n_draws, d, generator=generator, dtype=means.dtype)
    z = means[which.to(means.device)] + shift.to(means.device)
    scale = -d / 2 * math.log(2 * math.pi * noise**2) - math.log(n)
    parts = [
        (torch.cdist(chunk, means).square() / (-2 * noise**2)).logsumexp(1) + scale
        for chunk in z.split(4096)
    ]
    surprise = -torch.cat(parts)
    return surprise.mean(), surprise.std() / n_draws**0.5


def entropy_split(covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of ½ log det Σ: variances, correlations, and the correlations to second order.

    ½ Σ_k log Σ_kk, ½ log det R, and −¼ Σ_{i≠j} R_ij², which VICReg's covariance term is at unit variance; the first two
    sum to ½ log det Σ (the expansion is ours).

    Args:
        covariance: ``(..., d, d)``, positive definite.
    """
    covariance = covariance.double()
    variances = covariance.diagonal(0, -2, -1)
    r = covariance * (variances[..., :, None] * variances[..., None, :]).rsqrt()
    off_diagonal = r.square().sum((-2, -1)) - r.shape[-1]
    return variances.log().sum(-1) / 2, torch.linalg.slogdet(r)[1] / 2, -off_diagonal / 4


def linearised_covariance(jacobian: Tensor, noise: float) -> Tensor:
    """noise² J Jᵀ, ``(..., d, m) -> (..., d, d)``: exact while the noise stays in one region of an affine network."""
    return noise**2 * (jacobian @ jacobian.mT)


def normality(z: Tensor) -> Tensor:
    """p-values of D'Agostino and Pearson's K² over the draws: ``(..., n, d) -> (..., d)``.

    Under normality they are uniform: a mean of ½, not 1. At n = 512 the test rejects somewhat more than its level
    (SciPy's ``normaltest``). The draws are those of the noise around ONE image; over images it tests something else.

    Raises:
        InputError: for fewer than 20 draws, below which the test is not valid.
    """
    from scipy.stats import normaltest

    if z.ndim < 2 or z.shape[-2] < 20:
        raise InputError(f"normality needs (..., n, d) with 20 or more draws, got {tuple(z.shape)}")
    return torch.from_numpy(normaltest(z.double().cpu().numpy(), axis=-2).pvalue)


def _means(means: Tensor, noise: float) -> Tensor:
    if means.ndim != 2 or len(means) < 1:
        raise InputError(f"the centres are (n, d), got {tuple(means.shape)}")
    if not 0 < noise < math.inf:
        raise InputError(f"the noise is a standard deviation above 0, got {noise}")
    return means.double()

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


def component_entropy(d: int, noise: float) -> float:
    """h = (d/2) log 2πe noise², the entropy of N(μ, noise² I) in d dimensions."""
    return d / 2 * math.log(2 * math.pi * math.e * noise**2)


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
    own = component_entropy(d, noise)
    squares = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist").square()

    def bound(c: float) -> Tensor:
        return own - ((-squares / (2 * c * noise**2)).logsumexp(1) - math.log(n)).mean()

    return bound(4.0), bound(1.0)


def mixture_entropy(
    means: Tensor, noise: float, n_draws: int = 10_000, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Entropy of the mixture by Monte Carlo, and its standard error.

    h + mean log p(z | i) / p(z) over draws z of components i, with h, the entropy of a component, in closed form: of
    −log p(z) only the part that varies with the overlap is left to chance.

    Raises:
        InputError: as ``logdet_entropy``.
    """
    means = _means(means, noise)
    n, d = means.shape
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(n, (n_draws,), generator=generator).to(means.device)
    shift = noise * torch.randn(n_draws, d, generator=generator, dtype=means.dtype)
    z = means[which] + shift.to(means.device)
    density = []
    for chunk, own in zip(z.split(4096), which.split(4096), strict=True):
        likelihood = torch.cdist(chunk, means).square() / (-2 * noise**2)
        itself = likelihood.gather(1, own[:, None])[:, 0]
        density.append(itself - likelihood.logsumexp(1) + math.log(n))
    found = torch.cat(density)
    return component_entropy(d, noise) + found.mean(), found.std() / n_draws**0.5


def excess_entropies(means: Tensor, noise: float, n_draws: int = 10_000, seed: int = 0) -> Tensor:
    """How far the entropy of the mixture lies above h, that of a component: what a draw tells of its component.

    At most log n, and 0 where the components are one.

    Returns:
        ``(5,)``: pairwise lower bound, Monte Carlo, pairwise upper bound, LogDet, standard error of Monte Carlo.

    Raises:
        InputError: as ``logdet_entropy``.
    """
    lower, upper = pairwise_entropy_bounds(means, noise)
    found, error = mixture_entropy(means, noise, n_draws, seed)
    four = torch.stack([lower, found, upper, logdet_entropy(means, noise)])
    return torch.cat([four - component_entropy(means.shape[1], noise), error[None]])


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


def second_order_error(correlations: Tensor) -> Tensor:
    """Relative error of −¼ Σ_{i≠j} R_ij² for ½ log det R, ``(..., d, d) -> (...)``.

    To leading order ⅔ tr E³ / tr E² with E = R − I, so at most ⅔ of the operator norm of E, and not of its largest
    entry (our expansion).
    """
    _, exact, second = entropy_split(correlations)
    return second / exact - 1


def linearised_covariance(jacobian: Tensor, noise: float) -> Tensor:
    """noise² J Jᵀ, ``(..., d, m) -> (..., d, d)``: exact while the noise stays in one region of an affine network."""
    return noise**2 * (jacobian @ jacobian.mT)


def decoder_terms(
    means_a: Tensor, means_b: Tensor, trace_a: Tensor, trace_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of E log q(z_a | z_b) with q = N(z_b, I): invariance, noise, normalisation.

    −½ mean ‖μ_a − μ_b‖², −½ mean (tr S_a + tr S_b), −(d/2) log 2π, for independent z_a ~ N(μ_a, S_a) and
    z_b ~ N(μ_b, S_b) (the expansion is ours). With the entropy of z_a their sum bounds the information between two
    views from below.

    Args:
        means_a, means_b: ``(..., n, d)``, the two views of n images.
        trace_a, trace_b: ``(..., n)``, of the covariances; noise² ‖J‖² where the network is affine.

    Returns:
        ``(...)`` each, the last a scalar.
    """
    invariance = -(means_a - means_b).double().square().sum(-1).mean(-1) / 2
    noise = -(trace_a + trace_b).double().mean(-1) / 2
    d = means_a.shape[-1]
    return invariance, noise, invariance.new_tensor(-d / 2 * math.log(2 * math.pi))


def normality(z: Tensor) -> Tensor:
    """p-values of D'Agostino and Pearson's K² over the draws: ``(..., n, d) -> (..., d)``.

    K² is the sum of the squares of a z-score of the skewness (D'Agostino 1970) and one of the kurtosis (Anscombe &
    Glynn 1983), as SciPy's ``normaltest`` has it, here on the device. Under normality p is uniform: a mean of ½, not
    1. At n = 512 the test rejects somewhat more than its level. The draws are those of the noise around ONE image;
    over images it tests something else. A constant column gives NaN.

    Raises:
        InputError: for fewer than 20 draws, below which the test is not valid.
    """
    if z.ndim < 2 or z.shape[-2] < 20:
        raise InputError(f"normality needs (..., n, d) with 20 or more draws, got {tuple(z.shape)}")
    n, z = z.shape[-2], z.double()
    z = z - z.mean(-2, keepdim=True)
    squares = z.square()
    variance = squares.mean(-2)
    skewness = (squares * z).mean(-2) / variance**1.5
    kurtosis = squares.square().mean(-2) / variance.square()
    k_squared = _skewness_score(skewness, n).square() + _kurtosis_score(kurtosis, n).square()
    return (-k_squared / 2).exp()


def _skewness_score(skewness: Tensor, n: int) -> Tensor:
    y = skewness * ((n + 1) * (n + 3) / (6 * (n - 2))) ** 0.5
    beta = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w_squared = (2 * (beta - 1)) ** 0.5 - 1
    return (y * ((w_squared - 1) / 2) ** 0.5).asinh() / (math.log(w_squared) / 2) ** 0.5


def _kurtosis_score(kurtosis: Tensor, n: int) -> Tensor:
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x = (kurtosis - 3 * (n - 1) / (n + 1)) / variance**0.5
    moment = 6 * (n**2 - 5 * n + 2) / ((n + 7) * (n + 9))
    moment *= (6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3))) ** 0.5
    a = 6 + 8 / moment * (2 / moment + (1 + 4 / moment**2) ** 0.5)
    ratio = (1 - 2 / a) / (1 + x * (2 / (a - 4)) ** 0.5)
    cube_root = ratio.sign() * ratio.abs() ** (1 / 3)
    return (1 - 2 / (9 * a) - cube_root) / (2 / (9 * a)) ** 0.5


def _means(means: Tensor, noise: float) -> Tensor:
    if means.ndim != 2 or len(means) < 1:
        raise InputError(f"the centres are (n, d), got {tuple(means.shape)}")
    if not 0 < noise < math.inf:
        raise InputError(f"the noise is a standard deviation above 0, got {noise}")
    return means.double()

"""Entropy of a representation: bounds for a mixture of Gaussians, VICReg's terms as an entropy bound.

shwartzziv2022what, arXiv 2207.10081, and its sequel, arXiv 2303.00633. The randomness is in the input, x ~ N(x_i, σ² I)
around each image. A network that is affine there maps it to N(f(x_i), σ² J Jᵀ), so that the representation is a mixture
of Gaussians, one for each image. Entropies are in nats, and everything is computed in float64.
"""

import math

import torch
from torch import Tensor

from ssltheory.errors import InputError


def gaussian_entropy(covariance: Tensor) -> Tensor:
    """½ log det(2πe Σ) of Σ ``(..., d, d)``: the largest entropy at that covariance.

    Examples:
        >>> one = torch.eye(3, dtype=torch.float64)
        >>> round(gaussian_entropy(one / (2 * math.pi * math.e)).item(), 6)
        0.0
        >>> round((gaussian_entropy(math.e**2 * one) - gaussian_entropy(one)).item(), 6)  # d log e
        3.0
    """
    d = covariance.shape[-1]
    return (d * math.log(2 * math.pi * math.e) + torch.linalg.slogdet(covariance.double())[1]) / 2


def component_entropy(d: int, noise: float) -> float:
    """h = (d/2) log 2πe noise², the entropy of N(μ, noise² I) in d dimensions.

    Examples:
        >>> round(component_entropy(1, noise=1.0), 4)  # ½ log 2πe
        1.4189
        >>> round(component_entropy(2, noise=math.e) - component_entropy(2, noise=1.0), 6)  # d log e
        2.0
    """
    return d / 2 * math.log(2 * math.pi * math.e * noise**2)


def logdet_entropy(means: Tensor, noise: float) -> Tensor:
    """Upper bound of the entropy of the mixture: the entropy of one Gaussian with its covariance.

    It is ½ log det 2πe (Cov(μ) + noise² I), Cov with 1 / n: tight where the components overlap, and useless where they
    lie apart.

    Args:
        means: ``(n, d)``, the centres μ_i of equally likely components.
        noise: standard deviation of each component, in every direction.

    Raises ``InputError`` for another shape, or noise that is not above 0.

    Examples:
        >>> means = torch.tensor([[-1.0], [1.0]])
        >>> round(logdet_entropy(means, noise=1.0).item(), 4)  # of variance 1 + 1: ½ log 4πe
        1.7655
    """
    means = _means(means, noise)
    centred = means - means.mean(0)
    one = torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
    return gaussian_entropy(centred.mT @ centred / len(means) + noise**2 * one)


def pairwise_entropy_bounds(means: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bound of the entropy of the mixture, from the distances of its centres.

    Both are h − mean_i log mean_j exp(−‖μ_i − μ_j‖² / 2 c noise²), with h the entropy of a component. The upper bound
    has c = 1, from the divergence of two components; the lower one has c = 4, from their Chernoff ½-distance
    (Kolchinsky & Tracey 2017). Both are tight where the components lie apart.

    Arguments and errors are those of ``logdet_entropy``.

    Examples:
        >>> apart = torch.tensor([[0.0], [100.0]])
        >>> lower, upper = pairwise_entropy_bounds(apart, noise=1.0)
        >>> excess = torch.stack([lower, upper]) - component_entropy(1, noise=1.0)
        >>> [round(bound, 4) for bound in excess.tolist()]  # one of two components: log 2
        [0.6931, 0.6931]
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

    It is h + mean log p(z | i) / p(z) over draws z of components i. The entropy h of a component is in closed form:
    only the part of −log p(z) that depends on the overlap is left to chance.

    Raises ``InputError`` as ``logdet_entropy`` does.

    Examples:
        >>> apart = torch.tensor([[0.0], [100.0]])
        >>> entropy, error = mixture_entropy(apart, noise=1.0, n_draws=100)
        >>> round((entropy - component_entropy(1, noise=1.0)).item(), 4), error.item() < 1e-9  # log 2
        (0.6931, True)
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
    excess = torch.cat(density)
    return component_entropy(d, noise) + excess.mean(), excess.std() / n_draws**0.5


def excess_entropies(means: Tensor, noise: float, n_draws: int = 10_000, seed: int = 0) -> Tensor:
    """How far the entropy of the mixture lies above h, that of a component: what a draw tells about its component.

    It is at most log n, and 0 where all components coincide.

    Returns:
        ``(5,)``: pairwise lower bound, Monte Carlo, pairwise upper bound, LogDet, standard error of Monte Carlo.

    Raises ``InputError`` as ``logdet_entropy`` does.

    Examples:
        >>> means = torch.tensor([[0.0], [2.0]])  # two components that overlap
        >>> lower, monte_carlo, upper, logdet, error = excess_entropies(means, noise=1.0, n_draws=2000)
        >>> bool(lower < monte_carlo < upper < math.log(2))
        True
        >>> bool(abs(logdet - math.log(2) / 2) < 1e-9)  # variance 2 instead of 1
        True
    """
    lower, upper = pairwise_entropy_bounds(means, noise)
    entropy, error = mixture_entropy(means, noise, n_draws, seed)
    four = torch.stack([lower, entropy, upper, logdet_entropy(means, noise)])
    return torch.cat([four - component_entropy(means.shape[1], noise), error[None]])


def entropy_split(covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of ½ log det Σ: variances, correlations, and the correlations to second order.

    These are ½ Σ_k log Σ_kk, ½ log det R, and −¼ Σ_{i≠j} R_ij², which is VICReg's covariance term at unit variance. The
    first two sum to ½ log det Σ (the expansion is ours).

    Args:
        covariance: ``(..., d, d)``, positive definite.

    Returns:
        ``(...)`` each.

    Examples:
        >>> covariance = torch.tensor([[4.0, 1.0], [1.0, 1.0]])  # a correlation of 1/2
        >>> variances, exact, second = entropy_split(covariance)
        >>> [round(part.exp().item() ** 2, 6) for part in (variances, exact)]  # 4 · 1, and 1 − 1/4
        [4.0, 0.75]
        >>> second.item()  # −¼ (¼ + ¼)
        -0.125
    """
    covariance = covariance.double()
    variances = covariance.diagonal(0, -2, -1)
    r = covariance * (variances[..., :, None] * variances[..., None, :]).rsqrt()
    off_diagonal = r.square().sum((-2, -1)) - r.shape[-1]
    return variances.log().sum(-1) / 2, torch.linalg.slogdet(r)[1] / 2, -off_diagonal / 4


def second_order_error(correlations: Tensor) -> Tensor:
    """Relative error of −¼ Σ_{i≠j} R_ij² as an approximation of ½ log det R, ``(..., d, d) -> (...)``.

    To leading order it is ⅔ tr E³ / tr E² with E = R − I: at most ⅔ of the operator norm of E, which may exceed its
    largest entry (our expansion).

    Examples:
        >>> correlations = torch.eye(3) + 0.003 * (1 - torch.eye(3))
        >>> round(second_order_error(correlations).item(), 4)  # ⅔ tr E³ / tr E² = ⅔ · 0.003
        0.002
    """
    _, exact, second = entropy_split(correlations)
    return second / exact - 1


def linearised_covariance(jacobian: Tensor, noise: float) -> Tensor:
    """noise² J Jᵀ, ``(..., d, m) -> (..., d, d)``: exact while the noise stays in one affine region.

    Examples:
        >>> linearised_covariance(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), noise=2.0).tolist()
        [[20.0, 8.0], [8.0, 4.0]]
    """
    return noise**2 * (jacobian @ jacobian.mT)


def decoder_terms(
    means_a: Tensor, means_b: Tensor, trace_a: Tensor, trace_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of E log q(z_a | z_b) with q = N(z_b, I): invariance, noise, normalisation.

    These are −½ mean ‖μ_a − μ_b‖², −½ mean (tr S_a + tr S_b) and −(d/2) log 2π, for independent z_a ~ N(μ_a, S_a) and
    z_b ~ N(μ_b, S_b) (the expansion is ours). Together with the entropy of z_a their sum is a lower bound of the
    information between the two views.

    Args:
        means_a, means_b: ``(..., n, d)``, the two views of n images.
        trace_a, trace_b: ``(..., n)``, traces of the covariances; noise² ‖J‖² where the network is affine.

    Returns:
        ``(...)`` each, the last a scalar.

    Examples:
        >>> a, b = torch.zeros(1, 2), torch.tensor([[3.0, 1.0]])
        >>> terms = decoder_terms(a, b, torch.tensor([1.0]), torch.tensor([2.0]))
        >>> [round(term.item(), 4) for term in terms]  # −10/2, −(1 + 2)/2, −log 2π
        [-5.0, -1.5, -1.8379]
    """
    invariance = -(means_a - means_b).double().square().sum(-1).mean(-1) / 2
    noise = -(trace_a + trace_b).double().mean(-1) / 2
    d = means_a.shape[-1]
    return invariance, noise, invariance.new_tensor(-d / 2 * math.log(2 * math.pi))


def normality(z: Tensor) -> Tensor:
    """p-values of D'Agostino and Pearson's K² over the draws: ``(..., n, d) -> (..., d)``.

    K² is the sum of the squares of a z-score of the skewness (D'Agostino 1970) and one of the kurtosis (Anscombe &
    Glynn 1983), as in SciPy's ``normaltest``, but on the device. Under normality p is uniform: its mean is ½, not 1. At
    n = 512 the test rejects somewhat more often than its level. The draws must be of the noise around ONE image; over
    images the test means something else. A constant column gives NaN.

    Raises:
        InputError: for fewer than 20 draws, below which the test is not valid.

    Examples:
        >>> draws = torch.randn(200, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> p = normality(torch.cat([draws, draws**2], 1))
        >>> (p > 0.01).tolist()  # squares of normal draws are not normal
        [True, False]
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

"""Statistical dependence: HSIC and related measures, and independent components from a covariance penalty.

mialon2022variance, arXiv 2209.14905. With an elementwise projector ψ, the squared covariances of the projector's
output between the blocks of two coordinates are HSIC with the kernel k(a, b) = ψ(a)ᵀ ψ(b) (its Lemma 1), so that
the variance-covariance penalty behind such a projector asks for pairwise independence in front of it.

A variable is ``(n,)`` or ``(n, p)``; row i of each comes from the same draw. Everything is computed in float64.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ssltheory.errors import InputError, RunError

BLOCK = 2**24  # entries of Gram matrices in memory at a time in ``pairwise_hsic``


def gaussian_gram(x: Tensor, bandwidth: float | None = None) -> Tensor:
    """exp(−‖x_i − x_j‖² / 2 bandwidth²), ``(n, n)``.

    Args:
        x: ``(n,)`` or ``(n, p)``.
        bandwidth: in units of x; None: the median distance of two different rows.

    Raises ``InputError`` for fewer than two rows, or a bandwidth that is not above 0 (the median is 0 if most rows are
    equal).

    Examples:
        >>> gram = gaussian_gram(torch.tensor([0.0, 1.0, 3.0]), bandwidth=1.0)
        >>> [round(entry, 6) for entry in gram.log()[2].tolist()]  # −distance² / 2
        [-4.5, -2.0, 0.0]
    """
    x = _rows(x)
    squares = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").square()
    return (squares / (-2 * _bandwidth(x, bandwidth, squares) ** 2)).exp()


def hsic(x: Tensor, y: Tensor, bandwidth: float | None = None, unbiased: bool = False) -> Tensor:
    """Hilbert–Schmidt independence criterion with Gaussian kernels: 0 if x and y are independent.

    Biased, tr(K H L H) / (n − 1)² (Gretton et al. 2005); unbiased, with K and L of zero diagonal,
    [tr(K L) + 1ᵀK1 1ᵀL1 / (n − 1)(n − 2) − 2 · 1ᵀKL1 / (n − 2)] / n(n − 3) (Song et al. 2012), which may be
    negative.

    Args:
        x, y: ``(n,)`` or ``(n, p)``, of the same n.
        bandwidth: of both kernels; None: each one's median distance.
        unbiased: which estimator.

    Raises ``InputError`` for other shapes, n < 4, or a bandwidth that is not above 0.

    Examples:
        >>> x, y = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
        >>> abs(hsic(x, y, bandwidth=1.0).item()) < 1e-12  # all four combinations once: independent
        True
        >>> round(hsic(x, x, bandwidth=0.1).item(), 6)  # two clusters: 4 / (n − 1)²
        0.444444
    """
    _same_length((x, y), least=4)
    return _hsic(gaussian_gram(x, bandwidth), gaussian_gram(y, bandwidth), unbiased)


def dhsic(variables: Sequence[Tensor], bandwidth: float | None = None) -> Tensor:
    """Joint dependence of d variables: 0 if they are mutually, not only pairwise, independent.

    mean_ij Π_k K^k_ij + Π_k mean_ij K^k_ij − 2 mean_i Π_k mean_j K^k_ij (Pfister et al. 2018). For two variables it is
    tr(K H L H) / n².

    Args:
        variables: two or more, ``(n,)`` or ``(n, p)`` each.
        bandwidth: of every kernel; None: each one's median distance.

    Raises:
        InputError: for fewer than two variables, or other shapes.

    Examples:
        >>> x, y = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
        >>> exclusive_or = (x - y).abs()  # independent of x and of y, but not of both
        >>> abs(dhsic([x, exclusive_or], bandwidth=0.1).item()) < 1e-12
        True
        >>> round(dhsic([x, y, exclusive_or], bandwidth=0.1).item(), 6)  # 1/4 + 1/8 − 2/8
        0.125
    """
    _same_length(variables, least=2)
    if len(variables) < 2:
        raise InputError("dhsic takes two or more variables")
    grams = torch.stack([gaussian_gram(x, bandwidth) for x in variables])
    joint = grams.prod(0).mean()
    apart = grams.mean((1, 2)).prod()
    return joint + apart - 2 * grams.mean(2).prod(0).mean()


def hsic_permutation_test(
    x: Tensor, y: Tensor, n_permutations: int = 1000, seed: int = 0, bandwidth: float | None = None
) -> float:
    """p-value of "x and y are independent": how often HSIC is as large when y's rows are permuted.

    It is (1 + number of permutations that reach it) / (1 + n_permutations). Under independence it is at most α with
    probability at most α, whatever n is.

    Raises:
        InputError: as for ``hsic``, or for fewer than one permutation.

    Examples:
        >>> x = torch.arange(12.0)
        >>> hsic_permutation_test(x, x**2, n_permutations=99)  # no permutation reaches it
        0.01
    """
    _same_length((x, y), least=4)
    if n_permutations < 1:
        raise InputError(f"n_permutations must be 1 or more, got {n_permutations}")
    k_x, k_y = _centred(gaussian_gram(x, bandwidth)), gaussian_gram(y, bandwidth)
    generator = torch.Generator().manual_seed(seed)
    observed = (k_x * k_y).sum()
    draws = (torch.randperm(len(k_y), generator=generator) for _ in range(n_permutations))
    reached = sum(bool((k_x * k_y[p][:, p]).sum() >= observed) for p in draws)
    return (1 + reached) / (1 + n_permutations)


def pairwise_hsic(
    x: Tensor, bandwidth: float | None = None, normalized: bool = False, seed: int = 0
) -> Tensor:
    """Biased HSIC of every pair of columns, ``(n, d) -> (d, d)``.

    Args:
        x: ``(n, d)``.
        bandwidth: of all kernels, in units of the columns; None: each column's median distance.
        normalized: divide by √(HSIC(x_i, x_i) HSIC(x_j, x_j)): the cosine of the centred Gram matrices, in [0, 1].
        seed: of the 2,000 rows whose median distance is taken if there are more.

    Raises ``InputError`` for another shape, fewer than two rows or a constant column.

    Examples:
        >>> x, y = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
        >>> dependence = pairwise_hsic(torch.stack([x, y, 2 - x], 1), bandwidth=1.0, normalized=True)
        >>> [round(abs(entry), 6) for entry in dependence[0].tolist()]  # with x itself, y and 2 − x
        [1.0, 0.0, 1.0]
    """
    x = _rows(x)
    n, d = x.shape
    some = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:2000]
    widths = [_bandwidth(column[some, None], bandwidth) for column in x.mT]
    scaled = (x / x.new_tensor(widths)).mT  # (d, n)

    def rows(start: int, stop: int) -> Tensor:
        distances = scaled[:, start:stop, None] - scaled[:, None]
        return distances.square_().div_(-2).exp_()

    size = max(1, BLOCK // (n * d))
    blocks = [(start, min(start + size, n)) for start in range(0, n, size)]
    if len(blocks) == 1:
        rows = cache(rows)
    means = torch.cat([rows(*block).mean(2) for block in blocks], 1)
    total = x.new_zeros(d, d)
    for start, stop in blocks:
        centred = rows(start, stop) - means[:, start:stop, None] - means[:, None]
        centred = (centred + means.mean(1)[:, None, None]).flatten(1)
        total += centred @ centred.mT
    if normalized:
        return total / (total.diagonal()[:, None] * total.diagonal()).sqrt()
    return total / (n - 1) ** 2


def mean_dependence(z: Tensor, n_coordinates: int = 64, seed: int = 0) -> tuple[float, float]:
    """How dependent the coordinates of a representation are: pairs and triples of them.

    Args:
        z: ``(n, d)``.
        n_coordinates: the most coordinates to measure, drawn once if there are more (ours).
        seed: of the draw, and of the triples.

    Returns:
        Mean normalised HSIC over the pairs, and mean ``dhsic`` over 20 triples. Coordinates with the same value in
        half of the rows or more, which have no median distance, are left out.

    Raises:
        RunError: if fewer than three coordinates vary.

    Examples:
        >>> x = torch.randn(100, 1, generator=torch.Generator().manual_seed(0))
        >>> pairs, triples = mean_dependence(x * torch.tensor([1.0, 2.0, -3.0]))  # three copies of one
        >>> round(pairs, 6), triples > 0
        (1.0, True)
    """
    z = _rows(z)
    z = z[:, (z != z.median(0).values).double().mean(0) > 0.5]
    if z.shape[1] < 3:
        raise RunError(
            "fewer than three coordinates of the representation vary: training has collapsed; lower the learning rate"
        )
    generator = torch.Generator().manual_seed(seed)
    z = z[:, torch.randperm(z.shape[1], generator=generator)[:n_coordinates]]
    d = z.shape[1]
    pairs = pairwise_hsic(z, normalized=True)[_above(d)].mean().item()
    triples = [torch.randperm(d, generator=generator)[:3] for _ in range(20)]
    return pairs, sum(dhsic(list(z[:, t].mT)).item() for t in triples) / len(triples)


def fourier_features(x: Tensor, frequencies: Tensor, phases: Tensor) -> Tensor:
    """ψ(x) = √(2 / p) cos(ω x + b) for every entry x, ``(..., n) -> (..., n, p)``.

    With ω ~ N(0, 1 / bandwidth²) and b ~ U(0, 2π), ψ(a)ᵀ ψ(b) tends to the Gaussian kernel (Rahimi & Recht 2007).

    Examples:
        >>> frequencies, phases = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.0])
        >>> fourier_features(torch.tensor([0.0, torch.pi]), frequencies, phases).tolist()
        [[1.0, 1.0], [1.0, -1.0]]
    """
    wave = x[..., None] * frequencies + phases
    return (2 / len(frequencies)) ** 0.5 * wave.cos()


def random_projector(
    n_features: int, bandwidth: float = 1.0, seed: int = 0
) -> Callable[[Tensor], Tensor]:
    """An elementwise projector, drawn once and not trained: ``fourier_features`` with p = ``n_features``.

    Examples:
        >>> psi = random_projector(n_features=10_000)
        >>> a, b = psi(torch.tensor([0.0, 1.0], dtype=torch.float64))
        >>> round((a @ b).item(), 1)  # the Gaussian kernel, e^−1/2 = 0.61
        0.6
    """
    generator = torch.Generator().manual_seed(seed)
    frequencies = torch.randn(n_features, generator=generator, dtype=torch.float64) / bandwidth
    phases = 2 * math.pi * torch.rand(n_features, generator=generator, dtype=torch.float64)
    return partial(fourier_features, frequencies=frequencies, phases=phases)


def covariance_penalty(psi_x: Tensor, psi_y: Tensor) -> Tensor:
    """‖Cov(ψ(x), ψ(y))‖²_F with 1 / (n − 1): ``(..., n, p), (..., n, q) -> (...)``.

    VICReg's covariance term between the blocks of two coordinates behind an elementwise projector, and, by Lemma 1 of
    mialon2022variance, their HSIC under the kernel ψ(a)ᵀ ψ(b).

    Examples:
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> covariance_penalty(x, x).item(), covariance_penalty(x, 3 * x).item()  # 2², (3 · 2)²
        (4.0, 36.0)
    """
    centred = psi_x - psi_x.mean(-2, keepdim=True)
    return (centred.mT @ psi_y / (psi_x.shape[-2] - 1)).square().sum((-2, -1))


def off_diagonal_penalty(h: Tensor) -> Tensor:
    """Σ_{i≠j} Cov(h)²_ij with 1 / (n − 1), VICReg's covariance term without its 1 / w: ``(n, w) -> ()``.

    Examples:
        >>> h = torch.tensor([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
        >>> off_diagonal_penalty(h).item()  # the covariance of the first two is 2, and counts twice
        8.0
    """
    h = h - h.mean(0)
    squares, variances = (h @ h.mT).square().sum(), h.square().sum(0)
    return (squares - variances.square().sum()) / (len(h) - 1) ** 2


def xor_triple(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Three variables, ``(n,)`` each, independent in pairs only: x, y ~ N(0, 1), and one with the sign of xy.

    Examples:
        >>> x, y, z = xor_triple(5)
        >>> bool((x * y * z > 0).all())
        True
    """
    generator = torch.Generator().manual_seed(seed)
    x, y, z = torch.randn(3, n, generator=generator, dtype=torch.float64)
    return x, y, (x * y).sign() * z.abs()


def whiten(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows y = W (x − mean) of mean 0 and covariance I: ``(n, d) -> (n, d)``, and the matrix W, ``(d, d)``.

    Raises:
        InputError: if the covariance is singular.

    Examples:
        >>> y, w = whiten(torch.tensor([[0.0, 0.0], [0.0, 4.0], [2.0, 0.0], [2.0, 4.0]]))
        >>> torch.allclose(y.mT @ y / 3, torch.eye(2, dtype=torch.float64))
        True
        >>> round((w[0, 0] / w[1, 1]).item(), 6)  # the narrower coordinate is stretched twice as much
        2.0
    """
    x = _rows(x)
    x = x - x.mean(0)
    s, u = torch.linalg.eigh(x.mT @ x / (len(x) - 1))
    if s[0] <= 1e-12 * s[-1]:
        raise InputError(
            "whitening needs a covariance of full rank: drop what is linearly dependent"
        )
    w = (u * s.rsqrt()) @ u.mT
    return x @ w.mT, w


def benchmark_sources(n: int = 4000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Six independent sources of unit variance, ``(n, 6)``, and a matrix to mix them by, ``(6, 6)``.

    Four periodic signals on [0, 0.4], uniform and Laplace noise, and a mixing matrix U(−½, ½), as in the authors'
    code of Brakel & Bengio 2017 (arXiv 1710.05050), there with n = 4000.

    Examples:
        >>> sources, mixing = benchmark_sources(100)
        >>> sources.shape, mixing.shape
        (torch.Size([100, 6]), torch.Size([6, 6]))
        >>> torch.allclose(sources.std(0), torch.ones(6, dtype=torch.float64))
        True
    """
    t = torch.linspace(0, 0.4, n, dtype=torch.float64)
    generator = np.random.default_rng(seed)
    turn = 2 * math.pi * t
    columns = [
        (155 * turn).cos().sign(),
        (800 * turn).sin(),
        (300 * turn + 6 * (60 * turn).cos()).sin(),
        (90 * turn).sin(),
        torch.from_numpy(generator.uniform(-1, 1, n)),
        torch.from_numpy(generator.laplace(size=n)),
    ]
    s = torch.stack(columns, 1)
    mixing = torch.from_numpy(generator.uniform(-0.5, 0.5, (6, 6)))
    return (s - s.mean(0)) / s.std(0), mixing


def covariance_ica(
    x: Tensor,
    n_features: int = 32,
    bandwidth: float = 1 / 1.5,
    sweeps: int = 4,
    seed: int = 0,
    psi: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Linear ICA by the covariance penalty behind a random elementwise projector: W, ``(d, d)``.

    y = W (x − mean) are the sources, up to order and sign. After whitening, the rotation is found by Jacobi sweeps:
    for each pair of coordinates they take the angle in [−45°, 45°) with the least ``covariance_penalty``, found first
    on 16 points and then by golden section. The solver and its settings are ours.

    Args:
        x: ``(n, d)`` mixtures.
        n_features: p of ``fourier_features``, drawn once: the projector is not trained.
        bandwidth: of their kernel, in standard deviations of a whitened coordinate.
        sweeps: over all pairs.
        seed: of the draw.
        psi: an elementwise projector to use instead of the drawn one, ``(..., n) -> (..., n, p)``.

    Raises ``InputError`` if the covariance of x is singular.

    Examples:
        >>> sources, _ = benchmark_sources(400)
        >>> mixing = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=torch.float64)
        >>> w = covariance_ica(sources[:, :2] @ mixing.mT, n_features=8, sweeps=1)
        >>> amari_distance(w, mixing) < 0.1
        True
    """
    y, w = whiten(x)
    psi = psi or random_projector(n_features, bandwidth, seed)

    def penalty(pair: Tensor, angle: Tensor) -> Tensor:
        return covariance_penalty(*psi((pair @ rotation(angle).mT).mT))

    grid = (torch.arange(16, dtype=y.dtype) / 16 - 0.5) * (math.pi / 2)
    step = math.pi / 32
    for _ in range(sweeps):
        for pair in combinations(range(y.shape[1]), 2):
            two = y[:, pair]
            best = grid[torch.stack([penalty(two, angle) for angle in grid]).argmin()]
            turn = rotation(_golden(lambda a, two=two: penalty(two, a), best - step, best + step))
            y[:, pair] = two @ turn.mT
            w[list(pair)] = turn @ w[list(pair)]
    return w


def rotation(angle: Tensor) -> Tensor:
    """Rotation R of the plane by a scalar angle in radians, ``(2, 2)``: y = x Rᵀ for rows x.

    Examples:
        >>> quarter = rotation(torch.tensor(torch.pi / 2))
        >>> quarter.round().abs().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
        >>> (torch.tensor([[1.0, 0.0]]) @ quarter.mT)[0, 1].item()  # the first axis becomes the second
        1.0
    """
    c, s = angle.cos(), angle.sin()
    return torch.stack([c, -s, s, c]).reshape(2, 2)


def amari_distance(w: Tensor, mixing: Tensor) -> float:
    """How far W, ``(d, d)``, is from undoing A, ``(d, d)``, up to order, sign and scale: from 0 (it does) to 1.

    With P = |W A| it is [Σ_i (Σ_j P_ij / max_j P_ij − 1) + Σ_j (Σ_i P_ij / max_i P_ij − 1)] / 2 d (d − 1) (Amari et
    al. 1996, with the usual normalisation).

    Examples:
        >>> swap = torch.tensor([[0.0, -2.0], [3.0, 0.0]])
        >>> amari_distance(swap, torch.eye(2))  # order, sign and scale do not count
        0.0
        >>> amari_distance(torch.ones(2, 2), torch.eye(2))
        1.0
    """
    p = (w @ mixing).abs()
    d = len(p)
    excess = (p.sum(1) / p.amax(1) - 1).sum() + (p.sum(0) / p.amax(0) - 1).sum()
    return (excess / (2 * d * (d - 1))).item()


def mean_correlation(y: Tensor, sources: Tensor) -> float:
    """MCC: mean |correlation| of ``(n, d)`` sources with their estimates under the best one-to-one matching.

    Examples:
        >>> sources = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> round(mean_correlation(sources, -sources.flip(1)), 6)  # order and sign do not count
        1.0
        >>> round(mean_correlation(sources[:, [0, 0]], sources), 6)  # one source found twice
        0.5
    """
    from scipy.optimize import linear_sum_assignment

    d = y.shape[1]
    correlation = torch.corrcoef(torch.cat([_rows(y), _rows(sources)], 1).mT)[:d, d:].abs().numpy()
    return float(correlation[linear_sum_assignment(-correlation)].mean())


def _hsic(k_x: Tensor, k_y: Tensor, unbiased: bool) -> Tensor:
    n = len(k_x)
    if not unbiased:
        return (_centred(k_x) * k_y).sum() / (n - 1) ** 2
    k_x, k_y = (k - k.diagonal().diag() for k in (k_x, k_y))
    means = k_x.sum() * k_y.sum() / ((n - 1) * (n - 2))
    rows = (k_x.sum(0) * k_y.sum(0)).sum() / (n - 2)
    return ((k_x * k_y).sum() + means - 2 * rows) / (n * (n - 3))


def _centred(k: Tensor) -> Tensor:
    return k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()


def _golden(f, low: Tensor, high: Tensor, rounds: int = 30) -> Tensor:
    """The minimum of a unimodal function, by golden section."""
    share = (5**0.5 - 1) / 2
    a, b = high - share * (high - low), low + share * (high - low)
    f_a, f_b = f(a), f(b)
    for _ in range(rounds):
        if f_a < f_b:
            high, b, f_b = b, a, f_a
            a = high - share * (high - low)
            f_a = f(a)
        else:
            low, a, f_a = a, b, f_b
            b = low + share * (high - low)
            f_b = f(b)
    return (low + high) / 2


def _rows(x: Tensor) -> Tensor:
    if x.ndim not in (1, 2) or len(x) < 2:
        raise InputError(f"a variable is (n,) or (n, p) with n >= 2, got {tuple(x.shape)}")
    return x.double().reshape(len(x), -1)


def _bandwidth(x: Tensor, bandwidth: float | None, squares: Tensor | None = None) -> float:
    if bandwidth is None:
        bandwidth = (
            (torch.pdist(x) if squares is None else squares[_above(len(x))].sqrt()).median().item()
        )
    if not 0 < bandwidth < math.inf:
        raise InputError(
            f"the kernel's bandwidth must be above 0, got {bandwidth:g} (the median distance is 0 where most rows "
            "are equal): give bandwidth="
        )
    return bandwidth


def _above(n: int) -> tuple[Tensor, Tensor]:
    return tuple(torch.triu_indices(n, n, 1))


def _same_length(variables: Sequence[Tensor], least: int) -> None:
    lengths = {len(x) for x in variables}
    if len(lengths) > 1 or min(lengths, default=0) < least:
        raise InputError(f"variables need one length of {least} or more, got {sorted(lengths)}")

"""Kernels of points, and what is done with a kernel's matrix.

Every kernel takes rows ``x (n, m)`` and, optionally, ``y (n', m)``, and returns float64 ``(n, n')``. It is
filled a few rows at a time. Apart from the result only blocks of ``BLOCK`` entries are stored, so that 20,000
points take the 3.2 GB of their matrix and little more. If that is too much, ``operator`` multiplies by a kernel
that is never stored.
"""

import math
from collections.abc import Callable

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from ssltheory.errors import InputError

BLOCK = 2**17  # entries of a block: 1 MB in float64, which fits in a core's cache
Kernel = Callable[[Tensor, Tensor], Tensor]


def rbf(x: Tensor, y: Tensor | None = None, gamma: float = 1.0) -> Tensor:
    """exp(−γ ‖x − y‖²), ``(n, n')``.

    Raises:
        InputError: if gamma is not above 0.
    """
    if not 0 < gamma < math.inf:
        raise InputError(f"rbf needs a finite gamma above 0, got {gamma}")

    def block(a: Tensor, b: Tensor) -> Tensor:
        squares = a.square().sum(1)[:, None] + b.square().sum(1)
        return squares.addmm_(a, b.mT, alpha=-2).clamp_(min=0).mul_(-gamma).exp_()

    return _by_rows(block, x, y)


def arc_cosine(x: Tensor, y: Tensor | None = None, degree: int = 1) -> Tensor:
    """‖x‖ᵏ ‖y‖ᵏ J_k(θ) / π for degree k, with θ the angle between x and y, ``(n, n')``.

    J_0 = π − θ and J_1 = sin θ + (π − θ) cos θ. It is 2 E[σ(w·x) σ(w·y)] over w ~ N(0, I), for the step function
    (degree 0) or ReLU (degree 1). At degree 0 the origin, which has no angle, counts as orthogonal to every point.

    Raises:
        InputError: for another degree.

    Source: Cho & Saul 2009, "Kernel methods for deep learning".
    """
    if degree not in (0, 1):
        raise InputError(f"arc_cosine has degree 0 (steps) or 1 (ReLU), got {degree!r}")

    def block(a: Tensor, b: Tensor) -> Tensor:
        relu, step = _expectations(a @ b.mT, a.square().sum(1), b.square().sum(1))
        return relu if degree else step

    return _by_rows(block, x, y)


def operator(kernel: Kernel, x: Tensor) -> scipy.sparse.linalg.LinearOperator:
    """The kernel matrix of ``x`` as a linear operator: formed block by block for each product, never stored.

    Args:
        kernel: of two sets of points, such as ``rbf`` or ``functools.partial(relu_ntk, depth=3)``.
        x: ``(n, m)``.
    """
    n = len(x)

    def product(v: np.ndarray) -> np.ndarray:
        columns = torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64)).to(x.device)
        blocks = [kernel(rows, x) @ columns for rows in x.split(max(1, BLOCK // n))]
        return torch.cat(blocks).cpu().numpy()

    return scipy.sparse.linalg.LinearOperator(
        (n, n), product, product, product, np.float64, product
    )


def top_eigenpairs(
    kernel: Tensor | scipy.sparse.linalg.LinearOperator, k: int
) -> tuple[Tensor, Tensor]:
    """The k largest eigenvalues of a kernel matrix and their eigenvectors, by Lanczos iteration (ARPACK).

    Args:
        kernel: ``(n, n)`` symmetric, or an ``operator``.
        k: from 1 to n − 1.

    Returns:
        ``(k,)`` descending and ``(n, k)`` orthonormal, float64.

    Raises:
        InputError: if k is out of range.
    """
    n = kernel.shape[0]
    if not 1 <= k < n:
        raise InputError(f"top_eigenpairs needs a k from 1 to n − 1 = {n - 1}, got {k}")
    device = kernel.device if isinstance(kernel, Tensor) else None
    matrix = kernel.cpu().numpy() if isinstance(kernel, Tensor) else kernel
    start = np.random.default_rng(0).standard_normal(n)
    values, vectors = scipy.sparse.linalg.eigsh(matrix, k, which="LA", v0=start)
    order = values.argsort()[::-1].copy()
    pair = torch.from_numpy(values[order]), torch.from_numpy(vectors[:, order])
    return pair if device is None else (pair[0].to(device), pair[1].to(device))


def alignment(k: Tensor, other: Tensor, centre: bool = True) -> Tensor:
    """⟨K, K'⟩ / ‖K‖ ‖K'‖, by default after removing the mean feature from both: 1 for kernels equal up to scale.

    For Gram matrices z zᵀ of two embeddings it is linear CKA (Kornblith et al. 2019, arXiv 1905.00414).

    Args:
        k, other: ``(n, n)`` symmetric, over the same points.

    Raises:
        InputError: if the shapes differ.
    """
    if k.shape != other.shape or k.ndim != 2 or k.shape[0] != k.shape[1]:
        raise InputError(
            f"alignment takes two (n, n) kernels over the same points, "
            f"got {tuple(k.shape)} and {tuple(other.shape)}"
        )
    k, other = k.double(), other.double()
    if centre:
        k, other = (z - z.mean(0) - z.mean(1, keepdim=True) + z.mean() for z in (k, other))
    return (k * other).sum() / (k.norm() * other.norm())


def _by_rows(block: Kernel, x: Tensor, y: Tensor | None) -> Tensor:
    """The matrix whose rows are ``block(some of x, all of y)``."""
    y = x if y is None else y
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise InputError(
            f"a kernel takes rows (n, m) and (n', m) of one length, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}; flatten images first"
        )
    x, y = x.double(), y.double()
    kernel = x.new_empty(len(x), len(y))
    step = max(1, BLOCK // max(1, len(y)))
    for i in range(0, len(x), step):
        kernel[i : i + step] = block(x[i : i + step], y)
    return kernel


def _expectations(sigma: Tensor, s_x: Tensor, s_y: Tensor) -> tuple[Tensor, Tensor]:
    """2 E[relu(u) relu(v)] and 2 E[1(u > 0) 1(v > 0)] for Gaussian u, v with covariance sigma, variances s_x, s_y."""
    norm = s_x.sqrt()[:, None] * s_y.sqrt()
    cosine = (sigma / norm).nan_to_num_(0.0).clamp_(-1, 1)
    step = cosine.arccos().div_(-math.pi).add_(1)
    sine = cosine.square().neg_().add_(1).sqrt_()
    return cosine.mul_(step).add_(sine, alpha=1 / math.pi).mul_(norm), step

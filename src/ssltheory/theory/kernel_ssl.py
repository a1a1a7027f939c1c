"""Joint embedding in the kernel regime: the kernel that self-supervision induces (kiani2022joint).

Embeddings z(x) = W φ(x) are linear in the features φ of a base kernel k. Over n views s, with k(s, s) = K and the
augmentation adjacency A (A_ij = 1 where i and j are views of one image, no self-loops, L = diag(A 1) − A,
H = I − 1 1ᵀ/n), the losses are

    vicreg        ‖Zᵀ H Z − I‖²_F + β tr(Zᵀ L Z)        non-contrastive; the Gram matrix is not divided by n
    contrastive   ‖Z Zᵀ − (I + A)‖²_F

and what is learnt is a kernel: k*(x, x') = ⟨z(x), z(x')⟩ = k(x, s) M k(s, x'), M = K⁻¹ Z Zᵀ K⁻¹ of rank d at most.
Everything is float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from torch import Tensor

from ssltheory.errors import InputError
from ssltheory.theory.spectral_embedding import ITERATIVE, top_eigenvectors

Adjacency: TypeAlias = Tensor | np.ndarray | scipy.sparse.sparray

TIE = 1e-9  # eigenvalues of the target closer than this count as equal; they are of order 1
CHUNK = 512  # columns solved for at a time


def view_adjacency(n_images: int, n_views: int) -> scipy.sparse.csr_array:
    """A for ``n_views`` views of each image, the views of one image in consecutive rows: sparse ``(n, n)``.

    Examples:
        >>> view_adjacency(n_images=2, n_views=2).toarray().tolist()
        [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    """
    clique = np.ones((n_views, n_views)) - np.eye(n_views)
    return scipy.sparse.csr_array(scipy.sparse.kron(scipy.sparse.eye_array(n_images), clique))


def vicreg_loss(z: Tensor, adjacency: Tensor, beta: float) -> Tensor:
    """‖Zᵀ H Z − I‖²_F + β tr(Zᵀ L Z) for z ``(n, d)`` and a dense A ``(n, n)``.

    Examples:
        >>> adjacency = torch.from_numpy(view_adjacency(2, 2).toarray())
        >>> apart = torch.tensor([[0.5], [0.5], [-0.5], [-0.5]], dtype=torch.float64)  # by image
        >>> vicreg_loss(apart, adjacency, beta=0.5).item()
        0.0
        >>> vicreg_loss(apart[[0, 2, 1, 3]], adjacency, beta=0.5).item()  # by view: β (1² + 1²)
        1.0
    """
    centred = z - z.mean(0)
    excess = centred.mT @ centred - torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    disagreement = (adjacency.sum(1, keepdim=True) * z - adjacency @ z) * z
    return excess.square().sum() + beta * disagreement.sum()


def contrastive_loss(z: Tensor, adjacency: Tensor) -> Tensor:
    """‖Z Zᵀ − (I + A)‖²_F for z ``(n, d)`` and a dense A ``(n, n)``.

    Examples:
        >>> adjacency = torch.from_numpy(view_adjacency(2, 2).toarray())
        >>> z = torch.eye(2, dtype=torch.float64)[[0, 0, 1, 1]]  # each image a direction of its own
        >>> contrastive_loss(z, adjacency).item(), contrastive_loss(0 * z, adjacency).item()
        (0.0, 8.0)
    """
    target = adjacency + torch.eye(len(z), dtype=z.dtype, device=z.device)
    return (z @ z.mT - target).square().sum()


@dataclass(frozen=True)
class InducedKernel:
    """The optimum of a loss over all W, as ``induced_kernel`` returns it.

    Attributes:
        coefficients: K⁻¹ Z, ``(n, d)``: z(x) = k(x, s) K⁻¹ Z.
        embeddings: Z of the training views, ``(n, d)``, best modes first; columns of zeros where none is left.

    Examples:
        >>> learnt = induced_kernel(torch.eye(4), view_adjacency(2, 2), dim=1)
        >>> [round(entry, 6) for entry in learnt.gram(torch.eye(4))[0].tolist()]  # by image
        [0.25, 0.25, -0.25, -0.25]
        >>> torch.allclose(learnt.embed(torch.eye(4)), learnt.embeddings)
        True
    """

    coefficients: Tensor
    embeddings: Tensor

    def embed(self, k_xs: Tensor) -> Tensor:
        """z(x) of any points, ``(q, d)``, from k(x, s) ``(q, n)``."""
        return k_xs.to(self.coefficients) @ self.coefficients

    def gram(self, k_xs: Tensor, k_ys: Tensor | None = None) -> Tensor:
        """k*(x, y), ``(q, p)``, from k(x, s) ``(q, n)`` and k(y, s) ``(p, n)``; y = x if not given."""
        z = self.embed(k_xs)
        return z @ (z if k_ys is None else self.embed(k_ys)).mT


def induced_gram(
    k: Tensor, adjacency: Adjacency, dim: int, method: str = "vicreg", beta: float = 0.4
) -> Tensor:
    """Z Zᵀ of the training views, ``(n, n)``: the base kernel replaced by the one that is learnt.

    Arguments and errors are those of ``induced_kernel``.

    Examples:
        >>> gram = induced_gram(torch.eye(4), view_adjacency(2, 2), dim=2, method="contrastive")
        >>> gram.round(decimals=6).abs().tolist()  # I + A
        [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    z = induced_kernel(k, adjacency, dim, method, beta).embeddings
    return z @ z.mT


def induced_kernel(
    k: Tensor,
    adjacency: Adjacency,
    dim: int,
    method: str = "vicreg",
    beta: float = 0.4,
    overwrite: bool = False,
) -> InducedKernel:
    """The closed-form optimum and its out-of-sample embedding.

        vicreg        H Z Zᵀ H = (H − (β/2) L)_{+,<=d}
        contrastive     Z Zᵀ   = (I + A)_{+,<=d}

    where (·)_{+,<=d} keeps the d largest eigenvalues and clips at zero. With augmentations most of those
    eigenvalues tie, and VICReg does not see the mean of Z. Among all optima this is the one of least norm ‖W‖²_HS =
    tr(Zᵀ K⁻¹ Z), the limit of a vanishing ridge penalty.

    It takes one factorisation of K (n³/3 operations), memory for one n × n matrix beside k (none with ``overwrite``),
    and t × t for the largest tie, where t is the number of images if there are several views of each. A component
    of A with 2,000 views or more is not factorised: its d + 1 leading eigenpairs are found by Lanczos iterations,
    and a tie that continues beyond them is cut.

    Args:
        k: K ``(n, n)``, positive definite.
        adjacency: A ``(n, n)``, symmetric, non-negative, diagonal zero; sparse if n is large.
        dim: d, between 1 and n.
        method: "vicreg" or "contrastive".
        beta: β >= 0, weight of the invariance; only for "vicreg".
        overwrite: use k's memory for its factor.

    Raises ``InputError`` for a kernel that is not positive definite (add a jitter to its diagonal), an A that is not
    an adjacency, or a parameter out of range.

    Source: kiani2022joint, restated from its abstract; constants and the choice among ties are derived here.

    Examples:
        >>> x, new = torch.tensor([[0.0], [0.5], [4.0], [4.5]]), torch.tensor([[0.2], [4.2]])
        >>> k, k_new = torch.exp(-torch.cdist(x, x)), torch.exp(-torch.cdist(new, x))
        >>> learnt = induced_kernel(k, view_adjacency(2, 2), dim=1)
        >>> (learnt.gram(k_new, k) > 0).tolist()  # each new point belongs to the image it is close to
        [[True, True, False, False], [False, False, True, True]]
    """
    k, a = _checked(k, adjacency, dim, method, beta)
    vicreg = method == "vicreg"
    factor = _Factor(k, overwrite)
    k_one = factor.solve(torch.ones_like(k[:, :1])) if vicreg else None
    modes: list[Tensor] = []
    coefficients: list[Tensor] = []
    left = dim
    for value, basis in _eigenspaces(a, vicreg, beta, dim, k):
        if left == 0 or value <= TIE:
            break
        columns = _least_norm(basis, left, factor, k_one)
        left -= columns.shape[1]
        modes.append(value**0.5 * columns)
        coefficients.append(factor.solve(modes[-1]))
    z, solved = (
        torch.nn.functional.pad(torch.cat(parts, 1), (0, left))
        if parts
        else k.new_zeros(len(k), dim)
        for parts in (modes, coefficients)
    )
    if k_one is not None:
        mean = solved.sum(0) / k_one.sum()
        z, solved = z - mean, solved - k_one * mean
    return InducedKernel(solved, z)


class _Factor:
    """The Cholesky factor C of K = C Cᵀ, column-major as LAPACK expects it, so that nothing is copied."""

    def __init__(self, k: Tensor, overwrite: bool) -> None:
        self.lower = k.mT if overwrite else k.clone(memory_format=torch.contiguous_format).mT
        info = torch.empty((), dtype=torch.int32, device=k.device)
        torch.linalg.cholesky_ex(self.lower, out=(self.lower, info))
        if info:
            raise InputError(
                "the kernel is not positive definite: two views are alike, or its rank is below n; "
                "add a jitter to its diagonal, 1e-4 of its mean, say"
            )

    def solve(self, b: Tensor) -> Tensor:
        """K⁻¹ b."""
        b = torch.linalg.solve_triangular(self.lower, b, upper=False)
        return torch.linalg.solve_triangular(self.lower.mT, b, upper=True)

    def product(self, b: Tensor) -> Tensor:
        """K b."""
        return self.lower @ (self.lower.mT @ b)


def _eigenspaces(
    a: scipy.sparse.csr_array, vicreg: bool, beta: float, dim: int, like: Tensor
) -> Iterator[tuple[float, Tensor]]:
    """Eigenvalues of the target, largest first, each with a sparse orthonormal basis ``(n, t)`` of its eigenspace.

    For VICReg the target is I − (β/2) L, as H only removes the constant vector. Components are decomposed one by one.
    """
    n = a.shape[0]
    if vicreg:
        degree = np.asarray(a.sum(1)).ravel()
        target = scipy.sparse.diags_array(1 - beta / 2 * degree) + beta / 2 * a
    else:
        target = scipy.sparse.eye_array(n) + a
    target = scipy.sparse.csr_array(target)
    count, component = connected_components(a, directed=False)
    order, sizes = np.argsort(component, kind="stable"), np.bincount(component, minlength=count)
    starts = np.cumsum(sizes) - sizes
    values, rows, entries = [], [], []
    for size in np.unique(sizes):
        for i in np.flatnonzero(sizes == size):
            at = order[starts[i] : starts[i] + size]
            block = target[at][:, at]
            if size < ITERATIVE:
                w, v = np.linalg.eigh(block.toarray())
            else:
                count = min(dim + 1, size - 1)
                w, v = eigsh(block, count, which="LA", v0=np.random.default_rng(0).random(size))
            values += list(w)
            rows += [at] * len(w)
            entries += list(v.T)
    spectrum = np.array(values)
    ranked = np.argsort(-spectrum, kind="stable")
    ends = np.flatnonzero(-np.diff(spectrum[ranked]) > TIE) + 1
    for group in np.split(ranked, ends):
        indices = np.concatenate([rows[j] for j in group])
        columns = np.repeat(np.arange(len(group)), [len(rows[j]) for j in group])
        basis = torch.sparse_coo_tensor(
            torch.from_numpy(np.stack([indices, columns])),
            torch.from_numpy(np.concatenate([entries[j] for j in group])),
            (n, len(group)),
            check_invariants=False,
        )
        yield float(spectrum[group].mean()), basis.to(like).coalesce()


def _least_norm(basis: Tensor, dim: int, k: _Factor, k_one: Tensor | None) -> Tensor:
    """Orthonormal columns in the span of ``basis``, dim at most, of least tr(Zᵀ K⁻¹ Z): ``(n, <= dim)``.

    With ``k_one`` = K⁻¹ 1 they are also orthogonal to 1, and their mean is profiled out of the norm.
    """
    n, t = basis.shape
    along_one = torch.sparse.sum(basis, 0).to_dense()[:, None]
    has_one = k_one is not None and float(along_one.norm()) > 1e-6 * n**0.5
    dim = min(dim, t - has_one)
    if dim == 0 or (dim == t and not has_one):
        return basis.to_dense()[:, :dim]
    if t == n:  # every direction ties, as without augmentations: kernel PCA
        centre = (lambda v: v - v.mean(0)) if has_one else (lambda v: v)
        return top_eigenvectors(lambda v: centre(k.product(centre(v))), dim, k.lower)[1]
    columns = torch.arange(t, device=basis.device).split(CHUNK)
    norms = torch.cat(
        [basis.mT @ k.solve(basis.index_select(1, part).to_dense()) for part in columns], 1
    )
    if k_one is not None:
        profile = basis.mT @ k_one
        norms -= profile @ profile.mT / k_one.sum()
    if has_one:  # out of reach: the constant vector costs more than all the others
        norms += 2 * norms.trace() * along_one @ along_one.mT / along_one.square().sum()
    factor = _Factor((norms + norms.mT) / 2, overwrite=True)
    return basis @ top_eigenvectors(factor.solve, dim, norms)[1]


def _checked(k, adjacency, dim, method, beta) -> tuple[Tensor, scipy.sparse.csr_array]:
    k = torch.as_tensor(k)
    if k.ndim != 2 or k.shape[0] != k.shape[1] or not k.sum().isfinite():
        raise InputError(f"k must be a square matrix of finite numbers, got {tuple(k.shape)}")
    k = k.to(torch.float64)
    if isinstance(adjacency, Tensor):
        adjacency = adjacency.cpu().to(torch.float64).numpy()
    a = scipy.sparse.csr_array(adjacency, dtype=np.float64)
    if a.shape != tuple(k.shape):
        raise InputError(
            f"k is {tuple(k.shape)} and the adjacency {a.shape}: both are (n, n) over the views"
        )
    if (a.nnz and a.data.min() < 0) or a.diagonal().any() or abs(a - a.T).max() > 1e-12:
        raise InputError(
            "an adjacency is symmetric and non-negative with a zero diagonal: leave self-loops out"
        )
    if method not in ("vicreg", "contrastive"):
        raise InputError(f"method={method!r}: choose vicreg or contrastive")
    if not 1 <= dim <= len(k):
        raise InputError(f"dim={dim} must lie between 1 and n={len(k)}, the number of views")
    if not 0 <= beta < float("inf"):
        raise InputError(f"beta={beta} must be a finite number >= 0: the weight of the invariance")
    return k, a

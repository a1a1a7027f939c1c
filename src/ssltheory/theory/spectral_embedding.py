"""What VICReg, SimCLR and Barlow Twins embed, from the graph of positive pairs alone (balestriero2022spectral).

n rows x_i and a symmetric, non-negative relation G between them, ``(n, n)``: G_ij > 0 where i and j are a
positive pair. D = diag(G 1), the Laplacian is L = D − G, the centring H = I − 1 1ᵀ/n, and Z ``(n, d)`` holds the
embeddings. The losses, with constants that are ours where the paper's could not be read,

    VICReg        ‖Zᵀ H Z / n − I‖²_F + (2 ρ / n) tr(Zᵀ L Z)      its penalty squared, not a hinge; ρ = γ / α
    contrastive   ‖Z Zᵀ − G‖²_F                                   SimCLR with a squared error
    Barlow Twins  ‖Zᵀ G Z / n − I‖²_F  given  Zᵀ H Z / n = I      outputs whitened

determine Z up to a rotation of its columns and, for VICReg, a shift of its rows. So compare Gram matrices Z Zᵀ, and
centre Z first. Everything is float64.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from ssltheory.errors import InputError

#: v -> M v, for a symmetric M that need not be formed.
Product = Callable[[Tensor], Tensor]
TIE = 1e-9  # relative: values closer than this count as equal, or as zero; a root would look like a dimension
ITERATIVE = 2000  # rows from which eigenvectors come from Lanczos iterations, not a factorisation


# Graphs


def laplacian(graph: Tensor) -> Tensor:
    """L = diag(G 1) − G, ``(n, n)``; the diagonal of G does not matter.

    Examples:
        >>> laplacian(torch.tensor([[0.0, 2.0], [2.0, 0.0]])).tolist()
        [[2.0, -2.0], [-2.0, 2.0]]
    """
    return torch.diag(graph.sum(1)) - graph


def label_graph(y: Tensor) -> Tensor:
    """G_ij = 1/n_c where i and j both have label c, of which there are n_c, ``(n, n)`` with G 1 = 1.

    It is the projector onto functions that are constant on classes. With it the linear optima are Fisher's linear
    discriminants; with the 0/1 graph, which weights classes by the squares of their sizes, they are not.

    Args:
        y: ``(n,)`` integer labels.

    Examples:
        >>> label_graph(torch.tensor([7, 7, 3])).tolist()
        [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    _, codes, counts = y.unique(return_inverse=True, return_counts=True)
    return (codes[:, None] == codes).to(torch.float64) / counts[codes]


# Losses


def vicreg_loss(z: Tensor, graph: Tensor, rho: float) -> Tensor:
    """‖Zᵀ H Z / n − I‖²_F + (ρ / n) Σ_ij G_ij ‖z_i − z_j‖².

    Args:
        z: ``(n, d)``.
        graph: ``(n, n)``.
        rho: invariance over variance, γ / α.

    Examples:
        >>> z, pair = torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> vicreg_loss(z, 0 * pair, rho=0.25).item()  # unit variance
        0.0
        >>> vicreg_loss(z, pair, rho=0.25).item()  # 0.25 / 2 · (2² + 2²)
        1.0
    """
    centred = z - z.mean(0)
    excess = centred.mT @ centred / len(z) - torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    disagreement = z * (graph.sum(1, keepdim=True) * z - graph @ z)
    return excess.square().sum() + 2 * rho / len(z) * disagreement.sum()


def contrastive_loss(z: Tensor, graph: Tensor) -> Tensor:
    """‖Z Zᵀ − G‖²_F: pull by G_ij, push by the square of every inner product.

    Examples:
        >>> graph = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
        >>> contrastive_loss(torch.tensor([[1.0], [1.0]]), graph).item()  # Z Zᵀ = G
        0.0
        >>> contrastive_loss(torch.eye(2), graph).item()
        2.0
    """
    return (z @ z.mT - graph).square().sum()


def barlow_twins_loss(z: Tensor, graph: Tensor) -> Tensor:
    """‖Zᵀ G Z / n − I‖²_F, which correlates each row with the average of its partners, G z.

    Examples:
        >>> z, pair = torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> barlow_twins_loss(z, pair).item()  # a correlation of −1
        4.0
        >>> barlow_twins_loss(z.abs(), pair).item()
        0.0
    """
    moment = z.mT @ (graph @ z) / len(z)
    return (moment - torch.eye(z.shape[1], dtype=z.dtype, device=z.device)).square().sum()


def info_nce_loss(z: Tensor, y: Tensor, temperature: float) -> Tensor:
    """−mean over ordered pairs i ≠ j of the same label of log [e^{c_ij/τ} / Σ_{k≠i} e^{c_ik/τ}], c the cosine.

    Args:
        z: ``(n, d)``.
        y: ``(n,)`` labels.
        temperature: τ.

    Examples:
        >>> z, y = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]), torch.tensor([0, 0, 1, 1])
        >>> round(info_nce_loss(z, y, temperature=1.0).item(), 4)  # log(1 + 2 e^−2)
        0.2395
        >>> round(info_nce_loss(z.abs(), y, temperature=1.0).exp().item(), 4)  # collapsed: a guess among 3
        3.0
    """
    unit = torch.nn.functional.normalize(z, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    s = unit @ unit.mT / temperature
    log_share = s - s.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    return -log_share[(y[:, None] == y) & ~itself].mean()


# Optima where Z itself is free


def vicreg_optimum(graph: Tensor, dim: int, rho: float) -> Tensor:
    """Z* = √n U_d (I − ρ Λ_d)_+^{1/2}: Laplacian eigenmaps, each mode shrunk by its own disagreement.

    λ_1 <= λ_2 <= … are the eigenvalues of L on the complement of 1, and U_d holds the first d eigenvectors. So
    Z*Z*ᵀ / n is the positive part of H − ρL, of rank d at most, and mode k is in it if λ_k < 1/ρ. Every other
    choice of d eigenvectors is a saddle.

    Args:
        graph: ``(n, n)`` symmetric, non-negative.
        dim: d, at most n.
        rho: invariance over variance, γ / α, at least 0.

    Returns:
        ``(n, dim)`` centred; columns of zeros where a mode is suppressed or none is left. The choice among
        modes of equal eigenvalues is arbitrary.

    Raises:
        InputError: if the relation is not symmetric and non-negative, or d or ρ is out of range.

    Source: balestriero2022spectral, Theorem 1; constants derived here.

    Examples:
        >>> z = vicreg_optimum(label_graph(torch.tensor([0, 0, 1, 1])), dim=2, rho=0.5)
        >>> [round(v, 6) for v in (z.square().sum(0) / 4).tolist()]  # 1 − ρλ with λ = 0 and 1
        [1.0, 0.5]
        >>> torch.allclose(z[0, 0], z[1, 0]) and torch.allclose(z[0, 0], -z[2, 0])  # the classes
        True
    """
    graph = _checked_graph(graph, dim)
    if not 0 <= rho < float("inf"):
        raise InputError(f"rho={rho} must be a finite number >= 0: the weight of invariance")
    degree = graph.sum(1, keepdim=True)

    def shrunk(v: Tensor) -> Tensor:
        return v - v.mean(0) - rho * (degree * v - graph @ v)

    return len(graph) ** 0.5 * positive_root(shrunk, dim, graph)


def contrastive_optimum(graph: Tensor, dim: int) -> Tensor:
    """Z* with Z*Z*ᵀ the positive part of G of rank d at most: classical scaling (MDS) of the relation.

    With G = −½ H D² H of geodesic distances D it is ISOMAP. The rank of Z* is at most that of G.

    Args:
        graph: ``(n, n)`` symmetric; here it may have negative entries.
        dim: d, at most n.

    Returns:
        ``(n, dim)``.

    Raises ``InputError`` if the relation is not symmetric, or d is out of range.

    Source: balestriero2022spectral, Theorem 5 and Proposition 2, as restated in an abstract and notes.

    Examples:
        >>> graph = label_graph(torch.tensor([0, 0, 1]))
        >>> z = contrastive_optimum(graph, dim=2)
        >>> torch.allclose(z @ z.mT, graph)  # its rank is 2
        True
    """
    graph = _checked_graph(graph, dim, negative=True)
    return positive_root(lambda v: graph @ v, dim, graph)


def positive_root(product: Product, dim: int, like: Tensor) -> Tensor:
    """B ``(n, dim)`` with B Bᵀ = (M)_{+,<=dim}: the dim largest eigenvalues of M, clipped at zero.

    Its arguments are those of ``top_eigenvectors``.

    Examples:
        >>> m = torch.diag(torch.tensor([4.0, -1.0, 9.0]))
        >>> b = positive_root(lambda v: m @ v, 3, m)
        >>> (b @ b.mT).diagonal().round(decimals=4).tolist()  # clipped at zero
        [4.0, 0.0, 9.0]
    """
    values, vectors = top_eigenvectors(product, dim, like)
    return vectors * torch.where(values > TIE * values.abs().max(), values, 0.0).sqrt()


def top_eigenvectors(product: Product, dim: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The dim largest eigenvalues of a symmetric M and their eigenvectors, descending: ``(dim,)``, ``(n, dim)``.

    From n = 2,000 on they come from Lanczos iterations (ARPACK, on the CPU), which never form M. Below that, or for
    more than a fifth of the spectrum, they come from the factorised matrix.

    Args:
        product: v ``(n, k)`` -> M v.
        dim: number of eigenvalues.
        like: a tensor of n rows, for dtype and device.

    Examples:
        >>> m = torch.diag(torch.tensor([4.0, -1.0, 9.0]))
        >>> values, vectors = top_eigenvectors(lambda v: m @ v, 2, m)
        >>> [round(value, 4) for value in values.tolist()]
        [9.0, 4.0]
        >>> vectors.abs().mT.round(decimals=4).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    n = len(like)
    if n < ITERATIVE or 5 * dim > n:
        m = product(torch.eye(n, dtype=like.dtype, device=like.device))
        values, vectors = torch.linalg.eigh((m + m.mT) / 2)
        return values[-dim:].flip(0), vectors[:, -dim:].flip(1)

    def matvec(v):
        return product(torch.from_numpy(v.reshape(n, -1)).to(like)).cpu().numpy()

    operator = LinearOperator((n, n), matvec=matvec, matmat=matvec, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)
    values, vectors = eigsh(operator, dim, which="LA", v0=start)
    order = values.argsort()[::-1].copy()
    values, vectors = (torch.from_numpy(z).to(like) for z in (values[order], vectors[:, order]))
    return values, vectors


# Optima of a linear network, Z = X W


def pair_modes(x: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
    """Solutions of XᵀRX w = μ XᵀX w on the column space of X, ascending. Every linear optimum is made of them.

    With R = L, μ = θ is the share of a direction's scatter that lies within pairs (locality preserving
    projections; Fisher's discriminants if G is ``label_graph``). With R = G, μ = r is a direction's correlation
    across pairs (canonical correlation analysis). If G 1 = 1, then θ = 1 − r and the directions are the same.

    Args:
        x: ``(n, m)`` centred.
        relation: R, ``(n, n)`` symmetric.

    Returns:
        μ ``(r,)``, r the rank of X, and W ``(m, r)`` with Wᵀ (XᵀX/n) W = I. Where eigenvalues are equal, as for
        all directions that the relation does not involve, those of least norm ‖w‖ come first, along which x varies
        most.

    Raises:
        InputError: if x is not centred, or shapes do not match.

    Source: balestriero2022spectral, Theorems 2, 3 and 6; constants derived here.

    Examples:
        >>> x = torch.tensor([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
        >>> graph = label_graph(torch.tensor([0, 0, 1, 1]))  # the first coordinate is the class
        >>> theta, w = pair_modes(x, laplacian(graph))
        >>> theta.abs().round(decimals=6).tolist()  # the second lies within pairs
        [0.0, 1.0]
        >>> w.abs().round(decimals=6).tolist()  # unit variance
        [[1.0, 0.0], [0.0, 0.5]]
    """
    x, relation = torch.as_tensor(x).to(torch.float64), torch.as_tensor(relation).to(torch.float64)
    if x.ndim != 2 or relation.shape != (len(x), len(x)):
        raise InputError(
            f"x must be (n, m) and its relation (n, n), got {tuple(x.shape)} and {tuple(relation.shape)}"
        )
    if bool((x.mean(0).abs() > 1e-8 * x.square().mean(0).sqrt()).any()):
        raise InputError("x must be centred: subtract its mean over the rows")
    scatter, v = torch.linalg.eigh(x.mT @ x / len(x))
    support = scatter > 1e-12 * scatter[-1]
    whiten = v[:, support] / scatter[support].sqrt()
    xw = x @ whiten
    mu, q = torch.linalg.eigh(xw.mT @ (relation @ xw) / len(x))
    return mu, _least_norm_first(mu, whiten @ q)


def kept_variance(theta: Tensor, rho: float) -> Tensor:
    """(1 − ρθ)_+, the variance that VICReg leaves to a mode of disagreement θ; SimCLR's too at ρ = 1 if G 1 = 1.

    Examples:
        >>> kept_variance(torch.tensor([0.0, 0.5, 2.0]), rho=1.0).tolist()
        [1.0, 0.5, 0.0]
    """
    return (1 - rho * theta).clamp(min=0)


def linear_vicreg(x: Tensor, graph: Tensor, dim: int, rho: float) -> Tensor:
    """W* = S^{−1/2} Q_d (I − ρ Θ_d)_+^{1/2}, ``(m, dim)``: a direction survives where θ < 1/ρ.

    Args:
        x: ``(n, m)`` centred.
        graph: ``(n, n)``.
        dim: d, at most m.
        rho: γ / α.

    Source: balestriero2022spectral, Theorem 2; constants derived here.

    Examples:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> graph = label_graph(torch.tensor([0, 0, 1, 1]))  # θ = 0 and 1
        >>> w = linear_vicreg(x, graph, dim=2, rho=0.75)
        >>> w.square().round(decimals=6).tolist()
        [[1.0, 0.0], [0.0, 0.25]]
    """
    theta, w = pair_modes(x, laplacian(_checked_graph(graph, dim)))
    return _scaled(w, kept_variance(theta, rho), dim)


def linear_contrastive(x: Tensor, graph: Tensor, dim: int) -> Tensor:
    """W* with X W* the best factor of G in the column space of X, ``(m, dim)``: modes scaled by √r_+.

    If G 1 = 1 then r = 1 − θ, and this is ``linear_vicreg`` at ρ = 1 divided by √n.

    Examples:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> graph = label_graph(torch.tensor([0, 0, 1, 1]))  # r = 1 and 0
        >>> w = linear_contrastive(x, graph, dim=2)
        >>> w.square().round(decimals=6).tolist()  # r / n
        [[0.25, 0.0], [0.0, 0.0]]
    """
    minus_r, w = pair_modes(x, -_checked_graph(graph, dim, negative=True))
    return _scaled(w, -minus_r, dim) / len(x) ** 0.5


def linear_barlow_twins(x: Tensor, graph: Tensor, dim: int) -> Tensor:
    """W* of the d largest canonical correlations, all at unit variance, ``(m, dim)``.

    The minimum is Σ_k (1 − r_k)². It is essential that outputs are whitened: if only each unit's variance is set to
    one, as in the method's own normalisation, a small λ makes units copy one another.

    Source: balestriero2022spectral, Theorem 6, as restated in notes; the condition is derived here.

    Examples:
        >>> x = torch.tensor([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
        >>> graph = label_graph(torch.tensor([0, 0, 1, 1]))  # r = 1 and 0
        >>> w = linear_barlow_twins(x, graph, dim=2)
        >>> w.square().round(decimals=6).tolist()  # both at unit variance
        [[1.0, 0.0], [0.0, 0.25]]
    """
    minus_r, w = pair_modes(x, -_checked_graph(graph, dim))
    return _scaled(w, torch.ones_like(minus_r), dim)


def _least_norm_first(mu: Tensor, w: Tensor) -> Tensor:
    """The columns, rotated within each group of equal eigenvalues so that their norms rise."""
    ends = torch.where(mu.diff() > TIE * mu.abs().max())[0] + 1
    parts = w.tensor_split(ends.cpu(), dim=1)
    return torch.cat([part @ torch.linalg.eigh(part.mT @ part)[1] for part in parts], 1)


def _scaled(w: Tensor, variance: Tensor, dim: int) -> Tensor:
    """The first dim directions, scaled to the given variances; zeros for rounding and where none is left."""
    variance = torch.where(variance > TIE, variance, 0.0)
    directions = w[:, :dim] * variance[:dim].sqrt()
    return torch.nn.functional.pad(directions, (0, dim - directions.shape[1]))


# What a probe can do, and the minimum of InfoNCE


def probe_weights(z: Tensor, y: Tensor) -> Tensor:
    """V* = Z⁺ Y, the least-squares probe of minimal norm, ``(d, c)``.

    ‖Y − Z V*‖² = ‖Y‖² − ‖Uᵀ Y‖² with U an orthonormal basis of the columns of Z: a probe without a penalty depends
    only on the space that they span, not on how the modes are scaled.

    Args:
        z: ``(n, d)``.
        y: ``(n, c)`` targets.

    Examples:
        >>> z, y = torch.tensor([[1.0, 1.0], [2.0, 2.0]]), torch.tensor([[4.0], [8.0]])
        >>> [round(weight, 6) for weight in probe_weights(z, y).flatten().tolist()]  # of minimal norm
        [2.0, 2.0]
    """
    u, s, vt = torch.linalg.svd(z.to(torch.float64), full_matrices=False)
    support = s > 1e-6 * s[0]
    return vt[support].mT @ (u[:, support].mT @ y.to(torch.float64) / s[support, None])


def info_nce_minimum(classes: int, per_class: int, temperature: float) -> float:
    """The least ``info_nce_loss`` of balanced classes: each class is one point, the points a regular simplex.

    It is log[(n_c − 1) e^{1/τ} + (n − n_c) e^{−1/(C−1)τ}] − 1/τ, reached in d >= C − 1 dimensions. Derived here.

    Examples:
        >>> round(info_nce_minimum(classes=2, per_class=2, temperature=1.0), 4)  # log(1 + 2 e^−2)
        0.2395
        >>> z, y = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]), torch.tensor([0, 0, 1, 1])
        >>> round(info_nce_loss(z, y, temperature=1.0).item(), 4)
        0.2395
    """
    same, other = 1 / temperature, -1 / ((classes - 1) * temperature)
    others = (classes - 1) * per_class
    return float(np.logaddexp(np.log(per_class - 1) + same, np.log(others) + other) - same)


def _checked_graph(graph: Tensor, dim: int, negative: bool = False) -> Tensor:
    graph = torch.as_tensor(graph).to(torch.float64)
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise InputError(f"a relation is a square (n, n) matrix, got {tuple(graph.shape)}")
    if not graph.isfinite().all() or not (negative or bool((graph >= 0).all())):
        raise InputError("a relation is finite and non-negative: G_ij > 0 where i and j are a pair")
    if not torch.allclose(graph, graph.mT, rtol=0, atol=1e-9 * float(graph.abs().max())):
        raise InputError("a relation is symmetric: take (G + Gᵀ) / 2")
    if not 1 <= dim <= len(graph):
        raise InputError(f"dim={dim} must lie between 1 and n={len(graph)}, the side of the graph")
    return graph

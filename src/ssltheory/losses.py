"""Losses of two views: pure functions of the embeddings, in the papers' symbols.

Each takes ``z_a, z_b`` of shape ``(..., n, d)``: n images, where row i of both is a positive pair. It
returns one loss for each leading index: a scalar for ``(n, d)``; for a stack of seeds
``(seeds, n, d)`` a vector, whose sum trains them all at once. Nothing here waits for the device.
Mixed precision is up to the caller: pass float32. ``byol`` and ``simsiam`` take a prediction and a
projection of each view, ``(p, z)``.

A sum over off-diagonal entries is the total minus the diagonal. It is exact up to the rounding of the
total, which needs no d × d matrix where n < d.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssltheory.errors import InputError


def barlow_twins(
    z_a: Tensor, z_b: Tensor, lambda_: float = 0.0051, normalize: bool = True
) -> Tensor:
    """Barlow Twins, Σ_i (1 − C_ii)² + λ Σ_{i≠j} C_ij² (Zbontar et al. 2021, arXiv 2103.03230).

    Normalised, C = Z_aᵀ Z_b / n, where every column has mean 0 and (biased) standard deviation 1.
    There is no ε: a column that is constant over the batch gives NaN, where a batch norm hides it.

    Unnormalised, C = (Z_aᵀ Z_b + Z_bᵀ Z_a) / 2n, neither centred nor scaled; with λ = 1 this is the
    ‖C − I‖²_F that Simon et al. 2023 (arXiv 2303.15438) solve.

    Args:
        z_a, z_b: ``(..., n, d)``.
        lambda_: weight of the off-diagonal; 0.0051 in the authors' code, 1 in the theory.
        normalize: the loss that is trained (True) or the theory's (False).

    Returns:
        ``(...)``.

    Raises ``InputError`` if the shapes differ, or if n < 2 with ``normalize``.

    Examples:
        >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins(z, z).item() < 1e-6  # C = I
        True
        >>> round(barlow_twins(z, -z).item(), 4)  # C = −I: (1 + 1)² from each column
        8.0
        >>> round(barlow_twins(z, z.flip(-1), lambda_=0.5).item(), 4)  # C swaps the columns: 2 + 0.5 · 2
        3.0
    """
    n, _ = _shape("barlow_twins", z_a, z_b, least=2 if normalize else 1)
    if normalize:
        x, y = _unit_columns(torch.stack([z_a, z_b]))
    else:
        x, y = torch.cat([z_a, z_b], -2) / (2 * n), torch.cat([z_b, z_a], -2)
    diagonal, off_diagonal = _product(x, y)
    return (1 - diagonal).square().sum(-1) + lambda_ * off_diagonal


def vicreg(
    z_a: Tensor,
    z_b: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Tensor:
    """VICReg (Bardes, Ponce & LeCun 2022, arXiv 2105.04906), in the form of the authors' code.

    The weighted sum of three terms:

    - invariance, mean_{i,j} (z_a − z_b)²_ij;
    - variance, ½ Σ_views mean_j relu(1 − √(Var_j + 10⁻⁴)), a hinge;
    - covariance, Σ_views Σ_{i≠j} Cov_ij² / d,

    with the unbiased (n − 1) variance and covariance. The ½ is the code's; the curves of
    Simon et al. 2023 (arXiv 2303.15438) are without it, which is ``variance=50``.

    Args:
        z_a, z_b: ``(..., n, d)``.
        invariance, variance, covariance: weights of the three terms.

    Returns:
        ``(...)``.

    Raises ``InputError`` if the shapes differ or n < 2.

    Examples:
        >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> vicreg(z, -z).item()  # invariance alone, 25 · 2²
        100.0
        >>> round(vicreg(0 * z, 0 * z).item(), 4)  # variance alone, 25 · (1 − 0.01)
        24.75
        >>> round(vicreg(0 * z, 0 * z, variance=50.0).item(), 4)
        49.5
        >>> twice = z[:, [0, 0]]
        >>> round(9 * vicreg(twice, twice).item(), 4)  # covariance alone, 2 views · 2 · (4/3)² / 2
        32.0
    """
    n, d = _shape("vicreg", z_a, z_b, least=2)
    loss = invariance * (z_a - z_b).square().mean((-2, -1))
    for z in (z_a, z_b):
        z = z - z.mean(-2, keepdim=True)
        diagonal, off_diagonal = _product(z, z)
        hinge = F.relu(1 - (diagonal / (n - 1) + 1e-4).sqrt()).mean(-1)
        loss = loss + variance / 2 * hinge + covariance / d * off_diagonal / (n - 1) ** 2
    return loss


def simclr(z_a: Tensor, z_b: Tensor, temperature: float = 0.5, normalize: bool = True) -> Tensor:
    """SimCLR's NT-Xent over the 2n points (Chen et al. 2020, arXiv 2002.05709).

    The mean over all 2n points i, with partner j, of −log [exp(s_ij/T) / Σ_{k≠i} exp(s_ik/T)]. Each
    point has 2n − 1 candidates.

    Args:
        z_a, z_b: ``(..., n, d)``.
        temperature: T > 0.
        normalize: s is the cosine (True) or the dot product (False; from small embeddings, training
            then starts as a linear flow).

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes differ, n < 2 (no negatives) or the temperature is not positive.

    Examples:
        >>> same = torch.ones(3, 2)
        >>> round(simclr(same, same).exp().item(), 4)  # all points alike: a guess among 2n − 1
        5.0
        >>> apart = torch.eye(2)
        >>> round(simclr(apart, apart, temperature=1.0).item(), 4)  # log(1 + 2/e)
        0.5514
    """
    n, _ = _shape("simclr", z_a, z_b, least=2)
    if not temperature > 0:
        raise InputError(f"simclr needs a temperature above 0, got {temperature}")
    z = torch.cat([z_a, z_b], -2)
    if normalize:
        z = F.normalize(z, dim=-1)
    s = z @ z.mT / temperature
    positive = s.diagonal(n, -2, -1)
    itself = torch.eye(2 * n, dtype=torch.bool, device=s.device)
    return s.masked_fill(itself, -torch.inf).logsumexp(-1).mean(-1) - positive.mean(-1)


def info_nce(z_a: Tensor, z_b: Tensor, temperature: float = 0.2, normalize: bool = True) -> Tensor:
    """InfoNCE across the views, both directions added (van den Oord et al. 2018, arXiv 1807.03748).

    Σ over (a, b) and (b, a) of mean_i −log [exp(s_ii/T) / Σ_j exp(s_ij/T)], with s_ij the similarity of z_a,i
    and z_b,j: an image is told from the n − 1 others by its *other* view only. ``simclr`` has the n − 1 of its own view
    as negatives, too, and takes the mean of the directions. The curves of Simon et al. 2023 (Figure 1 D) begin at
    2 ln n, as this loss does.

    Args:
        z_a, z_b: ``(..., n, d)``.
        temperature: T > 0.
        normalize: s is the cosine (True) or the dot product (False), as in ``simclr``.

    Returns:
        ``(...)``.

    Raises:
        InputError: if the shapes differ, n < 2 (no negatives) or the temperature is not positive.

    Examples:
        >>> same = torch.ones(3, 2)
        >>> round((info_nce(same, same) / 2).exp().item(), 4)  # all points alike: a guess among n
        3.0
        >>> apart = torch.eye(2)
        >>> round(info_nce(apart, apart, temperature=1.0).item(), 4)  # 2 log(1 + 1/e)
        0.6265
    """
    _shape("info_nce", z_a, z_b, least=2)
    if not temperature > 0:
        raise InputError(f"info_nce needs a temperature above 0, got {temperature}")
    if normalize:
        z_a, z_b = F.normalize(z_a, dim=-1), F.normalize(z_b, dim=-1)
    s = z_a @ z_b.mT / temperature
    candidates = s.logsumexp(-1).mean(-1) + s.logsumexp(-2).mean(-1)
    return candidates - 2 * s.diagonal(0, -2, -1).mean(-1)


def spectral_contrastive(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Spectral contrastive loss, −2 E_i z_i·z'_i + E_{i,j} (z_i·z'_j)².

    HaoChen et al. 2021, arXiv 2106.04156.

    The second mean runs over all n² pairs, including i = j: it is the population loss of the n
    images at hand, so that its minimiser is their exact spectral factorisation. (Leaving i = j out
    would estimate the loss of a larger population without bias.)

    Args:
        z_a, z_b: ``(..., n, d)``.

    Returns:
        ``(...)``.

    Raises ``InputError`` if the shapes differ.

    Examples:
        >>> z = 2 * torch.eye(4)
        >>> spectral_contrastive(z, z).item()  # √n I is a minimum, −d
        -4.0
        >>> spectral_contrastive(0 * z, 0 * z).item()
        0.0
    """
    n, _ = _shape("spectral_contrastive", z_a, z_b)
    attraction = (z_a * z_b).sum((-2, -1)) / n
    repulsion = _squared_norm(z_a.mT, z_b.mT) / n**2
    return repulsion - 2 * attraction


def byol(
    a: tuple[Tensor, Tensor],
    b: tuple[Tensor, Tensor],
    normalize: bool = True,
    stop_gradient: bool = True,
) -> Tensor:
    """BYOL, E ‖p_a − sg(z_b)‖² + E ‖p_b − sg(z_a)‖² (Grill et al. 2020, arXiv 2006.07733).

    p is the online network's prediction of a view, z the target network's projection. Normalised,
    every row is scaled to unit length, so that each direction is 2 − 2 cos(p_a, z_b) and the loss lies
    in [0, 8]; the authors' code of DirectPred has −2 cos, which is this loss minus 4. Unnormalised, it
    is four times the J of ``theory.directpred`` for exchangeable views.

    Args:
        a, b: ``(p, z)`` of a view, ``(..., n, d)`` each.
        normalize: see above.
        stop_gradient: False lets the gradient through z; the embeddings then collapse.

    Returns:
        ``(...)``.

    Raises ``InputError`` if the shapes differ.

    Examples:
        >>> p, z = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])
        >>> byol((p, p), (p, p)).item()  # a perfect prediction
        0.0
        >>> byol((p, z), (p, z)).item()  # orthogonal, 2 in each direction
        4.0
        >>> byol((p, -p), (p, -p)).item()  # opposite
        8.0
    """

    def one_way(p: Tensor, z: Tensor) -> Tensor:
        _shape("byol", p, z)
        if normalize:
            p, z = F.normalize(p, dim=-1), F.normalize(z, dim=-1)
        z = z.detach() if stop_gradient else z
        return (p - z).square().sum(-1).mean(-1)

    return one_way(a[0], b[1]) + one_way(b[0], a[1])


def simsiam(
    a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], stop_gradient: bool = True
) -> Tensor:
    """SimSiam, −½ E cos(p_a, sg(z_b)) − ½ E cos(p_b, sg(z_a)) (Chen & He 2021, arXiv 2011.10566).

    p = h(z) is the prediction of a view and z its projection, both from one network. The loss lies in
    [−1, 1]; ``byol`` is 4 + 4 times it.

    Args:
        a, b: ``(p, z)`` of a view, ``(..., n, d)`` each.
        stop_gradient: False lets the gradient through z; the embeddings then collapse.

    Returns:
        ``(...)``.

    Raises ``InputError`` if the shapes differ.

    Examples:
        >>> p, z = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])
        >>> a, b = (p, p), (p, z)
        >>> simsiam(a, b).item()  # one direction predicted, the other orthogonal
        -0.5
        >>> round(byol(a, b).item(), 4)  # 4 + 4 · simsiam
        2.0
    """

    def one_way(p: Tensor, z: Tensor) -> Tensor:
        _shape("simsiam", p, z)
        z = z.detach() if stop_gradient else z
        return -F.cosine_similarity(p, z, dim=-1).mean(-1) / 2

    return one_way(a[0], b[1]) + one_way(b[0], a[1])


def _shape(loss: str, z_a: Tensor, z_b: Tensor, least: int = 1) -> tuple[int, int]:
    """(n, d), or an ``InputError`` that names the loss."""
    if z_a.shape != z_b.shape or z_a.ndim < 2 or z_a.shape[-2] < least or z_a.shape[-1] < 1:
        raise InputError(
            f"{loss} takes two embeddings of one shape (..., n, d) with n >= {least}, "
            f"got {tuple(z_a.shape)} and {tuple(z_b.shape)}"
        )
    return z_a.shape[-2], z_a.shape[-1]


def _unit_columns(z: Tensor) -> Tensor:
    """Columns of mean 0 and length 1: standardised columns divided by √n."""
    z = z - z.mean(-2, keepdim=True)
    return z * z.square().sum(-2, keepdim=True).rsqrt()


def _product(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The diagonal of xᵀ y, ``(..., d)``, and the sum of the squares off the diagonal, ``(...)``."""
    if x.shape[-2] >= x.shape[-1]:
        product = x.mT @ y
        diagonal, total = product.diagonal(0, -2, -1), product.square().sum((-2, -1))
    else:
        diagonal, total = (x * y).sum(-2), _squared_norm(x, y)
    return diagonal, total - diagonal.square().sum(-1)


def _squared_norm(x: Tensor, y: Tensor) -> Tensor:
    """‖xᵀ y‖²_F of ``(..., n, d)``, as ⟨x xᵀ, y yᵀ⟩ where that is the smaller matrix."""
    n, d = x.shape[-2:]
    if n >= d:
        return (x.mT @ y).square().sum((-2, -1))
    gram = x @ x.mT
    return (gram * (gram if y is x else y @ y.mT)).sum((-2, -1))

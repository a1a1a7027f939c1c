"""Spectra and subspaces of an embedding, computed in float64 whatever the input is."""

import torch
from torch import Tensor

from ssltheory.errors import InputError


def eigenvalues(c: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices, largest first.

    Args:
        c: ``(..., d, d)``, symmetric; only the lower triangle is read.

    Returns:
        ``(..., d)`` float64, descending along the last axis.

    Examples:
        >>> c = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> [round(lam, 6) for lam in eigenvalues(c).tolist()]
        [3.0, 1.0]
    """
    return torch.linalg.eigvalsh(c.to(torch.float64)).flip(-1)


def covariance_eigenvalues(z: Tensor) -> Tensor:
    """Eigenvalues of the (biased) covariance of n points, largest first.

    They are computed from the smaller of the two matrices that have them, d × d or n × n; all others are 0.

    Args:
        z: ``(..., n, d)``.

    Returns:
        ``(..., min(n, d))`` float64 on the CPU, descending along the last axis.

    Examples:
        >>> z = torch.tensor([[1.0, 2.0], [-1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]])
        >>> [round(lam, 6) for lam in covariance_eigenvalues(z + 5).tolist()]
        [4.0, 1.0]
    """
    z = z.cpu().to(torch.float64)
    z = z - z.mean(-2, keepdim=True)
    n, d = z.shape[-2:]
    return eigenvalues((z @ z.mT if n < d else z.mT @ z) / n)


def participation_ratio(eigenvalues: Tensor) -> Tensor:
    """(Σλ)² / Σλ²: how many eigenvalues carry the variance, counted by second moments.

    Args:
        eigenvalues: ``(..., d)``, non-negative (rounding below zero is harmless).

    Returns:
        ``(...)`` float64 in [1, d]; NaN where every eigenvalue is zero.

    Examples:
        >>> participation_ratio(torch.tensor([5.0, 5.0, 0.0])).item()
        2.0
        >>> participation_ratio(torch.tensor([3.0, 1.0])).item()  # 4² / 10
        1.6
    """
    lam = eigenvalues.to(torch.float64)
    return lam.sum(-1) ** 2 / (lam**2).sum(-1)


def active(eigenvalues: Tensor, share: float = 0.01) -> Tensor:
    """Which modes carry variance: λ_j > ``share`` · λ_max (ours); ``(..., d) -> (..., d)`` bool.

    Examples:
        >>> active(torch.tensor([1.0, 0.02, 0.005])).tolist()
        [True, True, False]
    """
    return eigenvalues > share * eigenvalues.amax(-1, keepdim=True)


def effective_rank(eigenvalues: Tensor) -> Tensor:
    """exp of the entropy of λ / Σλ (Roy & Vetterli 2007). Rounding below zero counts as zero.

    Args:
        eigenvalues: ``(..., d)``.

    Returns:
        ``(...)`` float64 in [1, d]; NaN where every eigenvalue is zero.

    Examples:
        >>> round(effective_rank(torch.tensor([5.0, 5.0, 0.0])).item(), 6)
        2.0
        >>> round(effective_rank(torch.tensor([0.5, 0.25, 0.25])).item() ** 2, 6)  # 2^1.5, squared
        8.0
    """
    lam = eigenvalues.to(torch.float64).clamp(min=0)
    p = lam / lam.sum(-1, keepdim=True)
    return torch.exp(-torch.special.xlogy(p, p).sum(-1))


def second_moment(z: Tensor) -> Tensor:
    """E z zᵀ, uncentred: ``(..., n, d) -> (..., d, d)`` float64.

    Examples:
        >>> second_moment(torch.tensor([[1.0, 1.0], [3.0, -1.0]])).tolist()
        [[5.0, -1.0], [-1.0, 1.0]]
    """
    z = z.to(torch.float64)
    return z.mT @ z / z.shape[-2]


def spread(z: Tensor) -> Tensor:
    """q = √d · mean_k std (z / ‖z‖)_k over the sample: 0 if collapsed, close to 1 if isotropic.

    Args:
        z: ``(..., n, d)``.

    Returns:
        ``(...)`` float64.

    Examples:
        >>> spread(torch.ones(8, 4)).item()
        0.0
        >>> square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        >>> round(spread(square).item(), 6)
        1.0
    """
    z = torch.nn.functional.normalize(z.to(torch.float64), dim=-1)
    return z.shape[-1] ** 0.5 * z.std(-2, correction=0).mean(-1)


def off_diagonal(m: Tensor, f: Tensor) -> Tensor:
    """Share of ‖M‖²_F off the diagonal of Uᵀ M U, with U the eigenvectors of F; ``(...)`` float64.

    It is 0 if M has F's eigenvectors, and 1 − 1/d on average if M is drawn independently of F.

    Args:
        m: ``(..., d, d)``; f: ``(..., d, d)`` symmetric.

    Examples:
        >>> f = torch.diag(torch.tensor([2.0, 1.0]))
        >>> off_diagonal(3 * f, f).item() < 1e-12
        True
        >>> round(off_diagonal(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), f).item(), 6)  # 8 / 10
        0.8
    """
    m, u = m.to(torch.float64), torch.linalg.eigh(f.to(torch.float64)).eigenvectors
    diagonal = (u * (m @ u)).sum(-2)
    return 1 - diagonal.square().sum(-1) / m.square().sum((-2, -1))


def subspace_alignment(a: Tensor, b: Tensor) -> Tensor:
    """‖Q_aᵀ Q_b‖²_F / d: 1 for the same column space, d/n by chance.

    Args:
        a, b: ``(n, d)`` of full column rank; Q is an orthonormal basis of the columns.

    Returns:
        A scalar, float64.

    Raises:
        InputError: if the shapes differ or d > n.

    Examples:
        >>> plane = torch.eye(3)[:, :2]
        >>> turned = plane @ torch.tensor([[1.0, 2.0], [0.0, 3.0]])
        >>> round(subspace_alignment(plane, turned).item(), 6)  # the same plane
        1.0
        >>> round(subspace_alignment(plane, torch.eye(3)[:, 1:]).item(), 6)  # one axis in common
        0.5
    """
    if a.shape != b.shape or a.shape[-1] > a.shape[-2]:
        raise InputError(
            f"subspace_alignment takes two (n, d) matrices of one shape with d <= n, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    q_a, q_b = (torch.linalg.qr(z.to(torch.float64)).Q for z in (a, b))
    return (q_a.mT @ q_b).square().sum((-2, -1)) / a.shape[-1]


def step_times(times: Tensor, eigenvalues: Tensor, level: float = 0.5) -> Tensor:
    """When each eigenvalue curve first crosses ``level``.

    Between the two samples around the crossing, log(λ / (1 − λ)) is taken as linear in t, which is exact
    for the logistic curves of ``theory.stepwise``. A curve is interpolated linearly instead if its sample
    before the crossing is not positive, or the one after it is not below one.

    Args:
        times: ``(T,)`` rising.
        eigenvalues: ``(T, d)``, each column a curve.
        level: in (0, 1).

    Returns:
        ``(d,)`` float64; the first time if a curve starts above the level, inf if it never reaches it.

    Examples:
        >>> t = torch.linspace(0, 9, 4, dtype=torch.float64)
        >>> curves = torch.sigmoid(2 * (t[:, None] - torch.tensor([2.5, 4.0, 99.0])))
        >>> [round(tau, 6) for tau in step_times(t, curves).tolist()]
        [2.5, 4.0, inf]
    """
    t, lam = times.to(torch.float64), eigenvalues.to(torch.float64)
    above = lam >= level
    after = above.to(torch.int8).argmax(0)
    before = (after - 1).clamp(min=0)
    columns = torch.arange(lam.shape[1], device=lam.device)
    low, high = lam[before, columns], lam[after, columns]
    logistic = (low > 0) & (high < 1)
    target = torch.as_tensor(level, dtype=torch.float64, device=lam.device)
    straight = (target - low) / (high - low)
    curved = (target.logit() - low.logit()) / (high.logit() - low.logit())
    share = torch.where(logistic, curved, straight)
    crossing = t[before] + share * (t[after] - t[before])
    crossing = torch.where(after == 0, t[0], crossing)
    return torch.where(above.any(0), crossing, torch.inf)

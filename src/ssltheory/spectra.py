"""Spectra and subspaces: what is measured of an embedding, in float64 whatever the input."""

import torch
from torch import Tensor

from ssltheory.errors import InputError


def eigenvalues(c: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices, largest first.

    Args:
        c: ``(..., d, d)``, symmetric; only the lower triangle is read.

    Returns:
        ``(..., d)`` float64, descending along the last axis.
    """
    return torch.linalg.eigvalsh(c.to(torch.float64)).flip(-1)


def participation_ratio(eigenvalues: Tensor) -> Tensor:
    """(Σλ)² / Σλ², the number of eigenvalues that carry the variance, counted by second moments.

    Args:
        eigenvalues: ``(..., d)``, non-negative (rounding below zero is harmless).

    Returns:
        ``(...)`` float64 in [1, d]; NaN where every eigenvalue is zero.
    """
    lam = eigenvalues.to(torch.float64)
    return lam.sum(-1) ** 2 / (lam**2).sum(-1)


def active(eigenvalues: Tensor, share: float = 0.01) -> Tensor:
    """Which modes carry something: λ_j > ``share`` · λ_max (ours); ``(..., d) -> (..., d)`` bool."""
    return eigenvalues > share * eigenvalues.amax(-1, keepdim=True)


def effective_rank(eigenvalues: Tensor) -> Tensor:
    """exp of the entropy of λ / Σλ (Roy & Vetterli 2007). Negative rounding counts as zero.

    Args:
        eigenvalues: ``(..., d)``.

    Returns:
        ``(...)`` float64 in [1, d]; NaN where every eigenvalue is zero.
    """
    lam = eigenvalues.to(torch.float64).clamp(min=0)
    p = lam / lam.sum(-1, keepdim=True)
    return torch.exp(-torch.special.xlogy(p, p).sum(-1))


def second_moment(z: Tensor) -> Tensor:
    """E z zᵀ, uncentred: ``(..., n, d) -> (..., d, d)`` float64."""
    z = z.to(torch.float64)
    return z.mT @ z / z.shape[-2]


def spread(z: Tensor) -> Tensor:
    """q = √d · mean_k std (z / ‖z‖)_k over the sample: 0 if collapsed, near 1 if isotropic.

    Args:
        z: ``(..., n, d)``.

    Returns:
        ``(...)`` float64.
    """
    z = torch.nn.functional.normalize(z.to(torch.float64), dim=-1)
    return z.shape[-1] ** 0.5 * z.std(-2, correction=0).mean(-1)


def off_diagonal(m: Tensor, f: Tensor) -> Tensor:
    """Share of ‖M‖²_F that lies off the diagonal of Uᵀ M U, U the eigenvectors of F; ``(...)`` float64.

    0 if M has F's eigenvectors, 1 − 1/d on average if it is drawn without regard to F.

    Args:
        m: ``(..., d, d)``; f: ``(..., d, d)`` symmetric.
    """
    m, u = m.to(torch.float64), torch.linalg.eigh(f.to(torch.float64)).eigenvectors
    diagonal = (u * (m @ u)).sum(-2)
    return 1 - diagonal.square().sum(-1) / m.square().sum((-2, -1))


def subspace_alignment(a: Tensor, b: Tensor) -> Tensor:
    """‖Q_aᵀ Q_b‖²_F / d: 1 for the same column space, d/n by chance.

    Args:
        a, b: ``(n, d)`` of full column rank; Q is an orthonormal basis of the columns.

    Raises:
        InputError: if the shapes differ or d > n.
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
    for the logistic curves of ``theory.stepwise``. A curve whose sample after the crossing is above one
    (or before it, not positive) is interpolated linearly instead.

    Args:
        times: ``(T,)`` rising.
        eigenvalues: ``(T, d)``, each column a curve.
        level: in (0, 1).

    Returns:
        ``(d,)`` float64; the first time where a curve starts above the level, inf where it never gets there.
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

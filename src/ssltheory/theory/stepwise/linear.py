"""Barlow Twins in a linear model: Γ and the closed form of training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ssltheory.errors import InputError


def cross_moment(x_a: Tensor, x_b: Tensor) -> Tensor:
    """Γ, the symmetrised and uncentred cross-moment of the two views.

    Args:
        x_a, x_b: ``(n, m)``; row i of both is one positive pair.

    Returns:
        ``(m, m)`` float64, symmetric; some eigenvalues are usually negative.

    Raises:
        InputError: if the shapes differ.

    Source: simon2023stepwise, section 4.1.

    Examples:
        >>> x_a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> x_b = torch.tensor([[1.0, 2.0], [0.0, 2.0]])
        >>> cross_moment(x_a, x_b).tolist()
        [[0.5, 0.5], [0.5, 2.0]]
    """
    if x_a.shape != x_b.shape or x_a.ndim != 2:
        raise InputError(
            f"cross_moment takes two (n, m) matrices of one shape, "
            f"got {tuple(x_a.shape)} and {tuple(x_b.shape)}; flatten the images first"
        )
    gamma = x_a.to(torch.float64).mT @ x_b.to(torch.float64) / len(x_a)
    return (gamma + gamma.mT) / 2


@dataclass(frozen=True)
class LinearSolution:
    """The closed form W*(t) = U diag(s(t)) V_dᵀ, as ``linear_barlow_twins`` returns it.

    Attributes:
        gamma: ``(d,)`` the top eigenvalues γ_j of Γ, descending.
        s_0: ``(d,)`` initial singular values s_j(0), in the order of γ_j.
        u: ``(d, d)`` left singular vectors, fixed in time.
        v: ``(m, d)`` top eigenvectors of Γ.
        growth: ``(d,)`` the rate that replaces γ_j in the exponent: γ_j itself in gradient flow,
            log(1 + 4 η γ_j) / 4η for gradient descent at learning rate η.
        leaks: ``(d, m)`` what the limit of a vanishing start leaves out: entry (j, k > j) is how far the later
            mode k has grown along u_j, relative to mode j, by the time mode j is learnt and stops it.
            Derived here to first order; not in the paper.

    Examples:
        >>> gamma = torch.diag(torch.tensor([2.0, 1.0]))
        >>> solution = linear_barlow_twins(gamma, dim=2, init_scale=1e-6)
        >>> [round(loss, 2) for loss in solution.loss(torch.tensor([0.0, 2.5, 9.0])).tolist()]
        [2.0, 1.0, 0.0]
        >>> round(solution.eigenvalues(solution.step_times)[1, 1].item(), 6)  # the second, at its step
        0.5
    """

    gamma: Tensor
    s_0: Tensor
    u: Tensor
    v: Tensor
    growth: Tensor
    leaks: Tensor

    @property
    def leakage(self) -> float:
        """The largest leak. The closed form is the limit in which it vanishes."""
        return float(self.leaks.max())

    @property
    def alignment(self) -> float:
        """``spectra.subspace_alignment`` of the final weights with V_d, after first-order leaks from modes k > d."""
        foreign = self.leaks[:, len(self.gamma) :].square().sum(1)
        return float(1 - (foreign / (1 + foreign)).mean())

    @property
    def step_times(self) -> Tensor:
        """``(d,)`` times τ at which the eigenvalues of C pass 1/2, ascending; inf where γ_j <= 0.

        τ_j = log(1/p_j(0) − 1) / 8γ_j with p_j(0) = γ_j s_j(0)². The paper's −log(p_j(0)) / 8γ_j agrees up to
        O(p_j(0)).
        """
        p_0 = (self.gamma * self.s_0**2).clamp(max=1.0)
        tau = (torch.log1p(-p_0) - torch.log(p_0)) / (8 * self.growth)
        learnable = (self.gamma > 0) & (self.s_0 > 0)
        return torch.where(learnable, tau.clamp(min=0.0), torch.inf).sort().values

    def singular_values(self, t: Tensor) -> Tensor:
        """s_j(t) = [γ_j + e^{−8γ_j t} (s_j(0)⁻² − γ_j)]^{−1/2} for each t, ``(T, d)`` in the order of γ_j.

        simon2023stepwise, Proposition 4.1, in the form that does not overflow.
        """
        t = torch.as_tensor(t, dtype=torch.float64, device=self.gamma.device).reshape(-1, 1)
        decay = torch.exp(-8 * self.growth * t)
        return (self.gamma + decay * (self.s_0**-2 - self.gamma)) ** -0.5

    def eigenvalues(self, t: Tensor) -> Tensor:
        """Eigenvalues p_j = γ_j s_j² of C at each t, ``(T, d)``, descending along the last axis."""
        p = self.gamma * self.singular_values(t) ** 2
        return p.sort(dim=-1, descending=True).values

    def loss(self, t: Tensor) -> Tensor:
        """L(t) = Σ_j (1 − p_j(t))², ``(T,)``."""
        return ((1 - self.eigenvalues(t)) ** 2).sum(-1)

    def weights(self, t: Tensor) -> Tensor:
        """W*(t) = U diag(s(t)) V_dᵀ, ``(T, d, m)``."""
        return (self.u * self.singular_values(t)[:, None, :]) @ self.v.mT


def linear_barlow_twins(
    gamma: Tensor,
    dim: int,
    w0: Tensor | None = None,
    init_scale: float | None = None,
    lr: float | None = None,
) -> LinearSolution:
    """Closed-form training trajectory of Barlow Twins in a linear model.

    Args:
        gamma: ``(m, m)`` symmetric, from ``cross_moment``.
        dim: embedding dimension d, 1 <= d <= m.
        w0: ``(d, m)`` a small generic start. The theory needs it aligned with Γ: with W(0) V_d = U R
            (QR, columns by descending γ), U is kept and s_j(0) = R_jj.
        init_scale: instead of ``w0``: an aligned start with s_j(0) = init_scale for every j and U = I.
        lr: learning rate of gradient descent, which multiplies a mode by 1 + 4 lr γ at each step; None is
            gradient flow.

    Returns:
        A solution: ``.step_times``, ``.eigenvalues(t)``, ``.loss(t)``, ``.weights(t)``.

    Raises:
        InputError: if gamma is not square, finite and symmetric, d is out of range, both or neither of ``w0``
            and ``init_scale`` are given, or lr is above the limit of stability.

    Source: simon2023stepwise, Proposition 4.1 (aligned start) and Result 4.6 (small generic start).

    Examples:
        >>> gamma = torch.diag(torch.tensor([1.0, 2.0, 0.1]))
        >>> solution = linear_barlow_twins(gamma, dim=2, init_scale=1e-6)
        >>> [round(tau, 3) for tau in solution.step_times.tolist()]  # −log(γ s²) / 8γ: the larger γ first
        [1.684, 3.454]
        >>> [round(s, 3) for s in solution.singular_values(9.0)[0].tolist()]  # γ^−1/2
        [0.707, 1.0]
    """
    gamma = _checked_gamma(gamma, dim)
    if (w0 is None) == (init_scale is None):
        raise InputError(
            "give either w0 (a start matrix) or init_scale (an aligned start), one of them"
        )
    if init_scale is not None and not 0 < init_scale < float("inf"):
        raise InputError(f"init_scale={init_scale:g} must be a finite number > 0")
    lam, vectors = (z.flip(-1) for z in torch.linalg.eigh(gamma))
    top, v = lam[:dim], vectors[:, :dim]
    if lr is None:
        growth = lam
    else:
        _check_learning_rate(lr, lam[0])
        growth = torch.log1p(4 * lr * lam.clamp(min=-1 / (8 * lr))) / (4 * lr)
    if w0 is None:
        u = torch.eye(dim, dtype=torch.float64, device=gamma.device)
        s_0 = torch.full_like(top, float(init_scale))  # type: ignore[arg-type]
        start = u @ torch.diag(s_0) @ v.mT @ vectors
    else:
        start = _checked_start(w0, dim, len(gamma)) @ vectors
        u, s_0 = _aligned_start(start[:, :dim])
    return LinearSolution(
        gamma=top, s_0=s_0, u=u, v=v, growth=growth[:dim], leaks=_leaks(start, u, s_0, lam, growth)
    )


def _aligned_start(start: Tensor) -> tuple[Tensor, Tensor]:
    """U and s_j(0) of the aligned start that a generic one, W(0) V_d ``(d, d)``, becomes (Result 4.6)."""
    u, r = torch.linalg.qr(start)
    sign = torch.where(r.diagonal() < 0, -1.0, 1.0).to(u.dtype)
    return u * sign, r.diagonal() * sign


def _leaks(start: Tensor, u: Tensor, s_0: Tensor, lam: Tensor, growth: Tensor) -> Tensor:
    """|u_jᵀ W(0) v_k| e^{4 γ_k τ_j} √γ_j for k > j, ``(d, m)``; zero where mode j is never learnt."""
    d = len(s_0)
    positive = lam[:d] > 0
    p_0 = torch.where(positive, lam[:d], 1.0) * s_0**2
    tau = -torch.log(p_0) / (8 * torch.where(positive, growth[:d], 1.0))
    amplitude = (
        (u.mT @ start).abs()
        * torch.exp(4 * tau[:, None] * growth)
        * lam[:d, None].clamp(min=0).sqrt()
    )
    return torch.triu(amplitude, diagonal=1).nan_to_num(nan=0.0)


def _checked_gamma(gamma: Tensor, dim: int) -> Tensor:
    gamma = torch.as_tensor(gamma).to(torch.float64)
    if gamma.ndim != 2 or gamma.shape[0] != gamma.shape[1]:
        raise InputError(f"gamma must be a square (m, m) matrix, got {tuple(gamma.shape)}")
    if not gamma.isfinite().all():
        raise InputError(
            "gamma holds a NaN or an infinity: look at the data that it was built from"
        )
    if not torch.allclose(gamma, gamma.mT, rtol=0, atol=1e-9 * float(gamma.abs().max())):
        raise InputError("gamma must be symmetric: build it with cross_moment, which symmetrises")
    if not 1 <= dim <= len(gamma):
        raise InputError(f"dim={dim} must lie between 1 and m={len(gamma)}, the side of gamma")
    return gamma


def _checked_start(w0: Tensor, dim: int, m: int) -> Tensor:
    w0 = torch.as_tensor(w0).to(torch.float64)
    if w0.shape != (dim, m):
        raise InputError(f"w0 must be (dim, m) = ({dim}, {m}), got {tuple(w0.shape)}")
    if not w0.isfinite().all():
        raise InputError("w0 holds a NaN or an infinity: draw it anew")
    return w0


def _check_learning_rate(lr: float, largest: Tensor) -> None:
    limit = 1 / (4 * float(largest)) if largest > 0 else float("inf")
    if not 0 < lr < limit:
        raise InputError(
            f"lr={lr:g} must lie between 0 and the stability limit 1/(4 γ_1) = {limit:g}"
        )

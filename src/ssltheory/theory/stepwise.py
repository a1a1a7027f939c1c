"""Barlow Twins in a linear model learns one eigenmode at a time (simon2023stepwise, section 4).

A linear map ``f(x) = W x`` is trained on n positive pairs by gradient descent on

    L = ‖C − I_d‖²_F,   C = W Γ Wᵀ,   Γ = (1/2n) Σ_i (x_i x'_iᵀ + x'_i x_iᵀ).

Everything about the data enters through Γ. Time is t = learning rate × step throughout, and all of it is
float64: started at 1e-7, single precision re-seeds the modes that have yet to be learnt.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssltheory import spectra
from ssltheory.errors import InputError
from ssltheory.progress import track


def cross_moment(x_a: Tensor, x_b: Tensor) -> Tensor:
    """Γ, the symmetrised and uncentred cross-moment of the two views.

    Args:
        x_a, x_b: ``(n, m)``, row i of both is one positive pair.

    Returns:
        ``(m, m)`` float64, symmetric; it has negative eigenvalues as a rule.

    Raises:
        InputError: if the shapes differ.

    Source: simon2023stepwise, section 4.1.
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
    """The closed form W*(t) = U diag(s(t)) V_dᵀ. Made by ``linear_barlow_twins``.

    Attributes:
        gamma: ``(d,)`` the top eigenvalues γ_j of Γ, descending.
        s_0: ``(d,)`` initial singular values s_j(0), in the order of γ_j.
        u: ``(d, d)`` left singular vectors, fixed in time.
        v: ``(m, d)`` top eigenvectors of Γ.
        growth: ``(d,)`` the rate that replaces γ_j in the exponent: γ_j itself in gradient flow,
            log(1 + 4 η γ_j) / 4η for gradient descent at learning rate η.
    """

    gamma: Tensor
    s_0: Tensor
    u: Tensor
    v: Tensor
    growth: Tensor

    @property
    def step_times(self) -> Tensor:
        """``(d,)`` times τ at which the eigenvalues of C pass 1/2, ascending; inf where γ_j <= 0.

        τ_j = log(1/p_j(0) − 1) / 8γ_j with p_j(0) = γ_j s_j(0)²; the paper's −log(p_j(0)) / 8γ_j up to O(p_j(0)).
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
        lr: learning rate of gradient descent, which grows a mode by 1 + 4 lr γ a step; None is gradient flow.

    Returns:
        A solution: ``.step_times``, ``.eigenvalues(t)``, ``.loss(t)``, ``.weights(t)``.

    Raises:
        InputError: if gamma is not square and symmetric, d is out of range, not exactly one of ``w0`` and
            ``init_scale`` is given, or lr is past the limit of stability.

    Source: simon2023stepwise, Proposition 4.1 (aligned start) and Result 4.6 (small generic start).
    """
    gamma = _checked_gamma(gamma, dim)
    if (w0 is None) == (init_scale is None):
        raise InputError("give either w0 (a start matrix) or init_scale (an aligned start), one of them")
    lam, vectors = torch.linalg.eigh(gamma)
    lam, v = lam.flip(0)[:dim], vectors.flip(1)[:, :dim]
    if w0 is None:
        u = torch.eye(dim, dtype=torch.float64, device=gamma.device)
        s_0 = torch.full_like(lam, float(init_scale))
    else:
        u, r = torch.linalg.qr(_checked_start(w0, dim, len(gamma)) @ v)
        sign = torch.where(r.diagonal() < 0, -1.0, 1.0)
        u, s_0 = u * sign, r.diagonal() * sign
    if lr is None:
        growth = lam
    else:
        _check_learning_rate(lr, lam[0])
        growth = torch.log1p(4 * lr * lam) / (4 * lr)
    return LinearSolution(gamma=lam, s_0=s_0, u=u, v=v, growth=growth)


@dataclass(frozen=True)
class LinearRun:
    """A measured trajectory, with the attributes of ``LinearSolution``. Made by ``gradient_descent``.

    Attributes:
        times: ``(T,)`` lr × step of the recorded steps, those nearest to the times asked for.
        step_times: ``(d,)`` times at which the sorted eigenvalues of C pass 1/2, ascending.
    """

    times: Tensor
    step_times: Tensor
    _cross_moments: Tensor
    _weights: Tensor

    def eigenvalues(self, t: Tensor | None = None) -> Tensor:
        """Eigenvalues of C at the recorded steps nearest to t (None: all of them), ``(T, d)`` descending."""
        return spectra.eigenvalues(self._cross_moments[self._nearest(t)])

    def loss(self, t: Tensor | None = None) -> Tensor:
        """‖C − I‖²_F at the recorded steps nearest to t, ``(T,)``."""
        c = self._cross_moments[self._nearest(t)]
        return (c - torch.eye(c.shape[-1], dtype=c.dtype, device=c.device)).square().sum((-2, -1))

    def weights(self, t: Tensor | None = None) -> Tensor:
        """W at the recorded steps nearest to t, ``(T, d, m)``."""
        return self._weights[self._nearest(t)]

    def _nearest(self, t: Tensor | None) -> Tensor | slice:
        if t is None:
            return slice(None)
        t = torch.as_tensor(t, dtype=torch.float64, device=self.times.device).reshape(-1, 1)
        return (t - self.times).abs().argmin(1)


def gradient_descent(gamma: Tensor, w0: Tensor, lr: float, times: Tensor) -> LinearRun:
    """Full-batch gradient descent on L = ‖W Γ Wᵀ − I‖²_F, nothing assumed of the start.

    W ← W − 4 lr (W Γ Wᵀ − I) W Γ, run in the eigenbasis of Γ (an exact rotation W → W V, in which a step
    costs O(d² m) instead of O(d m²)). Step times are interpolated on a grid of their own, half of it
    logarithmic and half linear in time, whatever ``times`` is.

    Args:
        gamma: ``(m, m)`` symmetric.
        w0: ``(d, m)`` start.
        lr: learning rate; stable below 1 / 4γ_1.
        times: ``(T,)`` the times t = lr × step at which weights and eigenvalues are kept.

    Returns:
        A run: ``.times``, ``.step_times``, ``.eigenvalues(t)``, ``.loss(t)``, ``.weights(t)``.

    Raises:
        InputError: for shapes that do not fit, negative or unordered times, or lr past the limit of stability.
    """
    gamma = _checked_gamma(gamma, len(w0))
    w0 = _checked_start(w0, len(w0), len(gamma))
    times = torch.as_tensor(times, dtype=torch.float64).cpu().reshape(-1)
    if len(times) == 0 or bool((times < 0).any()) or not bool(times.isfinite().all()):
        raise InputError("times must be one or more finite numbers >= 0 (t = lr × step)")
    lam, v = torch.linalg.eigh(gamma)
    _check_learning_rate(lr, lam.abs().max())

    keep = np.unique(np.rint(times.numpy() / lr).astype(np.int64))
    last = int(keep[-1])
    fine = np.concatenate([np.geomspace(1, max(last, 1), 400), np.linspace(0, last, 400)])
    steps = np.union1d(keep, np.rint(fine).astype(np.int64).clip(max=last))
    moments, rotated = _descend((w0 @ v).cpu().numpy(), lam.cpu().numpy(), lr, steps, keep)

    moments = torch.from_numpy(moments).to(gamma.device)
    grid = torch.from_numpy(steps * lr).to(gamma.device)
    kept = torch.from_numpy(np.searchsorted(steps, keep)).to(gamma.device)
    return LinearRun(
        times=grid[kept],
        step_times=spectra.step_times(grid, spectra.eigenvalues(moments)).sort().values,
        _cross_moments=moments[kept],
        _weights=torch.from_numpy(rotated).to(gamma.device) @ v.mT,
    )


def _descend(y, lam, lr, steps, keep):
    """C at ``steps`` and W V at ``keep`` (both rising integers), from y = W(0) V ``(d, m)``.

    NumPy, since at these sizes a step is five calls of a few microseconds each and torch's dispatch
    would double it.
    """
    y = y.copy()
    d = len(y)
    moments, weights = np.empty((len(steps), d, d)), np.empty((len(keep), *y.shape))
    scaled, c, update = np.empty_like(y), np.empty((d, d)), np.empty_like(y)
    done = stored = 0
    with track(int(steps[-1]), "gradient descent", unit="steps") as bar:
        for k, target in enumerate(steps):
            for _ in range(target - done):
                np.multiply(y, lam, out=scaled)
                np.matmul(scaled, y.T, out=c)
                c.flat[:: d + 1] -= 1
                c *= 4 * lr
                np.matmul(c, scaled, out=update)
                y -= update
            bar.update(int(target - done))
            done = int(target)
            moments[k] = (y * lam) @ y.T
            if keep[stored] == target:
                weights[stored] = y
                stored = min(stored + 1, len(keep) - 1)
    return moments, weights


def _checked_gamma(gamma: Tensor, dim: int) -> Tensor:
    gamma = torch.as_tensor(gamma).to(torch.float64)
    if gamma.ndim != 2 or gamma.shape[0] != gamma.shape[1]:
        raise InputError(f"gamma must be a square (m, m) matrix, got {tuple(gamma.shape)}")
    if not torch.allclose(gamma, gamma.mT, rtol=0, atol=1e-9 * float(gamma.abs().max())):
        raise InputError("gamma must be symmetric: build it with cross_moment, which symmetrises")
    if not 1 <= dim <= len(gamma):
        raise InputError(f"dim={dim} must lie between 1 and m={len(gamma)}, the side of gamma")
    return gamma


def _checked_start(w0: Tensor, dim: int, m: int) -> Tensor:
    w0 = torch.as_tensor(w0).to(torch.float64)
    if w0.shape != (dim, m):
        raise InputError(f"w0 must be (dim, m) = ({dim}, {m}), got {tuple(w0.shape)}")
    return w0


def _check_learning_rate(lr: float, largest: Tensor) -> None:
    limit = 1 / (4 * float(largest)) if largest > 0 else float("inf")
    if not 0 < lr < limit:
        raise InputError(
            f"lr={lr:g} must lie between 0 and the stability limit 1/(4 γ_1) = {limit:g}"
        )

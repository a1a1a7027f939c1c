"""Barlow Twins in a linear model learns one eigenmode at a time (simon2023stepwise, sections 4 and 5).

A linear map ``f(x) = W x`` is trained on n positive pairs by gradient descent on

    L = ‖C − I_d‖²_F,   C = W Γ Wᵀ,   Γ = (1/2n) Σ_i (x_i x'_iᵀ + x'_i x_iᵀ).

The data enter through Γ alone. Time is t = learning rate × step throughout. Everything is float64: from a start
of 1e-7, single precision would round away the growth of later modes once the first is learnt.

A kernel machine is a linear model on the features of its kernel. Of the features it needs only the kernel on
the 2n views, K̃ = [[k_aa, k_ab], [k_abᵀ, k_bb]], and P, which swaps the views of every pair:
Γ = (1/2n) Φ P Φᵀ has the non-zero eigenvalues of K_Γ = (1/2n) K̃^½ P K̃^½.
"""

from dataclasses import dataclass

import numpy as np
import scipy.integrate
import torch
from torch import Tensor

from ssltheory.errors import InputError, RunError
from ssltheory.measure import spectra
from ssltheory.progress import track


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


@dataclass(frozen=True)
class LinearRun:
    """A measured trajectory with the attributes of ``LinearSolution``, as ``gradient_descent`` returns it.

    Attributes:
        times: ``(T,)`` lr × step of the steps nearest to the requested times, in the same order.
        step_times: ``(d,)`` times at which the sorted eigenvalues of C pass 1/2, ascending.

    Examples:
        >>> gamma, w0 = torch.tensor([[1.0]]), torch.tensor([[1e-3]])
        >>> run = gradient_descent(gamma, w0, lr=0.01, times=torch.tensor([0.0, 5.0]))
        >>> [round(loss, 3) for loss in run.loss().tolist()]
        [1.0, 0.0]
        >>> round(abs(run.weights(4.0)).item(), 3)  # the kept step nearest to t = 4 is the last
        1.0
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
    """Full-batch gradient descent on L = ‖W Γ Wᵀ − I‖²_F, from any start.

    W ← W − 4 lr (W Γ Wᵀ − I) W Γ, run in the eigenbasis of Γ (an exact rotation W → W V, in which a step
    costs O(d² m) instead of O(d m²)). Step times are interpolated on a separate grid, half of it
    logarithmic and half linear in time, whatever ``times`` is.

    Args:
        gamma: ``(m, m)`` symmetric.
        w0: ``(d, m)`` start.
        lr: learning rate; stable below 1 / 4γ_1.
        times: ``(T,)`` the times t = lr × step at which weights and eigenvalues are kept, in any order.

    Returns:
        A run: ``.times``, ``.step_times``, ``.eigenvalues(t)``, ``.loss(t)``, ``.weights(t)``.

    Raises:
        InputError: if shapes do not fit, a time is negative, or lr is above the limit of stability.
        RunError: if the weights overflow, for example from a start far above Γ^−1/2.

    Examples:
        >>> gamma, w0 = torch.diag(torch.tensor([2.0, 1.0])), 1e-4 * torch.eye(2)
        >>> run = gradient_descent(gamma, w0, lr=0.01, times=torch.tensor([0.0, 4.0]))
        >>> theory = linear_barlow_twins(gamma, dim=2, w0=w0, lr=0.01)
        >>> torch.allclose(run.step_times, theory.step_times, rtol=0.01)
        True
    """
    gamma = _checked_gamma(gamma, len(w0))
    w0 = _checked_start(w0, len(w0), len(gamma))
    times = torch.as_tensor(times, dtype=torch.float64).cpu().reshape(-1)
    if len(times) == 0 or bool((times < 0).any()) or not bool(times.isfinite().all()):
        raise InputError("times must be one or more finite numbers >= 0 (t = lr × step)")
    lam, v = torch.linalg.eigh(gamma)
    _check_learning_rate(lr, lam.abs().max())

    keep, place = np.unique(np.rint(times.numpy() / lr).astype(np.int64), return_inverse=True)
    last = int(keep[-1])
    fine = log_and_linear(1.0, max(last, 1), 800).numpy()
    steps = np.union1d(keep, np.rint(fine).astype(np.int64).clip(max=last))
    moments, rotated = _descend((w0 @ v).cpu().numpy(), lam.cpu().numpy(), lr, steps, keep)
    if not np.isfinite(moments).all():
        raise RunError(
            f"gradient descent diverged at lr={lr:g}: take a smaller lr or a smaller start"
        )

    moments = torch.from_numpy(moments).to(gamma.device)
    grid = torch.from_numpy(steps * lr).to(gamma.device)
    kept = torch.from_numpy(np.searchsorted(steps, keep)[place]).to(gamma.device)
    return LinearRun(
        times=grid[kept],
        step_times=spectra.step_times(grid, spectra.eigenvalues(moments)).sort().values,
        _cross_moments=moments[kept],
        _weights=torch.from_numpy(rotated[place]).to(gamma.device) @ v.mT,
    )


def log_and_linear(first: float, last: float, n: int) -> Tensor:
    """n rising times from first to last, half of them logarithmic and half linear.

    A linear grid alone would misplace the first step, a logarithmic one alone the last.

    Examples:
        >>> [round(t, 6) for t in log_and_linear(1.0, 100.0, 6).tolist()]  # 1, 10, 100 and 1, 50.5, 100
        [1.0, 1.0, 10.0, 50.5, 100.0, 100.0]
    """
    log = torch.logspace(0, 1, n - n // 2, base=float(last / first), dtype=torch.float64) * first
    return (
        torch.cat([log, torch.linspace(float(first), float(last), n // 2, dtype=torch.float64)])
        .sort()
        .values
    )


def gradient_flow(gamma: Tensor, w0: Tensor, times: Tensor) -> LinearRun:
    """The flow dW/dt = −4 (W Γ Wᵀ − I) W Γ, integrated numerically (DOP853, relative tolerance 1e-12).

    Args:
        gamma: ``(m, m)`` symmetric; w0: ``(d, m)`` start; times: ``(T,)`` rising from 0.

    Returns:
        A run as from ``gradient_descent``; its step times are interpolated on ``times``.

    Examples:
        >>> gamma, w0 = torch.diag(torch.tensor([2.0, 1.0])), 1e-3 * torch.eye(2)
        >>> times = torch.linspace(0, 4, 9)
        >>> measured = gradient_flow(gamma, w0, times).eigenvalues()
        >>> predicted = linear_barlow_twins(gamma, dim=2, w0=w0).eigenvalues(times)
        >>> torch.allclose(measured, predicted, rtol=1e-6)
        True
    """
    gamma = _checked_gamma(gamma, len(w0))
    w0 = _checked_start(w0, len(w0), len(gamma))
    times = torch.as_tensor(times, dtype=torch.float64).reshape(-1)
    g, shape = gamma.cpu().numpy(), tuple(w0.shape)

    def velocity(_, flat):
        w = flat.reshape(shape)
        wg = w @ g
        return (-4 * (wg @ w.T - np.eye(shape[0])) @ wg).ravel()

    span = (0.0, float(times[-1]))
    start = w0.cpu().numpy().ravel()
    solved = scipy.integrate.solve_ivp(
        velocity, span, start, "DOP853", times.numpy(), rtol=1e-12, atol=1e-12 * np.abs(start).max()
    )
    weights = torch.from_numpy(solved.y.T.reshape(-1, *shape)).to(gamma.device)
    moments = weights @ gamma @ weights.mT
    return LinearRun(
        times,
        spectra.step_times(times, spectra.eigenvalues(moments)).sort().values,
        moments,
        weights,
    )


@dataclass(frozen=True)
class KernelEmbedding:
    """f(x) = Aᵀ k(x), with k(x) the kernel between x and the 2n views. Call it with kernel values.

    Attributes:
        coefficients: A, ``(2n, d)``: the n first views, then the n second views.

    Examples:
        >>> embed = KernelEmbedding(torch.tensor([[2.0], [1.0]], dtype=torch.float64))
        >>> embed(torch.tensor([[3.0]]), torch.tensor([[1.0]])).tolist()  # 2 · 3 + 1 · 1
        [[7.0]]
    """

    coefficients: Tensor

    def __call__(self, k_xa: Tensor, k_xb: Tensor) -> Tensor:
        """Embeddings ``(N, d)`` of N points from their kernel values with the views, ``(N, n)`` each.

        Raises:
            InputError: if the shapes do not fit the training pairs.
        """
        n = len(self.coefficients) // 2
        if k_xa.shape != k_xb.shape or k_xa.ndim != 2 or k_xa.shape[1] != n:
            raise InputError(
                f"embed takes the kernel between N points and the {n} training pairs, (N, {n}) for each "
                f"of the two views, got {tuple(k_xa.shape)} and {tuple(k_xb.shape)}"
            )
        return torch.cat([k_xa, k_xb], 1).to(torch.float64) @ self.coefficients


def kernel_cross_moment(k_aa: Tensor, k_ab: Tensor, k_bb: Tensor) -> tuple[Tensor, Tensor]:
    """K_Γ = (1/2n) K̃^½ P K̃^½, and K̃^½, which holds the coordinates of the 2n views in their span.

    Args:
        k_aa, k_ab, k_bb: ``(n, n)`` kernel among the first views, between first and second, among the second.

    Returns:
        K_Γ and K̃^½, ``(2n, 2n)`` float64 each. K_Γ is ``cross_moment`` of the rows of K̃^½.

    Raises:
        InputError: if the blocks differ in shape, or K̃ is not symmetric, finite and positive semi-definite.

    Source: simon2023stepwise, section 5.1.

    Examples:
        >>> x_a, x_b = torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 1.0]])
        >>> k_gamma, _ = kernel_cross_moment(x_a @ x_a.mT, x_a @ x_b.mT, x_b @ x_b.mT)
        >>> k_gamma.shape  # two views of one pair
        torch.Size([2, 2])
        >>> torch.allclose(*map(torch.linalg.eigvalsh, (k_gamma, cross_moment(x_a, x_b))))
        True
    """
    kernel = _joined(k_aa, k_ab, k_bb)
    n = len(kernel) // 2
    lam, q = torch.linalg.eigh(kernel)
    if lam[0] < -1e-8 * lam[-1]:
        raise InputError(
            f"the kernel of the 2n views has eigenvalues from {lam[0]:.3g} to {lam[-1]:.3g}, a kernel has none "
            f"below zero: compute all three blocks with the same kernel, in float64"
        )
    root = (q * lam.clamp(min=0).sqrt()) @ q.mT
    return cross_moment(root[:n], root[n:]), root


def kernel_barlow_twins(k_aa: Tensor, k_ab: Tensor, k_bb: Tensor, dim: int) -> KernelEmbedding:
    """Where Barlow Twins takes a kernel machine from a small start, in closed form.

    The embeddings returned have zero loss on the training pairs.

    With the top eigenpairs (γ_j, b_j) of K_Γ the final embedding of any x is

        f_j(x) = γ_j^−½ b_jᵀ K̃^−½ k(x) = γ_j^−³ᐟ² b_jᵀ K̃^½ P k(x) / 2n,

    up to a rotation of the d dimensions: compare Gram matrices or subspaces. The second form, used here, follows
    from K_Γ b_j = γ_j b_j and needs no inverse, so that equal views do no harm. Among all embeddings of zero loss
    it has the smallest norm.

    Args:
        k_aa, k_ab, k_bb: as for ``kernel_cross_moment``.
        dim: embedding dimension d, at most the number of positive γ_j.

    Returns:
        ``embed(k_xa, k_xb) -> (N, d)``.

    Raises:
        InputError: as for ``kernel_cross_moment``, or if fewer than d modes can be learnt.

    Source: simon2023stepwise, Proposition 5.1.

    Examples:
        >>> x_a = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
        >>> x_b = x_a + torch.tensor([[0.1, 0.0], [0.0, 0.2], [0.0, 0.3]])
        >>> k_aa, k_ab, k_bb = x_a @ x_a.mT, x_a @ x_b.mT, x_b @ x_b.mT  # a linear kernel
        >>> embed = kernel_barlow_twins(k_aa, k_ab, k_bb, dim=2)
        >>> c = cross_moment(embed(k_aa, k_ab), embed(k_ab.mT, k_bb))
        >>> torch.allclose(c, torch.eye(2, dtype=torch.float64))  # zero loss
        True
    """
    k_gamma, root = kernel_cross_moment(k_aa, k_ab, k_bb)
    gamma, b = (z.flip(-1) for z in torch.linalg.eigh(k_gamma))
    learnable = int((gamma > 1e-12 * gamma[0]).sum())
    if not 1 <= dim <= learnable:
        raise InputError(
            f"dim={dim}: {learnable} eigenvalues γ_j of these {len(gamma) // 2} pairs are positive, and only "
            f"those modes are ever learnt; take a dim from 1 to {learnable}"
        )
    gamma, b = gamma[:dim], b[:, :dim]
    return KernelEmbedding(_swap_views(root @ b) / (len(root) * gamma**1.5))


def kernel_gradient_descent(
    k_aa: Tensor, k_ab: Tensor, k_bb: Tensor, start: Tensor, lr: float, steps: int
) -> KernelEmbedding:
    """Full-batch gradient descent of Barlow Twins over functions, without a decomposition or an assumption.

    f ← f − lr (2/n) Σ_i (C − I) f(x'_i) K(x_i, ·), where the sum is over all 2n views and x'_i is the partner of
    x_i: gradient descent on the weights of the features. f is stored as the coefficients A of f(x) = Aᵀ k(x).

    Args:
        k_aa, k_ab, k_bb: as for ``kernel_cross_moment``.
        start: ``(2n, d)`` coefficients, small.
        lr: learning rate; stable below 1 / 4γ_1.
        steps: number of steps.

    Returns:
        ``embed(k_xa, k_xb) -> (N, d)``.

    Raises:
        InputError: if shapes do not fit.
        RunError: if it diverges.

    Examples:
        >>> k = torch.ones(1, 1)  # two equal views of one image: f(x) is the sum of the coefficients
        >>> embed = kernel_gradient_descent(k, k, k, torch.tensor([[1e-3], [1e-3]]), lr=0.05, steps=100)
        >>> round(embed(k, k).item(), 6)
        1.0
    """
    kernel = _joined(k_aa, k_ab, k_bb)
    two_n, start = len(kernel), torch.as_tensor(start).to(torch.float64)
    if start.ndim != 2 or len(start) != two_n:
        raise InputError(f"start must be (2n, d) with 2n = {two_n}, got {tuple(start.shape)}")
    k, a = kernel.cpu().numpy(), start.cpu().numpy().copy()
    partner, identity = np.roll(np.arange(two_n), two_n // 2), np.eye(a.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            f = k @ a
            swapped = f[partner]
            a -= (4 * lr / two_n) * swapped @ (f.T @ swapped / two_n - identity)
    if not np.isfinite(a).all():
        raise RunError(
            f"gradient descent diverged at lr={lr:g}: take a smaller lr or a smaller start"
        )
    return KernelEmbedding(torch.from_numpy(a).to(kernel.device))


def sample_extent(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that share two signs, one spread over nine inputs, one on a single input: Γ has eigenvalues 9 and 1.

    Args:
        n: number of pairs.
        generator: draws the signs, and the noise (standard deviation 0.01, not shared by the two views).

    Returns:
        x_a, x_b ``(n, 10)`` and the known eigenvalues ``(2,)``.

    Source: the data set "extent" of anonymous-stepwise.

    Examples:
        >>> x_a, x_b, known = sample_extent(1000, torch.Generator().manual_seed(0))
        >>> known.tolist()
        [9.0, 1.0]
        >>> spectra.eigenvalues(cross_moment(x_a, x_b))[:2].round().tolist()
        [9.0, 1.0]
    """
    signs = _signs(n, generator)
    shared = torch.cat([signs[:, :1].expand(n, 9), signs[:, 1:]], dim=1)
    return *_noisy_pair(shared, 0.01, generator), torch.tensor([9.0, 1.0], dtype=torch.float64)


def sample_amplitude(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that share two waves of 96 samples with random signs, amplitudes c of 1 and 1/2: eigenvalues c² 96/2.

    Args:
        n: number of pairs.
        generator: draws the signs, and the noise (standard deviation 0.1, not shared by the two views).

    Returns:
        x_a, x_b ``(n, 96)`` and the known eigenvalues ``(2,)``.

    Source: the data set "amplitude" of anonymous-stepwise.

    Examples:
        >>> x_a, x_b, known = sample_amplitude(1000, torch.Generator().manual_seed(0))
        >>> known.round().tolist()
        [48.0, 12.0]
        >>> spectra.eigenvalues(cross_moment(x_a, x_b))[:2].round().tolist()
        [48.0, 12.0]
    """
    phase = 2 * torch.pi * torch.arange(96, dtype=torch.float64) / 96
    waves = torch.stack([torch.sin(32 * phase), 0.5 * torch.sin(8 * phase)])
    return *_noisy_pair(_signs(n, generator) @ waves, 0.1, generator), (waves**2).sum(1)


def _signs(n: int, generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, (n, 2), generator=generator).to(torch.float64) - 1


def _noisy_pair(shared: Tensor, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    a, b = torch.randn(2, *shared.shape, generator=generator, dtype=torch.float64)
    return shared + noise * a, shared + noise * b


def _descend(y, lam, lr, steps, keep):
    """C at ``steps`` and W V at ``keep`` (both rising integers), from y = W(0) V ``(d, m)``.

    In NumPy, since at these sizes a step is five calls of a few microseconds each, and torch's dispatch
    would double that.
    """
    y = y.copy()
    d = len(y)
    moments, weights = np.empty((len(steps), d, d)), np.empty((len(keep), *y.shape))
    scaled, c, update = np.empty_like(y), np.empty((d, d)), np.empty_like(y)
    done = stored = 0
    quiet = np.errstate(over="ignore", invalid="ignore")  # the caller looks for an overflow
    with quiet, track(int(steps[-1]), "gradient descent", unit="steps") as bar:
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


def _joined(k_aa: Tensor, k_ab: Tensor, k_bb: Tensor) -> Tensor:
    """The checked kernel K̃ of all views, ``(2n, 2n)`` float64."""
    if (
        k_aa.ndim != 2
        or not len(k_aa) == k_aa.shape[1]
        or not k_aa.shape == k_ab.shape == k_bb.shape
    ):
        raise InputError(
            f"the kernel's blocks must be three (n, n) matrices of one n, "
            f"got {tuple(k_aa.shape)}, {tuple(k_ab.shape)} and {tuple(k_bb.shape)}"
        )
    kernel = torch.cat([torch.cat([k_aa, k_ab], 1), torch.cat([k_ab.mT, k_bb], 1)]).to(
        torch.float64
    )
    if not kernel.isfinite().all():
        raise InputError("the kernel holds a NaN or an infinity: look at the points given to it")
    if not torch.allclose(kernel, kernel.mT, rtol=0, atol=1e-6 * float(kernel.abs().max())):
        raise InputError("k_aa and k_bb must be symmetric: give the kernel among views of one kind")
    return (kernel + kernel.mT) / 2


def _swap_views(rows: Tensor) -> Tensor:
    """P times ``(2n, ...)``."""
    return rows.roll(len(rows) // 2, 0)


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

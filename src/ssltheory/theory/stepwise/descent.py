"""Barlow Twins in a linear model: training itself, as gradient descent and as its flow."""

from dataclasses import dataclass

import numpy as np
import scipy.integrate
import torch
from torch import Tensor

from ssltheory.errors import InputError, RunError
from ssltheory.measure import spectra
from ssltheory.progress import track
from ssltheory.theory.stepwise.linear import _check_learning_rate, _checked_gamma, _checked_start


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
        >>> from ssltheory.theory.stepwise import linear_barlow_twins
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
    index = torch.from_numpy(np.searchsorted(steps, keep)[place]).to(gamma.device)
    return LinearRun(
        times=grid[index],
        step_times=spectra.step_times(grid, spectra.eigenvalues(moments)).sort().values,
        _cross_moments=moments[index],
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
        >>> from ssltheory.theory.stepwise import linear_barlow_twins
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

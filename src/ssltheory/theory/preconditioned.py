"""Barlow Twins in a linear model with its slow directions sped up: three recipes and their closed forms (ours).

simon2023stepwise propose to speed up self-supervised learning by focusing the gradient on small eigendirections of
the embedding. We could not read the recipe of their appendix G. These recipes are ours, for the linear model of
``theory.stepwise``, where L = ‖C − I‖²_F, C = W Γ Wᵀ and the gradient is 4 (C − I) W Γ:

- left: (|C| + εI)⁻¹ (C − I) W Γ, on the side of the embedding;
- right: (C − I) W Γ (|Γ| + εI)⁻¹, on the side of the data;
- log-det: another loss, tr C − log det C, whose gradient is 2 (I − C⁻¹) W Γ: half the left recipe at ε = 0.

An aligned W stays aligned under all three, so that the eigenvalues p_j of C are again d separate modes. The right
recipe is ``theory.stepwise`` itself on whitened data. The other two are ``Modes``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.integrate
import torch
import torch.nn.functional as F
from torch import Tensor

from ssltheory import augmentations
from ssltheory.errors import InputError, RunError
from ssltheory.measure import spectra

Direction = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Modes:
    """Separate modes with dp/dt = c γ p (1 − p) / (p + ε), as ``left`` and ``log_det`` return them.

    p(t) is not an elementary function, but the time at which a mode reaches p is:

        c γ t = ε log(p / p_0) + (1 + ε) log((1 − p_0) / (1 − p)).

    The wait before a step, log(1 / p_0), counts ε times; the approach to one is not shortened.

    Attributes:
        gamma: ``(d,)`` γ_j > 0.
        p_0: ``(d,)`` p_j at the start, in (0, 1).
        eps: ε >= 0.
        speed: c: 8 for the left preconditioner, 4 for the log-det loss.

    Examples:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> modes = Modes(gamma=one, p_0=0.5 * one, eps=0.0, speed=4.0)
        >>> t = np.log(2) / 4
        >>> round(modes.eigenvalues(t).item(), 6), round(modes.loss(t).item(), 6)  # 1 − ½ e^−4t
        (0.75, 0.0625)
    """

    gamma: Tensor
    p_0: Tensor
    eps: float
    speed: float

    def eigenvalues(self, t: Tensor) -> Tensor:
        """p_j at each t, ``(T, d)`` descending along the last axis, by bisection in log(p / (1 − p))."""
        t = torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1)
        low = torch.logit(self.p_0).expand(len(t), -1)
        high = torch.full_like(low, 40.0)  # p = 1 to the last digit
        for _ in range(60):
            middle = (low + high) / 2
            grown = F.logsigmoid(middle) - torch.log(self.p_0)
            settled = torch.log1p(-self.p_0) - F.logsigmoid(-middle)
            reached = (self.eps * grown + (1 + self.eps) * settled) / (self.speed * self.gamma)
            low, high = (
                torch.where(reached < t, middle, low),
                torch.where(reached < t, high, middle),
            )
        return torch.sigmoid(low).sort(-1, descending=True).values

    def loss(self, t: Tensor) -> Tensor:
        """‖C − I‖²_F = Σ_j (1 − p_j(t))², ``(T,)``."""
        return (1 - self.eigenvalues(t)).square().sum(-1)


def left(gamma: Tensor, s_0: Tensor, eps: float) -> Modes:
    """Gradient flow of Barlow Twins under (|C| + εI)⁻¹, from an aligned start.

    Args:
        gamma: ``(d,)`` top eigenvalues γ_j > 0 of Γ.
        s_0: ``(d,)`` singular values s_j(0) of the start (``stepwise.linear_barlow_twins(...).s_0``).
        eps: ε > 0.

    Raises:
        InputError: if a mode cannot be learnt or starts at one or above, or if ε is not above zero.

    Examples:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> modes = left(one, 0.5 * one, eps=1.0)  # p starts at 1/4
        >>> t = (np.log(2) + 2 * np.log(0.75 / 0.5)) / 8
        >>> round(modes.eigenvalues(t).item(), 6)
        0.5
    """
    if not eps > 0:
        raise InputError(
            f"eps={eps} must be above 0: for ε → 0 take log_det, which needs a positive definite C"
        )
    return Modes(gamma, _checked_start(gamma, s_0), eps, speed=8.0)


def log_det(gamma: Tensor, s_0: Tensor) -> Modes:
    """Gradient flow of tr C − log det C: p_j(t) = 1 − (1 − p_j(0)) e^{−4 γ_j t}, without a plateau.

    Arguments and errors are those of ``left``.

    Examples:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> modes = log_det(one, 0.5 * one)  # p starts at 1/4
        >>> round(modes.eigenvalues(np.log(3) / 4).item(), 6)  # 1 − ¾ / 3
        0.75
    """
    return Modes(gamma, _checked_start(gamma, s_0), 0.0, speed=4.0)


def whiten(gamma: Tensor, w0: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Γ and W(0) as the right preconditioner sees them: Γ (|Γ| + εI)⁻¹ and W(0) (|Γ| + εI)^½.

    Barlow Twins on the inputs (|Γ| + εI)^−½ x is plain gradient descent with these two. W Γ Wᵀ is the same matrix, so
    ``stepwise.linear_barlow_twins`` gives the closed form, with rates γ_j / (|γ_j| + ε) instead of γ_j.

    Args:
        gamma: ``(m,)`` all eigenvalues of Γ; w0: ``(d, m)`` the start in its eigenbasis.
        eps: ε > 0.

    Returns:
        ``(m,)`` and ``(d, m)``.

    Raises:
        InputError: if ε is not above zero.

    Examples:
        >>> gamma, w0 = torch.tensor([3.0, 1.0]), torch.tensor([[1.0, 2.0]])
        >>> rates, w = whiten(gamma, w0, eps=1.0)
        >>> rates.tolist()
        [0.75, 0.5]
        >>> (w0**2 @ gamma).item(), round((w**2 @ rates).item(), 4)  # C is the same
        (7.0, 7.0)
    """
    if not eps > 0:
        raise InputError(
            f"eps={eps} must be above 0, as eigenvalues γ are divided by |γ| + ε and some may be 0: take e.g. 0.01"
        )
    scale = gamma.abs() + eps
    return gamma / scale, w0 * scale.sqrt()


def time_to(loss: Callable[[Tensor], Tensor], goal: float, longest: float) -> float:
    """When a falling loss(t) of a closed form passes ``goal``; inf if it does not by the time ``longest``.

    Examples:
        >>> round(time_to(lambda t: torch.exp(-t), goal=0.5, longest=9.0), 4)  # log 2
        0.6931
        >>> time_to(lambda t: torch.exp(-t), goal=0.5, longest=0.5)
        inf
    """
    low, high = 0.0, float(longest)

    def at(time: float) -> float:
        return float(loss(torch.tensor([time], dtype=torch.float64)))

    if not at(high) <= goal:
        return float("inf")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) > goal else (low, middle)
    return high


@dataclass(frozen=True)
class Descent:
    """What ``descend`` measured.

    Attributes:
        steps: until ‖C − I‖²_F reached the goal; the most that were allowed if it never did.
        at: ``(T,)`` the recorded steps, rising, from 0 to the last.
        eigenvalues: ``(T, d)`` of C at these steps, descending.
        weights: ``(d, m)`` at the end, in Γ's eigenbasis.

    Examples:
        >>> run = descend(torch.tensor([1.0]), torch.tensor([[0.5]]), plain, lr=0.05)
        >>> run.at[-1].item() == run.steps
        True
        >>> round(run.eigenvalues[0].item(), 6), run.eigenvalues[-1].item() > 0.9  # 1 − √0.01
        (0.25, True)
    """

    steps: int
    at: Tensor
    eigenvalues: Tensor
    weights: Tensor


def descend(
    gamma: Tensor,
    w0: Tensor,
    direction: Direction,
    lr: float,
    goal: float = 0.01,
    most: int = 100_000,
    keep: int = 120,
) -> Descent:
    """W ← W − lr direction(W, C, γ) from any start until ‖C − I‖²_F <= goal, whichever loss the direction descends.

    Args:
        gamma: ``(m,)`` eigenvalues of Γ, descending: W is stored in its eigenbasis.
        w0: ``(d, m)`` start.
        direction: ``plain``, ``left_preconditioned(eps)``, ``right_preconditioned(eps)`` or ``log_det_gradient``.
        lr: learning rate; stable below 1 / 4γ_1 for the plain gradient.
        goal: see above.
        most: the most steps allowed.
        keep: T, the number of steps recorded, evenly spaced in the logarithm; a short run has some of them twice.

    Raises:
        RunError: if it diverges.

    Examples:
        >>> gamma, w0 = torch.tensor([1.0]), torch.tensor([[1e-3]])
        >>> slow = descend(gamma, w0, plain, lr=0.02).steps  # waits for log(1 / p_0)
        >>> quick = descend(gamma, w0, left_preconditioned(0.1), lr=0.02).steps  # for a tenth of it
        >>> quick < slow / 2
        True
    """
    y, g = w0.to(torch.float64).cpu().numpy().copy(), gamma.to(torch.float64).cpu().numpy()
    one, moments = np.eye(len(y)), []
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(most + 1):
            c = (y * g) @ y.T
            moments.append(c)
            distance = np.square(c - one).sum()
            if not np.isfinite(distance):
                raise RunError(f"the descent diverged at step {step} at lr={lr:g}: lower it")
            if distance <= goal or step == most:
                break
            y -= lr * direction(y, c, g)
    at = torch.linspace(0, float(np.log1p(step)), keep, dtype=torch.float64).expm1().round().long()
    p = spectra.eigenvalues(torch.from_numpy(np.stack([moments[k] for k in at])))
    return Descent(step, at, p, torch.from_numpy(y))


def flow(gamma: Tensor, w0: Tensor, direction: Direction, times: Tensor) -> Tensor:
    """Eigenvalues of C along dW/dt = −direction(W, C, γ), ``(T, d)`` descending (DOP853).

    Args:
        gamma, w0, direction: as for ``descend``.
        times: ``(T,)`` rising, all above 0.

    Raises:
        RunError: if the integration breaks off, as that of the log-det loss does where C is not positive.

    Examples:
        >>> gamma = torch.tensor([2.0, 1.0], dtype=torch.float64)
        >>> w0, times = 0.1 * torch.eye(2, dtype=torch.float64), torch.tensor([0.2, 1.0])
        >>> measured = flow(gamma, w0, left_preconditioned(0.1), times)
        >>> predicted = left(gamma, w0.diagonal(), eps=0.1).eigenvalues(times)
        >>> torch.allclose(measured, predicted, atol=1e-5)
        True
    """
    g, shape = gamma.to(torch.float64).cpu().numpy(), tuple(w0.shape)

    def velocity(_, flat):
        w = flat.reshape(shape)
        return -direction(w, (w * g) @ w.T, g).ravel()

    start = w0.to(torch.float64).cpu().numpy().ravel()
    at, tolerance = times.to(torch.float64).cpu().numpy(), 1e-6 * np.abs(start).max()
    solved = scipy.integrate.solve_ivp(
        velocity, (0.0, at[-1]), start, "DOP853", at, rtol=1e-10, atol=tolerance
    )
    if not solved.success:
        raise RunError(
            f"the flow could not be integrated beyond t = {solved.t[-1]:.3g} ({solved.message}): take an earlier "
            "end, or a start at which C is positive definite"
        )
    w = torch.from_numpy(solved.y.T.reshape(-1, *shape))
    return spectra.eigenvalues((w * torch.from_numpy(g)) @ w.mT)


def sample_photographs(generator: torch.Generator, n: int = 500) -> tuple[Tensor, Tensor]:
    """Pairs with a natural spectrum, from the two photographs that come with scikit-learn (ours).

    n (an even number) patches of 32 × 32 pixels at half size, channels standardised, two random 20 × 20 crops of each.

    Returns:
        x_a, x_b ``(n, 1200)`` float64.

    Examples:
        >>> x_a, x_b = sample_photographs(torch.Generator().manual_seed(0), n=4)
        >>> x_a.shape  # 20 · 20 pixels of three channels
        torch.Size([4, 1200])
    """
    from sklearn.datasets import load_sample_images

    photographs = [torch.from_numpy(i[::2, ::2] / 255) for i in load_sample_images().images]
    patches = [
        augmentations.random_crop(p.permute(2, 0, 1).expand(n // 2, -1, -1, -1), 32, generator)
        for p in photographs
    ]
    x = torch.cat(patches)
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    x_a, x_b = (augmentations.random_crop(x, 20, generator).flatten(1) for _ in "ab")
    return x_a, x_b


def plain(w: np.ndarray, c: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """4 (C − I) W Γ, the gradient of ‖C − I‖²_F.

    Examples:
        >>> w, gamma = np.array([[2.0]]), np.array([1.0])
        >>> plain(w, w @ w.T, gamma).item()  # 4 (4 − 1) 2
        24.0
    """
    return 4 * (c @ w - w) * gamma


def left_preconditioned(eps: float) -> Direction:
    """(|C| + εI)⁻¹ on the left of ``plain``; |C| because C can be indefinite on the way.

    Examples:
        >>> w, gamma = np.array([[2.0]]), np.array([1.0])
        >>> left_preconditioned(2.0)(w, w @ w.T, gamma).item()  # 24 / (4 + 2)
        4.0
    """

    def direction(w: np.ndarray, c: np.ndarray, gamma: np.ndarray) -> np.ndarray:
        p, u = np.linalg.eigh(c)
        return 4 * ((u * ((p - 1) / (np.abs(p) + eps))) @ u.T) @ (w * gamma)

    return direction


def right_preconditioned(eps: float) -> Direction:
    """(|Γ| + εI)⁻¹ on the right of ``plain``.

    Examples:
        >>> w, gamma = np.array([[2.0]]), np.array([1.0])
        >>> right_preconditioned(2.0)(w, w @ w.T, gamma).item()  # 24 / (1 + 2)
        8.0
    """
    return lambda w, c, gamma: plain(w, c, gamma) / (np.abs(gamma) + eps)


def log_det_gradient(w: np.ndarray, c: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """2 (I − C⁻¹) W Γ, the gradient of tr C − log det C.

    Examples:
        >>> w, gamma = np.array([[2.0]]), np.array([1.0])
        >>> log_det_gradient(w, w @ w.T, gamma).item()  # 2 (1 − 1/4) 2
        3.0
        >>> left_preconditioned(0.0)(w, w @ w.T, gamma).item()  # twice that
        6.0
    """
    return 2 * (w - np.linalg.solve(c, w)) * gamma


def _checked_start(gamma: Tensor, s_0: Tensor) -> Tensor:
    p_0 = gamma * s_0**2
    if not bool(((p_0 > 0) & (p_0 < 1)).all()):
        raise InputError(
            f"every mode must start between 0 and 1, they start at {p_0.min():.3g} to {p_0.max():.3g}: "
            "take a smaller start, or fewer dimensions than Γ has positive eigenvalues"
        )
    return p_0

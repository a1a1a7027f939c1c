"""Barlow Twins in a kernel machine: the closed form of its end, and descent over functions."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssltheory.errors import InputError, RunError
from ssltheory.theory.stepwise.linear import cross_moment


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


def _joined(k_aa: Tensor, k_ab: Tensor, k_bb: Tensor) -> Tensor:
    """The checked kernel K̃ of all views, ``(2n, 2n)`` float64."""
    if (
        k_aa.ndim != 2
        or not len(k_aa) == k_aa.shape[1]
        or not k_aa.shape == k_ab.shape == k_bb.shape
    ):
        raise InputError(
            f"k_aa, k_ab and k_bb must be square matrices of the same size, n × n for n pairs, "
            f"got {tuple(k_aa.shape)}, {tuple(k_ab.shape)} and {tuple(k_bb.shape)}"
        )
    kernel = torch.cat([torch.cat([k_aa, k_ab], 1), torch.cat([k_ab.mT, k_bb], 1)]).to(
        torch.float64
    )
    if not kernel.isfinite().all():
        raise InputError("the kernel holds a NaN or an infinity: look at the points given to it")
    if not torch.allclose(kernel, kernel.mT, rtol=0, atol=1e-6 * float(kernel.abs().max())):
        raise InputError(
            "k_aa and k_bb must be symmetric: give the kernel of the first views with themselves as k_aa, "
            "and that of the second views with themselves as k_bb"
        )
    return (kernel + kernel.mT) / 2


def _swap_views(rows: Tensor) -> Tensor:
    """P times ``(2n, ...)``."""
    return rows.roll(len(rows) // 2, 0)

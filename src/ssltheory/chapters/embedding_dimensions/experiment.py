"""What chapter 03 keeps of embeddings that have many dimensions."""

import torch
from torch import Tensor

KEPT = 12  # axes that a record keeps of a network's embedding


def fixed_axes(c: Tensor, step_times: Tensor) -> Tensor:
    """Axes that stay, columns ``(d, d)`` in the order of learning: the eigenvectors of Σ_k C(plateau k).

    A dimension learnt at step j is in all of these from k = j on, so with n plateaus the eigenvalues are n, …, 2, 1 and
    the axes are determined; at the end C = I on all that is learnt, and its axes are not.

    Args:
        c: C before the first step, on plateaus 1, 2, …, and at the end, ``(modes + 1, d, d)``.
        step_times: of the modes, ``(modes,)``; a plateau counts if the step before it was taken.

    Examples:
        >>> c = torch.stack([torch.diag(torch.tensor([0.0, float(k > 1), float(k > 0)])) for k in range(4)])
        >>> fixed_axes(c, torch.tensor([1.0, 2.0, torch.inf])).tolist()
        [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    return principal_axes(c[1:-1][step_times[:-1].isfinite()].sum(0))


def principal_axes(moment: Tensor) -> Tensor:
    """Eigenvectors of a symmetric matrix ``(d, d)``, columns, the largest eigenvalue first.

    The sign: the coordinate of largest size is positive.

    Examples:
        >>> principal_axes(torch.diag(torch.tensor([1.0, 2.0]))).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    q = torch.linalg.eigh(moment.to(torch.float64)).eigenvectors.flip(-1)
    largest = q.gather(0, q.abs().argmax(0, keepdim=True))
    return q * largest.sign()

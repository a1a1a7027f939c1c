"""Why a regulariser helps one class and harms another (balestriero2022class, "the effects of regularization and data
augmentation are class dependent").

The paper's idea: an augmentation that keeps every image inside its level set of the target costs nothing. One that
leaves it teaches E[y | augmented x] instead, a bias that does not shrink with more data, and each class leaves its
level set at a strength of its own. The two models here are ours: both can be solved, and in both one class gains what
another loses.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ssltheory.errors import InputError


def two_gaussians(sigma_a: float, sigma_b: float, tau: Tensor) -> tuple[Tensor, Tensor]:
    """Accuracies on clean data of the best rule for augmented data.

    x | A ~ N(0, σ_A²) and x | B ~ N(0, σ_B²) with σ_A < σ_B, equally likely; the augmentation adds N(0, τ²) in training
    alone. With a = σ_A² + τ² and b = σ_B² + τ² the rule says A where x² < r² = log(b/a) / (1/a − 1/b), so that

        acc_A = erf(r / σ_A√2),  acc_B = 1 − erf(r / σ_B√2).

    r grows with τ: A, the inner class, only gains and B only loses. Infinite data are assumed. The mean accuracy is
    best at τ = 0.

    Args:
        sigma_a: standard deviation of class A.
        sigma_b: the same of class B, larger.
        tau: ``(T,)`` strengths of the augmentation, at least 0.

    Returns:
        acc_A and acc_B, each ``(T,)`` float64.

    Raises:
        InputError: unless 0 < σ_A < σ_B and τ ≥ 0.

    Examples:
        >>> acc_a, acc_b = two_gaussians(1.0, 2.0, torch.tensor([0.0, 2.0]))
        >>> [round(accuracy, 2) for accuracy in acc_a.tolist()]  # the inner class gains
        [0.83, 0.99]
        >>> [round(accuracy, 2) for accuracy in acc_b.tolist()]  # the outer one loses more
        [0.5, 0.21]
    """
    tau = torch.as_tensor(tau, dtype=torch.float64)
    if not 0 < sigma_a < sigma_b or (tau < 0).any():
        raise InputError(
            f"two_gaussians needs 0 < sigma_a < sigma_b and tau >= 0, got {sigma_a}, {sigma_b} and {tau.tolist()}"
        )
    a, b = sigma_a**2 + tau**2, sigma_b**2 + tau**2
    r = (torch.log(b / a) / (1 / a - 1 / b)).sqrt()
    return torch.erf(r / (sigma_a * 2**0.5)), 1 - torch.erf(r / (sigma_b * 2**0.5))


def ridge(x: Tensor, y: Tensor, classes: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Ridge regression of one-hot labels, factorised once: weight decay with its optimum in closed form.

    It minimises ‖Y − XW‖²_F + λ‖W‖²_F with X and Y centred: where X = U diag(s) Vᵀ, W = V diag(s / (s² + λ)) Uᵀ Y. λ is
    in units of x² summed over the images.

    Args:
        x: ``(n, m)``.
        y: int64 ``(n,)``.
        classes: number of columns of Y.

    Returns:
        ``logits(x_test, lambdas)``: ``(n_test, m)`` and ``(L,)``, above 0, to ``(L, n_test, classes)`` float64.

    Raises:
        InputError: if labels and rows do not match, or a label is not in [0, classes).

    The returned function raises it if a λ is not above 0.

    Examples:
        >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> logits = ridge(x, y, classes=2)
        >>> at_one = logits(torch.tensor([[1.0]]), torch.tensor([2.0]))  # λ = ‖x‖² halves W
        >>> [round(logit, 6) for logit in at_one.flatten().tolist()]  # 1/2 ∓ 1/4
        [0.25, 0.75]
    """
    if x.ndim != 2 or y.shape != x.shape[:1] or y.min() < 0 or y.max() >= classes:
        raise InputError(
            f"ridge takes rows (n, m) with labels (n,) from 0 to {classes - 1}, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}, labels {y.min()} to {y.max()}"
        )
    x, one_hot = x.double(), torch.eye(classes, dtype=torch.float64, device=x.device)[y]
    mean, prior = x.mean(0), one_hot.mean(0)
    u, s, vt = torch.linalg.svd(x - mean, full_matrices=False)
    target = u.mT @ (one_hot - prior)

    def logits(x_test: Tensor, lambdas: Tensor) -> Tensor:
        lambdas = torch.as_tensor(lambdas, dtype=torch.float64, device=x.device)
        if not (lambdas > 0).all():
            raise InputError(f"ridge needs every lambda above 0, got {lambdas.tolist()}")
        shrunk = (s / (s**2 + lambdas[:, None]))[..., None] * target
        return (x_test.double() - mean) @ vt.mT @ shrunk + prior

    return logits

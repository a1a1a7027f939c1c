"""Probes: what a frozen representation knows of the labels, with the standard error of the answer.

Each takes embeddings ``(n, d)`` with integer labels ``(n,)`` of a train and a test set and returns
``(accuracy, standard_error)``; the error is the binomial √(a (1 − a) / n_test): it holds for the
draw of the test set alone, not of the train set or the encoder's seed. All work is in float64 and
deterministic.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ssltheory.errors import InputError, RunError


class Accuracy(NamedTuple):
    """A share of the test set, and its binomial standard error."""

    accuracy: float
    standard_error: float


def knn_accuracy(
    z_train: Tensor,
    y_train: Tensor,
    z_test: Tensor,
    y_test: Tensor,
    k: int = 20,
    chunk: int = 4096,
) -> Accuracy:
    """Majority vote of the k nearest by cosine similarity; ties go to the lowest label.

    Args:
        z_train, y_train, z_test, y_test: see the module.
        k: neighbours.
        chunk: test rows at a time; memory is chunk × n_train.

    Raises:
        InputError: if the shapes disagree, a value is not finite, or k is not in [1, n_train].
    """
    z_train, z_test, classes, codes = _prepare(z_train, y_train, z_test, y_test)
    if not 1 <= k <= len(z_train):
        raise InputError(f"knn_accuracy needs 1 <= k <= {len(z_train)} (the train set), got {k}")
    z_train, z_test = F.normalize(z_train, dim=1), F.normalize(z_test, dim=1)
    votes = [
        F.one_hot(codes[(rows @ z_train.T).topk(k).indices], len(classes)).sum(1)
        for rows in z_test.split(chunk)
    ]
    return _accuracy(classes[torch.cat(votes).argmax(1)], y_test)


def linear_probe(
    z_train: Tensor,
    y_train: Tensor,
    z_test: Tensor,
    y_test: Tensor,
    l2: float = 1e-3,
    max_iter: int = 2000,
) -> Accuracy:
    """Multinomial logistic regression on standardised features, by full-batch L-BFGS from zero.

    Minimises mean cross-entropy + (l2 / 2) ‖W‖²_F, the bias free; scikit-learn's C is 1 / (l2 ·
    n_train).

    Args:
        z_train, y_train, z_test, y_test: see the module.
        l2: weight of the penalty, above 0 (without it separable classes have no solution).
        max_iter: of L-BFGS.

    Raises:
        InputError: if the shapes disagree, a value is not finite, or l2 is not above 0.
        RunError: if the gradient is not below 1e-5 after ``max_iter`` iterations.
    """
    z_train, z_test, classes, codes = _prepare(z_train, y_train, z_test, y_test, l2)
    z_train, z_test = _standardise(z_train, z_test)
    w = z_train.new_zeros(z_train.shape[1], len(classes), requires_grad=True)
    b = z_train.new_zeros(len(classes), requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [w, b],
        max_iter=max_iter,
        max_eval=2 * max_iter,
        tolerance_grad=1e-7,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(z_train @ w + b, codes) + l2 / 2 * w.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)
        objective()
    if not (left := max(w.grad.abs().max().item(), b.grad.abs().max().item())) < 1e-5:
        raise RunError(
            f"the linear probe did not converge (gradient {left:.1e} after {max_iter} iterations): "
            f"raise max_iter or l2 (now {l2:g})"
        )
    return _accuracy(classes[(z_test @ w + b).detach().argmax(1)], y_test)


def ridge_probe(
    z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor, l2: float = 1e-3
) -> Accuracy:
    """Ridge regression of one-hot labels on standardised features, in closed form.

    Minimises mean ‖y − Wᵀz − b‖² + l2 ‖W‖²_F, the bias free; scikit-learn's alpha is l2 · n_train.
    Solved in the smaller of d × d and n × n.

    Args:
        z_train, y_train, z_test, y_test: see the module.
        l2: weight of the penalty, above 0.

    Raises:
        InputError: if the shapes disagree, a value is not finite, or l2 is not above 0.
    """
    z_train, z_test, classes, codes = _prepare(z_train, y_train, z_test, y_test, l2)
    z_train, z_test = _standardise(z_train, z_test)
    n, d = z_train.shape
    targets = F.one_hot(codes, len(classes)).to(z_train.dtype)
    mean = targets.mean(0)
    gram = z_train.T @ z_train if d <= n else z_train @ z_train.T
    gram.diagonal().add_(l2 * n)
    factor = torch.linalg.cholesky(gram)
    if d <= n:
        w = torch.cholesky_solve(z_train.T @ (targets - mean), factor)
    else:
        w = z_train.T @ torch.cholesky_solve(targets - mean, factor)
    return _accuracy(classes[(z_test @ w + mean).argmax(1)], y_test)


def _prepare(
    z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor, l2: float = 1.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings in float64, the classes of the train set, and its labels as indices into them."""
    for name, z, y in (("train", z_train, y_train), ("test", z_test, y_test)):
        if z.ndim != 2 or y.shape != z.shape[:1] or not len(z) or z.shape[1] != z_train.shape[1]:
            raise InputError(
                f"a probe takes embeddings (n, d) with labels (n,), of one d, none empty; "
                f"the {name} set has {tuple(z.shape)} and {tuple(y.shape)}"
            )
        if not torch.isfinite(z).all():
            raise InputError(f"the {name} embeddings hold NaN or infinity: check the training run")
    if not l2 > 0:
        raise InputError(f"a probe needs l2 above 0, got {l2}; 1e-3 is a good start")
    if z_train.device.type == "mps":  # which has no float64
        z_train, y_train, z_test = z_train.cpu(), y_train.cpu(), z_test.cpu()
    classes, codes = y_train.unique(return_inverse=True)
    return z_train.detach().double(), z_test.detach().double(), classes, codes


def _standardise(z_train: Tensor, z_test: Tensor) -> tuple[Tensor, Tensor]:
    """Mean 0 and (biased) deviation 1 on the train set; a constant feature becomes 0."""
    deviation, mean = torch.std_mean(z_train, 0, correction=0)
    constant = deviation <= 1e-12 * mean.abs()
    deviation = torch.where(constant, torch.inf, deviation)
    return (z_train - mean) / deviation, (z_test - mean) / deviation


def _accuracy(predicted: Tensor, y: Tensor) -> Accuracy:
    a = (predicted == y.to(predicted.device)).double().mean().item()
    return Accuracy(a, (a * (1 - a) / len(y)) ** 0.5)

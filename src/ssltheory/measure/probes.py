"""Probes: what a frozen representation knows about the labels, with the standard error of the answer.

Each takes embeddings ``(n, d)`` with integer labels ``(n,)`` of a train and a test set and returns
``(accuracy, standard_error)``. The error is the binomial √(a (1 − a) / n_test): it covers the draw of
the test set alone, not that of the train set or the encoder's seed. Everything is deterministic and in
float64. ``ridge_r2`` explains real-valued targets instead, and ``probe_layers`` applies any probe at every layer.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssltheory.errors import InputError, RunError
from ssltheory.models.encoders import activations

Result = TypeVar("Result")


class Accuracy(NamedTuple):
    """A share of the test set and its binomial standard error."""

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
        k: number of neighbours.
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

    It minimises mean cross-entropy + (l2 / 2) ‖W‖²_F without a penalty on the bias; scikit-learn's C is
    1 / (l2 · n_train).

    Args:
        z_train, y_train, z_test, y_test: see the module.
        l2: weight of the penalty, above 0 (without it separable classes have no solution).
        max_iter: the most iterations of L-BFGS.

    Raises:
        RunError: if the gradient is not below 1e-5 after ``max_iter`` iterations.

    Shapes that disagree, a value that is not finite and an l2 that is not above 0 are an ``InputError``.
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
    gradients = [p.grad.abs().max().item() for p in (w, b)]  # type: ignore[union-attr]
    if not (left := max(gradients)) < 1e-5:
        raise RunError(
            f"the linear probe did not converge (gradient {left:.1e} after {max_iter} iterations): "
            f"raise max_iter or l2 (now {l2:g})"
        )
    return _accuracy(classes[(z_test @ w + b).detach().argmax(1)], y_test)


def ridge_probe(
    z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor, l2: float = 1e-3
) -> Accuracy:
    """Ridge regression of one-hot labels on standardised features, in closed form.

    It minimises mean ‖y − Wᵀz − b‖² + l2 ‖W‖²_F without a penalty on the bias; scikit-learn's alpha is
    l2 · n_train. The system solved is the smaller of d × d and n × n.

    Args:
        z_train, y_train, z_test, y_test: see the module.
        l2: weight of the penalty, above 0.

    Raises ``InputError`` if the shapes disagree, a value is not finite, or l2 is not above 0.
    """
    z_train, z_test, classes, codes = _prepare(z_train, y_train, z_test, y_test, l2)
    z_train, z_test = _standardise(z_train, z_test)
    targets = F.one_hot(codes, len(classes)).to(z_train.dtype)
    mean = targets.mean(0)
    w = _ridge(z_train, targets - mean, l2)
    return _accuracy(classes[(z_test @ w + mean).argmax(1)], y_test)


def ridge_r2(
    z_train: Tensor, t_train: Tensor, z_test: Tensor, t_test: Tensor, l2: float = 1e-3
) -> Tensor:
    """Share of the variance of each target that a ridge regression explains on the test set, R².

    This is ``ridge_probe`` for real targets: R² = 1 − Σ (t − t̂)² / Σ (t − t̄)² with both sums and the mean t̄ over
    the test set. Predicting that mean gives zero; a regression that does worse is negative.

    Args:
        z_train, z_test: embeddings ``(n, d)``.
        t_train, t_test: ``(n, k)``.
        l2: weight of the penalty, above 0.

    Returns:
        ``(k,)`` float64, on the CPU.

    Raises:
        InputError: if the shapes disagree, a value is not finite, l2 is not above 0, or a target is constant on
        the test set.
    """
    for name, z, t in (("train", z_train, t_train), ("test", z_test, t_test)):
        if t.ndim != 2 or t.shape != (len(z), t_train.shape[-1]) or not torch.isfinite(t).all():
            raise InputError(
                f"ridge_r2 takes finite targets (n, k), with the same k in both sets; the {name} set has "
                f"{tuple(t.shape)} for {len(z)} embeddings"
            )
    z_train, z_test, _, _ = _prepare(z_train, t_train[:, 0], z_test, t_test[:, 0], l2)
    z_train, z_test = _standardise(z_train, z_test)
    t_train, t_test = (t.to(z_train.device).double() for t in (t_train, t_test))
    total = (t_test - t_test.mean(0)).square().sum(0)
    if not (total > 0).all():
        raise InputError("a target is constant on the test set: there is no variance to explain")
    predicted = z_test @ _ridge(z_train, t_train - t_train.mean(0), l2) + t_train.mean(0)
    return (1 - (t_test - predicted).square().sum(0) / total).cpu()


def probe_layers(
    probe: Callable[..., Result],
    model: nn.Module,
    layers: Sequence[str],
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    batch_size: int = 1024,
    **settings: float,
) -> list[Result]:
    """What a probe finds at each of the named layers of a model in evaluation mode.

    Feature maps are averaged over their quarters, ``(n, c, h, w) -> (n, 4c)``, so that a probe can tell where in
    the image something was. Maps with fewer than four places are not averaged.

    Args:
        probe: any of this module's.
        model: not a stack.
        layers: names as in ``model.named_modules()``.
        train, test: inputs ``(n, ...)`` with their labels or targets, whichever the probe takes.
        batch_size: inputs at a time.
        settings: of the probe.

    Returns:
        One result for each layer, in the order of ``layers``.

    Raises ``InputError`` for a layer that the model does not have, and whatever the probe raises.
    """
    (x_train, y_train), (x_test, y_test) = train, test
    z_train, z_test = (_at_layers(model, x, layers, batch_size) for x in (x_train, x_test))
    pairs = zip(z_train, z_test, strict=True)
    return [probe(a, y_train, b, y_test, **settings) for a, b in pairs]


def _at_layers(model: nn.Module, x: Tensor, layers: Sequence[str], batch_size: int) -> list[Tensor]:
    """The features of each layer as rows, ``(n, features)``."""
    chunks = [activations(model, chunk, layers) for chunk in x.split(batch_size)]
    return [torch.cat([_rows(chunk[name]) for chunk in chunks]) for name in layers]


def _rows(z: Tensor) -> Tensor:
    if z.ndim == 4:
        z = F.adaptive_avg_pool2d(z, (min(2, z.shape[-2]), min(2, z.shape[-1])))
    return z.flatten(1)


def _ridge(z: Tensor, targets: Tensor, l2: float) -> Tensor:
    """argmin_W mean ‖t − Wᵀz‖² + l2 ‖W‖²_F, ``(d, k)``, in the smaller of d × d and n × n."""
    n, d = z.shape
    gram = z.T @ z if d <= n else z @ z.T
    gram.diagonal().add_(l2 * n)
    factor = torch.linalg.cholesky(gram)
    if d <= n:
        return torch.cholesky_solve(z.T @ targets, factor)
    return z.T @ torch.cholesky_solve(targets, factor)


def _prepare(
    z_train: Tensor, y_train: Tensor, z_test: Tensor, y_test: Tensor, l2: float = 1.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings in float64, the classes of the train set, and its labels as indices into them."""
    for name, z, y in (("train", z_train, y_train), ("test", z_test, y_test)):
        if z.ndim != 2 or y.shape != z.shape[:1] or not len(z) or z.shape[1] != z_train.shape[1]:
            raise InputError(
                f"a probe takes embeddings (n, d) and labels (n,), n > 0, with the same d in both sets; "
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
    """Both sets scaled to mean 0 and (biased) deviation 1 on the train set; a constant feature becomes 0."""
    deviation, mean = torch.std_mean(z_train, 0, correction=0)
    constant = deviation <= 1e-12 * mean.abs()
    deviation = torch.where(constant, torch.inf, deviation)
    return (z_train - mean) / deviation, (z_test - mean) / deviation


def _accuracy(predicted: Tensor, y: Tensor) -> Accuracy:
    a = (predicted == y.to(predicted.device)).double().mean().item()
    return Accuracy(a, (a * (1 - a) / len(y)) ** 0.5)

"""Probes against scikit-learn on the embedded digits, and what they must not find."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssltheory.errors import InputError, RunError
from ssltheory.probes import knn_accuracy, linear_probe, ridge_probe

torch.set_num_threads(2)
PROBES = [knn_accuracy, linear_probe, ridge_probe]


@pytest.fixture(scope="module")
def digits():
    """Noisy digits: no probe is perfect on them, so a wrong probe shows."""
    x, y = load_digits(return_X_y=True)
    x = x + 6 * np.random.default_rng(0).standard_normal(x.shape)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return x[:600], y[:600], x[600:], y[600:]


def sklearn_accuracy(model, z_train, y_train, z_test, y_test) -> float:
    return model.fit(z_train.numpy(), y_train.numpy()).score(z_test.numpy(), y_test.numpy())


@pytest.mark.parametrize("k", [1, 5, 20])
def test_knn_equals_scikit_learn(digits, k):
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    assert knn_accuracy(*digits, k=k).accuracy == sklearn_accuracy(model, *digits)


def test_knn_does_not_depend_on_the_chunk(digits):
    assert knn_accuracy(*digits, chunk=7) == knn_accuracy(*digits)


@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_linear_probe_equals_scikit_learn(digits, l2):
    model = LogisticRegression(C=1 / (l2 * 600), tol=1e-8, max_iter=5000)
    expected = sklearn_accuracy(make_pipeline(StandardScaler(), model), *digits)
    assert linear_probe(*digits, l2=l2).accuracy == expected
    other = LogisticRegression(C=1 / (l2 * 6), tol=1e-8, max_iter=5000)  # l2 a hundredfold smaller
    assert sklearn_accuracy(make_pipeline(StandardScaler(), other), *digits) != expected


@pytest.mark.parametrize("n_train", [600, 40])  # primal; dual, n < d = 64
@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_ridge_probe_equals_scikit_learn(digits, n_train, l2):
    z_train, y_train, z_test, y_test = digits
    split = z_train[:n_train], y_train[:n_train], z_test, y_test
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=l2 * n_train))
    assert ridge_probe(*split, l2=l2).accuracy == sklearn_accuracy(model, *split)


@pytest.mark.parametrize("probe", PROBES)
def test_standard_error_is_binomial(digits, probe):
    a, error = probe(*digits)
    assert 0.5 < a < 1
    assert error == pytest.approx(math.sqrt(a * (1 - a) / 1197), rel=1e-12)


@pytest.mark.parametrize("probe", PROBES)
def test_shuffled_labels_are_at_chance(digits, probe):
    z_train, y_train, z_test, y_test = digits
    y_train = y_train[torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    a, error = probe(z_train, y_train, z_test, y_test)
    assert abs(a - 0.1) < 4 * error


@pytest.mark.parametrize("probe", PROBES)
def test_float32_and_labels_with_gaps(digits, probe):
    z_train, y_train, z_test, y_test = digits
    plain = probe(*digits).accuracy
    relabelled = probe(z_train.float(), 3 * y_train - 7, z_test.float(), 3 * y_test - 7).accuracy
    assert relabelled == pytest.approx(plain, abs=2 / 1197)


@pytest.mark.parametrize("probe", PROBES)
def test_a_collapsed_representation_is_no_better_than_one_class(digits, probe):
    _, y_train, _, y_test = digits
    a, _ = probe(torch.full((600, 8), 0.3), y_train, torch.full((1197, 8), 0.3), y_test)
    assert a <= y_test.bincount().max().item() / 1197


@pytest.mark.parametrize("probe", PROBES)
def test_bad_input_is_named(digits, probe):
    z_train, y_train, z_test, y_test = digits
    with pytest.raises(InputError, match="train set has"):
        probe(z_train, y_train[:-1], z_test, y_test)
    with pytest.raises(InputError, match="test set has"):
        probe(z_train, y_train, z_test[:, :-1], y_test)
    with pytest.raises(InputError, match="test embeddings hold NaN"):
        probe(z_train, y_train, z_test.clone().fill_(torch.nan), y_test)


def test_bad_settings_are_named(digits):
    with pytest.raises(InputError, match="1 <= k <= 600"):
        knn_accuracy(*digits, k=601)
    with pytest.raises(InputError, match="l2 above 0"):
        ridge_probe(*digits, l2=0)
    with pytest.raises(RunError, match="raise max_iter or l2"):
        linear_probe(*digits, max_iter=2)

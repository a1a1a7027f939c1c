"""Probes against scikit-learn on the embedded digits, and what they must not find."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssltheory.errors import InputError, RunError
from ssltheory.measure.probes import knn_accuracy, linear_probe, probe_layers, ridge_probe, ridge_r2
from ssltheory.models import encoders

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


@pytest.mark.parametrize("probe", [linear_probe, ridge_probe])
def test_a_feature_that_is_constant_up_to_rounding_counts_for_nothing(digits, probe):
    z_train, y_train, z_test, y_test = digits
    in_train, in_test = (torch.full_like(z[:, :1], 0.1) for z in (z_train, z_test))
    in_train[::2] = math.nextafter(0.1, 1)
    wider = torch.cat([z_train, in_train], 1), torch.cat([z_test, 2 * in_test], 1)
    assert probe(wider[0], y_train, wider[1], y_test) == probe(*digits)


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


# Real targets


@pytest.mark.parametrize("n_train", [600, 40])  # primal; dual, n < d = 64
@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_ridge_r2_equals_scikit_learn(digits, n_train, l2):
    z_train, _, z_test, _ = digits
    targets = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)).double()
    t_train, t_test = (z**2 @ targets for z in (z_train, z_test))
    found = ridge_r2(z_train[:n_train], t_train[:n_train], z_test, t_test, l2=l2)
    model = make_pipeline(StandardScaler(), Ridge(alpha=l2 * n_train))
    model.fit(z_train[:n_train].numpy(), t_train[:n_train].numpy())
    expected = r2_score(t_test.numpy(), model.predict(z_test.numpy()), multioutput="raw_values")
    assert found.numpy() == pytest.approx(expected, abs=1e-9)


def test_ridge_r2_is_one_for_what_is_linear_and_not_above_zero_for_noise(digits):
    z_train, _, z_test, _ = digits
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(len(z), 1, generator=generator).double() for z in (z_train, z_test)]
    t_train, t_test = (
        torch.cat([z[:, :1] - 3, n], 1) for z, n in zip((z_train, z_test), noise, strict=True)
    )
    linear, random = ridge_r2(z_train, t_train, z_test, t_test, l2=1e-9)
    assert linear == pytest.approx(1, abs=1e-6)
    assert random < 0.02


def test_ridge_r2_refuses(digits):
    z_train, _, z_test, _ = digits
    t_train, t_test = z_train[:, :2], z_test[:, :2]
    for wrong, message in [
        ((z_train, t_train[:, 0], z_test, t_test), "train set has"),
        ((z_train, t_train, z_test, t_test[:-1]), "test set has"),
        ((z_train, t_train, z_test, torch.ones_like(t_test)), "constant on the test set"),
        ((z_train, t_train, z_test[:, :-1], t_test), "the same d in both sets"),
        ((z_train, t_train / 0, z_test, t_test), "finite"),
    ]:
        with pytest.raises(InputError, match=message):
            ridge_r2(*wrong)
    with pytest.raises(InputError, match="l2 above 0"):
        ridge_r2(z_train, t_train, z_test, t_test, l2=0)


# Layers


def test_probe_layers_reads_each_layer_in_evaluation_mode(digits):
    z_train, y_train, z_test, y_test = digits
    net = encoders.mlp([64, 16, 8], batch_norm=True).double()
    net(z_train)  # running averages that are not those of the test set
    train, test = (z_train, y_train), (z_test, y_test)
    found = probe_layers(ridge_probe, net, ["3", "4"], train, test, batch_size=100, l2=0.1)
    hidden, out = (encoders.activations(net, z, ["3", "4"]).values() for z in (z_train, z_test))
    for k, pair in enumerate(zip(hidden, out, strict=True)):
        assert found[k] == ridge_probe(pair[0], y_train, pair[1], y_test, l2=0.1)
    assert found[0] != found[1]
    assert net.training


def test_probe_layers_averages_maps_over_quarters():
    x = torch.rand(80, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    corner = x[..., :4, :4].mean((2, 3))  # linear in the quarters, not in the whole
    net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.AdaptiveAvgPool2d(1))
    train, test = (x[:50], corner[:50]), (x[50:], corner[50:])
    quarters, whole = probe_layers(ridge_r2, net, ["0", "1"], train, test, l2=1e-9)
    assert (quarters > 0.999).all()
    assert (whole < 0.7).all()
    with pytest.raises(InputError, match="no layer '2'"):
        probe_layers(ridge_r2, net, ["2"], train, test)

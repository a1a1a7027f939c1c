"""Factorisation by untrained networks, and what chapter 18 holds it against."""

import json
import math
import re
import textwrap
from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT

from ssltheory import deep_tensor
from ssltheory.chapters.deep_tensor import experiment
from ssltheory.deep_tensor import encoder_decoder, factorize, product, stop_step
from ssltheory.errors import InputError, RunError

SMALL = {"channels": 8, "steps": 12}
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def signal():
    """A smooth matrix under Poisson noise, with the expected squared error."""
    draw = generator(1)
    x = experiment.smooth(64, 8, draw)
    return x, *experiment.observe(x, "poisson", 20.0, draw)


# The network


def test_official_network_has_the_official_number_of_parameters():
    net = encoder_decoder(1, 32, [64], 128)
    assert sum(p.numel() for p in net.parameters()) == 805_380


@pytest.mark.parametrize("length", [3, 4, 5, 7, 8, 33, 50, 64])
def test_every_length_from_three_on_is_taken(length):
    for lengths in ([length], [length, 9]):
        z = torch.rand(1, 2 * 3, *lengths, generator=generator())
        assert encoder_decoder(2, 3, lengths, 4)(z).shape == z.shape


def test_members_do_not_see_each_other():
    net = encoder_decoder(2, 3, [16], 4)
    z = torch.rand(1, 6, 16, generator=generator())
    other = z.clone()
    other[:, 3:] = torch.rand(1, 3, 16, generator=generator(1))
    torch.testing.assert_close(net(z)[:, :3], net(other)[:, :3])
    assert not torch.allclose(net(z)[:, 3:], net(other)[:, 3:])


def test_product_is_the_sum_of_outer_products():
    u, v, w = (torch.randn(2, 3, n, generator=generator(n)) for n in (4, 5, 6))
    matrix = torch.einsum("mri,mrj->mij", u, v)
    cube = torch.einsum("mri,mrj,mrk->mijk", u, v, w)
    torch.testing.assert_close(product([u, v]), matrix)
    torch.testing.assert_close(product([u, v, w]), cube.flatten(1, 2))


# A factorisation


@pytest.mark.parametrize(
    ("shape", "axes", "sum_of_products"),
    [
        ((12, 9), None, "ir,jr->ij"),
        ((9, 12), [[1], [0]], "jr,ir->ij"),
        ((8, 9, 10), None, "ir,jr,kr->ijk"),
        ((8, 9, 10), [[0, 1], [2]], "ijr,kr->ijk"),
        ((8, 9, 10), [[1], [2, 0]], "jr,kir->ijk"),
        ((5, 6, 7, 8), [[0, 1], [2], [3]], "ijr,kr,lr->ijkl"),
    ],
)
def test_factors_make_the_estimate(shape, axes, sum_of_products):
    y = 100 * torch.rand(shape, generator=generator())
    found = factorize(y, 3, axes, **SMALL)
    assert found.estimate.shape == y.shape
    made = torch.einsum(sum_of_products, *found.factors)
    torch.testing.assert_close(found.estimate, made, rtol=1e-4, atol=1e-3)
    distance = (found.estimate - y).square().mean()
    torch.testing.assert_close(distance, found.history[found.step], rtol=1e-3, atol=0)
    assert found.history.shape == (12,)
    assert found.history[-1] < found.history[0]


def test_several_at_once_are_as_each_alone():
    y = torch.rand(2, 10, 12, generator=generator())
    level = torch.tensor([0.0, 1.0])
    both = factorize(y, 3, seed=[3, 5], noise_variance=level, input_noise=0.03, **SMALL)
    for k, s in enumerate((3, 5)):
        alone = factorize(
            y[k], 3, seed=s, noise_variance=float(level[k]), input_noise=0.03, **SMALL
        )
        assert both.step[k] == alone.step
        assert both.stopped[k] == alone.stopped
        torch.testing.assert_close(both.estimate[k], alone.estimate, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(both.factors[0][k], alone.factors[0], rtol=1e-3, atol=1e-3)
        n = len(alone.history)
        torch.testing.assert_close(both.history[k, :n], alone.history, rtol=1e-3, atol=1e-5)


def test_same_seed_same_result_and_the_global_seed_is_untouched():
    y = torch.rand(10, 12, generator=generator())
    torch.manual_seed(0)
    first = factorize(y, 3, input_noise=0.03, **SMALL).estimate
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(first, factorize(y, 3, input_noise=0.03, **SMALL).estimate)
    assert not torch.equal(first, factorize(y, 3, seed=1, **SMALL).estimate)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


def test_units_do_not_matter():
    y = torch.rand(10, 12, generator=generator())
    found, scaled = (factorize(c * y, 3, noise_variance=0.09 * c**2, **SMALL) for c in (1.0, 255.0))
    assert found.step == scaled.step
    torch.testing.assert_close(255 * found.estimate, scaled.estimate, rtol=1e-3, atol=0.1)
    torch.testing.assert_close(255**2 * found.history, scaled.history, rtol=1e-3, atol=1.0)


def test_stop_is_the_first_iterate_at_the_level_of_the_noise(signal):
    _, y, level = signal
    iterates = []
    how = {"channels": 16, "seed": 2, "lr": 3e-3}
    level = 2 * level  # reached sooner
    whole = factorize(y, 8, steps=60, callback=lambda _, m: iterates.append(m), **how)
    stopped = factorize(y, 8, steps=60, noise_variance=float(level), **how)
    at = int(stop_step(whole.history, level))
    assert 0 < at < 59
    assert whole.history[at] <= level < whole.history[at - 1]
    assert stopped.stopped
    assert int(stopped.step) == at
    assert len(stopped.history) == at + 1
    torch.testing.assert_close(stopped.estimate, iterates[at], rtol=1e-3, atol=1e-4)
    assert not whole.stopped
    assert int(whole.step) == int(whole.history.argmin())


@pytest.mark.parametrize(("loss", "is_svd"), [("l2", True), ("l1", False)])
def test_free_factors_of_the_squared_distance_are_the_svd(signal, loss, is_svd):
    """Eckart and Young: where the network is none, a wrong distance shows."""
    x, y, _ = signal
    free = {"network": lambda *_: torch.nn.Identity(), "steps": 1500, "lr": 1e-2}
    found = experiment.psnr(x, factorize(y, 8, loss=loss, **free).estimate)
    gap = abs(float(found - experiment.psnr(x, experiment.truncated_svd(y, 8))))
    assert gap < 0.05 if is_svd else gap > 0.5


def examples():
    """The code that users are shown: in the module's docstring and in the chapter."""
    indented = [line for line in deep_tensor.__doc__.splitlines() if line.startswith("    ")]
    notebook = json.loads((ROOT / "notebooks/18-deep-tensor.ipynb").read_text(encoding="utf-8"))
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    return {"docstring": textwrap.dedent("\n".join(indented)), "chapter": PYTHON.findall(text)[0]}


@pytest.mark.parametrize("place", ["docstring", "chapter"])
def test_examples_run_as_they_stand(place, monkeypatch):
    monkeypatch.setattr(deep_tensor, "factorize", partial(factorize, steps=12, channels=8))
    y = torch.rand(12, 10, generator=generator())
    names = {"y": y, "cube": torch.rand(12, 9, 13, generator=generator())}
    exec(examples()[place], names)
    found = names["found"]
    assert found.estimate.shape == y.shape
    assert [u.shape for u in found.factors] == [(12, 8), (10, 8)]


def test_stop_step_is_the_last_where_none_is_below():
    history = torch.tensor([[3.0, 2.0, 1.0, 2.0], [3.0, 2.0, 2.0, 2.0]])
    assert stop_step(history, 1.5).tolist() == [2, 3]
    assert stop_step(history, torch.tensor([2.0, 3.0])).tolist() == [1, 0]


def test_softplus_where_asked():
    y = torch.rand(10, 12, generator=generator())
    u, v = factorize(y, 3, nonnegative=True, **SMALL).factors
    assert (u > 0).all()
    assert (v > 0).all()
    u, v = factorize(y, 3, nonnegative=[True, False], **SMALL).factors
    assert (u > 0).all()
    assert not (v > 0).all()


def test_l1_is_another_descent_and_both_distances_are_squared():
    y = torch.rand(10, 12, generator=generator())
    l2, l1 = (factorize(y, 3, loss=loss, **SMALL) for loss in ("l2", "l1"))
    assert l2.history[0] == l1.history[0]
    assert l2.history[-1] != l1.history[-1]


def test_arrays_and_zeros_are_taken():
    assert factorize(np.zeros((8, 9)), 2, **SMALL).estimate.isfinite().all()
    assert factorize([[0.0, 1.0, 2.0]] * 4, 1, **SMALL).estimate.shape == (4, 3)


def test_cleaner_than_the_svd_and_only_with_neighbours(signal):
    x, y, level = signal
    rows, columns = (
        torch.randperm(64, generator=generator(2)),
        torch.randperm(64, generator=generator(3)),
    )
    pair = torch.stack([y, y[rows][:, columns]])
    found = factorize(pair, 8, seed=[4, 4], noise_variance=level, steps=130)
    straight, shuffled = experiment.psnr(
        torch.stack([x, x[rows][:, columns]]), found.estimate
    ).tolist()
    svd = float(experiment.psnr(x, experiment.truncated_svd(y, 8)))
    assert straight > svd + 2.5
    assert shuffled < straight - 1.5


Y = torch.rand(10, 12, generator=generator())
HOLE = Y.clone()
HOLE[3, 4] = math.nan


@pytest.mark.parametrize(
    ("y", "rank", "how", "message"),
    [
        (HOLE, 3, {}, "NaN"),
        (Y[:2], 1, {}, "2 entries: a convolutional network takes axes of 3"),
        (Y, 0, {}, r"rank=0 must be in \[1, 10\]"),
        (Y, 11, {}, r"rank=11 must be in \[1, 10\]"),
        (Y[0], 1, {}, "each of the 1 axes of y once, in two groups"),
        (Y, 3, {"axes": [[0], [0]]}, "name each of the 2 axes"),
        (Y, 3, {"axes": [[0, 1]]}, "in two groups"),
        (Y, 3, {"seed": [0, 1]}, "got 2 seeds and y of"),
        (Y, 3, {"noise_variance": -1.0}, "noise_variance=-1"),
        (Y, 3, {"noise_variance": math.nan}, "noise_variance=nan"),
        (Y, 3, {"noise_variance": torch.ones(2)}, "one for each of the 1 seeds"),
        (Y + 0j, 3, {}, "y is torch.complex64"),
        (Y, 3, {"steps": 0}, "steps=0"),
        (Y, 3, {"lr": 0.0}, "lr=0"),
        (Y, 3, {"loss": "huber"}, "loss='huber'"),
        (Y, 3, {"nonnegative": [True]}, "each of 2 groups"),
        (Y, 3, {"input_noise": -1.0}, "input_noise"),
    ],
)
def test_refusals(y, rank, how, message):
    with pytest.raises(InputError, match=message):
        factorize(y, rank, **SMALL | how)


def test_a_descent_that_diverges_is_an_error():
    with pytest.raises(RunError, match="take lr below"):
        factorize(Y, 3, channels=8, steps=60, lr=1e30)


# What it is held against


def test_expected_squared_error_is_known_from_the_noisy_matrix(signal):
    x = signal[0]
    for kind, level in (("poisson", 5.0), ("poisson", 100.0), ("gaussian", 0.2)):
        y, expected = experiment.observe(x, kind, level, generator())
        assert float((y - x).square().mean() / expected) == pytest.approx(1, abs=0.06)
    y, expected = experiment.observe(x, "poisson", math.inf, generator())
    assert torch.equal(x, y)
    assert expected == 0


def test_signals_are_what_they_say():
    for make in (experiment.smooth, experiment.gaussian, experiment.piecewise):
        x = make(64, 6, generator())
        assert x.min() >= 0
        assert x.max() == pytest.approx(1)
        rank = int(torch.linalg.matrix_rank(x.double(), rtol=1e-5))
        assert rank == 6 + (make is not experiment.smooth)  # the offset is one more
    jumps = experiment.piecewise(64, 1, generator()).diff(dim=0).abs().amax(1) > 1e-6
    assert 8 <= int(jumps.sum()) <= 10
    cube = experiment.voronoi_cube(16, 12, 3, generator())
    assert cube.shape == (16, 16, 12)
    assert len(cube.flatten(0, 1).unique(dim=0)) == 3


def test_psnr_of_a_known_error():
    x = torch.zeros(3, 4, 5)
    assert experiment.psnr(x, x + 0.1).tolist() == pytest.approx([20.0] * 3)


def test_oracle_is_the_best_of_all_ranks(signal):
    x, y, _ = signal
    every = torch.stack([experiment.psnr(x, experiment.truncated_svd(y, k)) for k in range(1, 65)])
    best, rank = experiment.oracle_svd(y, x)
    assert float(best) == pytest.approx(float(every.max()))
    assert int(rank) == int(every.argmax()) + 1


def test_free_factors_are_the_svd_and_nmf_is_not_below_zero(signal):
    x, y, _ = signal
    svd = experiment.truncated_svd(y, 4)
    free = experiment.free_factors(y, 4, generator())
    assert float((free - svd).square().mean().sqrt()) < 1e-3
    found = experiment.nmf(torch.stack([y, y]), 4)
    assert found.shape == (2, 64, 64)
    assert found.min() >= 0
    assert experiment.psnr(x, found[0]) > experiment.psnr(x, y)


def test_networks_without_neighbours_do_not_see_the_order():
    net = experiment.pointwise(1, 3, [16], 8)
    z = torch.rand(1, 3, 16, generator=generator())
    order = torch.randperm(16, generator=generator())
    torch.testing.assert_close(net(z)[..., order], net(z[..., order]))


def test_u_net_keeps_the_shape_and_steps_are_timed():
    z = torch.rand(1, 1, 12, 12, 12, generator=generator())
    assert experiment.UNet3d(4)(z).shape == z.shape
    seconds = experiment.step_seconds(8, 2, 1, torch.device("cpu"))
    assert seconds.shape == (3,)
    assert (seconds > 0).all()
    assert seconds.isfinite().all()

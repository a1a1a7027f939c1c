"""Closed forms of BatchNorm's geometry against brute force: sums, grids, differentiation, simulation."""

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssltheory.chapters.batch_norm_partitions import experiment
from ssltheory.errors import InputError
from ssltheory.theory import splines

SLOPE, BOX = 0.1, [[-2.0, -2.0], [2.0, 2.0]]


def normal(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def plane(seed=0, widths=4, units=6, data=None):
    net = experiment.network("mlp", (2,), widths, units, 0, SLOPE, seed=seed).double()
    return experiment.layers(net if data is None else experiment.fold_(net, data))


def preactivations(layers, z):
    found = []
    for w, c in layers:
        found.append(z @ w.T + c)
        z = F.leaky_relu(found[-1], SLOPE)
    return found


def polygons(found, layer):
    all_of_them = np.split(found.vertices, found.corners.cumsum()[:-1])
    return [p for p, depth in zip(all_of_them, found.depth, strict=True) if depth == layer]


# Least squares


def test_least_squares_are_the_squared_distances_to_the_hyperplane():
    z, w, m = normal(30, 4), normal(5, 4, seed=1), normal(5, seed=2)
    foot = z[:, None] + ((m - z @ w.T) / w.square().sum(1))[..., None] * w
    expected = (z[:, None] - foot).square().sum((0, 2))
    torch.testing.assert_close(splines.total_least_squares(z @ w.T, w, m), expected)
    assert ((foot * w).sum(-1) - m).abs().max() < 1e-12


def test_their_minimum_is_at_the_mean_and_is_the_biased_variance():
    w, h = normal(5, 4, seed=1), 3 + normal(30, 4) @ normal(5, 4, seed=1).T
    torch.testing.assert_close(splines.nearest(h, w), h.mean(0), rtol=1e-12, atol=1e-12)
    least = splines.total_least_squares(h, w, h.mean(0))
    for step in (-0.01, 0.01):
        assert (splines.total_least_squares(h, w, h.mean(0) + step) > least).all()
    variance = splines.variance(h, w, h.mean(0))
    torch.testing.assert_close(variance, h.var(0, correction=0), rtol=1e-12, atol=0)


def test_squared_offset_is_the_excess_in_units_of_the_minimum():
    w, h = normal(5, 4, seed=1), 3 + normal(30, 5)
    least = splines.total_least_squares(h, w, h.mean(0))
    excess = splines.total_least_squares(h, w, 0.0) - least
    torch.testing.assert_close(splines.offset(h).square(), excess / least)


def test_a_wrong_centre_is_not_the_best():
    z = normal(60, 3).exp()  # skewed: its median is not its mean
    net = experiment.network("mlp", (3,), 3, 8, 0, SLOPE).double()
    experiment.fold_(net, z, centre=lambda h: h.median(0).values)
    wrong = torch.stack([splines.offset(h) for h in experiment.preactivations(net, z)])
    assert wrong.abs().max() > 0.1


# Partitions


@pytest.mark.parametrize("seed", range(4))
def test_cells_fill_the_box_and_are_told_apart_by_the_signs_of_their_units(seed):
    layers = plane(seed, data=normal(100, 2, seed=seed))
    found = splines.partition(layers, SLOPE, BOX)
    for layer in range(4):
        cells = polygons(found, layer)
        area = sum(
            abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 for x, y in (p.T for p in cells)
        )
        assert area == pytest.approx(16, rel=1e-9)
        centres = torch.tensor(np.stack([p.mean(0) for p in cells]))
        signs = torch.cat(preactivations(layers[: layer + 1], centres), 1) > 0
        assert len(signs.unique(dim=0)) == len(cells)


def test_no_grid_finds_a_cell_that_is_not_there():
    layers = plane(1, data=normal(100, 2))
    x = torch.linspace(-2, 2, 500, dtype=torch.float64)
    signs = torch.cat(preactivations(layers, torch.cartesian_prod(x, x)), 1) > 0
    on_grid = len((signs.long() @ 2 ** torch.arange(24)).unique())
    assert (
        0.9 * splines.regions(layers, SLOPE, BOX) < on_grid <= splines.regions(layers, SLOPE, BOX)
    )


def test_segments_lie_where_their_unit_is_zero_and_end_at_other_boundaries_or_the_box():
    layers = plane(2, data=normal(100, 2))
    found = splines.partition(layers, SLOPE, BOX)
    for part in (0.1, 0.5, 1.0):
        at = found.segments[:, 0] + part * (found.segments[:, 1] - found.segments[:, 0])
        h = torch.stack(preactivations(layers, torch.tensor(at)))
        assert h[found.layer, np.arange(len(at)), found.unit].abs().max() < 1e-9


def test_lines_in_general_position_and_through_one_point():
    z = normal(100, 2)
    (w, c), *_ = plane(3)
    w = 10 * w / w.norm(dim=1, keepdim=True)
    general, central = (splines.regions([(w, b)], SLOPE, BOX) for b in (c, -w @ z.mean(0)))
    crossings = 0
    for i in range(6):
        for j in range(i):
            point = torch.linalg.solve(w[[i, j]], -c[[i, j]])
            crossings += bool((point.abs() < 2).all())
    assert general == 1 + 6 + crossings
    assert central == 12


def test_boundaries_of_a_batchnorm_layer_meet_at_the_mean_of_its_inputs():
    z = normal(100, 2)
    layers = plane(4, data=z)
    for w, c in layers:
        assert (w @ z.mean(0) + c).abs().max() < 1e-13
        z = F.leaky_relu(z @ w.T + c, SLOPE)


def test_three_inputs_are_refused():
    with pytest.raises(InputError, match="the network has 3 inputs"):
        splines.partition([(normal(4, 3), normal(4))], SLOPE, BOX)


# Folds and jitter


def test_fold_is_the_jump_of_the_gradient():
    w_out, w, c = normal(3, 5), normal(5, 2, seed=1), normal(5, seed=2)
    sigma = normal(5, seed=3).exp()
    below, above = experiment.folds(w_out, w, c, sigma.expand(5, 5), normal(2), SLOPE)
    expected = splines.fold(w_out, w, sigma, SLOPE).transpose(0, 1)
    assert (above - below - expected).abs().max() < 1e-12


def test_angles():
    e, turned = torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 1.0], [-1.0, 1.0], [-2.0, 0.0]])
    torch.testing.assert_close(splines.turning_angle(e, turned), torch.tensor([45.0, 90.0, 180.0]))
    small = splines.turning_angle(e.double(), torch.tensor([[0, 1e-3], [0, 2e-3]]).double())
    assert small[1] / small[0] == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("n", [None, 40])
def test_jitter_is_that_of_batches_with_and_without_replacement(n):
    h, draw = normal(40, 1), torch.Generator().manual_seed(1)
    if n is None:
        rows = torch.randint(40, (40_000, 8), generator=draw)
    else:
        rows = torch.rand(40_000, 40, generator=draw).argsort(1)[:, :8]
    found = h[rows].mean((1, 2)).std() / h.std(correction=0)
    assert float(found / splines.jitter(8, n)) == pytest.approx(1, abs=0.015)
    assert splines.jitter(40, 40) == 0


def test_jitter_without_replacement_is_that_of_every_batch():
    h = normal(5)
    every = torch.stack([h[list(batch)].mean() for batch in combinations(range(5), 2)])
    expected = every.std(correction=0) / h.std(correction=0)
    torch.testing.assert_close(splines.jitter(2, 5), expected)

"""Plateaus of the losses against the losses themselves, minimised by brute force."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssltheory import losses
from ssltheory.errors import InputError
from ssltheory.theory import plateaus


def normal(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def minimised(loss, *start):
    """Least value of loss(*parameters) from a start, by L-BFGS."""
    parameters = [p.clone().requires_grad_() for p in start]
    settings = {"max_iter": 300, "tolerance_grad": 1e-7, "tolerance_change": 1e-12}
    descent = torch.optim.LBFGS(parameters, line_search_fn="strong_wolfe", **settings)

    def closure():
        descent.zero_grad()
        value = loss(*parameters)
        value.backward()
        return value

    descent.step(closure)
    return loss(*parameters).item()


def simclr_across(z, temperature):
    """Both directions added, negatives of the other view only, views equal."""
    z = F.normalize(z, dim=-1)
    s = z @ z.mT / temperature
    return 2 * (s.logsumexp(-1) - s.diagonal()).mean()


@pytest.mark.parametrize("modes", [0, 1, 4])
def test_barlow_twins_rests_where_k_modes_are_learnt(modes):
    z = normal(40, max(modes, 1))
    z = torch.linalg.qr(z)[0] * 40**0.5  # C = I in k dimensions
    z = F.pad(z[:, :modes], (0, 6 - modes))
    loss = losses.barlow_twins(z, z, lambda_=1.0, normalize=False).item()
    assert loss == pytest.approx(plateaus.barlow_twins(modes, 6).loss, abs=1e-12)


def test_vicreg_of_a_point_is_its_start():
    point = torch.ones(8, 5, dtype=torch.float64)
    assert losses.vicreg(point, point, variance=50.0).item() == pytest.approx(
        plateaus.vicreg_start(), abs=1e-9
    )


@pytest.mark.parametrize(("modes", "dim"), [(1, 8), (2, 8), (1, 16), (3, 16)])
def test_vicreg_rests_at_its_least_value_in_k_dimensions(modes, dim):
    def loss(a, b):
        z = a @ b
        return losses.vicreg(z, z, variance=50.0)  # the two terms added

    values = [
        minimised(loss, normal(30, modes, seed=s), normal(modes, dim, seed=9 + s)) for s in range(2)
    ]
    # ε = 10⁻⁴ beside variances of about one
    assert min(values) == pytest.approx(plateaus.vicreg(modes, dim).loss, abs=0.01)


def test_the_hinge_closes_where_the_eigenvalue_would_pass_it():
    assert plateaus.vicreg(7, 8).eigenvalue == pytest.approx(8 / 7)
    assert plateaus.vicreg(8, 8).loss == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("modes", [1, 2, 3, 4])
def test_simclr_comes_close_to_its_bound_and_not_below(modes):
    bound = plateaus.simclr_bound(modes, 64, 0.3)
    start = normal(64, modes)
    if modes == 1:  # two points, half of the images each: nothing to descend
        start = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).repeat(32, 1)
    least = minimised(lambda z: simclr_across(z, 0.3), start)
    assert bound - 1e-9 <= least <= bound + 5e-3
    assert simclr_across(normal(64, modes, seed=7), 0.3) > bound


def test_simclr_starts_at_two_log_n():
    assert simclr_across(torch.ones(50, 3), 0.2).item() == pytest.approx(
        plateaus.simclr_start(50), abs=1e-5
    )
    assert plateaus.simclr_start(50) == 2 * math.log(50)


@pytest.mark.parametrize(
    "call",
    [
        lambda: plateaus.barlow_twins(5, 4),
        lambda: plateaus.vicreg(0, 4),
        lambda: plateaus.simclr_bound(0, 4, 0.2),
        lambda: plateaus.simclr_bound(2, 4, 0.0),
    ],
)
def test_what_has_no_plateau_is_refused(call):
    with pytest.raises(InputError):
        call()

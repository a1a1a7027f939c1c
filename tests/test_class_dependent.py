"""Two models with classes that pay: closed forms against simulation and against scikit-learn."""

import pytest
import torch
from sklearn.linear_model import Ridge

from ssltheory.errors import InputError
from ssltheory.theory.class_dependent import ridge, two_gaussians

TAU = torch.tensor([0, 0.25, 0.5, 1, 2, 4], dtype=torch.float64)


def simulated(sigma, tau, n=400_000):
    """The rule of largest density, fitted to augmented and tried on clean data."""
    draw = torch.randn(3, 2, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigma = torch.tensor(sigma, dtype=torch.float64)[:, None]
    seen, clean = sigma * draw[0] + tau * draw[1], sigma * draw[2]
    classes = [torch.distributions.Normal(s.mean(), s.std()) for s in seen]
    says_b = classes[1].log_prob(clean) > classes[0].log_prob(clean)
    return 1 - says_b[0].double().mean(), says_b[1].double().mean()


@pytest.mark.parametrize("sigma", [(0.5, 1.5), (1.0, 1.2)])
def test_two_gaussians_is_what_simulation_finds(sigma):
    found = torch.tensor([simulated(sigma, tau) for tau in TAU]).T
    assert (torch.stack(two_gaussians(*sigma, TAU)) - found).abs().max() < 0.003


def test_swapping_noise_and_width_is_not():
    found = torch.tensor([simulated((0.5, 1.5), tau) for tau in TAU]).T
    wrong = [two_gaussians(0.5 + tau, 1.5 + tau, torch.zeros(1)) for tau in TAU.tolist()]
    assert (torch.tensor(wrong).T - found).abs().max() > 0.1


def test_one_class_only_gains_the_other_only_loses_and_their_mean_falls():
    a, b = two_gaussians(0.5, 1.5, torch.linspace(0, 4, 100))
    assert (a.diff() > 0).all()
    assert (b.diff() < 0).all()
    assert ((a + b).diff() < 0).all()


def test_ridge_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 60, generator=generator), torch.arange(40) % 3
    x_test, lambdas = torch.randn(7, 60, generator=generator), torch.tensor([0.1, 10.0])
    one_hot = torch.eye(3)[y]
    found = ridge(x, y, 3)(x_test, lambdas)
    for logits, alpha in zip(found, lambdas, strict=True):
        peer = Ridge(alpha=float(alpha)).fit(x.double().numpy(), one_hot.double().numpy())
        expected = torch.from_numpy(peer.predict(x_test.double().numpy()))
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="0 < sigma_a < sigma_b"):
        two_gaussians(1.5, 0.5, TAU)
    with pytest.raises(InputError, match="labels 0 to 3"):
        ridge(torch.zeros(4, 2), torch.arange(4), 3)
    with pytest.raises(InputError, match="above 0"):
        ridge(torch.eye(3), torch.arange(3), 3)(torch.eye(3), torch.zeros(1))

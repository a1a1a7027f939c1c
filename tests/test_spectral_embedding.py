"""Closed forms of spectral embeddings against descent on the losses, scikit-learn, and what they are not."""

import numpy as np
import pytest
import scipy.linalg
import sklearn.discriminant_analysis
import sklearn.manifold
import sklearn.neighbors
import torch

from ssltheory import losses
from ssltheory.errors import InputError
from ssltheory.measure import spectra
from ssltheory.theory import spectral_embedding

F64 = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def neighbour_graph(n=40, k=5, seed=0):
    x = draw(n, 3, seed=seed).numpy()
    graph = torch.from_numpy(sklearn.neighbors.kneighbors_graph(x, k).toarray())
    return torch.maximum(graph, graph.T)


def minimised(loss, shape, seed=1, steps=500):
    z = (0.1 * draw(*shape, seed=seed)).requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [z],
        max_iter=steps,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
        history_size=30,
    )

    def closure():
        optimizer.zero_grad()
        value = loss(z)
        value.backward()
        return value

    optimizer.step(closure)
    return z.detach()


def gram(z):
    z = z - z.mean(0)
    return z @ z.T


def relative(a, b):
    return float((a - b).norm() / b.norm())


GRAPH, DIM = neighbour_graph(), 4
LAMBDA = torch.linalg.eigvalsh(spectral_embedding.laplacian(GRAPH))[1:]


# Free embeddings


@pytest.mark.parametrize("rho", [0.02, 0.1, 0.3])
def test_vicreg_optimum_is_what_descent_finds(rho):
    closed = spectral_embedding.vicreg_optimum(GRAPH, DIM, rho)
    found = minimised(lambda z: spectral_embedding.vicreg_loss(z, GRAPH, rho), closed.shape)
    least = spectral_embedding.vicreg_loss(closed, GRAPH, rho)
    assert float(spectral_embedding.vicreg_loss(found, GRAPH, rho) - least) == pytest.approx(
        0, abs=1e-8
    )
    assert relative(gram(found), gram(closed)) < 1e-5
    shrunk = (1 - rho * LAMBDA[:DIM]).clamp(min=0)
    assert float(least) == pytest.approx(float((1 - shrunk**2).sum()), abs=1e-12)


@pytest.mark.parametrize("factor", [0.5, 2])  # γ/n for 2γ/n, and the reverse
def test_another_constant_is_no_optimum(factor):
    closed = spectral_embedding.vicreg_optimum(GRAPH, DIM, 0.1)
    wrong = spectral_embedding.vicreg_optimum(GRAPH, DIM, factor * 0.1)
    assert relative(gram(wrong), gram(closed)) > 1e-2
    loss = spectral_embedding.vicreg_loss
    assert loss(wrong, GRAPH, 0.1) > loss(closed, GRAPH, 0.1) + 1e-3


def test_a_mode_dies_at_one_over_its_eigenvalue():
    for k in range(DIM):
        for factor, rank in ((1 - 1e-6, k + 1), (1 + 1e-6, k)):
            z = spectral_embedding.vicreg_optimum(GRAPH, DIM, factor / float(LAMBDA[k]))
            assert int((z.square().sum(0) > 1e-12).sum()) == rank


def test_directions_are_laplacian_eigenmaps():
    maps = sklearn.manifold.spectral_embedding(
        GRAPH.numpy(), n_components=DIM, norm_laplacian=False, drop_first=True
    )
    z = spectral_embedding.vicreg_optimum(GRAPH, DIM, 0.01)
    assert float(spectra.subspace_alignment(z, torch.from_numpy(maps))) == pytest.approx(
        1, abs=1e-9
    )


def test_in_a_graph_of_several_parts_the_constant_is_left_out():
    graph = torch.block_diag(neighbour_graph(15), neighbour_graph(20, seed=1), neighbour_graph(8))
    z = spectral_embedding.vicreg_optimum(graph, 2, 5.0)
    assert float(z.mean(0).abs().max()) < 1e-12
    assert float(spectral_embedding.vicreg_loss(z, graph, 5.0)) == pytest.approx(0, abs=1e-12)


def test_other_eigenvectors_are_saddles():
    graph, rho = neighbour_graph(18, 4), 0.05
    lam, u = torch.linalg.eigh(spectral_embedding.laplacian(graph))

    def curvature(subset):
        z = 18**0.5 * u[:, subset] * (1 - rho * lam[subset]).clamp(min=0).sqrt()
        loss = lambda z: spectral_embedding.vicreg_loss(z, graph, rho)  # noqa: E731
        gradient = torch.autograd.functional.jacobian(loss, z)
        hessian = torch.autograd.functional.hessian(loss, z).reshape(z.numel(), -1)
        return float(gradient.abs().max()), float(torch.linalg.eigvalsh(hessian)[0])

    assert curvature([1, 2, 3]) == pytest.approx((0, 0), abs=1e-10)
    for subset in ([2, 3, 4], [1, 2, 5], [1, 2, 10]):
        gradient, least = curvature(subset)
        assert gradient < 1e-10
        assert least < -1e-3


def test_contrastive_optimum_is_what_descent_finds():
    graph = GRAPH + 2 * torch.eye(len(GRAPH), dtype=F64)
    closed = spectral_embedding.contrastive_optimum(graph, DIM)
    found = minimised(lambda z: spectral_embedding.contrastive_loss(z, graph), closed.shape)
    assert relative(found @ found.T, closed @ closed.T) < 1e-5


def test_contrastive_optimum_of_geodesic_distances_is_isomap():
    x = draw(60, 3, seed=2)
    isomap = sklearn.manifold.Isomap(n_neighbors=8, n_components=3, eigen_solver="dense").fit(x)
    squared = torch.from_numpy(isomap.dist_matrix_) ** 2
    centre = torch.eye(60, dtype=F64) - 1 / 60
    z = spectral_embedding.contrastive_optimum(-centre @ squared @ centre / 2, 3)
    maps = torch.from_numpy(isomap.embedding_)
    assert relative(z @ z.T, maps @ maps.T) < 1e-9


def test_lanczos_finds_what_the_factorisation_finds(monkeypatch):
    graph = neighbour_graph(300, 6, seed=4)
    dense = spectral_embedding.vicreg_optimum(graph, 6, 0.1)
    monkeypatch.setattr(spectral_embedding, "ITERATIVE", 100)
    assert relative(gram(spectral_embedding.vicreg_optimum(graph, 6, 0.1)), gram(dense)) < 1e-9


# Linear networks

UNBALANCED = torch.repeat_interleave(torch.arange(4), torch.tensor([20, 35, 15, 30]))


def labelled(seed=0, m=8):
    x = draw(len(UNBALANCED), m, seed=seed) + draw(4, m, seed=seed + 1)[UNBALANCED]
    return x - x.mean(0)


def pair_graph(n):
    """Rows i and n + i are a positive pair: G 1 = 1."""
    return torch.eye(2 * n, dtype=F64).roll(n, 0)


@pytest.fixture(scope="module")
def views():
    """Two noisy views of 60 points, centred, and the graph of their pairs."""
    shared, scale = draw(60, 8), torch.linspace(2, 0.3, 8, dtype=F64)
    x = torch.cat([shared * scale + draw(60, 8, seed=s) for s in (1, 2)])
    return x - x.mean(0), pair_graph(60)


@pytest.mark.parametrize("rho", [0.3, 1.0, 3.0])
def test_linear_vicreg_is_what_descent_finds(views, rho):
    x, graph = views
    closed = spectral_embedding.linear_vicreg(x, graph, 4, rho)
    loss = lambda w: spectral_embedding.vicreg_loss(x @ w, graph, rho)  # noqa: E731
    found = minimised(loss, closed.shape)
    assert float(loss(found) - loss(closed)) == pytest.approx(0, abs=1e-8)
    assert relative(found @ found.T, closed @ closed.T) < 1e-5


def test_linear_contrastive_is_what_descent_finds(views):
    x, graph = views
    closed = spectral_embedding.linear_contrastive(x, graph, 4)
    loss = lambda w: spectral_embedding.contrastive_loss(x @ w, graph)  # noqa: E731
    found = minimised(loss, closed.shape)
    assert relative(found @ found.T, closed @ closed.T) < 1e-5


def test_vicreg_at_rho_one_is_the_contrastive_optimum(views):
    x, graph = views
    vicreg = spectral_embedding.linear_vicreg(x, graph, 4, 1.0)
    contrastive = 120**0.5 * spectral_embedding.linear_contrastive(x, graph, 4)
    assert relative(vicreg @ vicreg.T, contrastive @ contrastive.T) < 1e-10


def whitened(w, x):
    """W with XW of unit covariance."""
    moment = (x @ w).mT @ (x @ w) / len(x)
    return w @ torch.linalg.inv(torch.linalg.cholesky(moment)).mT


def test_barlow_twins_under_whitening_is_canonical_correlation(views):
    x, graph = views
    closed = spectral_embedding.linear_barlow_twins(x, graph, 3)
    r = spectral_embedding.pair_modes(x, graph)[0].flip(0)[:3]
    loss = lambda w: spectral_embedding.barlow_twins_loss(x @ whitened(w, x), graph)  # noqa: E731
    found = whitened(minimised(loss, closed.shape), x)
    assert float(loss(found)) == pytest.approx(float((1 - r).square().sum()), abs=1e-8)
    assert relative(found @ found.T, closed @ closed.T) < 1e-4


def test_canonical_correlations_are_those_of_the_two_views(views):
    x, graph = views
    a, b = torch.cat([x[:60], x[60:]]), torch.cat([x[60:], x[:60]])
    (s, c) = (
        torch.cov(torch.cat([a, b], 1).T, correction=0)[:8, at] for at in (slice(8), slice(8, 16))
    )
    r = scipy.linalg.eigh(c, s, eigvals_only=True)
    assert spectral_embedding.pair_modes(x, graph)[0].numpy() == pytest.approx(r, abs=1e-12)


@pytest.mark.parametrize(("lambda_", "least"), [(1.0, 0.6400), (0.1, 0.296), (0.005, 0.0543)])
def test_barlow_twins_own_normalisation_is_not_whitening(lambda_, least):
    n, r = 64, torch.tensor([0.9, 0.6, 0.3], dtype=F64)
    basis = torch.linalg.qr(torch.cat([torch.ones(n, 1, dtype=F64), draw(n, 6)], 1)).Q[:, 1:]
    x_a = n**0.5 * basis[:, :3]
    x_b = n**0.5 * (basis[:, :3] * r + basis[:, 3:] * (1 - r**2).sqrt())
    # twice over, in both orders: a symmetric cross-correlation
    x_a, x_b = torch.cat([x_a, x_b]), torch.cat([x_b, x_a])
    found = [
        float(losses.barlow_twins(x_a @ w, x_b @ w, lambda_))
        for w in (
            minimised(lambda w: losses.barlow_twins(x_a @ w, x_b @ w, lambda_), (3, 3), seed=seed)
            for seed in range(4)
        )
    ]
    assert min(found) == pytest.approx(least, abs=6e-4)
    assert min(found) < float((1 - r).square().sum()) - 0.01


def angles(x, graph):
    lda = sklearn.discriminant_analysis.LinearDiscriminantAnalysis(solver="eigen")
    ours = spectral_embedding.linear_vicreg(x, graph, 3, 1e-3)
    return np.degrees(
        scipy.linalg.subspace_angles(ours.numpy(), lda.fit(x, UNBALANCED).scalings_[:, :3])
    )


def test_with_the_label_graph_it_is_fishers_discriminant():
    assert angles(labelled(), spectral_embedding.label_graph(UNBALANCED)).max() < 1e-4


def test_with_the_0_1_label_graph_it_is_not():
    assert angles(labelled(), (UNBALANCED[:, None] == UNBALANCED).to(F64)).max() > 0.5


def test_a_rank_deficient_x_has_as_many_modes_as_its_rank(views):
    x, graph = views
    wide = torch.cat([x, x @ draw(8, 4)], 1)
    narrow, deficient = (spectral_embedding.linear_vicreg(z, graph, 3, 0.5) for z in (x, wide))
    assert relative(gram(wide @ deficient), gram(x @ narrow)) < 1e-8
    assert int((spectral_embedding.linear_vicreg(wide, graph, 12, 0.0).norm(dim=0) > 0).sum()) == 8


# Probes and InfoNCE


def test_a_probe_sees_the_column_space_alone():
    z, y = draw(30, 5), draw(30, 2, seed=1)
    v = spectral_embedding.probe_weights(z, y)
    assert v.numpy() == pytest.approx(np.linalg.lstsq(z.numpy(), y.numpy())[0], abs=1e-10)
    scaled = z * torch.tensor([1, 10, 0.1, 3, 0.5], dtype=F64)
    assert relative(scaled @ spectral_embedding.probe_weights(scaled, y), z @ v) < 1e-10
    u = torch.linalg.qr(z).Q
    residual = y.square().sum() - (u.mT @ y).square().sum()
    assert float((y - z @ v).square().sum()) == pytest.approx(float(residual), abs=1e-10)


def test_a_probe_of_dependent_features_has_the_least_norm():
    z, y = draw(30, 5), draw(30, 2, seed=1)
    v = spectral_embedding.probe_weights(z, y)
    twice = spectral_embedding.probe_weights(torch.cat([z, z], 1), y)
    torch.testing.assert_close(twice, torch.cat([v, v]) / 2)


def test_aligned_graphs_leave_no_residual_and_misaligned_ones_do():
    y = torch.arange(8).repeat_interleave(8)
    targets = torch.nn.functional.one_hot(y).to(F64)
    targets -= targets.mean(0)
    other = y[torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    for labels, least, most in ((y, 0, 1e-10), (other, 0.5, 1)):
        graph = spectral_embedding.label_graph(labels)
        for z in (
            spectral_embedding.vicreg_optimum(graph, 16, 0.5),
            spectral_embedding.vicreg_optimum(graph, 16, 1.5),
            spectral_embedding.contrastive_optimum(graph, 16),
        ):
            rest = targets - z @ spectral_embedding.probe_weights(z, targets)
            assert least <= float(rest.square().sum() / targets.square().sum()) <= most


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_info_nce_ends_at_a_simplex(temperature):
    classes, per_class = 4, 5
    y = torch.arange(classes).repeat_interleave(per_class)
    z = minimised(lambda z: spectral_embedding.info_nce_loss(z, y, temperature), (20, 3))
    least = spectral_embedding.info_nce_minimum(classes, per_class, temperature)
    assert float(spectral_embedding.info_nce_loss(z, y, temperature)) == pytest.approx(
        least, abs=1e-6
    )
    cosine = torch.nn.functional.normalize(z, dim=1)
    cosine = cosine @ cosine.T
    assert cosine[y[:, None] != y].numpy() == pytest.approx(-1 / 3, abs=1e-3)


# Bad input


@pytest.mark.parametrize(
    ("graph", "dim", "rho", "message"),
    [
        (GRAPH[:3], 2, 1.0, "square"),
        (GRAPH.triu(), 2, 1.0, "symmetric"),
        (-GRAPH, 2, 1.0, "non-negative"),
        (GRAPH, 41, 1.0, "between 1 and n=40"),
        (GRAPH, 2, -1.0, "weight of invariance"),
    ],
)
def test_bad_input_is_told(graph, dim, rho, message):
    with pytest.raises(InputError, match=message):
        spectral_embedding.vicreg_optimum(graph, dim, rho)


def test_x_that_is_not_centred_is_told(views):
    x, graph = views
    with pytest.raises(InputError, match="centred"):
        spectral_embedding.linear_vicreg(x + 1, graph, 2, 1.0)

"""Induced kernels against direct optimisation, on training views and held-out points, and operators that are wrong."""

import numpy as np
import pytest
import torch

from ssltheory.errors import InputError
from ssltheory.measure import kernels
from ssltheory.theory import kernel_ssl

F64 = torch.float64
N, DIM = 24, 4


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def centred(z):
    return z - z.mean(0)


def relative(a, b):
    return float((a - b).norm() / b.norm())


def random_adjacency(n=N, seed=0):
    """About four partners a view, of one connected graph: no tie."""
    linked = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 2.4 / n
    ring = torch.eye(n).roll(1, 0).bool()
    upper = (linked | ring | ring.T).triu(1).to(F64)
    return upper + upper.T


def dense_adjacency(n_images, n_views):
    return torch.from_numpy(kernel_ssl.view_adjacency(n_images, n_views).toarray())


def descent(k, loss, dim, seed=1):
    """K⁻¹ Z that minimises the loss over W = Z's coordinates in an orthonormal basis of the features."""
    factor = torch.linalg.cholesky(k)
    c = (0.1 * draw(len(k), dim, seed=seed)).requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [c],
        max_iter=1500,
        tolerance_grad=1e-11,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
        history_size=50,
    )

    def closure():
        optimizer.zero_grad()
        value = loss(factor @ c)
        value.backward()
        return value

    optimizer.step(closure)
    return torch.linalg.solve_triangular(factor.mT, c.detach(), upper=True)


def least_mean(k, coefficients):
    """The same embedding shifted by the constant of least norm, which VICReg leaves open."""
    k_one = torch.linalg.solve(k, torch.ones(len(k), 1, dtype=F64))
    return coefficients - k_one * coefficients.sum(0) / k_one.sum()


X, HELD_OUT = draw(N, 3), draw(10, 3, seed=1)
K, K_HELD_OUT = kernels.rbf(X, gamma=0.5), kernels.rbf(HELD_OUT, X, gamma=0.5)
A = random_adjacency()
LAPLACIAN = torch.diag(A.sum(1)) - A
EYE = torch.eye(N, dtype=F64)
CENTRE = EYE - 1 / N


def direct(method, beta):
    losses = {
        "vicreg": lambda z: kernel_ssl.vicreg_loss(z, A, beta),
        "contrastive": lambda z: kernel_ssl.contrastive_loss(z, A),
    }
    found = descent(K, losses[method], DIM)
    return (least_mean(K, found) if method == "vicreg" else found), losses[method]


CASES = [("vicreg", 0.1), ("vicreg", 0.4), ("contrastive", 0.0)]


@pytest.fixture(scope="module")
def descended():
    return {case: direct(*case) for case in CASES}


# Closed forms


@pytest.mark.parametrize("case", CASES, ids=str)
def test_closed_form_is_what_descent_finds_here_and_elsewhere(case, descended):
    closed = kernel_ssl.induced_kernel(K, A, DIM, *case)
    coefficients, loss = descended[case]
    z = K @ coefficients
    assert float(loss(z) - loss(closed.embeddings)) == pytest.approx(0, abs=1e-5)
    gram = closed.embeddings @ closed.embeddings.T
    assert relative(z @ z.T, gram) < 1e-3
    held_out = K_HELD_OUT @ coefficients
    assert relative(held_out @ held_out.T, closed.gram(K_HELD_OUT)) < 1e-3
    assert relative(kernel_ssl.induced_gram(K, A, DIM, *case), gram) < 1e-12
    assert relative(closed.embed(K), closed.embeddings) < 1e-9


def rebuilt(target):
    values, vectors = torch.linalg.eigh(target)
    root = vectors[:, -DIM:] * values[-DIM:].clamp(min=0).sqrt()
    return root @ root.T


@pytest.mark.parametrize("beta", [0.05, 0.2, 0.4])
def test_the_target_is_the_one_of_theory(beta):
    z = kernel_ssl.induced_kernel(K, A, DIM, "vicreg", beta).embeddings
    target = CENTRE - beta / 2 * LAPLACIAN
    assert relative(centred(z) @ centred(z).T, rebuilt(target)) < 1e-10
    top = torch.linalg.eigvalsh(target)[-DIM:].clamp(min=0)
    assert float(kernel_ssl.vicreg_loss(z, A, beta)) == pytest.approx(float((1 - top**2).sum()))


WRONG = {
    "β for β/2": CENTRE - 0.4 * LAPLACIAN,
    "degree left out": CENTRE + 0.2 * A,
    "self-loops in the degree": CENTRE - 0.2 * (LAPLACIAN + EYE),
    "not centred": EYE - 0.2 * LAPLACIAN,
    "kernel PCA": CENTRE @ K @ CENTRE,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_operator_misses_vicreg(name, descended):
    z = centred(K @ descended["vicreg", 0.4][0])
    assert relative(rebuilt(WRONG[name]), z @ z.T) > 1e-2


@pytest.mark.parametrize("target", [A, EYE - LAPLACIAN, K], ids=["A", "I − L", "kernel PCA"])
def test_a_wrong_operator_misses_the_contrastive_loss(target, descended):
    z = K @ descended["contrastive", 0.0][0]
    assert relative(rebuilt(target), z @ z.T) > 1e-2


def test_out_of_sample_the_kernel_must_be_inverted(descended):
    closed = kernel_ssl.induced_kernel(K, A, DIM, "contrastive")
    held_out = K_HELD_OUT @ descended["contrastive", 0.0][0]
    wrong = K_HELD_OUT @ closed.embeddings
    assert relative(wrong @ wrong.T, held_out @ held_out.T) > 0.1


def test_sparse_and_dense_adjacencies_are_one():
    k = kernels.rbf(draw(30, 3), gamma=0.5) + 1e-3 * torch.eye(30, dtype=F64)
    dense, sparse = (
        kernel_ssl.induced_gram(k, a, 3)
        for a in (dense_adjacency(10, 3), kernel_ssl.view_adjacency(10, 3))
    )
    assert relative(dense, sparse) < 1e-12


# Ties: views of an image are a clique


@pytest.fixture(scope="module")
def cliques():
    n, m = 8, 3
    x = draw(n, 1, 4).expand(n, m, 4) + 0.2 * draw(n, m, 4, seed=1)
    return kernels.rbf(x.reshape(-1, 4), gamma=0.3), dense_adjacency(n, m)


@pytest.mark.parametrize("method", ["vicreg", "contrastive"])
def test_among_ties_the_least_norm_wins(method, cliques):
    k, a = cliques
    inverse = torch.linalg.inv(k)

    def norm(z):
        return float((z * (inverse @ z)).sum())

    chosen = kernel_ssl.induced_kernel(k, a, 3, method, 1.0).embeddings
    loss = kernel_ssl.vicreg_loss if method == "vicreg" else kernel_ssl.contrastive_loss
    weight = (1.0,) if method == "vicreg" else ()
    indicator = torch.eye(8, dtype=F64).repeat_interleave(3, 0)
    for seed in range(20):
        rotation = draw(8, 3, seed=seed)
        if method == "vicreg":
            rotation -= rotation.mean(0)
        other = indicator @ torch.linalg.qr(rotation).Q
        other = other / 3**0.5 if method == "vicreg" else other
        assert float(loss(other, a, *weight)) == pytest.approx(float(loss(chosen, a, *weight)))
        assert norm(other) > norm(chosen)


def test_the_choice_is_the_limit_of_a_vanishing_ridge(cliques):
    k, a = cliques
    n = len(k)
    one = torch.ones(n, 1, dtype=F64)
    q = 5e2 * (torch.diag(a.sum(1)) - a) + 1e-6 * torch.linalg.inv(k)
    profiled = q - q @ one @ one.T @ q / (one.T @ q @ one)
    basis = torch.linalg.svd(one)[0][:, 1:]
    values, vectors = torch.linalg.eigh(
        torch.eye(n - 1, dtype=F64) - basis.T @ profiled @ basis / 2
    )
    ridge = basis @ vectors[:, -3:] * values[-3:].sqrt()
    z = centred(kernel_ssl.induced_kernel(k, a, 3, "vicreg", 1.0).embeddings)
    assert relative(z @ z.T, ridge @ ridge.T) < 2e-5


@pytest.mark.parametrize(("method", "shift"), [("vicreg", True), ("contrastive", False)])
def test_without_augmentations_it_is_kernel_pca(method, shift, cliques):
    k, _ = cliques
    n = len(k)
    centre = torch.eye(n, dtype=F64) - shift / n
    top = torch.linalg.eigh(centre @ k @ centre)[1][:, -3:]
    z = kernel_ssl.induced_kernel(k, torch.zeros(n, n), 3, method).embeddings
    z = centred(z) if shift else z
    assert relative(z @ z.T, top @ top.T) < 1e-9


def test_noise_within_images_is_kept_where_beta_is_below_two_over_m(cliques):
    k, a = cliques
    for beta, rank in ((2 / 3 - 1e-3, 23), (2 / 3 + 1e-3, 7)):
        z = kernel_ssl.induced_kernel(k, a, 24, "vicreg", beta).embeddings
        assert int((centred(z).square().sum(0) > 1e-9).sum()) == rank
    z = kernel_ssl.induced_kernel(k, a, 24, "contrastive").embeddings
    assert int((z.square().sum(0) > 1e-9).sum()) == 8


def test_lanczos_finds_what_the_factorisation_finds(monkeypatch):
    x = draw(60, 1, 4).expand(60, 4, 4) + 0.2 * draw(60, 4, 4, seed=1)
    k = kernels.rbf(x.reshape(-1, 4), gamma=0.3) + 1e-4 * torch.eye(240, dtype=F64)
    a, connected = kernel_ssl.view_adjacency(60, 4), random_adjacency(240)
    dense = [kernel_ssl.induced_gram(k, z, 5) for z in (a, connected)]
    monkeypatch.setattr("ssltheory.theory.spectral_embedding.ITERATIVE", 50)
    monkeypatch.setattr(kernel_ssl, "ITERATIVE", 50)
    for z, expected in zip((a, connected), dense, strict=True):
        assert relative(kernel_ssl.induced_gram(k, z, 5), expected) < 1e-7


def test_overwrite_uses_the_memory_of_k_and_changes_nothing_else(cliques):
    k, a = cliques
    spare = k.clone()
    expected = kernel_ssl.induced_kernel(k, a, 3)
    found = kernel_ssl.induced_kernel(spare, a, 3, overwrite=True)
    assert relative(found.coefficients, expected.coefficients) < 1e-12
    assert not torch.equal(spare, k)


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": K[:5]}, "square"),
        ({"k": torch.ones(N, N)}, "add a jitter"),
        ({"adjacency": A + EYE}, "self-loops"),
        ({"adjacency": A.triu()}, "symmetric"),
        ({"adjacency": A[:5, :5]}, "over the views"),
        ({"dim": 0}, "between 1 and n=24"),
        ({"method": "simclr"}, "vicreg or contrastive"),
        ({"beta": -1.0}, "weight of the invariance"),
    ],
)
def test_bad_input_is_told(change, message):
    with pytest.raises(InputError, match=message):
        kernel_ssl.induced_kernel(**{"k": K, "adjacency": A, "dim": DIM} | change)


def test_views_of_one_image_are_a_clique():
    assert np.array_equal(
        kernel_ssl.view_adjacency(2, 2).toarray(),
        [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]],
    )


@pytest.mark.parametrize("jitter", [1e-6, 1e-4, 1e-2])
def test_two_components_are_told_apart_by_the_first_dimension(jitter):
    x = draw(40, 2)
    path = torch.diag(torch.ones(19, dtype=F64), 1)
    a = torch.block_diag(path + path.T, path + path.T)
    z = kernel_ssl.induced_kernel(
        kernels.rbf(x) + jitter * torch.eye(40, dtype=F64), a, 1
    ).embeddings
    side = torch.ones(40, dtype=F64)
    side[20:] = -1
    z = centred(z)[:, 0]
    assert abs(float(z @ side)) == pytest.approx(40**0.5)


@pytest.mark.parametrize("method", ["vicreg", "contrastive"])
@pytest.mark.parametrize("n_views", [3, 4, 5, 6, 7])
def test_dimensions_that_are_left_over_are_zero(method, n_views):
    """The target has one positive eigenvalue an image; at β = 2 / n_views the others of VICReg's are zero, too."""
    images = 4
    x = draw(images * n_views, 6)
    k = (-torch.cdist(x, x).square() / 6).exp()
    a = dense_adjacency(images, n_views)
    kernel = kernel_ssl.induced_kernel(k, a, len(k), method, 2 / n_views)
    modes = images - (method == "vicreg")
    assert (kernel.embeddings[:, :modes].norm(dim=0) > 0.1).all()
    assert not kernel.embeddings[:, modes:].any()
    assert not kernel.coefficients[:, modes:].any()

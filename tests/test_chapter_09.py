"""Chapter 09: its claims hold as its own cells measure them, and each planted fault turns a named one red."""

from functools import partial

import pytest
import torch
from notebook_cells import kept_record, record_of, verdicts

from ssltheory.book import claims, records, registry
from ssltheory.chapters.kernel_regime import figures as plots
from ssltheory.errors import InputError
from ssltheory.theory import kernel_ssl

CHAPTER = registry.find("09-kernel-regime")
run = partial(record_of, CHAPTER)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, n_seeds=2)


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims
    assert {"vicreg-held-out", "spiral-induced", "views-vicreg"} <= set(verdicts(record.claims))


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_figures_are_drawn_from_a_record(record):
    assert len(plots.main_figure(record.arrays).axes) == 3
    assert len(plots.second_figure(record.arrays).axes) == 3


@pytest.mark.parametrize("kernel", ["arc_cosine", "relu_ntk"])
def test_other_kernels_have_the_same_closed_form_and_few_views_do_not_decide_on_accuracy(
    kernel, tmp_path
):
    found = verdicts(
        run(tmp_path, whole=True, kernel=kernel, n_images=64, max_views=2, dim=8, n_seeds=1).claims
    )
    assert found["views-vicreg"] == found["over-base"] == "undecided"
    assert {v for name, v in found.items() if name.startswith(("vicreg-", "contrastive-"))} == {
        "holds"
    }


# Planted faults: in the theory, judged on the measurement above


def judged_with(record, monkeypatch, owner, name, fault):
    monkeypatch.setattr(owner, name, fault)
    return verdicts(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))


def test_beta_for_half_of_it_is_red(record, monkeypatch):
    right = kernel_ssl.induced_kernel
    wrong = lambda k, a, dim, method, beta: right(k, a, dim, method, 2 * beta)  # noqa: E731
    found = judged_with(record, monkeypatch, kernel_ssl, "induced_kernel", wrong)
    assert found["vicreg-loss"] == found["vicreg-kernel"] == found["vicreg-held-out"] == "fails"
    assert found["contrastive-kernel"] == "holds"


def targets(change):
    """``_eigenspaces`` of another target, as one dense matrix."""

    def eigenspaces(a, vicreg, beta, dim, like):
        values, vectors = torch.linalg.eigh(
            change(torch.from_numpy(a.toarray()), vicreg, beta, like)
        )
        for value, vector in zip(values.flip(0), vectors.flip(1).T, strict=True):
            yield float(value), vector[:, None].to_sparse()

    return eigenspaces


def without_degrees(a, vicreg, beta, k):
    eye = torch.eye(len(a), dtype=torch.float64)
    return eye - 1 / len(a) + beta / 2 * a if vicreg else a


def kernel_pca(a, vicreg, beta, k):
    centre = torch.eye(len(a), dtype=torch.float64) - 1 / len(a)
    return centre @ k @ centre if vicreg else k


@pytest.mark.parametrize("change", [without_degrees, kernel_pca])
def test_a_wrong_operator_is_red(change, record, monkeypatch):
    found = judged_with(record, monkeypatch, kernel_ssl, "_eigenspaces", targets(change))
    for method in ("vicreg", "contrastive"):
        assert found[f"{method}-kernel"] == found[f"{method}-held-out"] == "fails"


def test_a_kernel_that_is_not_inverted_is_red_on_new_points_alone(record, monkeypatch):
    wrong = lambda kernel, k_xs: k_xs @ kernel.embeddings  # noqa: E731
    found = judged_with(record, monkeypatch, kernel_ssl.InducedKernel, "embed", wrong)
    assert found["vicreg-held-out"] == found["contrastive-held-out"] == "fails"
    assert found["vicreg-kernel"] == found["contrastive-kernel"] == "holds"


# Planted faults: in what is measured


def test_views_that_are_linked_at_random_are_red(tmp_path, monkeypatch):
    right = kernel_ssl.view_adjacency

    def shuffled(n_images, n_views):
        order = torch.randperm(n_images * n_views, generator=torch.Generator().manual_seed(0))
        return right(n_images, n_views)[order.numpy()][:, order.numpy()]

    monkeypatch.setattr(kernel_ssl, "view_adjacency", shuffled)
    found = verdicts(run(tmp_path, n_seeds=1).claims)
    assert found["views-vicreg"] == found["views-contrastive"] == found["over-base"] == "not seen"


def test_ties_left_to_the_eigensolver_are_red(tmp_path, monkeypatch):
    def first(basis, dim, k, k_one):
        mixed = torch.randn(basis.shape[1], dim, generator=torch.Generator().manual_seed(0))
        return torch.linalg.qr(basis @ mixed.double()).Q

    monkeypatch.setattr(kernel_ssl, "_least_norm", first)
    found = verdicts(run(tmp_path, n_seeds=1).claims)
    assert found["over-base"] == "not seen"


# Bad input


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_images": 5000}, "only 1438 training images"),
        ({"max_views": 6}, "a power of two"),
        ({"dim": 256}, "below n_images=256"),
    ],
)
def test_what_does_not_fit_is_told(values, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run(tmp_path, **values)

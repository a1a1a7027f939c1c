"""Chapter 10: its claims hold as its own cells measure them, and each planted fault turns a named one red."""

from functools import partial

import pytest
from notebook_cells import kept_record, record_of, verdicts

from ssltheory.book import claims, records, registry
from ssltheory.chapters.spectral_embeddings import figures as plots
from ssltheory.errors import InputError
from ssltheory.theory import spectral_embedding

CHAPTER = registry.find("10-spectral-embeddings")
SMALL = {"n_graph": 60, "n_images": 600, "components": 60, "n_seeds": 1}
run = partial(record_of, CHAPTER)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALL)


def test_every_claim_holds(record):
    assert set(verdicts(record.claims).values()) == {"holds"}, record.claims
    assert {"vicreg-gram", "rank", "aligned-simclr", "fisher"} <= set(verdicts(record.claims))


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_accuracies_are_judged_where_there_is_room_for_them_to_differ(record):
    def of(verdict, **changed):
        parameters = record.parameters.model_copy(update=changed)
        found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, parameters))
        return {name for name, each in found.items() if each == verdict}

    aligned = {"aligned-vicreg", "aligned-simclr"}
    assert of("outside", n_labels=100) == aligned
    gains = aligned | {"misaligned-vicreg", "misaligned-barlow-twins"}
    assert of("undecided", n_images=500, n_labels=50) == gains
    assert not of("outside")


def test_figures_are_drawn_from_a_record_of_one_repetition(record):
    assert len(plots.main_figure(record.arrays).axes) == 3
    assert len(plots.second_figure(record.arrays).axes) == 3


# Planted faults: in the theory, judged on the measurement above


def judged_with(record, monkeypatch, name, fault):
    monkeypatch.setattr(spectral_embedding, name, fault)
    return verdicts(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))


@pytest.mark.parametrize("factor", [0.5, 2])
def test_another_constant_before_the_energy_is_red(factor, record, monkeypatch):
    right = spectral_embedding.vicreg_optimum
    wrong = lambda graph, dim, rho: right(graph, dim, factor * rho)  # noqa: E731
    found = judged_with(record, monkeypatch, "vicreg_optimum", wrong)
    assert found["vicreg-gram"] == found["vicreg-loss"] == "fails"


@pytest.mark.parametrize("factor", [0.5, 2])
def test_the_same_in_the_linear_network_is_red(factor, record, monkeypatch):
    right = spectral_embedding.kept_variance
    wrong = lambda theta, rho: right(theta, factor * rho)  # noqa: E731
    found = judged_with(record, monkeypatch, "kept_variance", wrong)
    assert found["linear-vicreg"] == found["linear-contrastive"] == found["rank"] == "fails"


def test_the_graph_for_its_laplacian_is_red(record, monkeypatch):
    wrong = lambda graph, dim, rho: (  # noqa: E731
        len(graph) ** 0.5
        * spectral_embedding.positive_root(lambda v: v + rho * graph @ v, dim, graph)
    )
    assert judged_with(record, monkeypatch, "vicreg_optimum", wrong)["vicreg-gram"] == "fails"


def test_without_clipping_at_zero_it_is_red(record, monkeypatch):
    wrong = lambda theta, rho: (1 - rho * theta).abs()  # noqa: E731
    found = judged_with(record, monkeypatch, "kept_variance", wrong)
    assert found["linear-vicreg"] == found["rank"] == "fails"


def test_the_softmax_without_its_negatives_is_red(record, monkeypatch):
    right = spectral_embedding.info_nce_minimum
    wrong = lambda classes, size, t: right(classes, size + 1, t)  # noqa: E731
    assert judged_with(record, monkeypatch, "info_nce_minimum", wrong)["info-nce"] == "fails"


# Planted faults: in what is measured


def test_pairs_that_all_weigh_the_same_are_not_fishers(tmp_path, monkeypatch):
    same = lambda y: (y[:, None] == y).double() / 50  # noqa: E731
    monkeypatch.setattr(spectral_embedding, "label_graph", same)
    assert verdicts(run(tmp_path, **SMALL).claims)["fisher"] == "fails"


# Bad input


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_graph": 1000, "dataset": "digits", "neighbours": 1000}, "neighbours=1000"),
        ({"dim": 91}, "components=90"),
        ({"components": 200}, "components=200"),
        ({"n_labels": 1001}, "n_labels=1001"),
    ],
)
def test_what_does_not_fit_is_told(values, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run(tmp_path, **values)

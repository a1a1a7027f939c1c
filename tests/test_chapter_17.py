"""Chapter 17: its claims hold as its own cells measure them, planted faults are red, the paper's path pauses."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from notebook_cells import in_parts, kept_record, record_of, red, run_cells, verdicts

from ssltheory import data, unitary
from ssltheory.book import claims, figures, records, registry, scales
from ssltheory.chapters.projunn import experiment, figures as plots
from ssltheory.errors import InputError, Paused

CHAPTER = registry.find("17-projunn")
TINY = scales.values(CHAPTER, "tiny")
#: The toy as it is at quick, once; the rest tiny.
SMALL = TINY | {"dim": 128, "toy_batch": 16, "toy_steps": 400}
NETWORKS = {"copy", "copy-unconstrained"}  # not trained here for long enough
tiny = partial(record_of, CHAPTER, **TINY)
#: Next to nothing, for faults that show in the first cells.
least = partial(record_of, CHAPTER, **TINY | {"toy_steps": 10, "steps": 2, "net_steps": 1})


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, **SMALL)


def rejudged(record, parameters=None, **arrays):
    chosen = parameters or record.parameters
    return claims.evaluate(CHAPTER.id, record.arrays | arrays, chosen)


# What the chapter claims


def test_every_claim_holds_that_is_made(record):
    found = verdicts(record.claims)
    assert found.pop("price") == "outside"
    assert {found.pop(name) for name in NETWORKS} == {"undecided"}
    assert set(found.values()) == {"holds"}, record.claims
    assert len(found) == 18 - 3


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    written, today, first = (
        [claim.to_dict() for claim in table]  # in which a half that is NaN equals another
        for table in (loaded.claims, loaded.judged_today(), record.claims)
    )
    assert written == today == first


def test_figures_and_table(record):
    assert len(figures.draw(CHAPTER, record.arrays).axes) == 4
    assert len(plots.second_figure(record.arrays).axes) == 3
    assert len(plots.table(record.arrays).splitlines()) == 2 + 5
    plt.close("all")


def test_rank_of_the_batch_is_the_batch_gradient(record):
    """Sixteen sampled columns of a gradient of rank sixteen hold all of it."""
    loss = record.arrays["toy_loss"]
    assert np.abs(loss[-2] - loss[-1]).max() < 1e-9
    assert np.abs(loss[-3] - loss[-1]).max() > 0.1


def test_the_price_is_judged_at_1024_by_minima_of_rounds(record):
    rounds = np.array([[1, 1.5], [0.2, 0.2], [9, 30], [20, 20]])
    seconds = np.stack([rounds] * 5)
    widths = np.array([64, 128, 256, 512, 1024])
    (claim,) = (c for c in rejudged(record, step_seconds=seconds, widths=widths) if c.id == "price")
    assert (claim.measured, claim.verdict) == (9, "holds")
    seconds[-1, 2] = 7
    assert "price" in red(rejudged(record, step_seconds=seconds, widths=widths))


def long_enough(record, **arrays):
    trained = record.parameters.model_copy(update={"steps": 700})
    return verdicts(rejudged(record, trained, **arrays))


def test_copying_is_judged_by_its_last_sixth(record):
    trivial = experiment.trivial_loss(record.parameters.delay)
    loss = np.full((2, 3, 60), trivial)
    loss[0, :, 50:], loss[1, :, 50:] = 0.45 * trivial, 0.51 * trivial
    found = long_enough(record, copy_loss=loss)
    assert found["copy"] == found["copy-unconstrained"] == "holds"
    loss[0, :, 50:], loss[1, :, 50:] = 0.47 * trivial, 0.49 * trivial
    found = long_enough(record, copy_loss=loss)
    assert found["copy"] == found["copy-unconstrained"] == "not seen"


def test_a_free_matrix_is_judged_at_every_rate(record):
    trained = long_enough(record)
    slow = record.parameters.model_copy(update={"steps": 700, "lr": 2e-3, "divider": 32.0})
    assert verdicts(rejudged(record, slow)) == trained
    assert trained["copy-unconstrained"] in ("holds", "not seen")


# Planted faults

FAULTS = {
    "no 1/2 in the tangent part": ("projunn_t", lambda n: torch.linalg.matrix_exp(n - n.mH)),
    "bT in the place of bH": ("projunn_t", lambda n: torch.linalg.matrix_exp((n - n.mT) / 2)),
    "a Cayley transform": (
        "projunn_t",
        lambda n: torch.linalg.solve(
            unitary._eye(n) - (n - n.mH) / 4, unitary._eye(n) + (n - n.mH) / 4
        ),
    ),
    "no projection": ("projunn_d", lambda n: unitary._eye(n) + n),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_steps_are_red(fault, tmp_path, monkeypatch):
    name, factor = FAULTS[fault]
    monkeypatch.setattr(unitary, name, lambda u, a, b: unitary._turned(u, a, b, factor))
    expected = f"dense-{name[-1]}"
    found = red(least(tmp_path).claims)
    assert expected in found
    assert f"dense-{'d' if name[-1] == 't' else 't'}" not in found


def test_an_update_that_is_not_brought_back_is_red(tmp_path, monkeypatch):
    monkeypatch.setitem(unitary.STEPS, "t", lambda u, a, b: u + a @ b.mH)
    monkeypatch.setattr(unitary, "projunn_t", lambda u, a, b: u + a @ b.mH)
    assert {"dense-t", "unitary-t", "drop-in"} <= red(least(tmp_path).claims)


def test_an_optimiser_that_does_nothing_is_red(tmp_path, monkeypatch):
    monkeypatch.setitem(unitary.STEPS, "t", lambda u, a, b: u)
    assert "drop-in" in red(least(tmp_path).claims)


@pytest.mark.parametrize(
    ("line", "fault"),
    [("    optimizer.step()\n", ""), ("lr=3e-3, divider=1", "lr=1e-9, divider=1")],
)
def test_a_layer_that_does_not_learn_is_red(line, fault, tmp_path):
    def broken(source, names):
        return source.replace(line, fault)

    found = red(least(tmp_path, before=broken).claims)
    assert {"drop-in", "drop-in-learns"} <= found


def test_keeping_the_smallest_directions_is_red(tmp_path, monkeypatch):
    """What the authors' code does if it samples more columns than k."""

    def smallest(g, k, generator, columns):
        u, s, v = torch.linalg.svd(g, False)
        kept = slice(columns - k, columns)
        return u[..., kept], (s[..., kept, None] * v[..., kept, :]).mH

    monkeypatch.setattr(experiment, "column_sampling", smallest)
    assert red(least(tmp_path, net_steps=20).claims) == {"kept"}


def test_a_rank_that_is_always_one_is_red(tmp_path, monkeypatch):
    right = unitary.column_sampling
    monkeypatch.setattr(unitary, "column_sampling", lambda g, k, draw: right(g, 1, draw))
    short = {"toy_steps": 200, "steps": 2, "net_steps": 1}
    found = red(record_of(CHAPTER, tmp_path, **SMALL | short).claims)
    assert {"speed-2", "speed-4", "speed-8", "speed-batch"} <= found


def test_the_squared_errors_own_factor_two_is_red(tmp_path):
    """torch's gradient of a complex squared loss is twice the G of the law."""

    def doubled(source, names):
        return source.replace("-lr * (u - target))", "-lr * 2 * (u - target))")

    short = {"toy_steps": 10, "steps": 2, "net_steps": 1}
    found = red(record_of(CHAPTER, tmp_path, before=doubled, **SMALL | short).claims)
    assert {"law", "own-start"} <= found


def test_a_gradient_without_few_directions_is_red(record):
    random = record.arrays["gradient_random"][:, None]
    assert red(rejudged(record, gradient_share=random)) == {"gradient"}


def test_a_published_d_that_does_not_drift_is_red(record):
    drift = record.arrays["drift_error"]
    assert red(rejudged(record, drift_error=drift[[0, 0]])) == {"drift"}


def test_a_d_that_drifts_is_red(record):
    drift = record.arrays["drift_error"]
    assert red(rejudged(record, drift_error=drift[[1, 1]])) == {"drift", "unitary-d"}


def test_a_batch_rank_that_keeps_less_than_the_gradient_is_red(record):
    loss = record.arrays["toy_loss"].copy()
    loss[-2] = loss[-3]
    assert red(rejudged(record, toy_loss=loss)) == {"speed-batch"}


# Domains, and the larger path


def test_nothing_is_claimed_of_speed_where_steps_are_large_or_the_matrix_is_small(record):
    speeds = {"speed-2", "speed-4", "speed-8"}
    for change, silent in (({"toy_lr": 0.1}, speeds | {"speed-batch"}), ({"dim": 64}, speeds)):
        chosen = record.parameters.model_copy(update=change)
        found = verdicts(rejudged(record, chosen))
        outside = {name for name, verdict in found.items() if verdict == "outside"}
        assert outside == silent | {"price"}


def test_a_short_toy_decides_no_speed_and_no_drift(record):
    short = {
        "toy_times": record.arrays["toy_times"] / 4,
        "toy_steps": record.arrays["toy_steps"] // 2,
    }
    found = verdicts(rejudged(record, **short))
    undecided = {name for name, verdict in found.items() if verdict == "undecided"}
    assert undecided == NETWORKS | {"speed-2", "speed-4", "speed-8", "drift"}


def test_three_rates_and_seeds_side_by_side(tmp_path):
    record = tiny(tmp_path, rates="three", n_seeds=2)
    assert record.arrays["copy_loss"].shape == (4, 2, 30)
    assert len(np.unique(record.arrays["copy_loss"][..., -1])) == 8
    assert np.allclose(record.arrays["copy_error"][0], 0, atol=1e-4)
    assert (record.arrays["copy_error"][1:] > 1e-2).all()


@pytest.fixture
def colour(tmp_path):
    """The paper's path on 150 small colour images."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (150, 16, 16, 3), dtype=np.uint8)
    np.savez(
        tmp_path / "colour.npz", x=x, y=np.arange(150) % 3, split=["train"] * 140 + ["test"] * 10
    )
    return {"dataset": str(tmp_path / "colour.npz"), "encoder": "resnet18", "net_steps": 1}


@pytest.mark.slow
def test_paper_path_pauses_and_comes_to_the_same(colour, tmp_path):
    small = colour | {"n_images": 128, "steps": 2, "toy_steps": 10, "resolution": 4}
    record = in_parts(tiny, tmp_path / "parts", **small)
    whole = tiny(tmp_path / "whole", **small | {"encoder": "mlp"})
    assert record.arrays["gradient_share"].shape == (1, 2, 64)
    for name in ("copy_loss", "toy_loss", "whole_loss"):
        assert np.array_equal(record.arrays[name], whole.arrays[name]), name


def test_copying_goes_on_where_it_paused(tmp_path):
    def train(steps_at_once=None):
        net = experiment.Recurrent(8, [0, 1])
        optimizer = unitary.ProjUNN(net.parameters(), [net.recurrent], lr=1e-2, divider=1)
        keep = {"checkpoint": tmp_path / "c.pt", "deadline": 0.0} if steps_at_once else {}
        return experiment.learn_copying(net, optimizer, 3, 4, 3, 0, **keep)

    for _ in range(2):
        with pytest.raises(Paused):
            train(1)
    assert torch.equal(train(1), train())


# The measurements


def test_shares_are_of_singular_values():
    g = torch.randn(2, 80, 90, generator=torch.Generator().manual_seed(0))
    energy = torch.linalg.svdvals(g).square()
    expected = (energy.cumsum(-1) / energy.sum(-1, keepdim=True))[:, :64]
    for matrix in (g, g.mT):
        assert torch.allclose(experiment._share(matrix), expected, atol=1e-5)


def test_the_copying_task():
    draw = torch.Generator().manual_seed(0)
    tokens, targets = experiment.copying(5, 2, 3, generator=draw)
    assert tokens.shape == targets.shape == (25, 2, 3)
    assert torch.equal(tokens[:10], targets[-10:])
    assert (tokens[14] == 9).all()
    assert (tokens[[*range(10, 14), *range(15, 25)]] == 8).all()
    assert (targets[:15] == 8).all()
    assert experiment.trivial_loss(100) == pytest.approx(0.1733, abs=5e-5)


def test_unrolled_gradients_are_autograds():
    net = experiment.Recurrent(6, [0, 1]).double()
    tokens, _ = experiment.copying(4, 2, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(24, 2, 3, 9, dtype=torch.float64)
    (net(tokens) * weights).sum().backward()
    mine = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    h, states = torch.zeros(2, 3, 6, dtype=torch.float64), []
    for x in tokens:
        seen = torch.stack([net.inputs[s][x[s]] for s in range(2)])
        h = (h @ net.recurrent + seen).relu()
        states.append(h)
    ((torch.stack(states) @ net.outputs + net.bias) * weights).sum().backward()
    for p, g in zip(net.parameters(), mine, strict=True):
        assert torch.allclose(p.grad, g, atol=1e-10)


def test_ways_that_would_take_too_long_are_left_out():
    found = experiment.step_seconds([16, 256], 2, torch.device("cpu"), longest=1e-4)
    assert found.shape == (2, 4, 2)
    assert found[0].isfinite().all()
    assert found[1, 3].isinf().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"toy_batch": 40}, "toy_batch=40"),
        ({"n_images": 5000}, "n_images=5000"),
        ({"rates": "two"}, "rates"),
        ({"n_images": 100}, "n_images"),
        ({"divider": 0.0}, "divider"),
    ],
)
def test_refusals(wrong, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run_cells(CHAPTER, tmp_path, **TINY | wrong)


def test_images_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "bare.npz", x=np.zeros((200, 8, 8), np.uint8))
    with pytest.raises(InputError, match="label"):
        tiny(tmp_path / "out", dataset=str(tmp_path / "bare.npz"))
    assert data.find("digits").shape == (1, 8, 8)

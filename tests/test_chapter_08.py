"""Chapter 08: its claims hold as its own cells measure them, and each planted fault turns a named one red."""

import numpy as np
import pytest
from notebook_cells import run_cells, verdicts

from ssltheory.book import claims, records, registry, scales
from ssltheory.chapters.faster_ssl import claims as faster_ssl
from ssltheory.errors import InputError
from ssltheory.theory import preconditioned as theory
from ssltheory.train import preconditioners

CHAPTER = registry.find("08-faster-ssl")
SMALLER = scales.values(CHAPTER, "tiny") | {"steps": 700}
RESNET = SMALLER | {
    "encoder": "resnet18",
    "crop": 8,
    "augment": "standard",
    "batch_size": 2,
    "n_images": 24,
    "width": 8,
    "steps": 2,
    "n_seeds": 2,
    "minutes": 9.0,
}
NETWORKS = {"steps", "seconds", "rank", "isoloss"}


def run(out, linear=None, **parameters):
    """The names that the notebook's own cells make.

    Args:
        linear: the names of an earlier run, from which the linear model is taken instead of measured.
    """

    def before(source, names):
        if linear is None or not source.startswith("recipes = "):
            return source
        names.update({name: linear[name] for name in ("recipes", "linear")})
        return ""

    return run_cells(CHAPTER, out, before, **parameters)


@pytest.fixture(scope="module")
def names(folder):
    return run(folder, whole=True, **SMALLER)


@pytest.fixture(scope="module")
def record(names):
    return names["record"]


# What the chapter claims


def test_no_claim_fails(record):
    found = verdicts(record.claims)
    found.pop("cost")  # a wall time of so small a network: on a busy machine it says nothing
    assert not {"fails", "not seen"} & set(found.values()), record.claims
    assert {found[name] for name in NETWORKS | {"left-0.1", "left-speed-up", "log-det"}} == {
        "holds"
    }


def test_claims_of_the_written_record_are_judged_alike(record, folder):
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_the_table_has_a_row_a_method_and_start_and_hides_no_run(names):
    table = names["plots"].table(names["record"].arrays)
    rows = table.splitlines()[2:]
    assert len(rows) == 10
    assert len({row.count("|") for row in table.splitlines()}) == 1
    late = dict(names["record"].arrays)
    late["spectrum"] = late["spectrum"] * np.eye(6)[0]  # one dimension for ever
    assert all("> 700 (> 700" in row for row in names["plots"].table(late).splitlines()[2:])


def test_a_rank_that_is_lost_again_does_not_count():
    spectrum = np.ones((1, 1, 1, 4, 4)) * np.array([1.0, 0, 0, 0])
    spectrum[0, 0, 0, [0, 2, 3]] = 1.0
    arrays = {"spectrum": spectrum, "steps": np.array([0, 10, 20, 30])}
    assert faster_ssl.steps_to_rank(arrays, 0.75) == 20
    spectrum[0, 0, 0, 3] = spectrum[0, 0, 0, 1]
    assert faster_ssl.steps_to_rank(arrays, 0.75) == np.inf


def test_a_run_that_was_cut_short_proves_nothing_unless_both_were(record):
    """The plain runs cut at the step where the pulled ones have just arrived: faster, by how much is open."""
    arrays = dict(record.arrays)
    arrived = faster_ssl.steps_to_rank(arrays, faster_ssl.HALF)[1, 0].max()
    cut = int((arrays["steps"] <= arrived).sum()) + 1
    for name in ("steps", "spectrum", "accuracy"):
        at = (
            (slice(cut),)
            if name == "steps"
            else (..., slice(cut), *[slice(None)] * (name == "spectrum"))
        )
        arrays[name] = arrays[name][at]
    assert verdicts(claims.evaluate(CHAPTER.id, arrays, record.parameters))["steps"] == "undecided"
    arrays["spectrum"] = arrays["spectrum"][[0, 0, 2, 3, 4]]
    assert verdicts(claims.evaluate(CHAPTER.id, arrays, record.parameters))["steps"] == "not seen"


def test_the_interval_is_that_of_the_logarithms():
    plain, other = np.array([400.0, 800, np.inf]), np.array([100.0, 100, 100])
    mean, low, high = faster_ssl.ratio(plain, other, 800)
    logs = np.log([4, 8, 8])
    assert mean == pytest.approx(np.exp(logs.mean()))
    assert np.log(high / mean) == pytest.approx(4.3027 * logs.std(ddof=1) / 3**0.5, rel=1e-4)
    assert low * high == pytest.approx(mean**2)


# Planted faults: in the closed forms, judged on the measurement above


def judged_with(record, monkeypatch, name, fault):
    monkeypatch.setattr(theory, name, fault)
    return verdicts(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))


@pytest.mark.parametrize("speed", [4.0, 16.0])
def test_another_factor_than_eight_is_red(speed, record, monkeypatch):
    right = theory.left

    def wrong(gamma, s_0, eps):
        return theory.Modes(gamma, right(gamma, s_0, eps).p_0, eps, speed)

    found = judged_with(record, monkeypatch, "left", wrong)
    assert found["left-0.1"] == found["left-0.01"] == "fails"


def test_a_wait_that_is_not_shortened_is_red(record, monkeypatch):
    right = theory.left
    found = judged_with(record, monkeypatch, "left", lambda g, s, eps: right(g, s, 10 * eps))
    assert found["left-0.1"] == found["left-0.01"] == "fails"


def test_data_that_are_not_whitened_are_red(record, monkeypatch):
    found = judged_with(record, monkeypatch, "whiten", lambda gamma, w0, eps: (gamma, w0))
    assert found["right-0.01"] == found["right-disorder"] == "fails"


def test_another_factor_than_four_in_the_log_det_is_red(record, monkeypatch):
    right = theory.log_det

    def wrong(gamma, s_0):
        return theory.Modes(gamma, right(gamma, s_0).p_0, 0.0, 8.0)

    assert judged_with(record, monkeypatch, "log_det", wrong)["log-det"] == "fails"


# Planted faults: in the networks


def test_a_preconditioner_that_does_nothing_is_red(names, tmp_path, monkeypatch):
    monkeypatch.setattr(preconditioners, "preconditioned", lambda loss, *rest, **more: loss)
    mild = {"steps": 200, "lr_preconditioned_standard": SMALLER["lr_barlow_twins_standard"]}
    found = verdicts(run(tmp_path, names, **SMALLER | mild)["record"].claims)
    assert {found[name] for name in NETWORKS} == {"not seen"}
    assert found["left-0.1"] == "holds"


def test_a_preconditioner_that_costs_much_is_red(record):
    slow = record.arrays["seconds_per_step"] * np.array([1, 2, 1, 1, 1])[:, None]
    found = verdicts(
        claims.evaluate(CHAPTER.id, record.arrays | {"seconds_per_step": slow}, record.parameters)
    )
    assert found["cost"] == "not seen"


# The larger path, and what is refused


@pytest.mark.slow
def test_resnet_path_goes_on_from_its_checkpoints(names, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(records.Run, "save", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, names, **RESNET)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").iterdir()}
    assert len(kept) == 20  # five methods, two starts, two seeds
    with monkeypatch.context() as patch:
        patch.setattr(records.Run, "save", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, names, **RESNET)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}  # nothing was left to train


def _killed(*arguments, **more):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": 9}, "crop=9"),
        ({"n_images": 5000}, "n_images=5000"),
        ({"batch_size": 300}, "batch_size=300"),
        ({"n_probe": 300}, "no parameter"),
        ({"eps": 0.0}, "eps"),
    ],
)
def test_refusals(wrong, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run(tmp_path, **SMALLER | wrong)

"""Chapter 03: its claims hold as its own cells measure them, planted faults are red, and the film plays."""

import base64
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from notebook_cells import code_cells, in_parts, kept_record, record_of, verdicts
from PIL import Image

from ssltheory.book import claims, landing, records, registry
from ssltheory.chapters.embedding_dimensions import claims as theory, figures as plots, published
from ssltheory.errors import InputError
from ssltheory.theory import stepwise
from ssltheory.theory.stepwise import LinearSolution

CHAPTER = registry.find("03-embedding-dimensions")
CHEAP = {"n_images": 100, "resolution": 8, "crop": 6, "n_seeds": 1}
NETWORK = {
    "model": "mlp",
    "n_seeds": 1,
    "dim": 4,
    "net_steps": 1600,
    "net_width": 64,
    "net_lr": 0.05,
}
NETWORK |= {"n_images": 48, "resolution": 8, "crop": 6}
RESNET = {"model": "resnet18", "augment": "standard", "n_images": 4, "resolution": 16, "crop": 16}
RESNET |= {"dim": 16, "net_width": 16, "net_scale": 0.2, "net_steps": 3, "n_seeds": 1}
CONSTANT = ("first-in-c", "first-in-covariance", "missing-eigenvalue")
run = partial(record_of, CHAPTER)


@pytest.fixture(scope="module")
def record(folder):
    return kept_record(CHAPTER, folder, __file__, n_seeds=2)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return run(tmp_path_factory.mktemp("network"), whole=True, **NETWORK)


# What the chapter claims


def test_every_claim_holds(record, folder):
    assert verdicts(record.claims) == dict.fromkeys(
        ["rank", "fixed-axes", "next-eigenvalue", "point", "positions"], "holds"
    )
    loaded = records.load(folder)
    assert loaded.claims == loaded.judged_today() == record.claims


def test_dimensions_open_one_by_one(record):
    """On plateau k, C has k eigenvalues near one; the second moment's spread is of the same rank."""
    a = record.arrays
    for seed, exists in enumerate(theory.plateaus(a, record.parameters)):
        for k in np.flatnonzero(exists) + 1:
            lam = np.linalg.eigvalsh(a["c"][seed, k])[::-1]
            assert lam[:k].min() > 0.9
            assert abs(lam[k:]).max() < 0.1


def test_fixed_axes_are_orthonormal_in_the_order_of_learning_and_signed(record):
    a, steps = record.arrays, record.parameters.dim - 1
    q = theory.axes(a, 0)
    np.testing.assert_allclose(q.T @ q, np.eye(len(q)), atol=1e-12)
    assert (q[np.abs(q).argmax(0), np.arange(len(q))] > 0).all()
    weight = np.diagonal(q.T @ a["c"][0, 1:-1].sum(0) @ q)
    np.testing.assert_allclose(weight, np.arange(steps, -1, -1), atol=0.15)


def test_the_network_gains_dimensions_the_same_way(network):
    found = verdicts(network.claims)
    assert found["rank"] == "holds"
    assert found["point"] == "outside"
    assert found["positions"] == "outside"
    assert plots.main_figure(network.arrays).axes


def test_the_first_step_of_a_network_is_the_constant(network, record):
    found = {claim.id: claim for claim in network.claims}
    assert [found[name].verdict for name in CONSTANT] == ["holds"] * 3
    assert found["missing-eigenvalue"].published == -1
    assert found["missing-eigenvalue"].published_verdict == "agrees"
    assert verdicts(record.claims).keys().isdisjoint(CONSTANT)


def test_near_ties_are_outside(record):
    """All plateaus tied: nothing is claimed of them."""
    arrays = record.arrays | {"gamma": record.arrays["gamma"].copy()}
    arrays["gamma"][:, :5] = arrays["gamma"][:, :1] * np.linspace(1, 0.98, 5)
    arrays["learning_rate"] = record.arrays["learning_rate"] / 2
    found = verdicts(claims.evaluate(CHAPTER.id, arrays, record.parameters))
    assert {found[name] for name in ("rank", "fixed-axes", "next-eigenvalue")} == {"outside"}


def test_a_plateau_judged_in_no_draw_is_counted_as_such():
    kept = records.load(ROOT / "book/records" / CHAPTER.id / "network-digits")
    exists = theory.plateaus(kept.arrays, kept.parameters)
    assert exists.sum(0).tolist() == [2, 2, 2, 0]
    for claim in kept.judged_today()[:3]:
        assert "2 at k = 3, 0 at k = 4" in claim.note
        assert "judged plateaus" in claim.statement


def test_a_large_start_is_outside(tmp_path):
    record = run(tmp_path, init_scale=1e-2, **CHEAP)
    assert set(verdicts(record.claims).values()) == {"outside"}


# Planted faults


def planted(right, wrong):
    """A text in the notebook and what replaces it, before its cell runs."""
    found = any(right in "".join(cell["source"]) for cell in code_cells(CHAPTER))
    assert found, "the text of the planted fault is no longer in the notebook"
    return lambda source, names: source.replace(right, wrong)


def test_snapshots_at_the_steps_are_red(tmp_path):
    """Half way up, dimension k + 1 is neither there nor not."""
    record = run(tmp_path, planted("(ends[:-1] + ends[1:]) / 2", "ends[1:]"), **CHEAP)
    found = verdicts(record.claims)
    assert found["rank"] == found["next-eigenvalue"] == "fails"


def test_final_principal_axes_are_red(record, monkeypatch):
    monkeypatch.setattr(theory, "axes", theory.final_axes)
    found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))
    assert found["fixed-axes"] == "fails"
    assert found["rank"] == "holds"


def test_a_large_start_is_no_point(tmp_path):
    record = run(tmp_path, planted("w0 = init_scale", "w0 = 1e4 * init_scale"), **CHEAP)
    assert verdicts(record.claims)["point"] == "fails"


def test_four_for_eight_in_the_positions_is_red(record, monkeypatch):
    right = LinearSolution.singular_values
    monkeypatch.setattr(
        LinearSolution, "singular_values", lambda self, t: right(self, torch.as_tensor(t) / 2)
    )
    found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))
    assert found["positions"] == "fails"


def test_singular_vectors_for_qr_are_red(record, monkeypatch):
    monkeypatch.setattr(
        stepwise.linear, "_aligned_start", lambda start: torch.linalg.svd(start)[:2]
    )
    found = verdicts(claims.evaluate(CHAPTER.id, record.arrays, record.parameters))
    assert found["positions"] == "fails"


def test_c_and_the_covariance_swapped_are_red(network):
    a = network.arrays
    swapped = a | {"eigenvalues": a["covariance"], "covariance": a["eigenvalues"]}
    found = verdicts(claims.evaluate(CHAPTER.id, swapped, network.parameters))
    assert [found[name] for name in CONSTANT] == ["not seen"] * 3


def test_a_centred_c_is_red(tmp_path):
    centred = planted(
        "z_a, z_b = z.chunk(2, dim=1)", "z_a, z_b = (z - z.mean(1, True)).chunk(2, 1)"
    )
    found = verdicts(run(tmp_path, centred, **NETWORK).claims)
    assert found["first-in-covariance"] == found["missing-eigenvalue"] == "not seen"


def test_a_published_run_without_a_missing_eigenvalue_differs(network, monkeypatch):
    monkeypatch.setattr(published, "COVARIANCE_ONSETS", published.LOSS_STEPS)
    found = claims.evaluate(CHAPTER.id, network.arrays, network.parameters)
    assert {c.published_verdict for c in found if c.id == "missing-eigenvalue"} == {"differs"}


# A ResNet with more dimensions than a record keeps


@pytest.mark.slow
def test_a_resnet_pauses_and_goes_on_to_the_same_record(tmp_path):
    whole = run(tmp_path / "whole", whole=True, **RESNET)
    cut = in_parts(run, tmp_path / "cut", **RESNET)
    for name, values in whole.arrays.items():
        np.testing.assert_allclose(cut.arrays[name], values, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_resnets_record_keeps_the_leading_axes_and_the_whole_length(tmp_path):
    a = run(tmp_path, whole=True, bfloat16=True, **RESNET).arrays
    assert a["c"].shape[1:] == (13, 12, 12)
    assert a["points"].shape == (1, 13, 4, 12)
    assert a["eigenvalues"].shape[2] == 12
    kept = np.trace(a["second_moment"], axis1=2, axis2=3)
    assert (kept <= a["length"] * (1 + 1e-9)).all()
    assert (kept < a["length"]).any(), "twelve axes of sixteen do not hold everything"


# The film


def test_film_is_small_whole_and_needs_nothing_else(record):
    film = plots.Film(record.arrays)
    page = film._repr_html_()
    assert len(page) < 300_000
    assert "http" not in page
    assert "<noscript>" in page
    data = json.loads(json.dumps(film.data()))
    points = np.frombuffer(base64.b64decode(data["points"]), "<i2")
    assert points.size == 3 * data["shape"][0] * data["shape"][1]
    loss, spectrum = data["panels"]
    for curve in (data["times"], *loss["solid"], *spectrum["solid"], *spectrum["dashed"]):
        assert len(curve) == data["shape"][0]
    assert len(spectrum["solid"]) == len(spectrum["dashed"]) == record.parameters.dim
    assert spectrum["solid"] != spectrum["dashed"]
    assert len(data["colors"]) == data["shape"][1]
    assert Path(plots.__file__).with_name("film.js").stat().st_size < 6144


def test_film_of_a_network_leaves_out_the_constant(network, record):
    film = plots.Film(network.arrays)
    assert film.data()["axes"] == [2, 3, 4]
    tau = network.arrays["step_times"][0]
    assert film.shape_at(tau[0] / 2) == "a point at the origin"
    assert film.shape_at(tau[0]) == "a point"
    assert film.shape_at(tau[1]) == "a line"
    linear = plots.Film(record.arrays)
    assert linear.data()["axes"] == [1, 2, 3]
    assert linear.shape_at(record.arrays["step_times"][0, 0]) == "a line"
    assert linear.shape_at(np.inf) == "more than can be drawn"


def test_film_shows_the_points_of_its_times(record):
    """The last frame is the end of the run, which is the last snapshot."""
    end = plots.in_box(record.arrays, record.arrays["points"][0, -1, : plots.Film.images])
    np.testing.assert_allclose(plots.Film(record.arrays).points()[-1], end, atol=2e-3)


@pytest.mark.slow
def test_film_is_written_as_a_small_gif(network, tmp_path):
    plots.write_gif(network.arrays, tmp_path / "film.gif")
    assert (tmp_path / "film.gif").stat().st_size < 2e6
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == len(plots.Film(network.arrays).frames())
        first = gif.convert("RGB").tobytes()
        gif.seek(gif.n_frames - 1)
        assert gif.convert("RGB").tobytes() != first


def test_first_page_has_the_film_where_its_record_is_kept(network, tmp_path):
    landing.write(tmp_path, tmp_path)
    assert "embedding-film" not in (tmp_path / "film.md").read_text("utf-8")
    records.save(tmp_path / "book/records" / landing.FILM, network)
    landing.write(tmp_path, tmp_path)
    text = (tmp_path / "film.md").read_text("utf-8")
    assert text.count('id="embedding-film"') == 1
    assert "of 48 natural images" in text
    assert "(chapters/03-embedding-dimensions.ipynb)" in text


@pytest.fixture
def film_page(record, tmp_path, browser):
    """The film alone in a page from a file, in a browser that notes what goes wrong."""
    path = tmp_path / "film.html"
    head = (
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    )
    path.write_text(head + plots.Film(record.arrays)._repr_html_(), encoding="utf-8")
    contexts = []

    def opened(**options):
        contexts.append(browser.new_context(viewport={"width": 390, "height": 844}, **options))
        page = contexts[-1].new_page()
        page.faults = []
        page.on("console", lambda m: m.type == "error" and page.faults.append(m.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda r: r.url != path.as_uri() and page.faults.append(r.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


def drawn(page):
    return page.evaluate("[...document.querySelectorAll('canvas')].map(c => c.toDataURL()).join()")


def test_film_plays_pauses_and_follows_the_slider(film_page):
    page = film_page(color_scheme="dark")
    page.locator("#embedding-film button").wait_for()
    slider, said = page.locator("#embedding-film input"), page.locator("#embedding-film output")
    seen = {drawn(page)}
    assert "a solid" in said.inner_text()
    for place, shape in ((0, "a point"), (slider.get_attribute("max"), "loss 0.0")):
        slider.fill(str(place))
        assert shape in said.inner_text()
        seen.add(drawn(page))
    page.keyboard.press("Tab")
    page.locator("#embedding-film button").focus()
    page.keyboard.press("Enter")
    assert page.locator("#embedding-film button").inner_text() == "Pause"
    page.wait_for_function("+document.querySelector('#embedding-film input').value > 3")
    seen.add(drawn(page))
    page.keyboard.press("Enter")
    assert page.locator("#embedding-film button").inner_text() == "Play"
    still = drawn(page)
    page.wait_for_timeout(200)
    assert drawn(page) == still
    assert len(seen) == 4
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.faults == []


def test_film_jumps_from_snapshot_to_snapshot_where_motion_is_unwanted(film_page):
    page = film_page(reduced_motion="reduce")
    page.locator("#embedding-film input").fill("0")
    page.locator("#embedding-film button").click()
    before = drawn(page)
    page.wait_for_timeout(700)
    assert drawn(page) == before
    page.wait_for_function("+document.querySelector('#embedding-film input').value > 0")
    assert "a point" in page.locator("#embedding-film output").inner_text()
    assert page.faults == []


# The notebook and its parameters


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"crop": 17}, "crop"),
        ({"n_images": 5000}, "n_images"),
        ({"crop": 1}, "dim"),
        ({"dim": 65}, "take 64 at most"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(values, named):
    from ssltheory import data

    with pytest.raises(InputError, match=named):
        CHAPTER.parse(values).check(data.find("digits"))

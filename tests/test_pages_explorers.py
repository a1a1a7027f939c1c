"""The explorers in the built pages: do they compute what Python does, move, stay light, and do without a script?"""

import functools
import gzip
import http.server
import itertools
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.base import AXE_SCRIPT
from conftest import visit

from ssltheory.book import explorers
from ssltheory.errors import InputError
from ssltheory.theory import directpred, preconditioned, stepwise

CHAPTERS = list(explorers.all_explorers())
PAGE_BYTES = 3_000_000


def address(site: str, chapter: str) -> str:
    return f"{site}book/chapters/{chapter}.html"


def in_page(page, formula: str, grid: list) -> list:
    """A JavaScript function of the page on every element of a grid, as JSON: an infinity is null there."""
    return json.loads(page.evaluate(f"grid => JSON.stringify(grid.map({formula}))", grid))


def agree(measured, expected, atol: float = 1e-12) -> None:
    expected = torch.as_tensor(expected, dtype=torch.float64).numpy()
    np.testing.assert_allclose(np.array(measured, dtype=np.float64), expected, rtol=1e-9, atol=atol)


def staircases_agree(page) -> None:
    grid = [
        {"gamma": (np.arange(1, d + 1.0) ** -a).tolist(), "scale": scale, "lr": lr}
        for a, d, scale, lr in itertools.product(
            (0, 0.7, 3), (1, 10), (1e-12, 1e-7, 0.1), (None, 0.025, 0.2475)
        )
    ]
    found = in_page(
        page,
        """({gamma, scale, lr}) => {
          const form = stepwise.linear_barlow_twins({gamma, s_0: gamma.map(() => scale), lr});
          const times = [0, ...form.step_times.map((tau) => 0.9 * tau), 2 * form.step_times.at(-1)];
          return [form.step_times, times, times.map(form.eigenvalues), times.map(form.loss)];
        }""",
        grid,
    )
    for given, (tau, times, p, loss) in zip(grid, found, strict=True):
        gamma = torch.tensor(given["gamma"], dtype=torch.float64)
        solution = stepwise.linear_barlow_twins(
            torch.diag(gamma), len(gamma), init_scale=given["scale"], lr=given["lr"]
        )
        agree(tau, solution.step_times)
        agree(p, solution.eigenvalues(torch.tensor(times, dtype=torch.float64)))
        agree(loss, solution.loss(torch.tensor(times, dtype=torch.float64)))


def phase_portraits_agree(page) -> None:
    names = ("weight_decay", "noise", "tau", "alpha_p")
    grid = [
        dict(zip(names, values, strict=True))
        for values in itertools.product((0, 0.005, 0.1, 0.3), (0, 0.25, 1), (0.4, 1), (0.5, 1, 5))
    ]
    starts, times = [[-0.15, 0.4], [0.2, 0.2], [0.6, 0.05], [0.9, 0.9]], [0.5, 4, 20]
    found = in_page(
        page,
        f"""(given) => [
          Object.values(directpred.fixed_points(given)),
          directpred.collapse_threshold(given),
          ...{starts}.map(([p, s]) => [
            directpred.mode_velocity(p, s, given), directpred.mode_integral(p, s, 3, given),
            directpred.mode_flow(p, s, {times}, given), directpred.end_state(p, s, given),
            directpred.survives(p, s, given),
          ]),
        ]""",
        grid,
    )
    for given, (points, threshold, *modes) in zip(grid, found, strict=True):
        known = directpred.fixed_points(**given)
        agree(points, [known.p_minus, known.p_plus, known.s_plus])
        noise_and_tau = {name: given[name] for name in ("noise", "tau")}
        agree(threshold, directpred.collapse_threshold(**noise_and_tau))
        p, s = np.array(starts).T
        velocity, integral, flow, end, alive = zip(*modes, strict=True)
        agree(velocity, np.stack(directpred.mode_velocity(p, s, **given)[:2], -1))
        of_c = {name: given[name] for name in ("weight_decay", "alpha_p")}
        agree(integral, directpred.mode_integral(p, s, 3, **of_c))
        way = directpred.mode_flow(p, s, times, **given)
        agree(flow, np.stack([way.p, way.s], -1).swapaxes(0, 1), atol=1e-9)
        without_decay = noise_and_tau | {"alpha_p": given["alpha_p"]}
        agree(end, np.stack(directpred.end_state(p, s, **without_decay), -1))
        assert list(alive) == directpred.survives(p, s, **given).tolist()


def recipes_agree(page) -> None:
    grid = [
        {"gamma": (np.arange(1, d + 1.0) ** -a).tolist(), "scale": scale, "eps": eps}
        for a, d, scale, eps in itertools.product(
            (0, 2, 3), (1, 8), (1e-9, 1e-5, 0.1), (1e-4, 0.1, 10)
        )
    ]
    times = [0.0, 0.1, 1.0, 30.0]
    found = in_page(
        page,
        f"""({{gamma, scale, eps}}) => {{
          const s_0 = gamma.map(() => scale), {{left, log_det, whiten, time_to}} = preconditioned;
          const white = whiten(gamma, s_0, eps);
          const forms = [left(gamma, s_0, eps), log_det(gamma, s_0), stepwise.linear_barlow_twins(white)];
          return forms.map(({{eigenvalues, loss}}) => [
            {times}.map(eigenvalues), {times}.map(loss), time_to(loss, 0.01, 1e5),
          ]);
        }}""",
        grid,
    )
    for given, forms in zip(grid, found, strict=True):
        gamma = torch.tensor(given["gamma"], dtype=torch.float64)
        s_0 = torch.full_like(gamma, given["scale"])
        whitened, scaled = preconditioned.whiten(gamma, torch.diag(s_0), given["eps"])
        known = [
            preconditioned.left(gamma, s_0, given["eps"]),
            preconditioned.log_det(gamma, s_0),
            stepwise.linear_barlow_twins(torch.diag(whitened), len(gamma), w0=scaled),
        ]
        for (p, loss, needed), solution in zip(forms, known, strict=True):
            agree(p, solution.eigenvalues(torch.tensor(times, dtype=torch.float64)))
            agree(loss, solution.loss(torch.tensor(times, dtype=torch.float64)))
            agree([0.01], solution.loss(torch.tensor([needed], dtype=torch.float64)))


CHECKS = dict(zip(CHAPTERS, (staircases_agree, phase_portraits_agree, recipes_agree), strict=True))
FAULTS = [
    ("01-linear-staircase", "stepwise.js", "Math.exp(-8 *", "Math.exp(-4 *"),
    ("01-linear-staircase", "stepwise.js", "/ (8 * growth[j])", "/ (4 * growth[j])"),
    ("04-no-collapse", "directpred.js", "4 * weight_decay * (1 + noise)", "4 * weight_decay"),
    ("04-no-collapse", "directpred.js", "-2 * weight_decay * t", "-weight_decay * t"),
    ("08-faster-ssl", "preconditioned.js", "(1 + eps) * settled", "settled"),
]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_page_computes_what_python_does(page, site, chapter):
    visit(page, address(site, chapter))
    CHECKS[chapter](page)


@pytest.mark.parametrize(("chapter", "script", "right", "wrong"), FAULTS)
def test_a_wrong_constant_is_seen(page, site, chapter, script, right, wrong):
    source = (Path(explorers.__file__).parent / script).read_text(encoding="utf-8")
    assert right in source
    planted = source.replace(right, wrong)
    page.route(f"**/{script}*", lambda route: route.fulfill(body=planted))
    visit(page, address(site, chapter))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        CHECKS[chapter](page)


def test_the_border_of_the_basin_parts_what_survives_from_what_collapses(page, site):
    """Not at a small weight decay: s passes e^−50 there under the parabola, and Python integrates p, not log s."""
    grid = [
        {"weight_decay": eta, "noise": noise, "tau": tau, "alpha_p": alpha_p}
        for eta, noise, tau, alpha_p in itertools.product(
            (0, 0.05, 0.1), (0, 0.5), (0.8, 1), (0.5, 3)
        )
    ]
    visit(page, address(site, "04-no-collapse"))
    inside = "(p, s) => p > -0.3 && p < 1.2 && s < 1.5"
    found = in_page(page, f"(given) => directpred.basin_border(given, {inside})", grid)
    for given, border in zip(grid, found, strict=True):
        p, s = np.array([(p, s) for p, s in border if 0.01 < s < 1.5]).T[:, ::5]
        assert len(p) > 3
        assert directpred.survives(p, s + 1e-4, **given).all()
        assert not directpred.survives(p, s - 1e-4, **given).any()


def come_to_the_plot(page) -> None:
    page.locator(".explorer").scroll_into_view_if_needed()
    page.locator(".explorer-plot > *").first.wait_for()
    page.wait_for_function("Bokeh.documents.every(d => d.is_idle)")


def picture(page) -> bytes:
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator(".explorer-plot").screenshot()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_slider_moves_the_curve_and_the_words_by_keyboard(page, site, chapter):
    visit(page, address(site, chapter))
    come_to_the_plot(page)
    says, at_first = page.locator(".explorer-says"), page.locator(".explorer-says").inner_text()
    before = picture(page)
    for slider in explorers.all_explorers()[chapter].sliders:
        control = page.locator(f".explorer input[name={slider.name}]")
        assert page.get_by_label(
            page.locator(f"label[for={control.get_attribute('id')}]").inner_text()
        ).count()
        words = control.get_attribute("aria-valuetext")
        control.focus()
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        assert control.get_attribute("aria-valuetext") != words
        assert page.locator(f"output[for={control.get_attribute('id')}]").inner_text() != words
        after = picture(page)
        assert after != before, f"{slider.name} does not move the curve"
        before = after
    assert page.url == address(site, chapter), "an arrow key has turned the page"
    assert says.inner_text() != at_first
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function(
        "words => document.querySelector('.explorer-says').innerText == words", arg=at_first
    )
    assert not page.faults, "\n".join(page.faults)


def test_a_tap_moves_the_start_and_it_collapses(page, site):
    visit(page, address(site, "04-no-collapse"))
    come_to_the_plot(page)
    assert "survives" in page.locator(".explorer-says").inner_text()
    page.locator(".explorer-plot").click(position={"x": 90, "y": 370})
    page.wait_for_function("document.querySelector('.explorer-says').value.includes('collapses')")
    assert float(page.locator("input[name=p_0]").input_value()) < 0


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_in_both_themes_and_in_print(page, site, chapter):
    """The plot follows the theme, axe-core has nothing against the sliders, and in print the picture stands in."""
    visit(page, address(site, chapter))
    come_to_the_plot(page)
    assert not page.locator(".explorer-still").is_visible()
    page.evaluate(AXE_SCRIPT)
    for theme, ink in (("dark", "#e8e8e8"), ("light", "#1a1a1a")):
        page.emulate_media(color_scheme=theme)
        color = "JSON.stringify(Bokeh.documents.at(-1).roots()[0].axes[0].axis_label_text_color)"
        page.wait_for_function(f"{color}.includes('{ink}')")
        page.wait_for_function("Bokeh.documents.every(d => d.is_idle)")
        options = "{resultTypes: ['violations'], preload: {assets: ['media']}}"
        found = page.evaluate(f"axe.run('.explorer', {options})")["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    plots = "document.querySelectorAll('.explorer-plot > .bk-Figure').length"
    page.wait_for_function(f"{plots} == Bokeh.documents.at(-1).roots().length")
    assert not page.faults, "\n".join(page.faults)
    page.emulate_media(media="print")
    assert page.locator(".explorer-still img").is_visible()
    assert not page.locator(".explorer form").is_visible()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_without_javascript_a_picture_stands_in(browser, site, chapter):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address(site, chapter))
    assert not page.locator(".explorer form").is_visible()
    assert "The sliders need JavaScript" in page.locator(".explorer").inner_text()
    image = page.locator(f"img[src*='{chapter}-explorer']")
    assert image.is_visible()
    assert image.get_attribute("alt") == explorers.all_explorers()[chapter].alt
    assert image.bounding_box()["height"] > 200
    context.close()


@pytest.fixture(scope="session")
def compressed_site(built):
    """The same pages from a server that compresses text, as those that books are published on do."""

    class Compressing(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            file = Path(self.translate_path(self.path))
            if file.suffix not in {".html", ".js", ".css", ".svg"}:
                return super().do_GET()
            body = gzip.compress(file.read_bytes(), 6)
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(file))
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return self.wfile.write(body)

        def log_message(self, *_):
            pass

    handler = functools.partial(Compressing, directory=str(built))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_page_with_an_explorer_is_light(browser, compressed_site, chapter):
    context = browser.new_context()
    page = context.new_page()
    finished = []
    page.on("requestfinished", lambda request: finished.append(request))
    page.goto(address(compressed_site, chapter), wait_until="networkidle")
    assert not any("bokeh" in request.url for request in finished), "fetched before it is needed"
    come_to_the_plot(page)
    received = {request.url: request.sizes()["responseBodySize"] for request in finished}
    own = [url for url in received if "/explorers/" in url]
    assert len(own) == len(explorers.scripts(chapter)) + len(explorers.library())
    assert sum(received[url] for url in own) < 500_000
    assert sum(received.values()) < PAGE_BYTES
    assert page.locator("script[src*='/explorers/']:not([defer])").count() == len(
        explorers.library()
    )
    context.close()


def test_no_other_page_loads_a_script_of_the_explorers(built):
    pages = list((built / "book").rglob("*.html"))
    with_scripts = {p.stem for p in pages if "_static/explorers/" in p.read_text(encoding="utf-8")}
    assert with_scripts == set(CHAPTERS)


def test_a_mark_in_a_chapter_without_an_explorer_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no explorer"):
        explorers.block("02-deep-staircase", tmp_path)


def test_without_bokeh_the_message_names_the_remedy(monkeypatch):
    monkeypatch.setattr(explorers.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"ssltheory\[book\]"):
        explorers.library()

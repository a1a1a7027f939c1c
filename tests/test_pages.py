"""The built pages, in a real browser: nothing missing, nothing from elsewhere, legible on a phone."""

import json
import platform
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from conftest import PAGES, PHONE, ROOT, SITE

from ssltheory import appendices
from ssltheory.book import registry


@pytest.mark.parametrize("path", PAGES)
def test_page_loads_whole(page, site, path):
    page.goto(site + path, wait_until="networkidle")
    assert not page.faults, "\n".join(page.faults)
    images = page.eval_on_selector_all(
        "main img",
        "images => images.map(i => [i.src, i.alt.trim(), i.complete && i.naturalWidth > 0])",
    )
    for src, alt, drawn in images:
        assert drawn, f"{src} is not drawn"
        assert alt, f"{src} has no alt text"
        assert "/" not in alt, f"{src} has a path for an alt text: {alt}"


@pytest.mark.parametrize("path", PAGES)
def test_no_sideways_scroll_on_a_phone(page, site, path):
    page.set_viewport_size(PHONE)
    page.goto(site + path, wait_until="networkidle")
    width = page.evaluate(
        "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    )
    assert width <= PHONE["width"]


def test_every_internal_link_leads_somewhere(site):
    broken = []
    for file in (f for f in SITE.rglob("*.html") if "_static" not in f.parts):
        base = site + file.relative_to(SITE).as_posix()
        for href in re.findall(r'(?:href|src)="([^"]+)"', file.read_text(encoding="utf-8")):
            url = urlsplit(urljoin(base, href.replace("&amp;", "&")))
            if f"{url.scheme}://{url.netloc}/" != site:
                continue
            target = SITE / unquote(url.path).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{file.name} -> {href}")
            elif url.fragment and target.suffix == ".html":
                text = target.read_text(encoding="utf-8")
                if not re.search(rf'(?:id|name)="{re.escape(unquote(url.fragment))}"', text):
                    broken.append(f"{file.name} -> {href}: no such anchor")
    assert broken == []


@pytest.mark.parametrize("chapter", [c.id for c in registry.all_chapters()])
def test_chapter_shows_its_figures_with_their_origin(page, site, chapter):
    page.goto(f"{site}book/chapters/{chapter}.html", wait_until="networkidle")
    figures = page.locator("main figure")
    strips = page.locator("main .provenance")
    assert figures.count() >= 2
    assert strips.count() == figures.count()
    for text in strips.all_inner_texts():
        assert f"ssltheory run {chapter}" in text
        assert "commit" in text or "no git checkout" in text
    assert page.locator("main mjx-container").count() > 10, "formulas are not typeset"
    assert "parameters" not in page.locator("main").inner_text().split("Change it")[0][-200:]


def test_search_finds_the_staircase(page, site):
    page.goto(f"{site}search.html?q=staircase", wait_until="networkidle")
    page.wait_for_selector("#search-results li a")
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    assert any("01-linear-staircase" in href for href in found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_light_and_dark(browser, site, theme):
    context = browser.new_context(color_scheme=theme)
    page = context.new_page()
    page.goto(f"{site}book/chapters/01-linear-staircase.html", wait_until="networkidle")
    red, green, blue = map(
        int,
        re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3],
    )
    assert (red + green + blue > 600) if theme == "light" else (red + green + blue < 200)
    context.close()


def test_index_leads_to_the_book(page, site):
    page.goto(site + "index.html", wait_until="networkidle")
    page.wait_for_url("**/book/index.html")
    page.get_by_role("link", name="Scoreboard").first.click()
    page.wait_for_selector("main table")
    assert page.locator(".verdict-fails").count() == 0
    assert page.locator(".verdict-holds").count() > 5


def test_the_film_of_the_embeddings_plays_in_its_page(page, site):
    page.goto(f"{site}book/chapters/03-embedding-dimensions.html", wait_until="networkidle")
    film = page.locator("#embedding-film")
    film.locator("input").fill("0")
    film.get_by_role("button", name="Play").click()
    page.wait_for_function("+document.querySelector('#embedding-film input').value > 3")
    film.get_by_role("button", name="Pause").click()
    assert not page.faults, "\n".join(page.faults)


def test_the_scoreboard_sorts_and_filters(page, site):
    page.goto(f"{site}book/scoreboard.html", wait_until="networkidle")
    form, rows = (
        page.locator("form.scoreboard-filter"),
        page.locator("#scoreboard tbody tr:visible"),
    )
    every = rows.count()
    assert form.locator("output").inner_text() == f"{every} of {every} claims"
    form.get_by_label("chapter").select_option("03")
    assert 0 < rows.count() < every
    assert {row.split()[0] for row in rows.all_inner_texts()} == {"03"}
    form.get_by_label("words").fill("no such words")
    assert rows.count() == 0
    form.get_by_label("words").fill("")
    form.get_by_label("chapter").select_option("")
    page.locator("#scoreboard th").nth(3).get_by_role("button").press("Enter")
    assert page.locator("#scoreboard th").nth(3).get_attribute("aria-sort") == "ascending"
    shown = page.eval_on_selector_all(
        "#scoreboard tbody tr", "rows => rows.map(r => parseFloat(r.cells[3].textContent))"
    )
    assert shown == sorted(shown)
    assert not page.faults, "\n".join(page.faults)


def test_the_data_under_a_figure_can_be_downloaded(page, site):
    page.goto(f"{site}book/chapters/01-linear-staircase.html", wait_until="networkidle")
    with page.expect_download() as download:
        page.get_by_role("link", name="drawn data (CSV)").first.click()
    head, *rows = download.value.path().read_text(encoding="utf-8").splitlines()
    assert head == "panel,x_axis,y_axis,kind,series,x_name,y_name,x,y,value"
    assert len(rows) > 1000
    found = json.loads(page.request.get(site + "scoreboard.json").text())
    assert found["counts"]["fails"] == 0
    assert {claim["chapter"] for claim in found["claims"]} == {
        c.id for c in registry.all_chapters()
    }


def test_pages_carry_nothing_of_the_machine(site):
    telling = [str(ROOT), str(Path.home()), tempfile.gettempdir() + "/", platform.node()]
    telling = [text for text in telling if len(text) > 4]
    shown = [
        *SITE.glob("book/**/*.html"),
        *SITE.glob("_sources/**/*"),
        *SITE.glob("records/**/*.json"),
    ]
    told = [
        f"{file.relative_to(SITE)}: {text}"
        for file in shown
        if file.is_file()
        for text in telling
        if text in file.read_text(encoding="utf-8")
    ]
    assert len(shown) > 40
    assert told == []


def test_the_campaign_has_its_table():
    campaign = json.loads((ROOT / "book" / "torture.json").read_text(encoding="utf-8"))
    text = appendices.torture(campaign)
    rows = re.findall(r"^\| .*\*\*(held|skipped)\*\*: ", text, re.M)
    assert len(rows) == len(campaign["experiments"]) == 10
    for row in campaign["experiments"]:
        where = next(
            line for line in text.splitlines() if re.match(rf"(.*, )?{row['experiment']}[:,]", line)
        )
        assert row["where"]["commit"][:10] in where
    assert not re.search(r"/root|/home|/tmp|/Users", text)

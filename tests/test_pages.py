"""The built pages, in a real browser: nothing missing, nothing from elsewhere, legible on a phone."""

import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from conftest import PAGES, PHONE, SITE

from ssltheory import chapters


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


@pytest.mark.parametrize("chapter", [c.id for c in chapters.all_chapters()])
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

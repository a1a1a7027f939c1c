"""The built pages, in a real browser: nothing missing, nothing from elsewhere, legible on a phone."""

import functools
import json
import platform
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import PAGES, PHONE, ROOT, SCREEN, visit

from ssltheory.book import appendices, registry

# Rules of axe-core that are left out, and why.
EXCLUDED = {
    "region": "the theme's sidebar shows title and search outside of a landmark; a recommendation, not WCAG"
}
CHAPTERS = [c.id for c in registry.all_chapters()]
BYTES = 3e6  # of a chapter's page with all it loads, as a plain server sends them, uncompressed


@pytest.mark.parametrize("path", PAGES)
def test_page(page, site, path):
    """One visit: on a phone, whole, light in bytes, with its figures, open to every reader in both themes."""
    page.set_viewport_size(PHONE)
    visit(page, site + path)
    width = page.evaluate(
        "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    )
    page.set_viewport_size(SCREEN)
    problems = [f"{width} pixels wide on a phone"] if width > PHONE["width"] else []
    problems += pictures(page)
    chapter = Path(path).stem
    if chapter in CHAPTERS:
        problems += shown_of(page, chapter)
    problems += read_by_others(page)
    if chapter in CHAPTERS and sum(received := bytes_received(page)) >= BYTES:
        problems.append(f"{sum(received)} bytes")
    problems += page.faults
    assert not problems, "\n".join(problems)


def pictures(page) -> list[str]:
    """What is wrong with the pictures of a page's text."""
    images = page.eval_on_selector_all(
        "main img",
        "images => images.map(i => [i.src, i.alt.trim(), i.complete && i.naturalWidth > 0])",
    )
    found = [f"{src} is not drawn" for src, _, drawn in images if not drawn]
    found += [f"{src} has no alt text" for src, alt, _ in images if not alt]
    return found + [
        f"{src} has a path for an alt text: {alt}" for src, alt, _ in images if "/" in alt
    ]


def shown_of(page, chapter: str) -> list[str]:
    """What a chapter's page lacks of figures, their origin, formulas."""
    figures, strips = page.locator("main figure").count(), page.locator("main .provenance")
    found = [] if figures >= 2 else [f"{figures} figures"]
    found += [] if strips.count() == figures else [f"{strips.count()} origins of {figures} figures"]
    for text in strips.all_inner_texts():
        if f"ssltheory run {chapter}" not in text:
            found.append(f"no command: {text}")
        if not ("commit" in text or "no git checkout" in text):
            found.append(f"no commit: {text}")
    if page.locator("main mjx-container").count() <= 10:
        found.append("formulas are not typeset")
    if "parameters" in page.locator("main").inner_text().split("Change it")[0][-200:]:
        found.append("its parameters are shown before it says how to change them")
    return found


def read_by_others(page) -> list[str]:
    """What axe-core has against a page, light, dark and on a phone."""
    page.evaluate(AXE_SCRIPT)
    theme = page.locator("html").get_attribute("data-theme")
    found = [] if theme == "light" else [f"the theme is {theme}"]
    found += findings(page) + too_faint(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme == 'dark'")
    found += findings(page, "link-in-text-block") + too_faint(page)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)  # the theme looks 0.3 s after a change for what scrolls now
    return found + findings(page, "scrollable-region-focusable")


def findings(page, *rules: str) -> list[str]:
    """What axe-core has against a page as it stands, by some rules or by all but that of contrast."""
    page.evaluate("Promise.allSettled(document.getAnimations().map(a => a.finished))")
    # For a rule that is off by default axe-core would fetch style sheets, from addresses that it guesses wrong.
    options = {"preload": {"assets": ["media"]}}
    off = {rule: {"enabled": False} for rule in (*EXCLUDED, "color-contrast")}
    options |= {"runOnly": rules} if rules else {"rules": off}
    return _violations(page, "document", options)


# The first element of each way in which a page's text looks. The contrast of one is that of all the others, and
# axe-core takes a minute for every element of a long page.
LOOKS = """
(() => {
  const first = new Map(), backgroundOf = element => getComputedStyle(element).backgroundColor;
  for (const element of document.body.querySelectorAll('*')) {
    if (![...element.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim())) continue;
    const {color, opacity, fontSize, fontWeight} = getComputedStyle(element);
    let behind = element;
    while (behind.parentElement && backgroundOf(behind) === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
    const {tagName, className} = element;
    const look = [tagName, className, color, opacity, fontSize, fontWeight, backgroundOf(behind)].join('|');
    if (!first.has(look)) first.set(look, element);
  }
  return {include: [...first.values()]};
})()
"""


def too_faint(page) -> list[str]:
    """The text of a page, one element of each look, that axe-core finds hard to tell from what is behind it."""
    page.evaluate("Promise.allSettled(document.getAnimations().map(a => a.finished))")
    return _violations(page, LOOKS, {"runOnly": ["color-contrast"]})


def _violations(page, context: str, options: dict) -> list[str]:
    options |= {"resultTypes": ["violations"]}
    found = page.evaluate(f"options => axe.run({context.strip()}, options)", options)
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:120]}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def test_text_that_is_too_faint_is_found_wherever_it_stands(page, site):
    visit(page, site + "book/scoreboard.html")
    page.evaluate(AXE_SCRIPT)
    assert not too_faint(page)
    page.locator("#scoreboard tbody td").last.evaluate("cell => cell.style.color = '#bbb'")
    found = too_faint(page)
    assert found
    assert all("foreground color: #bbbbbb" in one for one in found)


def bytes_received(page) -> list[int]:
    return page.evaluate(
        "['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
        ".map(entry => entry.transferSize)"
    )


def test_every_internal_link_leads_somewhere(built):
    @functools.cache
    def anchors(page: Path) -> set[str]:
        names = re.findall(r'(?:id|name)="([^"]*)"', page.read_text(encoding="utf-8"))
        return {"", *names}

    broken, root = [], "http://book/"
    for file in (f for f in built.rglob("*.html") if "_static" not in f.parts):
        base = root + file.relative_to(built).as_posix()
        for href in set(re.findall(r'(?:href|src)="([^"]+)"', file.read_text(encoding="utf-8"))):
            url = urlsplit(urljoin(base, href.replace("&amp;", "&")))
            if f"{url.scheme}://{url.netloc}/" != root:
                continue
            target = built / unquote(url.path).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{file.name} -> {href}")
            elif target.suffix == ".html" and unquote(url.fragment) not in anchors(target):
                broken.append(f"{file.name} -> {href}: no such anchor")
    assert broken == []


def test_search_finds_the_staircase(page, site):
    visit(page, f"{site}search.html?q=staircase")
    page.wait_for_selector("#search-results li a")
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    assert any("01-linear-staircase" in href for href in found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_light_and_dark(browser, site, theme):
    context = browser.new_context(color_scheme=theme)
    page = context.new_page()
    visit(page, f"{site}book/chapters/01-linear-staircase.html")
    red, green, blue = map(
        int,
        re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3],
    )
    assert (red + green + blue > 600) if theme == "light" else (red + green + blue < 200)
    context.close()


def test_index_leads_to_the_book(page, site):
    page.goto(site + "index.html")
    page.wait_for_url("**/book/index.html")
    page.get_by_role("link", name="Scoreboard").first.click()
    page.wait_for_selector("main table")
    failed = page.locator("#scoreboard tbody tr", has=page.locator(".verdict-fails"))
    assert all("tiny scale" in row for row in failed.all_inner_texts()), "which nobody judges"
    assert page.locator(".verdict-holds").count() > 5


def test_the_film_of_the_embeddings_plays_in_its_page(page, site):
    visit(page, f"{site}book/chapters/03-embedding-dimensions.html")
    film = page.locator("#embedding-film")
    film.locator("input").fill("0")
    film.get_by_role("button", name="Play").click()
    page.wait_for_function("+document.querySelector('#embedding-film input').value > 3")
    film.get_by_role("button", name="Pause").click()
    assert not page.faults, "\n".join(page.faults)


def test_the_scoreboard_sorts_and_filters(page, site):
    visit(page, f"{site}book/scoreboard.html")
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
    visit(page, f"{site}book/chapters/01-linear-staircase.html")
    with page.expect_download() as download:
        page.get_by_role("link", name="drawn data (CSV)").first.click()
    head, *rows = download.value.path().read_text(encoding="utf-8").splitlines()
    assert head == "panel,x_axis,y_axis,kind,series,x_name,y_name,x,y,value"
    assert len(rows) > 1000
    found = json.loads(page.request.get(site + "scoreboard.json").text())
    failed = [claim for claim in found["claims"] if claim["verdict"] == "fails"]
    assert {claim["setting"] for claim in failed} <= {"tiny scale"}, "which nobody judges"
    assert found["counts"]["fails"] == len(failed)
    assert {claim["chapter"] for claim in found["claims"]} == {
        c.id for c in registry.all_chapters()
    }


def test_pages_carry_nothing_of_the_machine(built):
    telling = [
        str(ROOT),
        str(built),
        str(Path.home()),
        tempfile.gettempdir() + "/",
        platform.node(),
    ]
    telling = [text for text in telling if len(text) > 4]
    shown = [
        *built.glob("book/**/*.html"),
        *built.glob("_sources/**/*"),
        *built.glob("records/**/*.json"),
    ]
    told = [
        f"{file.relative_to(built)}: {text}"
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

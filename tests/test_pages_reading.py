"""The built pages for every reader: with other eyes, without a mouse, on a slow line."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import PAGES, PHONE

from ssltheory.book import registry

# Rules of axe-core that are left out, and why.
EXCLUDED = {
    "region": "the theme's sidebar shows title and search outside of a landmark; a recommendation, not WCAG"
}


def findings(page, *rules: str) -> list[str]:
    """What axe-core has against a page as it stands, by some rules or by all."""
    page.evaluate("Promise.allSettled(document.getAnimations().map(a => a.finished))")
    options = {"resultTypes": ["violations"]}
    options |= (
        {"runOnly": rules} if rules else {"rules": {rule: {"enabled": False} for rule in EXCLUDED}}
    )
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:120]}: {node['failureSummary']}"
        for rule in page.evaluate("options => axe.run(options)", options)["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_axe_has_nothing_against_a_page(page, site, path):
    page.goto(site + path, wait_until="networkidle")
    page.evaluate(AXE_SCRIPT)
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert findings(page) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme == 'dark'")
    assert findings(page, "color-contrast", "link-in-text-block") == []
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)  # the theme looks 0.3 s after a change for what scrolls now
    assert findings(page, "scrollable-region-focusable") == []


def test_a_rerun_command_is_reached_by_keyboard(page, site):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(site + "book/index.html", wait_until="networkidle")
    _tab_into_the_text(page)
    _tab_to(page, "main a[href*='01-linear-staircase']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/01-linear-staircase.html")
    page.wait_for_selector(".provenance .copybtn")
    _tab_into_the_text(page)
    _tab_to(page, ".provenance .copybtn")
    page.wait_for_function("getComputedStyle(document.activeElement).opacity == 1")
    page.keyboard.press("Enter")
    page.wait_for_selector(".copybtn.success")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("ssltheory run 01-linear-staircase")


@pytest.mark.parametrize("chapter", [c.id for c in registry.all_chapters()])
def test_a_chapter_is_light_and_soon_there(browser, site, chapter):
    """Bytes as a plain server sends them, uncompressed. Other work on the machine can only delay a paint: the
    first of five loads that is soon enough shows that the page is."""
    for _ in range(5):
        with browser.new_context(viewport={"width": 1280, "height": 900}) as fresh:
            page = fresh.new_page()
            page.goto(f"{site}book/chapters/{chapter}.html", wait_until="networkidle")
            sizes = page.evaluate(
                "['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
                ".map(entry => [entry.transferSize, entry.name])"
            )
            paint = page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
        assert sum(size for size, _ in sizes) < 3e6, sorted(sizes)[-5:]
        if paint < 1000:
            return
    raise AssertionError(f"first paint after {paint:.0f} ms in the last of five loads")


def _tab_into_the_text(page) -> None:
    """By the link that skips what stands before it, which is the first of a page."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    page.keyboard.press("Enter")


def _tab_to(page, selector: str, most: int = 20) -> None:
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached within {most} presses of Tab")

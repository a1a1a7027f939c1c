"""The built pages for every reader: with other eyes, without a mouse, on a slow line."""

import pytest
from conftest import SCREEN, visit

from ssltheory.book import registry


def test_a_rerun_command_is_reached_by_keyboard(page, site):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit(page, site + "book/index.html")
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


@pytest.mark.slow
@pytest.mark.parametrize("built", ["quick"], indirect=True)
@pytest.mark.parametrize("chapter", [c.id for c in registry.all_chapters()])
def test_a_chapter_is_light_and_soon_there(browser, site, chapter):
    """Bytes as a plain server sends them, uncompressed. Other work on the machine can only delay a paint: the
    first of five loads that is soon enough shows that the page is."""
    for _ in range(5):
        with browser.new_context(viewport=SCREEN) as fresh:
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

"""The reports in a headless Chromium: nothing that keeps anybody out, nothing wider than the screen, fit to print."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from tests.page.conftest import browser

__all__ = ["browser"]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
WIDTHS = [360, 768, 1600]


@pytest_asyncio.fixture(loop_scope="module", params=["backtest", "plan", "plan-roles"])
async def page(
    request: pytest.FixtureRequest, browser: Browser, reports: dict[str, Path]
) -> AsyncIterator[Page]:  # fmt: skip
    """A report, opened from the disk."""
    path = reports[request.param]
    opened = await browser.new_page(viewport={"width": 1200, "height": 900})
    asked: list[str] = []
    opened.on("request", lambda one: asked.append(one.url))
    await opened.goto(path.as_uri())
    yield opened
    await opened.close()
    assert asked == [path.as_uri()], "the page asks for something else than itself"


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_keeps_anybody_out(page: Page, scheme: str, width: int) -> None:
    """axe-core finds no violation: names, order, contrast, in either colour scheme, on a phone and on a desk."""
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.set_viewport_size({"width": width, "height": 900})
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", WIDTHS)
async def test_no_screen_is_too_narrow(page: Page, width: int) -> None:
    """Tables scroll within themselves; the page itself never does sideways."""
    await page.set_viewport_size({"width": width, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
async def test_words_in_pictures_are_as_large_as_one_reads_and_all_in_sight(page: Page, width: int) -> None:
    """Nine and a half pixels at least, and none beyond the picture's edge: a phone has pictures of its own."""
    await page.set_viewport_size({"width": width, "height": 800})
    words = await page.evaluate(
        """[...document.querySelectorAll('svg text')].filter(t => t.getClientRects().length).map(t => {
             const box = t.getBoundingClientRect(), around = t.ownerSVGElement.getBoundingClientRect()
             const scale = around.width / t.ownerSVGElement.viewBox.baseVal.width
             return [t.textContent, parseFloat(getComputedStyle(t).fontSize) * scale,
                     Math.max(around.left - box.left, box.right - around.right)]
           })"""
    )
    assert len(words) > 20
    assert [word for word in words if word[1] < 9.5 or word[2] > 1] == []


@pytest.mark.parametrize("page", ["backtest"], indirect=True)
async def test_a_bar_leads_to_the_picture_of_its_page(page: Page) -> None:
    """From the overview to the moment, with a click or with the keyboard."""
    await page.locator('a[href="#own-page-1"]:visible').first.click()
    assert page.url.endswith("#own-page-1")
    assert await page.locator("article#own-page-1").is_visible()


async def test_on_paper_it_is_dark_on_white(page: Page) -> None:
    """Who prints from a dark desktop wastes no ink."""
    await page.emulate_media(color_scheme="dark", media="print")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(await page.pdf()) > 10_000  # it has pages with something on them

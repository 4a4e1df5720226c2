"""The report in a headless Chromium: nothing that keeps anybody out, nothing wider than the screen, fit to print."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from kvwatch.backtest.html import as_html
from kvwatch.backtest.report import Report
from tests.page.conftest import browser

__all__ = ["browser"]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, report: Report, tmp_path: Path) -> AsyncIterator[Page]:
    """The report's page, opened from the disk."""
    path = tmp_path / "report.html"
    path.write_text(as_html(report), encoding="utf-8")
    opened = await browser.new_page(viewport={"width": 1200, "height": 900})
    requests: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    await opened.goto(path.as_uri())
    yield opened
    await opened.close()
    assert requests == [path.as_uri()], "the page asks for something else than itself"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_keeps_anybody_out(page: Page, scheme: str) -> None:
    """axe-core finds no violation: names, order, contrast, in either colour scheme."""
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [360, 768, 1600])
async def test_no_screen_is_too_narrow(page: Page, width: int) -> None:
    """Wide pictures scroll within themselves; the page itself never does sideways."""
    await page.set_viewport_size({"width": width, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_a_bar_leads_to_the_picture_of_its_page(page: Page) -> None:
    """From the overview to the moment, with a click or with the keyboard."""
    await page.locator('a[href="#own-page-1"]').first.click()
    assert page.url.endswith("#own-page-1")
    assert await page.locator("article#own-page-1").is_visible()


async def test_on_paper_it_is_dark_on_white(page: Page) -> None:
    """Who prints from a dark desktop wastes no ink."""
    await page.emulate_media(color_scheme="dark", media="print")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(await page.pdf()) > 10_000  # it has pages with something on them

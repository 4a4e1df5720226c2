"""A headless Chromium, one for all tests of a module, and pages in it that report what goes wrong in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from kvwatch.shell.web.server import HttpServer

Open = Callable[..., AbstractAsyncContextManager[Page]]
LOAD_MS = 30_000
"""Longest wait for anything in a page: it says more of the machine than of the page."""


def browser_path() -> str | None:
    """A Chromium or Chrome of this machine."""
    names = (os.environ.get("KVWATCH_BROWSER", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser that runs."""
    path = browser_path()
    if path is None:
        pytest.skip("no Chromium here; make setup-browser installs one")
    async with async_playwright() as playwright:
        # as root, as CI is, Chromium has no sandbox; it sees nothing but the page of this test
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield running
        await running.close()


@pytest.fixture
def opened(browser: Browser) -> Open:
    """Opens the page of a server, waits until it shows something, and fails where its scripts or its policy do."""

    @asynccontextmanager
    async def open_page(
        server: HttpServer,
        fragment: str = "",
        *,
        width: int = 1600,
        scheme: str = "light",
        faults_allowed: bool = False,
    ) -> AsyncIterator[Page]:
        page = await browser.new_page(viewport={"width": width, "height": 900})
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        page.set_default_timeout(LOAD_MS)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        await page.goto(f"http://127.0.0.1:{server.port}/{fragment}")
        await page.wait_for_selector("#verdict h1")
        yield page
        assert faults_allowed or faults == []
        await page.close()

    return open_page

"""A vLLM that can be stopped, restarted and changed, and a daemon that watches it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from kvwatch.config import ScrapeConfig, ServerConfig, TargetConfig, ValidatedConfig
from kvwatch.daemon import Daemon
from kvwatch.shell.logging import LOGGER
from tests.shell.conftest import expositions

FAST = ScrapeConfig(interval_seconds=0.1)


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """A command that runs in this process sets up logging for it; pytest's own comes back afterwards."""
    root = logging.getLogger()
    handlers, level, own = root.handlers[:], root.level, LOGGER.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    LOGGER.setLevel(own)


@dataclass
class FakeVllm:
    """Serves recorded expositions, one after the other, on a port that it keeps over restarts."""

    port: int = 0
    name: str = "tiny"
    _runner: web.AppRunner | None = field(default=None, repr=False)
    _served: int = 0

    async def start(self) -> None:
        """Listen; the counters begin anew."""
        self._served = 0
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away at once."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        texts = expositions(40)
        text = texts[min(self._served, len(texts) - 1)]
        self._served += 1
        return web.Response(text=text.replace('model_name="tiny"', f'model_name="{self.name}"'))

    @property
    def target(self) -> TargetConfig:
        """This server as a target."""
        return TargetConfig(f"127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port}")


def config(*targets: TargetConfig) -> ValidatedConfig:
    """A configuration for tests: a free port, ten scrapes a second."""
    return ValidatedConfig(server=ServerConfig("127.0.0.1", 0), scrape=FAST, targets=targets)


@dataclass(frozen=True)
class Running:
    """A daemon that runs, and a way to ask it."""

    daemon: Daemon
    port: int
    session: aiohttp.ClientSession

    async def engines(self) -> dict[str, list[dict[str, object]]]:
        """The JSON API's answer."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/api/v1/engines") as response:
            return json.loads(await response.read())

    async def metrics(self) -> str:
        """The exposition."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            return await response.text()

    async def until(self, holds: Callable[[dict[str, list[dict[str, object]]]], bool]) -> None:
        """Wait until the API's answer is as described; fails after half a minute."""
        async with asyncio.timeout(30):
            while not holds(await self.engines()):  # noqa: ASYNC110 - the answer comes over HTTP
                await asyncio.sleep(0.02)


@asynccontextmanager
async def run(load: Callable[[], ValidatedConfig], **clocks: Callable[[], float]) -> AsyncIterator[Running]:
    """The daemon, in this event loop."""
    daemon = Daemon(load, **clocks)
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(daemon.run(stop, port.set_result))
    await asyncio.wait([task, port], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        async with aiohttp.ClientSession() as session:
            yield Running(daemon, await port, session)
    finally:
        stop.set()
        await task


@asynccontextmanager
async def vllm(name: str = "tiny") -> AsyncIterator[FakeVllm]:
    """A server that runs."""
    server = FakeVllm(name=name)
    await server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(RuntimeError):
            await server.stop()


def models(answer: dict[str, list[dict[str, object]]]) -> list[object]:
    """The models of the engines in an answer of the API."""
    return sorted(str(engine["model_name"]) for engine in answer["engines"])


def up(answer: dict[str, list[dict[str, object]]]) -> list[object]:
    """Which targets are up, in order."""
    return [target["up"] for target in answer["targets"]]

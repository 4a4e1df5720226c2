"""Real loopback servers, and a scraper pointed at them."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.scrape.client import Client, Target, new_session
from kvwatch.shell.scrape.scraper import Scraper

DATA = Path(__file__).parents[1] / "data"
TLS = DATA / "tls"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@cache
def expositions(count: int = 3) -> tuple[str, ...]:
    """The first expositions of a recording of a real vLLM."""
    with gzip.open(DATA / "recordings" / "seqcap" / "scrapes.jsonl.gz") as file:
        return tuple(json.loads(line)["text"] for line in itertools.islice(file, count))


@asynccontextmanager
async def serve(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An HTTP server that gives every path to ``handler``; yields its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serve_raw(handler: RawHandler) -> AsyncIterator[str]:
    """A server of bytes: ``handler`` may say whatever it likes; yields its address."""
    tasks = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """A request without a body."""
    return await reader.readuntil(b"\r\n\r\n")


def text_response(body: str | bytes, **headers: str) -> web.Response:
    """An exposition as vLLM answers it."""
    data = body if isinstance(body, bytes) else body.encode()
    return web.Response(body=data, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8", **headers})


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that the daemon uses."""
    async with new_session() as session:
        yield session


class Probe:
    """Scrapes an address once or for ever, with the limits of ``target``."""

    def __init__(self, session: aiohttp.ClientSession, target: Target, clock: Callable[[], float]) -> None:
        self.delivered: list[Scrape | ScrapeFailed] = []
        self.scraper = Scraper(
            target, Client(session, target), clock=clock, reader=ExpositionReader(), deliver=self._deliver
        )
        self._more = asyncio.Event()

    def _deliver(self, _target: str, fact: Scrape | ScrapeFailed) -> None:
        self.delivered.append(fact)
        self._more.set()

    async def once(self) -> Scrape | ScrapeFailed:
        """One scrape."""
        return await self.scraper.scrape()

    async def failure(self) -> ScrapeFailed:
        """One scrape, which must fail."""
        fact = await self.once()
        assert isinstance(fact, ScrapeFailed)
        return fact

    async def success(self) -> Scrape:
        """One scrape, which must succeed."""
        fact = await self.once()
        assert isinstance(fact, Scrape), fact
        return fact

    async def until(self, count: int) -> list[Scrape | ScrapeFailed]:
        """What the running scraper has delivered, once that is ``count`` facts."""
        while len(self.delivered) < count:
            self._more.clear()
            await self._more.wait()
        return self.delivered


MakeProbe = Callable[..., Probe]


@pytest.fixture
def probe(session: aiohttp.ClientSession) -> MakeProbe:
    """Make a probe of an address; keywords are those of the target."""

    def make(url: str, clock: Callable[[], float] = lambda: 1000.0, **limits: object) -> Probe:
        target = replace(Target("t", url, timeout_seconds=5.0), **limits)  # type: ignore[arg-type]
        return Probe(session, target, clock)

    return make


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    """Run something eternal while the block runs."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


Server = AbstractAsyncContextManager[str]

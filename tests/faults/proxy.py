"""A proxy between kvwatch and an engine that does to its answers whatever a test asks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

Rewrite = Callable[[bytes], bytes]


def untouched(body: bytes) -> bytes:
    """The body as it came."""
    return body


@dataclass
class FaultProxy:
    """Fetches each path from ``origin`` and passes the answer on, through the fault that is set.

    ``rewrite`` changes the body; ``delay_seconds`` comes before the answer, ``cut_bytes`` closes the connection after
    so many of the body, and ``status`` is what is answered instead of 200.
    """

    origin: str
    rewrite: Rewrite = untouched
    delay_seconds: float = 0.0
    cut_bytes: int | None = None
    status: int = 200
    served: int = 0
    url: str = ""
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def heal(self) -> None:
        """No fault any more."""
        self.rewrite, self.delay_seconds, self.cut_bytes, self.status = untouched, 0.0, None, 200

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a connection, which is closed afterwards."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, aiohttp.ClientError):
                await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._session is not None
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
        async with self._session.get(self.origin + path) as response:
            body = await response.read()
            status = self.status if response.status == 200 else response.status
        body = self.rewrite(body) if path == "/metrics" else body
        await asyncio.sleep(self.delay_seconds)
        headers = f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        writer.write(f"HTTP/1.1 {status} X\r\n{headers}\r\n".encode() + body[: self.cut_bytes])
        await writer.drain()
        self.served += 1

    async def end(self) -> None:
        """Give up what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxied(origin: str) -> AsyncIterator[FaultProxy]:
    """A proxy on a free port of the loopback address."""
    proxy = FaultProxy(origin)
    async with aiohttp.ClientSession() as proxy._session:
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield proxy
        finally:
            server.close()
            await proxy.end()
            await asyncio.sleep(0)  # in which the connections that are closed are gone

"""What clients may cost, and who has to go when that is reached: never one that asks and takes its answer.

Connections are bounded in number. For a new one room is made by closing the one that has been idle longest, then one
that has brought no request yet, then one that has been slow to take its answer. Answers under way are bounded in bytes
and in time: a client that does not read is closed when others need the memory, and after half a minute in any case.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass

from aiohttp import web

from kvwatch.shell.logging import event
from kvwatch.shell.tasks import stop_all

_STOP_SECONDS = 0.2
"""Longest wait for handshakes to end at shutdown. Choice: short beside a pod's grace period of 30 s."""

Handler = web.RequestHandler
"""aiohttp's end of a connection."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may cost, of all connections together where nothing else is said."""

    first_request_seconds: float = 10.0
    """Until the first complete request of a connection. Choice: a client that is there sends it at once."""
    max_connections: int = 512
    """Choice: half of the 1,024 open files that a process has by default, of which targets and logs need the others."""
    answer_seconds: float = 30.0
    """For a client to take an answer. Choice: three times as long as Prometheus waits for a scrape."""
    answer_bytes: int = 16 << 20
    """Of bodies under way. Choice: two pages of 1,000 engines each, and 3% of the chart's memory limit of 512 MiB."""
    patience_seconds: float = 1.0
    """A client that has not taken its answer within this time is slow. Choice: some round trips of the longest ways."""


@dataclass(slots=True)
class _UnderWay:
    """An answer that is being written, since a time of the event loop's clock [s]."""

    body: bytes
    since: float


class Connections:
    """The connections of one server. ``dropped`` gets the reason of each that is closed or refused."""

    def __init__(self, limits: Limits, dropped: Callable[[str], None]) -> None:
        self._limits = limits
        self._dropped = dropped
        self._beginning: dict[Handler, asyncio.Task[None]] = {}
        """Those that are not set up yet, as TLS takes some round trips for that; the oldest first."""
        self._silent: dict[Handler, None] = {}
        """Those that have not brought a request yet, the oldest first."""
        self._idle: dict[Handler, None] = {}
        """Those between two requests, the one that has been so longest first."""
        self._answers: dict[Handler, _UnderWay] = {}
        """What is being written, the oldest first."""

    async def serve(
        self, accepted: AsyncIterator[socket.socket], server: web.Server, tls: Callable[[], ssl.SSLContext | None]
    ) -> None:
        """Give each accepted connection to ``server``, as long as there is or can be made room for it.

        ``tls`` is asked for each.
        """
        async for connection in accepted:
            if not self._make_room(server.connections):
                connection.close()
                continue
            handler = server()
            self._beginning[handler] = asyncio.create_task(self._begin(handler, connection, tls()), name="connection")

    async def stop(self) -> None:
        """End those that are not set up yet; the server ends the others."""
        await stop_all(list(self._beginning.values()), within=_STOP_SECONDS)

    async def _begin(self, handler: Handler, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        seconds = self._limits.first_request_seconds
        try:
            await loop.connect_accepted_socket(
                lambda: handler, connection, ssl=tls, ssl_handshake_timeout=seconds if tls else None
            )
        except OSError:  # of TLS too: what does not speak it has no business here
            self.count("handshake")
            connection.close()
            return
        finally:
            del self._beginning[handler]
        self._silent[handler] = None
        loop.call_later(seconds, self._drop_if_silent, handler)

    def _make_room(self, connections: Collection[Handler]) -> bool:
        """Whether there is room for one more besides ``connections``; one of them may be closed for it."""
        if len(connections) + len(self._beginning) < self._limits.max_connections:
            return True
        there = set(connections)
        for waiting in (self._idle, self._silent):
            for gone in [handler for handler in waiting if handler not in there]:
                del waiting[gone]
        if (idle := next(iter(self._idle), None)) is not None:
            self._close(idle, "idle")
        elif (beginning := next(iter(self._beginning), None)) is not None:
            self._beginning[beginning].cancel()
            self.count("silent")
        elif (silent := next(iter(self._silent), None)) is not None:
            self._close(silent, "silent")
        elif (slow := self._slowest()) is not None:
            self._close(slow, "slow")
        else:
            self.count("full")
            return False
        return True

    @web.middleware
    async def answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Have a request answered and the answer written, within what that may cost."""
        connection = request.protocol
        self._forget(connection)
        try:
            response = await handler(request)
            if isinstance(response, web.Response):
                await self._write(request, response)
            return response
        finally:
            if connection.transport is not None:
                self._idle[connection] = None

    async def _write(self, request: web.Request, response: web.Response) -> None:
        connection = request.protocol
        body = response.body if isinstance(response.body, bytes) else b""
        self._answers[connection] = _UnderWay(body, asyncio.get_running_loop().time())
        self._keep_within_memory()
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            self._close(connection, "slow")
        except ConnectionError:
            return  # aiohttp finds that out for itself when it looks at what has been sent
        finally:
            self._answers.pop(connection, None)

    def _keep_within_memory(self) -> None:
        """Close the connections that have been at their answers longest, until the others fit; the last one stays."""
        while len(self._answers) > 1:
            bodies = {id(answer.body): len(answer.body) for answer in self._answers.values()}
            if sum(bodies.values()) <= self._limits.answer_bytes:
                return
            self._close(next(iter(self._answers)), "slow")

    def _slowest(self) -> Handler | None:
        now = asyncio.get_running_loop().time()
        slow = (h for h, answer in self._answers.items() if now - answer.since > self._limits.patience_seconds)
        return next(slow, None)

    def _drop_if_silent(self, handler: Handler) -> None:
        if handler in self._silent:
            if handler.transport is not None:  # it has not gone by itself
                self.count("silent")
            self._forget(handler)
            handler.force_close()

    def _close(self, handler: Handler, reason: str) -> None:
        self.count(reason)
        self._forget(handler)
        self._answers.pop(handler, None)
        if handler.transport is not None:
            handler.transport.abort()

    def _forget(self, handler: Handler) -> None:
        self._silent.pop(handler, None)
        self._idle.pop(handler, None)

    def count(self, reason: str) -> None:
        """A connection has been closed or refused."""
        self._dropped(reason)
        event(logging.WARNING, "connection_dropped", reason=reason, counted="kvwatch_http_connections_dropped_total")

"""kvwatch's own port: it listens, hands requests to the pages, and bounds what clients may cost.

A connection that does not bring a complete request in time is closed, and no more than a fixed number of them are kept.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from kvwatch.shell.web.pages import Pages, make_app


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may cost: seconds until its first complete request, and connections of all clients."""

    first_request_seconds: float = 10.0
    max_connections: int = 512


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: an empty host is every interface, port 0 a free one; ``tls`` makes it HTTPS."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class HttpServer:
    """Listens, serves and stops; ``port`` is the real one after ``start``."""

    def __init__(
        self, pages: Pages, server: Listen, limits: Limits | None = None, more: Iterable[web.RouteDef] = ()
    ) -> None:
        self._limits = limits or Limits()
        app = make_app(pages, more)
        app.middlewares.append(self._mark_served)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=0.2,
            keepalive_timeout=75.0,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self._address = (server.host or None, server.port)
        self._tls = server.tls
        self._silent: set[asyncio.BaseProtocol] = set()
        """Young connections that have not brought a request yet."""
        self._server: asyncio.Server | None = None
        self.port = server.port

    async def start(self) -> None:
        """Bind and listen. Raises OSError where the address cannot be had."""
        await self._runner.setup()
        host, port = self._address
        if host is None and port == 0:
            host = "0.0.0.0"  # noqa: S104 - each address family would pick a free port of its own
        try:
            self._server = await self._listen(host, port)
        except OSError as error:
            if host is not None or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
            self._server = await self._listen("0.0.0.0", port)  # noqa: S104 - a host without IPv6
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and end what is under way, at once or nearly so."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    async def _listen(self, host: str | None, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        timeout = self._limits.first_request_seconds if self._tls else None
        return await loop.create_server(
            self._accept, host, port, ssl=self._tls, ssl_handshake_timeout=timeout, backlog=128
        )

    def _accept(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._limits.max_connections:
            return _Refusal()
        handler = server()
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(self._limits.first_request_seconds, self._drop_if_silent, handler)
        return handler

    def _drop_if_silent(self, handler: web.RequestHandler) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()

    @web.middleware
    async def _mark_served(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        return await handler(request)


class _Refusal(asyncio.Protocol):
    """Closes a connection as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()

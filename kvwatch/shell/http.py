"""kvwatch's own HTTP endpoint: read-only, bounded, and no secret behind it.

Only GET and HEAD are answered, and POST by what is added to it; nothing here changes anything. A connection that does
not bring a complete request in time is closed, and no more than a fixed number of them are kept.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import orjson
from aiohttp import web

from kvwatch import __version__
from kvwatch.export.exposition import Exposition, asks_for_openmetrics, content_type
from kvwatch.export.json_api import fleet_lists
from kvwatch.export.page import STYLE_SOURCE, page
from kvwatch.shell.runbooks import runbook_route, runbooks
from kvwatch.views import FleetView

T = TypeVar("T")
_MAX_REQUEST_BYTES = 16 * 1024
_COMPRESS_ABOVE_BYTES = 8 * 1024
_SLICE_SECONDS = 0.02
"""Longest stretch of work on a page before scrapes that are due have their turn."""
_HEADERS = {
    "Server": f"kvwatch/{__version__}",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": f"default-src 'none'; style-src {STYLE_SOURCE}; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may cost: seconds until its first complete request, and connections of all clients."""

    first_request_seconds: float = 10.0
    max_connections: int = 512


@dataclass(frozen=True, slots=True)
class Pages:
    """What the endpoint shows: what writes /metrics, the view behind the API, and the readiness."""

    exposition: Exposition
    view: Callable[[], FleetView]
    ready: Callable[[], bool]
    runbooks: Mapping[str, str] = field(default_factory=runbooks)
    """Markdown by the alert's name."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One page is made at a time, so that many clients cost no more memory than one."""

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics: text format 0.0.4, or OpenMetrics 1.0 where it is asked for."""
        openmetrics = asks_for_openmetrics(",".join(request.headers.getall("Accept", [])))
        async with self._turn:
            body = "".join(await _in_slices(self.exposition.pieces(openmetrics=openmetrics))).encode()
        headers = {"Content-Type": content_type(openmetrics), "Vary": "Accept"}
        return _compressed(web.Response(body=body, headers=headers))

    async def engines(self, _request: web.Request) -> web.Response:
        """GET /api/v1/engines: the contract's JSON and the health of every target."""
        async with self._turn:
            view = self.view()
            lists = {key: await _in_slices(part) for key, part in fleet_lists(view, targets=True).items()}
            body = orjson.dumps({"t": view.at, **lists}, option=orjson.OPT_SERIALIZE_NUMPY)
        return _compressed(web.Response(body=body, content_type="application/json"))

    async def healthy(self, _request: web.Request) -> web.Response:
        """GET /-/healthy: 200 as long as the event loop turns."""
        return web.Response(text="healthy\n")

    async def is_ready(self, _request: web.Request) -> web.Response:
        """GET /-/ready: 200 between start and shutdown, whatever the targets do."""
        if self.ready():
            return web.Response(text="ready\n")
        return web.Response(text="not ready\n", status=503)

    async def index(self, _request: web.Request) -> web.Response:
        """GET /: how loaded each engine is and what to set, for people, and where to go."""
        return _compressed(web.Response(text=page(self.view(), __version__, self.runbooks), content_type="text/html"))


def make_app(pages: Pages, more: Iterable[web.RouteDef] = ()) -> web.Application:
    """The routes, each with the headers that every answer has; ``more`` are served only where configured."""
    app = web.Application(client_max_size=_MAX_REQUEST_BYTES, middlewares=[_plain_errors])
    app.router.add_get("/metrics", pages.metrics)
    app.router.add_get("/api/v1/engines", pages.engines)
    app.router.add_get("/-/healthy", pages.healthy)
    app.router.add_get("/-/ready", pages.is_ready)
    app.router.add_get("/", pages.index)
    app.router.add_routes([runbook_route(pages.runbooks)])
    app.router.add_routes(more)
    return app


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
        app.on_response_prepare.append(_add_headers)
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


@web.middleware
async def _plain_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return web.Response(text=f"{error.status} {error.reason}\n", status=error.status, headers=allow)


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


async def _in_slices(pieces: Iterable[T]) -> list[T]:
    """All pieces, made a few milliseconds' worth at a time; what is due meanwhile has its turn between."""
    loop = asyncio.get_running_loop()
    found = []
    began = loop.time()
    for piece in pieces:
        found.append(piece)
        if loop.time() - began > _SLICE_SECONDS:
            await asyncio.sleep(0)
            began = loop.time()
    return found


def _compressed(response: web.Response) -> web.Response:
    if response.body is not None and len(response.body) > _COMPRESS_ABOVE_BYTES:  # type: ignore[arg-type]
        response.enable_compression()
    return response

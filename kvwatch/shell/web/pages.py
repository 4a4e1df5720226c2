"""What kvwatch's own port serves: read-only pages made of a view, with no secret behind them.

Only GET and HEAD are answered, and POST by what is added to it; nothing here changes anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import orjson
from aiohttp import web

from kvwatch import __version__
from kvwatch.export.exposition import Exposition, asks_for_openmetrics, content_type
from kvwatch.export.json_api import fleet_lists
from kvwatch.export.page import STYLE_SOURCE, page
from kvwatch.shell.web.runbooks import runbook_route, runbooks
from kvwatch.views import FleetView

T = TypeVar("T")
_MAX_REQUEST_BYTES = 16 * 1024
"""Longest body of a request. Choice: small, since no page takes one; the receiver of traces has a limit of its own."""
_COMPRESS_ABOVE_BYTES = 8 * 1024
"""Choice: a smaller answer fits into a few packets anyway."""
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
    app.on_response_prepare.append(_add_headers)
    return app


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

"""What kvwatch's own port serves: read-only pages made of a view, with no secret behind them.

Only GET and HEAD are answered, and POST by what is added to it; nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from kvwatch import __version__
from kvwatch.export.exposition import Exposition, asks_for_openmetrics, content_type
from kvwatch.export.json_api import fleet_lists
from kvwatch.shell.web.bodies import Answer, Body, BodyMaker, in_slices
from kvwatch.shell.web.runbooks import runbook_route, runbooks
from kvwatch.views import FleetView

_MAX_REQUEST_BYTES = 16 * 1024
"""Longest body of a request. Choice: small, since no page takes one; the receiver of traces has a limit of its own."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""What a browser may do with a page: load the server's own scripts and styles, and nothing that stands in the page."""
_HEADERS = {
    "Server": f"kvwatch/{__version__}",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Pages:
    """What the endpoint shows: what writes /metrics, the view behind the API, and the readiness.

    ``texts`` are the runbooks in Markdown, by the alert's name.
    """

    def __init__(
        self,
        exposition: Exposition,
        view: Callable[[], FleetView],
        ready: Callable[[], bool],
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self._exposition = exposition
        self._view = view
        self._ready = ready
        self.runbooks = runbooks() if texts is None else texts
        self._bodies = BodyMaker()

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics: text format 0.0.4, or OpenMetrics 1.0 where it is asked for."""
        openmetrics = asks_for_openmetrics(",".join(request.headers.getall("Accept", [])))
        body = await self._bodies.get(f"metrics {openmetrics}", partial(self._metrics_body, openmetrics))
        return await Answer.of(request, body, {"Content-Type": content_type(openmetrics), "Vary": "Accept"})

    async def _metrics_body(self, openmetrics: bool) -> Body:
        return Body("".join(await in_slices(self._exposition.pieces(openmetrics=openmetrics))).encode())

    async def engines(self, request: web.Request) -> web.Response:
        """GET /api/v1/engines: the contract's JSON and the health of every target."""
        body = await self._bodies.get("engines", self._engines_body)
        return await Answer.of(request, body, {"Content-Type": "application/json"})

    async def _engines_body(self) -> Body:
        view = self._view()
        lists = {key: await in_slices(part) for key, part in fleet_lists(view, targets=True).items()}
        return Body(orjson.dumps({"t": view.at, **lists}, option=orjson.OPT_SERIALIZE_NUMPY))

    async def healthy(self, _request: web.Request) -> web.Response:
        """GET /-/healthy: 200 as long as the event loop turns."""
        return web.Response(text="healthy\n")

    async def is_ready(self, _request: web.Request) -> web.Response:
        """GET /-/ready: 200 between start and shutdown, whatever the targets do."""
        if self._ready():
            return web.Response(text="ready\n")
        return web.Response(text="not ready\n", status=503)

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/metrics", self.metrics),
            web.get("/api/v1/engines", self.engines),
            web.get("/-/healthy", self.healthy),
            web.get("/-/ready", self.is_ready),
            runbook_route(self.runbooks),
        ]


def make_app(
    routes: Iterable[web.RouteDef],
    middlewares: Iterable[Middleware],
    headers: Callable[[], Mapping[str, str]] = dict,
) -> web.Application:
    """The routes, each with the headers that every answer has, and with ``headers`` over them.

    The first of ``middlewares`` sees every request first and every answer last.
    """

    async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        response.headers.update(headers())

    app = web.Application(client_max_size=_MAX_REQUEST_BYTES, middlewares=[*middlewares, _plain_errors])
    app.router.add_routes(routes)
    app.on_response_prepare.append(add_headers)
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

"""The page at ``/`` and the stream behind it: one loop that looks at the fleet, and a task for each viewer.

While nobody looks, the loop only fills the history. A viewer is sent events: ``fleet`` with all that has changed,
and of the engine that it looks at ``history`` once, then ``engine`` and ``points``. One that does not read is cut off.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import orjson
from aiohttp import web

from kvwatch import __version__
from kvwatch.export.state_words import STATE_NAMES
from kvwatch.export.summary import SHORT_LIMIT_WORDS, engine_key
from kvwatch.page.assets import Asset, assets
from kvwatch.page.feed import Feed
from kvwatch.page.history import COLUMNS, History, Rows, row_of
from kvwatch.views import FleetView

TICK_SECONDS = 2.0
"""Time between two events of a viewer [s]. Choice: as fast as one reads, and a fifth of the cost of each scrape."""
MOST_VIEWERS = 64
"""Viewers at a time [1]. Choice: a team with a screen on each wall; each costs some kilobytes an event."""
SLOW_VIEWER_SECONDS = 10.0
"""How long a viewer may take to read an event [s]. Choice: a phone in a tunnel comes back by itself."""
_LABELS = {"target", "model_name", "engine"}
_HEADERS = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}


class LivePage:
    """What is remembered for the page, and what serves it.

    ``view`` gives the fleet as it is, ``runbooks`` the names of the alerts whose runbook is served.
    """

    def __init__(self, view: Callable[[], FleetView], runbooks: Iterable[str] = ()) -> None:
        self._view = view
        self._runbooks = tuple(runbooks)
        self._assets = assets()
        self._feed = Feed()
        self._history = History()
        self._viewers = 0
        self._looked_at = -math.inf
        self._recorded_at = -math.inf
        self._tick = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._closing = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """The page, its parts and its stream."""
        parts = [web.get(f"/{path}", self._served(asset)) for path, asset in self._assets.items()]
        return [*parts, web.get("/api/v1/stream", self._stream)]

    async def keep(self) -> None:
        """Look at the fleet for ever: every two seconds while somebody looks on, else as seldom as history needs."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self.look()
            async with self._tick:
                self._tick.notify_all()
            self._wanted.clear()
            pause = TICK_SECONDS if self._viewers else self._history.step_seconds
            try:
                await asyncio.wait_for(self._wanted.wait(), max(pause - (loop.time() - began), 0.0))
            except TimeoutError:
                continue

    def look(self) -> None:
        """Take a view of the fleet into feed and history."""
        view = self._view()
        self._feed.update(view)
        self._looked_at = view.at
        step = self._history.step_seconds
        if view.at // step != self._recorded_at // step:
            self._history.record(view.at, self._feed.documents())
            self._recorded_at = view.at

    async def close(self, _app: web.Application | None = None) -> None:
        """End all streams, so that shutting down waits for none of them."""
        self._closing.set()
        async with self._tick:
            self._tick.notify_all()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/stream: server-sent events; the query names the engine that is looked at, or none."""
        if self._viewers >= MOST_VIEWERS:
            return web.Response(text="503 too many viewers\n", status=503)
        with self._viewing():
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            key = engine_key(request.query) if request.query.keys() >= _LABELS else ""
            seen: set[str] = set()
            version, newest = 0, -math.inf
            await self._send(response, ("hello", orjson.dumps(self._hello())))
            while not self._closing.is_set():
                events = [("fleet", self._feed.changes(version, seen))]
                version = self._feed.version
                if key:
                    events += self._engine_events(key, newest)
                    newest = self._recorded_at
                if not await self._send(response, *events):
                    break
                async with self._tick:
                    await self._tick.wait()
        return response

    def _engine_events(self, key: str, after: float) -> Iterator[tuple[str, bytes]]:
        """What a viewer of an engine gets: its rows later than ``after``, and the document of now."""
        times, rows = self._history.since(key, after)
        if times or after == -math.inf:
            yield "history" if after == -math.inf else "points", _rows_json(times, rows)
        detail = self._feed.detail(key)
        if detail is not None:
            document, brief = detail
            now = {"t": self._looked_at, "now": row_of(document), "engine": document, "summary": orjson.Fragment(brief)}
            yield "engine", orjson.dumps(now)

    async def _send(self, response: web.StreamResponse, *events: tuple[str, bytes]) -> bool:
        """Write events; false where the viewer is gone or does not read."""
        text = b"".join(b"event: " + name.encode() + b"\ndata: " + data + b"\n\n" for name, data in events)
        try:
            await asyncio.wait_for(response.write(text), SLOW_VIEWER_SECONDS)
        except (TimeoutError, ConnectionError):
            return False
        return True

    def _hello(self) -> Mapping[str, object]:
        """What does not change while the process lives."""
        return {
            "version": __version__,
            "tick_seconds": TICK_SECONDS,
            "step_seconds": self._history.step_seconds,
            "columns": COLUMNS,
            "limits": SHORT_LIMIT_WORDS,
            "states": {state.value: name for state, name in STATE_NAMES.items()},
            "runbooks": self._runbooks,
        }

    @contextmanager
    def _viewing(self) -> Iterator[None]:
        self._viewers += 1
        if self._viewers == 1:
            self._wanted.set()
        try:
            yield
        finally:
            self._viewers -= 1

    @staticmethod
    def _served(asset: Asset) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=asset.body, content_type=asset.content_type, charset=asset.charset)

        return serve


def page_address(host: str, port: int, *, tls: bool) -> str:
    """Where to look: the address of the page on this machine, for a server that listens on ``host`` or everywhere."""
    name = "localhost" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"{'https' if tls else 'http'}://{name}:{port}/"


def _rows_json(times: list[float], rows: Rows) -> bytes:
    """Rows with their times, as lists; NaN becomes null."""
    return orjson.dumps({"t": times, "rows": rows}, option=orjson.OPT_SERIALIZE_NUMPY)

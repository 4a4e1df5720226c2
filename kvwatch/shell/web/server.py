"""kvwatch's own port: it listens, hands requests to the pages, and has its clients bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from aiohttp import web

from kvwatch.shell.access.policy import WebPolicy
from kvwatch.shell.tasks import stop_all
from kvwatch.shell.web.connections import Connections, Limits
from kvwatch.shell.web.guard import Guard
from kvwatch.shell.web.listening import accepted, listening_sockets
from kvwatch.shell.web.pages import make_app

_KEEP_ALIVE_SECONDS = 75.0
"""Longest time between two requests of a connection. Choice: longer than the minute at which Prometheus may scrape."""
_STOP_SECONDS = 0.2
"""Longest wait for answers under way at shutdown. Choice: short beside a pod's grace period of 30 s."""

_OPEN = WebPolicy()
"""HTTP, for everyone."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: an empty host is every interface, port 0 a free one."""

    host: str
    port: int


class HttpServer:
    """Listens, serves and stops; ``port`` is the real one after ``start``.

    ``policy`` is asked at each connection and request how they are guarded, paths ``open_below`` look after
    themselves; ``dropped`` gets the reason of each connection that is closed or refused for what it costs.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is one thing that it works with
        self,
        routes: Iterable[web.RouteDef],
        listen: Listen,
        limits: Limits | None = None,
        policy: Callable[[], WebPolicy] = lambda: _OPEN,
        open_below: Collection[str] = (),
        dropped: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._connections = Connections(limits or Limits(), dropped)
        self._policy = policy
        guard = Guard(policy, open_below)
        self._runner = web.AppRunner(
            make_app(routes, [self._connections.answer, guard.check], lambda: policy().headers),
            access_log=None,
            shutdown_timeout=_STOP_SECONDS,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=1.0,
            auto_decompress=False,
        )
        self._listen = listen
        self._accepting: list[asyncio.Task[None]] = []
        self.port = listen.port

    async def start(self) -> None:
        """Bind and listen. Raises OSError where the address cannot be had."""
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("a server that has been stopped cannot be started again")
        sockets = await listening_sockets(self._listen.host, self._listen.port)
        self.port = sockets[0].getsockname()[1]
        for listening in sockets:
            accepting = accepted(listening, lambda: self._connections.count("no_files"))
            work = self._connections.serve(accepting, server, lambda: self._policy().tls)
            self._accepting.append(asyncio.create_task(work, name=f"accept {listening.getsockname()[0]}"))

    async def stop(self) -> None:
        """Stop listening and end what is under way, at once or nearly so."""
        await stop_all(self._accepting, within=_STOP_SECONDS)
        for task in self._accepting:
            with contextlib.suppress(asyncio.CancelledError):
                task.result()
        await self._connections.stop()
        await self._runner.cleanup()

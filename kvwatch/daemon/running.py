"""The daemon: what lives as long as the process, started, reloaded and stopped as one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import aiohttp
from prometheus_client import ProcessCollector

from kvwatch.config import ConfigError, Fault, ValidatedConfig
from kvwatch.core.fleet import Fleet
from kvwatch.daemon.discoverer import Discoverer
from kvwatch.daemon.guarding import follow_server, policy_files
from kvwatch.daemon.ingest import log_sources, trace_receiver
from kvwatch.daemon.parts import core_options
from kvwatch.daemon.reload import needs_restart, taken_up
from kvwatch.daemon.sources import refuse_missing_extra
from kvwatch.daemon.watches import Shared, Watches
from kvwatch.export.exposition import Exposition
from kvwatch.page.live import LivePage, page_address
from kvwatch.shell.clock import SteadyClock
from kvwatch.shell.discovery import SourceError
from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.lookups import Lookups
from kvwatch.shell.model_refresh import keep_refreshing
from kvwatch.shell.otlp.http import PATH as EXPORTS
from kvwatch.shell.otlp.limits import SeenSpans
from kvwatch.shell.scrape.client import new_session
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.state.file import StateFile
from kvwatch.shell.state.keeper import StateKeeper
from kvwatch.shell.tail import Positions
from kvwatch.shell.tasks import run_forever, stop_all
from kvwatch.shell.view_turns import keep_viewing
from kvwatch.shell.web.pages import Pages
from kvwatch.shell.web.runbooks import runbooks
from kvwatch.shell.web.server import HttpServer, Listen
from kvwatch.views import FleetView

_FOLLOW_SECONDS = 0.5
"""Least time between two rounds of following what discovery finds. Choice: half a scrape at the usual interval."""
_STOP_SECONDS = 0.5
"""Longest wait for tasks to end at shutdown. Choice: short beside a pod's grace period of 30 s."""


class Daemon:
    """``kvwatch run``: scrapes every target of the configuration and serves what follows from it.

    ``load`` reads the configuration, at the start and again at each reload; it raises ConfigError.
    """

    def __init__(
        self,
        load: Callable[[], ValidatedConfig],
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self.config = load()
        self._clock = SteadyClock(wall, monotonic)
        self._metrics = SelfMetrics()
        self._lookups = Lookups()
        self._intake = Intake(Fleet(core_options(self.config)), self._metrics, self._clock.ahead)
        state_file = self.config.estimates.state_file
        self._positions = Positions()
        spans = SeenSpans()
        file = StateFile(state_file) if state_file is not None else None
        self._state = StateKeeper(self._intake, file, self._metrics, self._positions, spans, self._clock)
        self._sources = log_sources(self.config)
        self._policy = policy_files(self.config.server)
        refuse_missing_extra(self.config)
        self._traces = trace_receiver(
            self.config,
            self._intake,
            self._metrics,
            self._clock.wall,
            spans,
            self._lookups,
            lambda: self._policy.current,
        )
        self._discoverer = Discoverer(self._metrics, self._intake.task_fault)
        self._running: aiohttp.ClientSession | None = None
        """Between the start and the beginning of the shutdown."""
        self._following = asyncio.Lock()
        self._watches: Watches | None = None
        """Since the start."""
        self._reloaded = False
        """Whether the targets of a new configuration are yet to be followed."""
        self._reload_wanted = False
        """Since it was asked for before the start."""

    def view(self) -> FleetView:
        """The fleet as it is now, at the wall clock's time."""
        now = self._clock()
        return replace(self._intake.view(now), at=now - self._clock.ahead())

    async def run(self, stop: asyncio.Event, on_started: Callable[[int], None] = lambda _port: None) -> None:
        """Serve until ``stop`` is set; ``on_started`` gets the port when it listens.

        Raises:
            OSError: the address cannot be listened on.
        """
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: self._intake.loop_fault(context))
        live = LivePage(self.view, runbooks())
        server, *others = self._servers(live)
        receiving = self._traces.running() if self._traces else contextlib.nullcontext()
        async with new_session(self._lookups) as session, receiving:
            await server.start()
            for other in others:
                await other.start()
            watches = self._watches = self._new_watches(session)
            self._discoverer.follow(self.config.discovery, session)
            await self._follow(watches)
            own = self._own_tasks(watches, live)
            self._running = session
            tls = self._policy.current.tls is not None
            page = page_address(self.config.server.host, server.port, tls=tls)
            event(logging.INFO, "started", page=page, port=server.port, targets=len(watches), tls=tls)
            on_started(server.port)
            if self._reload_wanted:
                self.reload()
            try:
                await stop.wait()
            finally:
                self._running = None
                await live.close()
                tasks = [*own, *watches.tasks()]
                ends = [stop_all(tasks, within=_STOP_SECONDS), self._discoverer.stop()]
                await asyncio.gather(*ends, *(one.stop() for one in (server, *others)))
                self._state.save()
                event(logging.INFO, "stopped")

    def _servers(self, live: LivePage) -> list[HttpServer]:
        """Kvwatch's own port, and that of the traces where they have one of their own."""
        config, traces = self.config.server, self.config.traces
        exposition = Exposition(self.view, self._metrics.samples, ProcessCollector(registry=None))
        pages = [*Pages(exposition, self.view, lambda: self._running is not None).routes(), *live.routes()]
        exports = self._traces.routes() if self._traces else []
        more = [] if traces.http is None else [(exports, Listen(*traces.http))]
        first = (pages if more else [*pages, *exports], Listen(config.host, config.port))
        return [
            HttpServer(
                routes,
                listen,
                policy=self._policy.get,
                open_below=(EXPORTS,) if traces.bearer_token_file is not None else (),
                dropped=partial(self._metrics.count, "kvwatch_http_connections_dropped_total"),
            )
            for routes, listen in (first, *more)
        ]

    def _new_watches(self, session: aiohttp.ClientSession) -> Watches:
        shared = Shared(
            session,
            self._intake,
            self._metrics,
            self._state,
            self._positions,
            self._clock,
            self._clock.wall,
            self._traces,
        )
        return Watches(shared)

    def _own_tasks(self, watches: Watches, live: LivePage) -> list[asyncio.Task[None]]:
        """The eternal tasks that belong to no single target."""
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "discovery": lambda: self._keep_following(watches),
            "model": lambda: keep_refreshing(self._intake, self._clock),
            "views": lambda: keep_viewing(self._intake, self._clock),
            "page": live.keep,
            "state": self._state.keep_saving,
            "web files": self._policy.keep_current,
        }
        if self._traces is not None:
            works["traces"] = self._traces.keep_looking_up
        return [
            asyncio.create_task(run_forever(name, work, self._intake.task_fault), name=name)
            for name, work in works.items()
        ]

    async def _keep_following(self, watches: Watches) -> None:
        """Follow what discovery finds, for ever; many changes at once are one."""
        while True:
            await self._discoverer.changed.wait()
            self._discoverer.changed.clear()
            await self._follow(watches)
            if self._reloaded:
                self._reloaded = False
                event(logging.INFO, "config_reloaded", targets=len(watches))
            await asyncio.sleep(_FOLLOW_SECONDS)

    async def _follow(self, watches: Watches) -> None:
        async with self._following:
            await watches.follow(self._discoverer.targets(self.config), self.config, self._sources)

    def reload(self) -> None:
        """Read the configuration again and follow it; a faulty one is logged and changes nothing.

        Asked for before the start has come to its end, it is done then.
        """
        if self._running is None:
            self._reload_wanted = True
            return
        try:
            config = self._load()
            sources = log_sources(config)
            follow_server(self._policy, config.server)
        except ConfigError as error:
            self._refuse(error.faults)
            return
        later = needs_restart(self.config, config)
        if later:
            event(logging.WARNING, "config_needs_restart", keys=", ".join(later))
        try:
            self._discoverer.follow(config.discovery, self._running)
        except SourceError as error:
            event(logging.ERROR, "discovery_failed", why=str(error), effect="the sources before stay")
        self.config, self._sources = taken_up(self.config, config), sources
        self._reloaded = True
        self._discoverer.changed.set()  # its targets are followed as those are that discovery finds
        self._metrics.count("kvwatch_config_reloads_total", "success")
        self._metrics.last_reload_successful = True

    def _refuse(self, faults: tuple[Fault, ...]) -> None:
        for fault in faults:
            event(logging.ERROR, "config_fault", fault=str(fault))
        event(logging.ERROR, "config_reload_failed", faults=len(faults), effect="the configuration before stays")
        self._metrics.count("kvwatch_config_reloads_total", "failure")
        self._metrics.last_reload_successful = False

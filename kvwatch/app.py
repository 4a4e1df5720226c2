"""The composition root: where configuration, core, shell and clocks meet, and nowhere else.

One event loop owns all state. A :class:`Daemon` holds what lives as long as the process; a :class:`Watch`
holds what lives as long as one target.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from prometheus_client import ProcessCollector

from kvwatch.config import (
    ConfigError,
    Fault,
    LogSourceConfig,
    TargetConfig,
    ValidatedConfig,
)
from kvwatch.core.fleet import Fleet
from kvwatch.discovering import Discoverer, refuse_missing_extra
from kvwatch.export.exposition import Exposition
from kvwatch.facts import Settings
from kvwatch.parse import ExpositionReader
from kvwatch.shell.client import Client, Target, new_session
from kvwatch.shell.clock import SteadyClock
from kvwatch.shell.discovery import SourceError
from kvwatch.shell.garbage import keep_short
from kvwatch.shell.http import HttpServer, Listen, Pages
from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.model_refresh import keep_refreshing
from kvwatch.shell.otlp_limits import SeenSpans
from kvwatch.shell.recorder import Recorder, RecordingSummary, RecordingWriter
from kvwatch.shell.scraper import Scraper
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.settings_discovery import keep_discovering
from kvwatch.shell.state_file import StateFile
from kvwatch.shell.state_keeper import StateKeeper
from kvwatch.shell.tail import LogTail, Positions
from kvwatch.shell.tasks import run_forever, stop_all
from kvwatch.shell.view_turns import keep_viewing
from kvwatch.views import FleetView
from kvwatch.wiring import (
    configured_settings,
    core_options,
    log_sources,
    scrape_target,
    server_certificate,
    trace_receiver,
)

_FOLLOW_SECONDS = 0.5
"""Least time between two rounds of following what discovery finds."""
_STOP_SECONDS = 0.5
"""Longest wait for tasks to end at shutdown."""


@dataclass(slots=True)
class Watch:
    """The tasks that read one target and its logs."""

    target: Target
    logs: tuple[LogSourceConfig, ...]
    tasks: list[asyncio.Task[None]]


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
        self._intake = Intake(Fleet(core_options(self.config)), self._metrics)
        state_file = self.config.estimates.state_file
        self._positions = Positions()
        spans = SeenSpans()
        file = StateFile(state_file) if state_file is not None else None
        self._state = StateKeeper(self._intake, file, self._metrics, self._positions, spans, self._clock)
        self._sources = log_sources(self.config)
        self._discoverer = Discoverer(self._metrics, self._intake.task_fault)
        self._watches: dict[str, Watch] = {}
        self._retired: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._serving = False
        self._certificate = server_certificate(self.config.server)
        refuse_missing_extra(self.config)
        self._traces = trace_receiver(self.config, self._intake, self._metrics, self._clock, spans)

    def view(self) -> FleetView:
        """The fleet as it is now."""
        return self._intake.view(self._clock())

    async def run(self, stop: asyncio.Event, on_started: Callable[[int], None] = lambda _port: None) -> None:
        """Serve until ``stop`` is set; ``on_started`` gets the port when it listens.

        Raises:
            OSError: the address cannot be listened on.
        """
        server_config = self.config.server
        exposition = Exposition(self.view, self._metrics.samples, ProcessCollector(registry=None))
        pages = Pages(exposition, self.view, lambda: self._serving)
        certificate = self._certificate
        listen = Listen(server_config.host, server_config.port, certificate.context if certificate else None)
        server = HttpServer(pages, listen, more=self._traces.routes() if self._traces else ())
        receiving = self._traces.running() if self._traces else contextlib.nullcontext()
        async with new_session() as session, receiving:
            await server.start()
            self._session = session
            self._discoverer.follow(self.config.discovery, session)
            self._follow(self.config)
            own = [
                self._forever("discovery", self._keep_following),
                self._forever("model", lambda: keep_refreshing(self._intake, self._clock)),
                self._forever("views", lambda: keep_viewing(self._intake, self._clock)),
                self._forever("state", self._state.keep_saving),
            ]
            if certificate is not None:
                own.append(self._forever("certificate", certificate.keep_current))
            if self._traces is not None:
                own.append(self._forever("traces", self._traces.keep_looking_up))
            self._serving = True
            event(logging.INFO, "started", port=server.port, targets=len(self._watches), tls=certificate is not None)
            on_started(server.port)
            try:
                await stop.wait()
            finally:
                self._serving = False
                tasks = [*own, *(task for watch in self._watches.values() for task in watch.tasks)]
                await asyncio.gather(
                    stop_all(tasks + self._retired, within=_STOP_SECONDS), self._discoverer.stop(), server.stop()
                )
                self._state.save()
                event(logging.INFO, "stopped")

    def reload(self) -> None:
        """Read the configuration again and follow it; a faulty one is logged and changes nothing."""
        if not self._serving:
            return
        try:
            config = self._load()
            sources = log_sources(config)
            if self._certificate is not None and config.server.tls is not None:
                self._certificate.load(config.server.tls.cert_file, config.server.tls.key_file)
        except (ConfigError, OSError) as error:
            faults = error.faults if isinstance(error, ConfigError) else (Fault("server.tls", str(error)),)
            for fault in faults:
                event(logging.ERROR, "config_fault", fault=str(fault))
            event(logging.ERROR, "config_reload_failed", faults=len(faults), effect="the configuration before stays")
            self._metrics.count("kvwatch_config_reloads_total", "failure")
            self._metrics.last_reload_successful = False
            return
        later = [
            name for name in ("server", "estimates", "traces") if getattr(config, name) != getattr(self.config, name)
        ]
        if config.scrape.interval_seconds != self.config.scrape.interval_seconds:
            later.append("scrape.interval")
        if config.discovery.shard != self.config.discovery.shard:
            later.append("discovery.shard")
        if later:
            event(logging.WARNING, "config_needs_restart", keys=", ".join(later))
        if self._session is not None:
            try:
                self._discoverer.follow(config.discovery, self._session)
            except SourceError as error:
                event(logging.ERROR, "discovery_failed", why=str(error), effect="the sources before stay")
        scrape = replace(config.scrape, interval_seconds=self.config.scrape.interval_seconds)
        kept, self._sources = self.config, sources
        discovery = replace(config.discovery, shard=kept.discovery.shard)
        self.config = replace(
            config,
            server=kept.server,
            estimates=kept.estimates,
            traces=kept.traces,
            scrape=scrape,
            discovery=discovery,
        )
        self._follow(self.config)
        self._metrics.count("kvwatch_config_reloads_total", "success")
        self._metrics.last_reload_successful = True
        event(logging.INFO, "config_reloaded", targets=len(self._watches))

    async def _keep_following(self) -> None:
        """Follow what discovery finds, for ever; many changes at once are one."""
        while True:
            await self._discoverer.changed.wait()
            self._discoverer.changed.clear()
            self._follow(self.config)
            await asyncio.sleep(_FOLLOW_SECONDS)

    def _follow(self, config: ValidatedConfig) -> None:
        """Begin and end watches so that they are those of ``config``; the state of those that stay is kept."""
        wanted = self._discoverer.targets(config)
        if self._traces is not None:
            self._traces.follow({name: urlsplit(target.base_url).hostname or "" for name, target in wanted.items()})
        for name in [name for name in self._watches if name not in wanted]:
            self._retire(self._watches.pop(name))
            self._state.keep(name)
            self._intake.remove(name)
            event(logging.INFO, "target_removed", target=name)
        for name, target_config in wanted.items():
            self._intake.add(name, configured_settings(target_config), target_config.role)
            self._state.restore(name)
            target = scrape_target(target_config, config)
            watch = self._watches.get(name)
            if watch is None or (watch.target, watch.logs) != (target, target_config.logs):
                if watch is not None:
                    self._retire(watch)
                self._watches[name] = self._watch(target, target_config.logs)
        self._retired = [task for task in self._retired if not task.done()]

    def _retire(self, watch: Watch) -> None:
        for task in watch.tasks:
            task.cancel()
        self._retired += watch.tasks

    def _watch(self, target: Target, logs: tuple[LogSourceConfig, ...]) -> Watch:
        if self._session is None:
            raise RuntimeError("a target can be watched only while the daemon runs")
        if target.credentials.insecure_skip_verify:
            event(logging.WARNING, "target_not_verified", target=target.name, cause="tls.insecure_skip_verify")
        client = Client(self._session, target)
        scraper = Scraper(target, client, clock=self._clock, reader=ExpositionReader(), deliver=self._intake.observe)

        def deliver(settings: Settings | None) -> None:
            self._intake.discovered(target.name, settings)

        works: dict[str, Callable[[], Awaitable[None]]] = {
            "scrape": scraper.run,
            "discover": lambda: keep_discovering(client, scraper.fresh, target.discovery_interval_seconds, deliver),
        }
        if logs:
            tail = LogTail(
                target.name,
                self._sources[target.name],
                self._positions,
                deliver=lambda facts, results: self._intake.logged(target.name, facts, results),
                caught_up=lambda: self._metrics.release(target.name),
                clock=self._clock,
            )
            works["logs"] = tail.run
        else:
            self._positions.keep_only(target.name, set())
            self._metrics.release(target.name)
        return Watch(target, logs, [self._forever(f"{kind} {target.name}", work) for kind, work in works.items()])

    def _forever(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(run_forever(name, work, self._intake.task_fault), name=name)


async def serve(daemon: Daemon) -> None:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP reloads its configuration."""
    # What the imports made lives as long as the process: looking through it costs collections their time, and the
    # interpreter most of a second at its end.
    gc.freeze()
    keeping = asyncio.create_task(keep_short())
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, daemon.reload)
    try:
        await daemon.run(stop_on_signal())
    finally:
        keeping.cancel()


def stop_on_signal() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def record(
    target_config: TargetConfig, config: ValidatedConfig, folder: Path, duration_seconds: float | None
) -> RecordingSummary:
    """``kvwatch record``: write a target's scrapes to ``folder`` until a signal or the end of ``duration_seconds``.

    Raises:
        RecordingExistsError: the folder holds a recording already.
        OSError: the folder cannot be written.
    """
    stop = stop_on_signal()
    if duration_seconds is not None:
        asyncio.get_running_loop().call_later(duration_seconds, stop.set)
    target = scrape_target(target_config, config)
    async with new_session() as session:
        with RecordingWriter(folder) as writer:
            recorder = Recorder(target, Client(session, target), writer, SteadyClock(time.time, time.monotonic))
            task = asyncio.create_task(recorder.run(configured_settings(target_config)))
            await asyncio.wait([task, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            await stop_all([task], within=_STOP_SECONDS)
            return recorder.summary

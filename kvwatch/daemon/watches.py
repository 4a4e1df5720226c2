"""Which targets are watched, and the tasks that read each of them and its logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from kvwatch.config import LogSourceConfig, TargetConfig, ValidatedConfig
from kvwatch.daemon.parts import configured_settings, scrape_target
from kvwatch.facts import Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.otlp import TraceReceiver
from kvwatch.shell.scrape.client import Client, Target
from kvwatch.shell.scrape.scraper import Scraper
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.settings.looking import keep_looking, looks
from kvwatch.shell.state.keeper import StateKeeper
from kvwatch.shell.tail import LogTail, Positions, SourceSettings
from kvwatch.shell.tasks import run_forever

_SLICE_SECONDS = 0.01
"""Longest stretch of work on watches. Choice: 1% of the usual scrape interval."""


@dataclass(slots=True)
class Watch:
    """The tasks that read one target and its logs."""

    target: Target
    logs: tuple[LogSourceConfig, ...]
    tasks: list[asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all watches work with. ``clock`` gives unix seconds that do not jump, ``wall`` those of the host."""

    session: aiohttp.ClientSession
    intake: Intake
    metrics: SelfMetrics
    state: StateKeeper
    positions: Positions
    clock: Callable[[], float]
    wall: Callable[[], float]
    traces: TraceReceiver | None


class _Turns:
    """Pauses of long work on the event loop, so that scrapes that are due are not late for it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    async def pause(self) -> None:
        """Give way, if the work since the last pause took long."""
        if self._loop.time() - self._began > _SLICE_SECONDS:
            await asyncio.sleep(0)
            self._began = self._loop.time()


class Watches:
    """Begins and ends watches; the state of a target that stays is kept."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._by_name: dict[str, Watch] = {}
        self._retired: list[asyncio.Task[None]] = []
        """Tasks that have been cancelled and may not have ended yet."""

    def __len__(self) -> int:
        return len(self._by_name)

    def tasks(self) -> list[asyncio.Task[None]]:
        """All tasks, those about to end too."""
        return [*(task for watch in self._by_name.values() for task in watch.tasks), *self._retired]

    async def follow(
        self,
        wanted: Mapping[str, TargetConfig],
        config: ValidatedConfig,
        log_sources: Mapping[str, tuple[SourceSettings, ...]],
    ) -> None:
        """Watch these targets, by name, and no others; ``log_sources`` are those of ``config``, by target.

        Thousands take seconds, so others have their turn after some milliseconds. To be called by one task at a time.
        """
        turns = _Turns()
        if self._shared.traces is not None:
            hosts = {name: urlsplit(target.base_url).hostname or "" for name, target in wanted.items()}
            self._shared.traces.follow(hosts)
        for name in [name for name in self._by_name if name not in wanted]:
            self._retire(self._by_name.pop(name))
            self._shared.state.keep(name)
            self._shared.intake.remove(name)
            event(logging.INFO, "target_removed", target=name)
            await turns.pause()
        for name, target_config in wanted.items():
            self._shared.intake.add(name, configured_settings(target_config), target_config.role)
            if target_config.shown is not None and config.scrape.pod_settings:
                self._shared.intake.reported(name, target_config.shown)
            self._shared.state.restore(name)
            target = scrape_target(target_config, config)
            watch = self._by_name.get(name)
            if watch is None or (watch.target, watch.logs) != (target, target_config.logs):
                if watch is not None:
                    self._retire(watch)
                tasks = self._begin(target, log_sources[name] if target_config.logs else ())
                self._by_name[name] = Watch(target, target_config.logs, tasks)
            await turns.pause()
        self._retired = [task for task in self._retired if not task.done()]

    def _retire(self, watch: Watch) -> None:
        for task in watch.tasks:
            task.cancel()
        self._retired += watch.tasks

    def _begin(self, target: Target, logs: tuple[SourceSettings, ...]) -> list[asyncio.Task[None]]:
        shared = self._shared
        if target.credentials.insecure_skip_verify:
            event(logging.WARNING, "target_not_verified", target=target.name, cause="tls.insecure_skip_verify")
        client = Client(shared.session, target)
        scraper = Scraper(target, client, clock=shared.clock, reader=ExpositionReader(), deliver=shared.intake.observe)

        def deliver(settings: list[Settings]) -> None:
            shared.intake.discovered(target.name, settings)

        shared.intake.forget_logs(target.name)
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "scrape": scraper.run,
            "discover": lambda: keep_looking(
                looks(client, target), scraper.fresh, target.discovery_interval_seconds, deliver
            ),
        }
        if logs:
            tail = LogTail(
                target.name,
                logs,
                shared.positions,
                deliver=lambda facts, results: shared.intake.logged(target.name, facts, results),
                judge=lambda path, why: shared.intake.judge_log(target.name, path, why),
                caught_up=lambda: shared.metrics.release(target.name),
                clock=shared.wall,
            )
            works["logs"] = tail.run
        else:
            shared.positions.keep_only(target.name, set())
            shared.metrics.release(target.name)
        return [
            asyncio.create_task(run_forever(name, work, shared.intake.task_fault), name=name)
            for name, work in ((f"{kind} {target.name}", work) for kind, work in works.items())
        ]

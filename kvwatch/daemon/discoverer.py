"""Targets that come and go: runs the sources of the configuration and keeps what each of them has found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from zlib import crc32

import aiohttp

from kvwatch.config import TargetConfig, ValidatedConfig
from kvwatch.config.model import DiscoveryConfig
from kvwatch.daemon.found import target_config
from kvwatch.daemon.sources import RunningSource, carried, make_source, named_sources, predecessor_of, resume
from kvwatch.shell.discovery import Found, in_shard
from kvwatch.shell.discovery.shards import stable_hash
from kvwatch.shell.logging import event
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.tasks import run_forever, stop_all

_STOP_SECONDS = 0.5
"""Longest wait for the sources to end at shutdown. Choice: short beside a pod's grace period of 30 s."""

OnFault = Callable[[str, Exception], None]


class Discoverer:
    """Runs the sources; ``changed`` is set whenever what they found is another."""

    def __init__(self, metrics: SelfMetrics, on_fault: OnFault) -> None:
        self.changed = asyncio.Event()
        self._metrics = metrics
        self._on_fault = on_fault
        self._running: dict[str, RunningSource] = {}
        self._left_out = 0
        self._most = 0
        """So many targets are read of each source."""

    def follow(self, config: DiscoveryConfig, session: aiohttp.ClientSession) -> None:
        """Run the sources of a configuration; those that stay the same go on.

        One with other keys begins with what was found before, until it has looked itself.

        Raises:
            SourceError: a source needs what is not installed.
        """
        wanted = dict(named_sources(config))
        most, before = config.max_targets * config.shard[1], self._running.copy()
        same = {
            name
            for name, running in before.items()
            if running.config == wanted.get(name) and not (running.left_out and most != self._most)
        }
        made = {name: make_source(source, session) for name, source in wanted.items() if name not in same}
        self._most = most
        for name in [name for name in self._running if name not in wanted or name in made]:
            self._running.pop(name).task.cancel()
            self._metrics.forget("kvwatch_discovery_failures_total", name)
            self._metrics.forget("kvwatch_discovered_targets", name)
            self.changed.set()
        for name, source in made.items():
            predecessor = predecessor_of(name, wanted[name], before)
            found = carried(wanted[name], predecessor) if predecessor else {}
            if predecessor:
                resume(source, predecessor.source)
            self._metrics.count("kvwatch_discovery_failures_total", name, by=0.0)
            if found:
                self._metrics.put("kvwatch_discovered_targets", name, value=len(found))
            work = partial(source.run, partial(self._deliver, name), partial(self._failed, name))
            task = asyncio.create_task(run_forever(f"discover {name}", work, self._on_fault), name=f"discover {name}")
            self._running[name] = RunningSource(wanted[name], source, task, found)
        self._running = {name: self._running[name] for name in wanted}  # in which order they count

    async def stop(self) -> None:
        """End all sources."""
        await stop_all([running.task for running in self._running.values()], within=_STOP_SECONDS)

    def targets(self, config: ValidatedConfig) -> dict[str, TargetConfig]:
        """The configured targets and those that were found, by name, as far as they are this process's to watch.

        Of two with one name, or one address, the first counts: those of the configuration come before the found ones.
        """
        shard, most = config.discovery.shard, config.discovery.max_targets
        wanted = {target.name: target for target in config.targets if in_shard(target.name, shard)}
        names = {target.name for target in config.targets}
        addresses = {(target.base_url, target.metrics_path) for target in config.targets}
        found: dict[str, TargetConfig] = {}
        for running in self._running.values():
            for target in running.found.values():
                address = (target.base_url, target.metrics_path)
                if target.name in names or address in addresses:
                    continue
                names.add(target.name)  # of those of another shard too: it goes by the name that counts
                addresses.add(address)
                if in_shard(target.name, shard):
                    found[target.name] = target
        left_out = max(len(found) - most, 0)
        if left_out:  # the same ones each time, so that none comes and goes
            found = {name: found[name] for name in sorted(found, key=stable_hash)[:most]}
            if not self._left_out:
                event(logging.WARNING, "discovery_over_limit", left_out=left_out, max_targets=most)
        self._left_out = left_out
        return wanted | found

    def _deliver(self, name: str, found: tuple[Found, ...], *, whole: bool = True, left_out: int = 0) -> None:
        running = self._running.get(name)
        if running is None:
            return
        wanted = list(dict.fromkeys(found))
        if len(wanted) > self._most:  # the same ones each time; each takes some time, in which nothing is scraped
            left_out += len(wanted) - self._most
            wanted = sorted(wanted, key=_rank)[: self._most]
        if left_out and not running.left_out:
            event(logging.WARNING, "discovery_over_limit", source=name, left_out=left_out, read=len(wanted))
        known = running.found if running.delivered else {}
        template = running.config.target
        targets: dict[Found, TargetConfig] = {}
        refused = 0
        for one in wanted:
            try:
                targets[one] = known.get(one) or target_config(one, template)
            except ValueError as error:
                refused += 1
                if refused == 1 and not running.refused:  # once, not at each delivery
                    event(
                        logging.WARNING, "discovered_target_refused", source=name, name=one.name[:100], why=str(error)
                    )
        if running.failing and whole:
            event(logging.INFO, "discovery_recovered", source=name, targets=len(targets))
        running.failing, running.delivered = running.failing and not whole, True
        running.left_out, running.refused = left_out, refused
        self._metrics.put("kvwatch_discovered_targets", name, value=len(targets) + left_out)
        if refused:
            self._metrics.count("kvwatch_discovery_failures_total", name)
        if targets != running.found:
            running.found = targets
            self.changed.set()

    def _failed(self, name: str, why: str) -> None:
        running = self._running.get(name)
        if running is None:
            return
        self._metrics.count("kvwatch_discovery_failures_total", name)
        if not running.failing:  # once, not at each attempt
            event(logging.WARNING, "discovery_failed", source=name, why=why, effect="its last targets stay")
        running.failing = True


def _rank(found: Found) -> int:
    return crc32(found.name.encode("utf-8", "surrogatepass"))

"""Targets that come and go: sources of the configuration are run, and what they find becomes target configurations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import aiohttp

from kvwatch.config import BasicAuth, ConfigError, TargetConfig, TargetTls, ValidatedConfig, parse_target_url
from kvwatch.config import Fault as ConfigFault
from kvwatch.config.model import (
    DiscoveryConfig,
    DnsConfig,
    FilesConfig,
    FoundTarget,
    HttpConfig,
    KubernetesConfig,
)
from kvwatch.shell.credentials import Credentials
from kvwatch.shell.discovery import (
    DnsSource,
    FilesSource,
    Found,
    HttpSource,
    KubernetesSettings,
    KubernetesSource,
    Source,
    in_shard,
)
from kvwatch.shell.discovery.kubernetes import KUBERNETES_INSTALLED, KUBERNETES_MISSING
from kvwatch.shell.discovery.shards import stable_hash
from kvwatch.shell.logging import event
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.tasks import run_forever, stop_all

_MOST_NAME_CHARACTERS = 200
_SETTINGS = ("max_num_seqs", "max_num_batched_tokens", "max_model_len")
_MOST_TOKENS = 2**31 - 1
_STOP_SECONDS = 0.5

SourceConfig = DnsConfig | FilesConfig | HttpConfig | KubernetesConfig
Fault = Callable[[str, Exception], None]


@dataclass(slots=True)
class _Running:
    """A source of the configuration, its task, and what it has found."""

    config: SourceConfig
    source: Source
    task: asyncio.Task[None]
    found: dict[Found, TargetConfig]
    delivered: bool = False
    """Whether ``found`` is its own; until then it is what the configuration before had there."""
    failing: bool = False
    left_out: int = 0
    """How many more it lists than are read."""
    refused: int = 0
    """How many of those that are read cannot be targets."""


class Discoverer:
    """Runs the sources; ``changed`` is set whenever what they found is another."""

    def __init__(self, metrics: SelfMetrics, on_fault: Fault) -> None:
        self.changed = asyncio.Event()
        self._metrics = metrics
        self._on_fault = on_fault
        self._running: dict[str, _Running] = {}
        self._left_out = 0
        self._most = 0
        """So many targets are read of each source."""

    def follow(self, config: DiscoveryConfig, session: aiohttp.ClientSession) -> None:
        """Run the sources of a configuration; those that stay the same go on.

        One with other keys begins with what was found before, until it has looked itself.

        Raises:
            SourceError: a source needs what is not installed.
        """
        wanted = dict(_named_sources(config))
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
            predecessor = _predecessor(name, wanted[name], before)
            found = _carried(wanted[name], predecessor) if predecessor else {}
            if predecessor:
                _resume(source, predecessor.source)
            self._metrics.count("kvwatch_discovery_failures_total", name, by=0.0)
            if found:
                self._metrics.put("kvwatch_discovered_targets", name, value=len(found))
            work = partial(source.run, partial(self._deliver, name), partial(self._failed, name))
            task = asyncio.create_task(run_forever(f"discover {name}", work, self._on_fault), name=f"discover {name}")
            self._running[name] = _Running(wanted[name], source, task, found)
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


def _named_sources(config: DiscoveryConfig) -> Iterator[tuple[str, SourceConfig]]:
    for kind in ("dns", "files", "http", "kubernetes"):
        for index, source in enumerate(getattr(config, kind)):
            yield f"{kind}[{index}]", source


def _predecessor(name: str, config: SourceConfig, before: Mapping[str, _Running]) -> _Running | None:
    """What a source that begins goes on from: one that looked in the same place, else the one that was in its place."""
    looked_there = (r for r in before.values() if r.delivered and _with_target(r.config, config.target) == config)
    return next(looked_there, before.get(name))


def _carried(config: SourceConfig, predecessor: _Running) -> dict[Found, TargetConfig]:
    """What was found, for a source with another configuration.

    New credentials and settings are for what is found in their own place, so only that is read with them.
    """
    if not predecessor.delivered or _with_target(predecessor.config, config.target) != config:
        return dict(predecessor.found)
    found = {}
    for one in predecessor.found:
        with contextlib.suppress(ValueError):  # the next delivery tells of it
            found[one] = target_config(one, config.target)
    return found


def _resume(source: Source, before: Source) -> None:
    match source, before:
        case (FilesSource(), FilesSource()):
            source.resume(before)
        case (DnsSource(), DnsSource()):
            source.resume(before)


def _with_target(config: SourceConfig, target: FoundTarget) -> SourceConfig:
    return replace(config, target=target)


def make_source(config: SourceConfig, session: aiohttp.ClientSession) -> Source:
    """What runs a source of the configuration.

    Raises:
        SourceError: it needs what is not installed.
    """
    match config:
        case DnsConfig():
            return DnsSource(config.names, config.type, config.port or 8000, config.interval_seconds)
        case FilesConfig():
            return FilesSource(config.paths, config.interval_seconds)
        case HttpConfig():
            access = credentials(config.bearer_token_file, config.basic_auth, config.tls)
            return HttpSource(session, config.url, access, config.interval_seconds)
        case KubernetesConfig():
            return KubernetesSource(
                KubernetesSettings(
                    config.namespaces, config.label_selector, config.port, config.role_label, config.kubeconfig
                )
            )


def refuse_missing_extra(config: ValidatedConfig) -> None:
    """Refuse, at the start, sources that need what is not installed.

    Raises:
        ConfigError: which one.
    """
    if config.discovery.kubernetes and not KUBERNETES_INSTALLED:
        raise ConfigError([ConfigFault("discovery.kubernetes", KUBERNETES_MISSING)])


def target_config(found: Found, template: FoundTarget) -> TargetConfig:
    """A found target as the configuration would have it; what the source says of it wins over ``template``.

    Raises:
        ValueError: its address, or something that is said of it, cannot be.
    """
    labels = dict(found.labels)
    scheme = labels.get("__scheme__", template.scheme)
    secret = template.bearer_token_file or template.basic_auth or template.tls
    if secret and template.scheme == "https" and scheme != "https":
        raise ValueError("the source asks for http, and the credentials are for https")
    url = parse_target_url(f"{scheme}://{found.address}")
    if url.base_url != f"{scheme}://{url.host_port}":
        raise ValueError(f'"{found.address[:100]}" is not host:port')
    path = labels.get("__metrics_path__", template.metrics_path)
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError(f'metrics path "{path[:100]}" must begin with "/"')
    role = labels.get("role", template.role)
    if role not in ("", "prefill", "decode"):
        raise ValueError(f'role "{role[:100]}" is neither prefill nor decode')
    settings: dict[str, Any] = {
        name: _tokens(labels[name]) if name in labels else getattr(template, name) for name in _SETTINGS
    }
    return TargetConfig(
        name=clean_name(found.name if found.name != found.address else url.host_port),
        base_url=url.base_url,
        metrics_path=path,
        bearer_token_file=template.bearer_token_file,
        basic_auth=template.basic_auth,
        tls=template.tls if url.https else None,
        role=role,
        **settings,
    )


def clean_name(name: str) -> str:
    """A name as a label may have it: printable, on one line, and cut where it is long, but still a name of its own."""
    clean = "".join(c if c.isprintable() else "_" for c in name)
    if clean == name and len(clean) <= _MOST_NAME_CHARACTERS:
        return clean
    return f"{clean[:_MOST_NAME_CHARACTERS]}~{stable_hash(name):016x}"


def credentials(token: Path | None, basic: BasicAuth | None, tls: TargetTls | None) -> Credentials:
    """What the shell needs to be let in."""
    return Credentials(
        bearer_token_file=token,
        username=basic.username if basic else None,
        password_file=basic.password_file if basic else None,
        ca_file=tls.ca_file if tls else None,
        cert_file=tls.cert_file if tls else None,
        key_file=tls.key_file if tls else None,
        insecure_skip_verify=tls.insecure_skip_verify if tls else False,
    )


def _tokens(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:20]) <= _MOST_TOKENS:
        raise ValueError(f'"{text[:100]}" is not a number of requests or tokens')
    return int(text)

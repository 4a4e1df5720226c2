"""The sources of the configuration, made to run, and what one that replaces another goes on from."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import aiohttp

from kvwatch.config import ConfigError, Fault, TargetConfig, ValidatedConfig
from kvwatch.config.model import DiscoveryConfig, DnsConfig, FilesConfig, FoundTarget, HttpConfig, KubernetesConfig
from kvwatch.daemon.found import target_config
from kvwatch.daemon.parts import credentials
from kvwatch.shell.discovery import (
    DnsSource,
    FilesSource,
    Found,
    HttpSource,
    KubernetesSettings,
    KubernetesSource,
    Source,
)
from kvwatch.shell.discovery.kubernetes import KUBERNETES_INSTALLED, KUBERNETES_MISSING

SourceConfig = DnsConfig | FilesConfig | HttpConfig | KubernetesConfig


@dataclass(slots=True)
class RunningSource:
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


def named_sources(config: DiscoveryConfig) -> Iterator[tuple[str, SourceConfig]]:
    """The sources of a configuration, by the name that logs and metrics give them."""
    for kind in ("dns", "files", "http", "kubernetes"):
        for index, source in enumerate(getattr(config, kind)):
            yield f"{kind}[{index}]", source


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
        raise ConfigError([Fault("discovery.kubernetes", KUBERNETES_MISSING)])


def predecessor_of(name: str, config: SourceConfig, before: Mapping[str, RunningSource]) -> RunningSource | None:
    """What a source that begins goes on from: one that looked in the same place, else the one that was in its place."""
    looked_there = (r for r in before.values() if r.delivered and _with_target(r.config, config.target) == config)
    return next(looked_there, before.get(name))


def carried(config: SourceConfig, predecessor: RunningSource) -> dict[Found, TargetConfig]:
    """What was found, for a source with another configuration.

    New credentials and settings are for what is found in their own place, so only that is read with them.
    """
    if not predecessor.delivered or _with_target(predecessor.config, config.target) != config:
        return dict(predecessor.found)
    found = {}
    for one in predecessor.found:
        with contextlib.suppress(ValueError):  # the next delivery reports it
            found[one] = target_config(one, config.target)
    return found


def resume(source: Source, before: Source) -> None:
    """Give a source what another of its kind knows."""
    match source, before:
        case (FilesSource(), FilesSource()):
            source.resume(before)
        case (DnsSource(), DnsSource()):
            source.resume(before)


def _with_target(config: SourceConfig, target: FoundTarget) -> SourceConfig:
    return replace(config, target=target)

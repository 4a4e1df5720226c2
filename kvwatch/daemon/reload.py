"""What of a new configuration is taken up while kvwatch runs, and what waits for a restart."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.config import ValidatedConfig

_WHOLE_SECTIONS = ("server", "estimates", "slo", "traces")
"""Sections of which nothing can change while kvwatch runs."""


def needs_restart(kept: ValidatedConfig, new: ValidatedConfig) -> list[str]:
    """The keys in which ``new`` differs from the configuration in force and which only a restart takes up."""
    keys = [name for name in _WHOLE_SECTIONS if getattr(new, name) != getattr(kept, name)]
    if new.scrape.interval_seconds != kept.scrape.interval_seconds:
        keys.append("scrape.interval")
    if new.discovery.shard != kept.discovery.shard:
        keys.append("discovery.shard")
    return keys


def taken_up(kept: ValidatedConfig, new: ValidatedConfig) -> ValidatedConfig:
    """``new``, but for those keys."""
    return replace(
        new,
        server=kept.server,
        estimates=kept.estimates,
        slo=kept.slo,
        traces=kept.traces,
        scrape=replace(new.scrape, interval_seconds=kept.scrape.interval_seconds),
        discovery=replace(new.discovery, shard=kept.discovery.shard),
    )

"""Rule files over a trace: recording rules and alerts, as a Prometheus with that file would have had them.

Rules are evaluated in the order of the file at common times, so that a rule sees those above it at the same instant.
Prometheus spreads its groups over their interval; what another group recorded may be older there by up to one.
There is no ``ALERTS`` here: only ``KvwatchBlind`` asks for it, and no server goes out of sight in a trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.lead_time.promql import evaluate
from bench.lead_time.series import NAME, Column, Database, Mask, Stored, merged, without
from bench.lead_time.trace import Array, Labels, Trace

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DEFAULT_INTERVAL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule (no ``for``, no labels of its own) or an alert."""

    name: str
    expression: str
    is_alert: bool
    hold_seconds: float = 0.0
    keep_seconds: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RuleFile:
    """Rules in the file's order, and how often they are evaluated [s]."""

    rules: tuple[Rule, ...]
    interval: float


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert's element over all evaluation times: whether it fires."""

    alert: Rule
    labels: Labels
    firing: Mask


def read(path: Path) -> RuleFile:
    """Read a rule file.

    Raises:
        ValueError: Its groups have different intervals.
    """
    groups = yaml.safe_load(path.read_text())["groups"]
    intervals = {_duration(g.get("interval"), _DEFAULT_INTERVAL_SECONDS) for g in groups}
    if len(intervals) != 1:
        raise ValueError(f"{path}: groups have the intervals {sorted(intervals)}; one is needed")
    return RuleFile(tuple(_rule(entry) for group in groups for entry in group["rules"]), intervals.pop())


def _rule(entry: Mapping[str, Any]) -> Rule:
    labels = tuple(sorted((str(k), str(v)) for k, v in entry.get("labels", {}).items()))
    return Rule(
        name=entry.get("alert") or entry["record"],
        expression=str(entry["expr"]),
        is_alert="alert" in entry,
        hold_seconds=_duration(entry.get("for"), 0.0),
        keep_seconds=_duration(entry.get("keep_firing_for"), 0.0),
        labels=labels,
    )


def _duration(text: str | None, default: float) -> float:
    if text is None:
        return default
    seconds, digits, unit = 0.0, "", ""
    for character in f"{text} ":
        if unit and not character.isalpha():
            seconds += float(digits) * _UNITS[unit]
            digits, unit = "", ""
        if character.isalpha():
            unit += character
        else:
            digits += character
    return seconds


def stored(trace: Trace) -> dict[Labels, Stored]:
    """The trace's series as a database takes them."""
    return {labels: Stored(trace.at, values) for labels, values in trace.series.items()}


def evaluation_times(trace: Trace, interval: float) -> Array:
    """A grid from the first scrape on."""
    return np.arange(trace.at[0], trace.at[-1] + interval, interval)


def firings(file: RuleFile, database: Database, times: Array) -> Iterator[Firing]:
    """Evaluate the file; recorded series are added to the database. Yields every alert's elements."""
    for rule in file.rules:
        value = evaluate(rule.expression, database, times, file.interval)
        columns = value if isinstance(value, list) else [Column((), value, np.ones(len(times), dtype=bool))]
        if not rule.is_alert:
            own = dict(rule.labels)
            # what had different names before, as after an `or`, is one series under the rule's
            named = merged([Column(_named(c.labels, rule.name, own), c.values, c.there) for c in columns])
            database.add({c.labels: _as_stored(c, times) for c in named})
            continue
        for c in columns:
            labels = without(c.labels, NAME)
            yield Firing(rule, labels, alert_state(c.there, times, rule.hold_seconds, rule.keep_seconds))


def _named(labels: Labels, name: str, own: dict[str, str]) -> Labels:
    return tuple(sorted({**dict(labels), **own, NAME: name}.items()))


def _as_stored(column: Column, times: Array) -> Stored:
    return Stored(times, np.where(column.there, column.values, nan))


def alert_state(active: Mask, times: Array, hold_seconds: float, keep_seconds: float) -> Mask:
    """When an alert fires whose expression has a result at the times ``active``.

    It fires once the result has been there for ``for``, and goes on for ``keep_firing_for`` after it has gone.
    """
    firing = np.zeros(len(times), dtype=bool)
    since: float | None = None
    gone: float | None = None
    fires = False
    # between two changes of `active` nothing happens but by the two durations
    for i, (there, at) in enumerate(zip(active.tolist(), times.tolist(), strict=True)):
        if there:
            gone = None
            since = at if since is None else since
            fires = fires or at - since >= hold_seconds
        elif since is not None:
            gone = at if gone is None else gone
            if not fires or at - gone >= keep_seconds:
                since, gone, fires = None, None, False
        firing[i] = fires
    return firing

"""kvwatch's own numbers: counters that only grow, kept as plain numbers under the catalogue's names.

Bounded: a counter per target has the targets of the configuration, and goes when its target goes; all other
labels have closed lists of values.
"""

from __future__ import annotations

import math
import platform
from collections import defaultdict
from collections.abc import Mapping

from kvwatch import __version__
from kvwatch.export.catalog_self import SELF_METRICS
from kvwatch.export.metric import Kind, Scope
from kvwatch.export.series import Samples

LogCounts = dict[str, dict[str, dict[str, float]]]
"""Counts by target, name and value."""
_OF_LOGS = ("kvwatch_requests_ingested_total", "kvwatch_log_lines_total")
"""Counters of what was read from logs: they belong to the positions in these and are kept with them."""
_COUNTERS = {metric.name: metric for metric in SELF_METRICS if metric.kind is Kind.COUNTER}
_OF_TARGETS = frozenset(metric.name for metric in SELF_METRICS if metric.scope is Scope.TARGET)

_Values = dict[str, dict[tuple[str, ...], float]]
"""Values of one party by the metric's name and its labels."""


class SelfMetrics:
    """Counts what the daemon does; ``samples`` is what the collector exports."""

    def __init__(self) -> None:
        self._process: _Values = defaultdict(dict)
        self._targets: dict[str, _Values] = {}
        """By target, so that one of thousands is forgotten without a look at the others."""
        self._held: set[str] = set()
        self.last_reload_successful = True
        for name, metric in _COUNTERS.items():
            if metric.scope is Scope.PROCESS:
                self._process[name] = {(value,): 0.0 for value in metric.values}

    def _values(self, name: str, labels: tuple[str, ...]) -> dict[tuple[str, ...], float]:
        """The values of the metric for whom the labels name."""
        if name in _OF_TARGETS:
            return self._targets.setdefault(labels[0], {}).setdefault(name, {})
        return self._process[name]

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Raise a counter of the catalogue; raises KeyError for a name or a value that is not in it."""
        metric = _COUNTERS[name]
        if metric.values and labels[-1] not in metric.values:
            raise KeyError(f"{labels[-1]} is not a value of {metric.extra_labels[-1]} in {name}")
        values = self._values(name, labels)
        values[labels] = values.get(labels, 0.0) + by

    def put(self, name: str, *labels: str, value: float) -> None:
        """Set a gauge of the catalogue."""
        self._values(name, labels)[labels] = value

    def forget(self, name: str, *labels: str) -> None:
        """Drop a series of what is gone."""
        self._values(name, labels).pop(labels, None)

    def add_target(self, target: str) -> None:
        """Begin a target's counters at 0, so that their first increase is seen as one."""
        for name, metric in _COUNTERS.items():
            if metric.scope is Scope.TARGET:
                self.count(name, target, *metric.values[:1], by=0.0)

    def remove_target(self, target: str) -> None:
        """Forget all of a target's values."""
        self._targets.pop(target, None)
        self._held.discard(target)

    def dump(self, target: str | None = None) -> LogCounts:
        """The counters of what was read from logs, of one target where it is named."""
        dumped: LogCounts = {}
        for owner in self._targets if target is None else [target]:
            for name in _OF_LOGS:
                for labels, value in self._targets.get(owner, {}).get(name, {}).items():
                    if _is_of_logs(name, labels):
                        dumped.setdefault(owner, {}).setdefault(name, {})[labels[1]] = value
        return dumped

    def restore(self, target: str, dumped: Mapping[str, Mapping[str, float]]) -> None:
        """Take up a target's counters of what was read from logs; what cannot be one is left out.

        They are not exported before :meth:`release`: what was counted after the checkpoint is about to be counted
        again, and to Prometheus a counter that goes back a little has begun again and risen by all that it shows.
        """
        for name in _OF_LOGS:
            counts = dumped.get(name)
            for value, count in counts.items() if isinstance(counts, Mapping) else ():
                known = value in _COUNTERS[name].values and _is_of_logs(name, (target, value))
                if known and type(count) in (int, float) and count >= 0 and math.isfinite(count):
                    self._values(name, (target, value))[target, value] = float(count)
                    self._held.add(target)

    def release(self, target: str) -> None:
        """The target's logs have been caught up, or it has none."""
        self._held.discard(target)

    def samples(self) -> Samples:
        """All numbers, by whole name."""
        found: dict[str, list[tuple[tuple[str, ...], float]]] = {
            name: list(values.items()) for name, values in self._process.items()
        }
        for name in _OF_TARGETS:
            found[name] = [
                (labels, value)
                for target, values in self._targets.items()
                for labels, value in values.get(name, {}).items()
                if not (target in self._held and _is_of_logs(name, labels))
            ]
        return {
            **found,
            "kvwatch_config_last_reload_successful": [((), float(self.last_reload_successful))],
            "kvwatch_build_info": [((__version__, platform.python_version()), 1.0)],
        }


def _is_of_logs(name: str, labels: tuple[str, ...]) -> bool:
    return name == "kvwatch_log_lines_total" or (name in _OF_LOGS and labels[-1] == "log")

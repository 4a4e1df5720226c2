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


class SelfMetrics:
    """Counts what the daemon does; ``samples`` is what the collector exports."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, ...], float]] = {name: defaultdict(float) for name in _COUNTERS}
        self._gauges: dict[str, dict[tuple[str, ...], float]] = {}
        self._held: set[str] = set()
        self.last_reload_successful = True
        for name, metric in _COUNTERS.items():
            if metric.scope is Scope.PROCESS:
                for value in metric.values:
                    self._counts[name][value,] = 0.0

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Raise a counter of the catalogue; raises KeyError for a name or a value that is not in it."""
        metric = _COUNTERS[name]
        if metric.values and labels[-1] not in metric.values:
            raise KeyError(f"{labels[-1]} is not a value of {metric.extra_labels[-1]} in {name}")
        self._counts[name][labels] += by

    def put(self, name: str, *labels: str, value: float) -> None:
        """Set a gauge of the catalogue."""
        self._gauges.setdefault(name, {})[labels] = value

    def forget(self, name: str, *labels: str) -> None:
        """Drop a series of what is gone."""
        self._counts.get(name, {}).pop(labels, None)
        self._gauges.get(name, {}).pop(labels, None)

    def add_target(self, target: str) -> None:
        """Begin a target's counters at 0, so that their first increase is seen as one."""
        for name, metric in _COUNTERS.items():
            if metric.scope is Scope.TARGET:
                self._counts[name][target, *metric.values[:1]] += 0.0

    def remove_target(self, target: str) -> None:
        """Forget a target's counters."""
        for name, metric in _COUNTERS.items():
            if metric.scope is Scope.TARGET:
                for labels in [labels for labels in self._counts[name] if labels[0] == target]:
                    del self._counts[name][labels]
        self._held.discard(target)

    def dump(self, target: str | None = None) -> LogCounts:
        """The counters of what was read from logs, of one target where it is named."""
        dumped: LogCounts = {}
        for name in _OF_LOGS:
            for labels, value in self._counts[name].items():
                if target in (None, labels[0]) and _is_of_logs(name, labels):
                    dumped.setdefault(labels[0], {}).setdefault(name, {})[labels[1]] = value
        return dumped

    def restore(self, target: str, dumped: Mapping[str, Mapping[str, float]]) -> None:
        """Take up a target's counters of what was read from logs; what cannot be one is left out.

        They are not exported before :meth:`release`: what was counted after the checkpoint is about to be counted
        again, and to Prometheus a counter that goes back a little has begun anew and risen by all that it shows.
        """
        for name in _OF_LOGS:
            counts = dumped.get(name)
            for value, count in counts.items() if isinstance(counts, Mapping) else ():
                known = value in _COUNTERS[name].values and _is_of_logs(name, (target, value))
                if known and type(count) in (int, float) and count >= 0 and math.isfinite(count):
                    self._counts[name][target, value] = float(count)
                    self._held.add(target)

    def release(self, target: str) -> None:
        """The target's logs have been caught up, or it has none."""
        self._held.discard(target)

    def samples(self) -> Samples:
        """All numbers, by whole name."""
        return {
            **{
                name: [
                    (labels, value)
                    for labels, value in counts.items()
                    if not (self._held and _is_of_logs(name, labels) and labels[0] in self._held)
                ]
                for name, counts in self._counts.items()
            },
            **{name: list(values.items()) for name, values in self._gauges.items()},
            "kvwatch_config_last_reload_successful": [((), float(self.last_reload_successful))],
            "kvwatch_build_info": [((__version__, platform.python_version()), 1.0)],
        }


def _is_of_logs(name: str, labels: tuple[str, ...]) -> bool:
    return name == "kvwatch_log_lines_total" or (name in _OF_LOGS and labels[-1] == "log")

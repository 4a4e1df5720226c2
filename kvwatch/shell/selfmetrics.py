"""kvwatch's own numbers: counters that only grow, kept as plain numbers under the catalogue's names.

Bounded: a counter per target has the targets of the configuration, and goes when its target goes; all other
labels have closed lists of values.
"""

from __future__ import annotations

import platform
from collections import defaultdict

from kvwatch import __version__
from kvwatch.export.catalog import SELF_METRICS, Kind, Scope
from kvwatch.export.collector import Samples

_COUNTERS = {metric.name: metric for metric in SELF_METRICS if metric.kind is Kind.COUNTER}


class SelfMetrics:
    """Counts what the daemon does; ``samples`` is what the collector exports."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, ...], float]] = {name: defaultdict(float) for name in _COUNTERS}
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

    def samples(self) -> Samples:
        """All numbers, by whole name."""
        return {
            **{name: list(counts.items()) for name, counts in self._counts.items()},
            "kvwatch_config_last_reload_successful": [((), float(self.last_reload_successful))],
            "kvwatch_build_info": [((__version__, platform.python_version()), 1.0)],
        }

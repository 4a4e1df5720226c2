"""What is watched of each model over the time of a backtest, in the numbers that alerts and dashboards have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kvwatch.export.history import OBSERVED_LATENCY
from kvwatch.promql.evaluation import evaluate
from kvwatch.promql.labels import Array, Labels
from kvwatch.promql.selectors import names_in
from kvwatch.promql.series import Column, Database

MODEL_LABELS = ("cluster", "namespace", "model_name", "role")
"""What alerts call one model."""
_BY = f"by ({', '.join(MODEL_LABELS)})"
CURVES: Mapping[str, str] = {
    "utilization": "model:kvwatch_utilization:ratio5m",
    "utilization_1m": "model:kvwatch_utilization:ratio1m",
    "utilization_lower": "model:kvwatch_utilization_lower:ratio5m",
    "utilization_upper": "model:kvwatch_utilization_upper:ratio5m",
    "stable_limit": "model:kvwatch_stable_limit:avg",
    "arrival_rate": "model:kvwatch_arrival_rate:sum1m",
    "service_rate": "model:kvwatch_service_rate:sum",
    "waiting": "model:kvwatch_queue_length:sum",
    "engines": "model:kvwatch_engines:count",
    "kv_usage": f"max {_BY} (kvwatch_kv_usage_ratio)",
    "ttft_p95": f'max {_BY} ({OBSERVED_LATENCY}{{kind="ttft",quantile="0.95"}})',
    "itl_p95": f'max {_BY} ({OBSERVED_LATENCY}{{kind="itl",quantile="0.95"}})',
}
"""Curves by their name: an expression over kvwatch's series and what its rules record. Of latencies the worst engine's
95th percentile over the last minute, as vLLM's histograms have it [s]."""
_LIMITS = f"count {_BY[:-1]}, limit) (kvwatch_binding_limit)"
_QUEUES = "kvwatch_queue_length"
NEEDED = frozenset().union(*map(names_in, (*CURVES.values(), _LIMITS, _QUEUES)))
"""Names of what the curves are made of."""

Model = tuple[str, str, str, str]
"""Values of MODEL_LABELS."""


def model_of(labels: Labels | Mapping[str, str]) -> Model:
    """The model that labels name; empty where they do not."""
    given = dict(labels)
    cluster, namespace, name, role = (given.get(label, "") for label in MODEL_LABELS)
    return cluster, namespace, name, role


@dataclass(slots=True)
class Stretch:
    """Curves over some evaluations; NaN where there is no number. ``queues`` are those of single engines."""

    at: Array
    curves: dict[Model, dict[str, Array]] = field(default_factory=lambda: defaultdict(dict))
    limits: dict[Model, dict[str, Array]] = field(default_factory=lambda: defaultdict(dict))
    queues: list[tuple[Model, Labels, Array]] = field(default_factory=list)


def read_stretch(database: Database, times: Array) -> Stretch:
    """The curves over times for which the rules have been evaluated."""
    found = Stretch(times)
    for name, expression in CURVES.items():
        for column in _columns(expression, database, times):
            found.curves[model_of(column.labels)][name] = _values(column)
    for column in _columns(_LIMITS, database, times):
        found.limits[model_of(column.labels)][dict(column.labels)["limit"]] = _values(column)
    for column in _columns(_QUEUES, database, times):
        found.queues.append((model_of(column.labels), column.labels, _values(column)))
    return found


def _columns(expression: str, database: Database, times: Array) -> list[Column]:
    value = evaluate(expression, database, times)
    return value if isinstance(value, list) else []


def _values(column: Column) -> Array:
    return np.where(column.there, column.values, np.nan)


@dataclass(slots=True)
class Timeline:
    """The curves of one model over all of the time: one value for each evaluation."""

    model: Model
    at: Array
    curves: dict[str, Array]
    limits: dict[str, Array]

    def between(self, start: float, end: float) -> slice:
        """The evaluations from ``start`` up to ``end`` [unix s]."""
        low, high = np.searchsorted(self.at, (start, end), side="left")
        return slice(int(low), max(int(high), int(low) + 1))

    def value(self, curve: str, at: float) -> float | None:
        """A curve's newest number at a time, at most a minute old; ``None`` without one."""
        high = int(np.searchsorted(self.at, at, side="right"))
        low = int(np.searchsorted(self.at, at - _FRESH_SECONDS, side="left"))
        known = self.curves[curve][low:high] if curve in self.curves else np.empty(0)
        known = known[~np.isnan(known)]
        return float(known[-1]) if len(known) else None

    def extreme(self, curve: str, start: float, end: float) -> tuple[float, float] | None:
        """The largest number of a curve in a stretch, and when it was; ``None`` without any."""
        part = self.between(start, end)
        values = self.curves.get(curve, np.empty(0))[part]
        if not len(values) or np.isnan(values).all():
            return None
        place = int(np.nanargmax(values))
        return float(values[place]), float(self.at[part][place])

    def limit(self, at: float) -> str | None:
        """The limit that binds most of the model's engines at a time."""
        place = min(int(np.searchsorted(self.at, at, side="right")), len(self.at)) - 1
        counts = {name: float(values[place]) for name, values in self.limits.items() if not np.isnan(values[place])}
        return max(counts, key=lambda name: counts[name], default=None)


_FRESH_SECONDS = 60.0
"""Age up to which a curve's number says how things stand [s]. Choice: the longest usual scrape interval."""


def joined_timelines(stretches: list[Stretch]) -> list[Timeline]:
    """One timeline for each model, from stretches in the order of time."""
    at = np.concatenate([s.at for s in stretches]) if stretches else np.empty(0)
    models = sorted({model for s in stretches for model in s.curves})
    return [
        Timeline(
            model,
            at,
            {name: _all(stretches, lambda s: s.curves[model].get(name)) for name in CURVES},  # noqa: B023
            {
                limit: _all(stretches, lambda s: s.limits[model].get(limit))  # noqa: B023
                for limit in sorted({limit for s in stretches for limit in s.limits[model]})
            },
        )
        for model in models
    ]


def _all(stretches: list[Stretch], of: object) -> Array:
    parts = [(of(s), len(s.at)) for s in stretches]  # type: ignore[operator]
    return np.concatenate([np.full(n, np.nan) if values is None else values for values, n in parts])

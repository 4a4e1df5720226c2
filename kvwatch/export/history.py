"""FleetView → the series that a Prometheus would have stored of it, by their labels: what rules are evaluated over."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from kvwatch.export.catalog import ENGINE_METRICS, TARGET_METRICS, VALIDITY
from kvwatch.export.series import number, target_series
from kvwatch.promql.labels import Labels, labels_of
from kvwatch.views import EngineView, FleetView

OBSERVED_LATENCY = "kvwatch_observed_latency_seconds"
"""Time to the first token and between tokens, with the labels ``kind`` and ``quantile``."""


def stored(view: FleetView, wanted: Collection[str], given: Mapping[str, str]) -> dict[Labels, float]:
    """The series of a view with the names that are wanted, with the labels ``given`` added to each."""
    found: dict[Labels, float] = {}
    for target in view.targets:
        for engine in target.shown:
            role = {"role": target.role} if target.role else {}
            for name, own, value in _of_engine(engine, wanted):
                found[labels_of(name, **own, **role, **given)] = value
    for metric, series in zip(TARGET_METRICS, target_series(view), strict=True):
        for labels, known in series if metric.name in wanted else ():
            if known is not None and math.isfinite(known):
                found[labels_of(metric.name, **dict(zip(metric.labels, labels, strict=True)), **given)] = known
    return found


def _of_engine(engine: EngineView, wanted: Collection[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each series of an engine."""
    own = {"target": engine.target, "model_name": engine.model_name, "engine": engine.engine}
    for metric in ENGINE_METRICS:
        value = number(metric, engine) if metric.name in wanted else None
        if isinstance(value, dict):
            for key, one in value.items():
                yield metric.name, {**own, **dict(zip(metric.extra_labels, metric.values_of(key), strict=True))}, one
        elif value is not None:
            yield metric.name, own, value
    if VALIDITY.name in wanted:
        for estimate, said in engine.estimate_valid.items():
            yield VALIDITY.name, {**own, "estimate": estimate, "reason": said.reason}, float(said.valid)

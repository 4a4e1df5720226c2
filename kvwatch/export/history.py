"""FleetView → the series that a Prometheus would have stored of it, by their labels: what rules are evaluated over."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from kvwatch.export.catalog import ENGINE_METRICS, TARGET_METRICS, VALIDITY
from kvwatch.export.series import engine_series, target_series, validity_series
from kvwatch.promql.labels import Labels, labels_of
from kvwatch.views import EngineView, FleetView

OBSERVED_LATENCY = "kvwatch_observed_latency_seconds"
"""Time to the first token and between tokens, with the labels ``kind`` and ``quantile``: in the JSON of an engine, and
here as a series."""


def stored(view: FleetView, wanted: Collection[str], given: Mapping[str, str]) -> dict[Labels, float]:
    """The series of a view with the names that are wanted, with the labels ``given`` added to each."""
    found: dict[Labels, float] = {}
    for target in view.targets:
        for engine in target.shown:
            role = {"role": target.role} if target.role else {}
            for name, labels, value in _of_engine(engine, wanted):
                found[labels_of(name, **labels, **role, **given)] = value
    for metric, series in zip(TARGET_METRICS, target_series(view), strict=True):
        for values, number in series if metric.name in wanted else ():
            if number is not None and math.isfinite(number):
                found[labels_of(metric.name, **dict(zip(metric.labels, values, strict=True)), **given)] = number
    return found


def _of_engine(engine: EngineView, wanted: Collection[str]) -> list[tuple[str, dict[str, str], float]]:
    found = []
    for metric in ENGINE_METRICS:
        if metric.name in wanted:
            for values, value in engine_series(metric, engine):
                if value is not None and math.isfinite(value):
                    found.append((metric.name, dict(zip(metric.labels, values, strict=True)), value))
    if VALIDITY.name in wanted:
        for values, value in validity_series(engine):
            if value is not None:
                found.append((VALIDITY.name, dict(zip(VALIDITY.labels, values, strict=True)), value))
    if OBSERVED_LATENCY in wanted:
        own = {"target": engine.target, "model_name": engine.model_name, "engine": engine.engine}
        for kind, by_quantile in engine.latency_seconds.items():
            for quantile, seconds in by_quantile.items():
                found.append((OBSERVED_LATENCY, {**own, "kind": kind, "quantile": quantile}, seconds))
    return found

"""A view in which every number is known, each another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from kvwatch.core.pool.replicas_required import REASONS
from kvwatch.estimate import Estimate, KeyedEstimate, Reason, pair
from kvwatch.export.catalog import ENGINE_METRICS
from kvwatch.export.metric import Metric
from kvwatch.facts import SettingSource
from kvwatch.views import EngineView, FleetView, ModelView, SettingView, TargetView

WINDOWS = ("1m", "5m")
VERDICTS = {"service_rate": Reason.OK, "stable_limit": Reason.DELTA_IS_BOUND}
"""Of the estimates that are judged in this view."""
SETTINGS = {
    "max_num_seqs": SettingView(37, SettingSource.MEASURED, ((256, SettingSource.CONFIG),)),
    "max_num_batched_tokens": SettingView(2048, SettingSource.DEFAULT, between=(2048, 16384)),
    "watermark": SettingView(0.01, SettingSource.PROCESS),
    "async_scheduling": SettingView(True, SettingSource.LOG),
}
"""One that is wrong in the configuration, one that is assumed, a ratio and a yes."""
NOTHING = EngineView("", "", "")


def fields_of(rows: Iterable[tuple[Metric, Any]], verdicts: dict[str, Reason] = VERDICTS) -> dict[str, Any]:
    """The fields of a view in which each metric has this number, or these by the value of its label."""
    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for metric, number in rows:
        parts[metric.field][metric.part] = number
    fields: dict[str, Any] = {}
    for field, numbers in parts.items():
        kind = type(getattr(NOTHING, field))
        if kind in (Estimate, KeyedEstimate):
            fields[field] = kind(**numbers, verdict=verdicts.get(field))
        else:
            (fields[field],) = numbers.values()
    return fields


def keys_of(metric: Metric, labels: Iterable[str]) -> list[str]:
    """Keys of a metric's numbers, by the value of its first extra label; of the second each has the same."""
    return [pair(label, "0.95") if len(metric.extra_labels) > 1 else label for label in labels]


def full_engine(target: str = "localhost:8000", model_name: str = "llama", engine: str = "0") -> EngineView:
    """An engine of which everything is known."""
    rows: list[tuple[Metric, Any]] = []
    for place, metric in enumerate(ENGINE_METRICS, 1):
        if metric.one_hot:
            rows.append((metric, {metric.values[0]: 1.0, metric.values[1]: 0.0}))
        elif metric.extra_labels:
            keys = keys_of(metric, metric.values or WINDOWS)
            rows.append((metric, {key: place + index / 8 for index, key in enumerate(keys)}))
        else:
            rows.append((metric, float(place)))
    return EngineView(target, model_name, engine, settings=SETTINGS, **fields_of(rows))


def full_model() -> ModelView:
    """A model of which everything is known."""
    engines = {"serving": 4.0, "starting": 1.0, "stale": 0.0}
    added = dict.fromkeys(REASONS, 0.0) | {"trend": 1.0}
    return ModelView("llama", "", 3.0, 5.0, added, 0.25, 10.0, 20.0, 0.5, 1.2, engines, 1.0, 2.0, 5.0)


def fleet(*engines: EngineView) -> FleetView:
    """One healthy target with these engines, and one that is down."""
    return FleetView(
        at=1_750_000_000.5,
        targets=(
            TargetView("localhost:8000", True, 0.25, 0.01, tuple(engines), estimates_age_seconds=12.5),
            TargetView("localhost:8001", False, None, None, (), "connection: refused"),
        ),
        models=(full_model(),) if engines else (),
    )

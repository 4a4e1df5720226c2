"""A view in which every number is known, each another one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from kvwatch.export.catalog import ENGINE_METRICS
from kvwatch.views import EngineView, FleetView, ModelView, TargetView, Validity

WINDOWS = ("1m", "5m")
VALIDITY = {
    "service_rate": Validity(valid=True),
    "stable_limit": Validity(valid=False, reason="delta_is_bound", words="the largest request is known as a bound"),
}


def full_engine(target: str = "localhost:8000", model_name: str = "llama", engine: str = "0") -> EngineView:
    """An engine of which everything is known."""
    known = {field.name for field in fields(EngineView)}
    values: dict[str, Any] = {}
    for number, metric in enumerate(ENGINE_METRICS, 1):
        assert metric.field in known
        if metric.field in ("binding_limit", "demand_selected"):
            values[metric.field] = {metric.values[0]: 1.0, metric.values[1]: 0.0}
        elif metric.extra_labels:
            keys = metric.values or WINDOWS
            values[metric.field] = {key: number + index / 8 for index, key in enumerate(keys)}
        else:
            values[metric.field] = float(number)
    return EngineView(target, model_name, engine, estimate_valid=VALIDITY, replicas_required=2.0, **values)


def full_model() -> ModelView:
    """A model of which everything is known."""
    engines = {"serving": 4.0, "starting": 1.0, "stale": 0.0}
    return ModelView("llama", "", 3.0, 10.0, 20.0, 0.5, 1.2, engines, 1.0, 2.0, 5.0)


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

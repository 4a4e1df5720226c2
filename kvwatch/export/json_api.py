"""FleetView → the JSON objects of ``/api/v1/engines`` and ``kvwatch replay --format json``.

A key is a metric's name without its prefix; a metric with one more label is an object keyed by that label's
value; what is unknown is left out. Nothing that is not finite leaves, so the output is strict JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from kvwatch.estimate import Validity
from kvwatch.export.catalog import ENGINE_METRICS
from kvwatch.export.catalog_model import MODEL_METRICS
from kvwatch.export.metric import Metric
from kvwatch.export.series import number
from kvwatch.export.setting_words import setting_json
from kvwatch.views import EngineView, FleetView, ModelView, TargetView

Json = dict[str, object]
_REPLICAS = MODEL_METRICS[0].key


def fleet_json(view: FleetView, *, targets: bool = False) -> Json:
    """The contract's object for one view; with ``targets`` also the health of every scraped server."""
    return {"t": view.at, **{key: list(part) for key, part in fleet_lists(view, targets=targets).items()}}


def fleet_lists(view: FleetView, *, targets: bool = False) -> dict[str, Iterator[Json]]:
    """The lists of that object by their keys; what is in them is made while they are read."""
    required = {(model.model_name, model.role): model.replicas_required for model in view.models}
    lists: dict[str, Iterator[Json]] = {
        "engines": (
            engine_json(engine, required.get((engine.model_name, target.role)))
            for target in view.targets
            for engine in target.shown
        )
    }
    if targets:
        lists["models"] = map(model_json, view.models)
        lists["targets"] = map(target_json, view.targets)
    return lists


def engine_json(engine: EngineView, replicas_required: float | None = None) -> Json:
    """One engine's estimates; ``replicas_required`` is its model's, which stands in each of its engines."""
    document: Json = {"target": engine.target, "model_name": engine.model_name, "engine": engine.engine}
    _fill(document, ENGINE_METRICS, engine)
    if replicas_required is not None and math.isfinite(replicas_required):
        document[_REPLICAS] = replicas_required
    if engine.settings:
        document["settings"] = {name: setting_json(name, setting) for name, setting in engine.settings.items()}
    if engine.advice:
        document["advice"] = list(engine.advice)
    validities = {name: _validity(value) for name, value in engine.estimate_valid.items()}
    if validities:
        document["estimate_valid"] = validities
    return document


def model_json(model: ModelView) -> Json:
    """What the gauges of scope ``model`` say of one model, in one role where it has roles."""
    document: Json = {"model_name": model.model_name}
    if model.role:
        document["role"] = model.role
    _fill(document, MODEL_METRICS, model)
    return document


def _fill(document: Json, metrics: Iterable[Metric], view: EngineView | ModelView) -> None:
    """Add what is known of a view's metrics."""
    for metric in metrics:
        value = number(metric, view)
        if value is not None and value != {}:
            document[metric.key] = _nested(metric, value)


def _nested(metric: Metric, value: float | dict[str, float]) -> object:
    """The numbers as they are, those with two labels by the first and then by the second."""
    if not isinstance(value, dict) or len(metric.extra_labels) < 2:
        return value
    nested: dict[str, dict[str, float]] = {}
    for key, one in value.items():
        first, second = metric.values_of(key)
        nested.setdefault(first, {})[second] = one
    return nested


def target_json(target: TargetView) -> Json:
    """A target's health: what the gauges of scope ``target`` say, and the problem in words."""
    document: Json = {"target": target.target, "up": target.up, "engines": len(target.engines)}
    for key in ("scrape_age_seconds", "scrape_duration_seconds", "estimates_age_seconds"):
        value: float | None = getattr(target, key)
        if value is not None and math.isfinite(value):
            document[key] = value
    if target.role:
        document["role"] = target.role
    if target.problem:
        document["problem"] = target.problem
    return document


def _validity(validity: Validity) -> Json:
    document: Json = {"valid": int(validity.valid), "reason": validity.reason}
    if validity.words:
        document["words"] = validity.words
    return document

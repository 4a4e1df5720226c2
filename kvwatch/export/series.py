"""FleetView → series: the values of each metric with their labels, as the catalogue has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kvwatch.export.metric import Metric
from kvwatch.views import EngineView, FleetView, ModelView

Samples = Mapping[str, Sequence[tuple[tuple[str, ...], float]]]
"""Self-metrics by whole name: (label values in the catalogue's order, value)."""
Series = tuple[tuple[str, ...], float | None]
"""Label values in the catalogue's order, and the value; None where it is unknown."""
ONE_HOT = frozenset({"kvwatch_binding_limit", "kvwatch_demand_selected"})
"""Metrics of which only the value that is chosen has a series."""


def engine_series(metric: Metric, engine: EngineView) -> Iterable[Series]:
    """The series of one engine."""
    return _series(metric, (engine.target, engine.model_name, engine.engine), getattr(engine, metric.field))


def validity_series(engine: EngineView) -> Iterator[Series]:
    """Which estimates of one engine may be believed."""
    for estimate, validity in engine.estimate_valid.items():
        labels = (engine.target, engine.model_name, engine.engine, estimate, validity.reason)
        yield labels, float(validity.valid)


def model_series(metric: Metric, models: Iterable[ModelView]) -> Iterator[Series]:
    """The series of all models."""
    for model in models:
        yield from _series(metric, (model.model_name, model.role), getattr(model, metric.field))


def target_series(view: FleetView) -> Iterator[list[Series]]:
    """The series of all targets, in the order of TARGET_METRICS."""
    yield [((target.target,), float(target.up)) for target in view.targets]
    yield [((target.target,), target.scrape_age_seconds) for target in view.targets]
    yield [((target.target,), float(target.log_lines_unattributed)) for target in view.targets]
    yield [((target.target,), target.scrape_duration_seconds) for target in view.targets]
    yield [((target.target,), target.estimates_age_seconds) for target in view.targets]


def _series(metric: Metric, labels: tuple[str, ...], value: float | Mapping[str, float] | None) -> Iterable[Series]:
    if isinstance(value, Mapping):
        one_hot = metric.name in ONE_HOT
        return [((*labels, key), number) for key, number in value.items() if number or not one_hot]
    return ((labels, value),)

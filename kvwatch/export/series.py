"""FleetView → series: the values of each metric with their labels, as the catalogue has them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kvwatch.estimate import Estimate, KeyedEstimate
from kvwatch.export.catalog_settings import SETTING_REFUTED
from kvwatch.export.metric import Metric
from kvwatch.export.setting_words import spelled
from kvwatch.views import EngineView, FleetView, ModelView

Samples = Mapping[str, Sequence[tuple[tuple[str, ...], float]]]
"""Self-metrics by whole name: (label values in the catalogue's order, value)."""
Series = tuple[tuple[str, ...], float | None]
"""Label values in the catalogue's order, and the value; None where it is unknown."""


def number(metric: Metric, view: EngineView | ModelView) -> float | dict[str, float] | None:
    """What a view knows of a metric: a number, or those by the value of its extra label.

    The one place that says what a row of the catalogue shows: of an estimate the value or an end of its interval; only
    what is finite; of a choice only what is chosen.
    """
    answer = getattr(view, metric.field)
    if isinstance(answer, Estimate | KeyedEstimate):
        answer = getattr(answer, metric.part)
    if answer is None or isinstance(answer, float | int):
        return answer if answer is not None and math.isfinite(answer) else None
    chosen_only = metric.one_hot
    return {key: value for key, value in answer.items() if math.isfinite(value) and (value or not chosen_only)}


def setting_series(metric: Metric, engine: EngineView) -> Iterator[Series]:
    """Settings of vLLM of one engine, or what is refuted of them."""
    own = (engine.target, engine.model_name, engine.engine)
    for name, setting in engine.settings.items():
        if metric is SETTING_REFUTED:
            for value, source in setting.refuted:
                yield (*own, name, spelled(value), source.value), 1.0
        elif setting.value is not None:
            yield (*own, name, spelled(setting.value), setting.source.value), 1.0


def model_series(metric: Metric, models: Iterable[ModelView]) -> Iterator[Series]:
    """The series of all models."""
    for model in models:
        yield from _series(metric, (model.model_name, model.role), model)


def target_series(view: FleetView) -> Iterator[list[Series]]:
    """The series of all targets, in the order of TARGET_METRICS."""
    yield [((target.target,), float(target.up)) for target in view.targets]
    yield [((target.target,), target.scrape_age_seconds) for target in view.targets]
    yield [((target.target,), float(target.log_lines_unattributed)) for target in view.targets]
    yield [((target.target,), target.scrape_duration_seconds) for target in view.targets]
    yield [((target.target,), target.estimates_age_seconds) for target in view.targets]


def _series(metric: Metric, labels: tuple[str, ...], view: EngineView | ModelView) -> Iterable[Series]:
    value = number(metric, view)
    if isinstance(value, dict):
        return [((*labels, *metric.values_of(key)), one) for key, one in value.items()]
    return ((labels, value),)

"""FleetView → Prometheus families, built fresh at each scrape.

Nothing is kept between two scrapes: a series exists because the view holds its number, and is gone when the
number is unknown. Numbers that are not finite never leave. The series are bounded by the targets of the
configuration and by the core, which bounds the engines of a target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector, CollectorRegistry

from kvwatch.export.catalog import ENGINE_METRICS, TARGET_METRICS, VALIDITY
from kvwatch.export.catalog_model import MODEL_METRICS
from kvwatch.export.catalog_self import SELF_METRICS
from kvwatch.export.metric import Kind, Metric
from kvwatch.views import EngineView, FleetView, ModelView

Samples = Mapping[str, Sequence[tuple[tuple[str, ...], float]]]
"""Self-metrics by whole name: (label values in the catalogue's order, value)."""

_generate_openmetrics: Callable[[CollectorRegistry], bytes] = generate_openmetrics
_Series = tuple[tuple[str, ...], float | None]
_ONE_HOT = frozenset({"kvwatch_binding_limit", "kvwatch_demand_selected"})


class FleetCollector(Collector):
    """Asks for a view when scraped and turns it into families.

    ``view`` gives the fleet as it is at that moment, ``self_samples`` the watcher's own numbers; both are
    called once per scrape.
    """

    def __init__(self, view: Callable[[], FleetView], self_samples: Callable[[], Samples] = dict) -> None:
        self._view = view
        self._self_samples = self_samples

    def describe(self) -> Iterable[Family]:
        """Nothing, so that registering does not ask for a view."""
        return ()

    def collect(self) -> Iterator[Family]:
        """All families that have a series, in the catalogue's order."""
        view = self._view()
        engines = [engine for target in view.targets for engine in target.engines]
        for metric in ENGINE_METRICS:
            yield from _family(metric, _engine_series(metric, engines))
        for metric in MODEL_METRICS:
            yield from _family(metric, _model_series(metric, view.models))
        yield from _family(VALIDITY, _validity_series(engines))
        target_values: list[list[_Series]] = [
            [((target.target,), float(target.up)) for target in view.targets],
            [((target.target,), target.scrape_age_seconds) for target in view.targets],
            [((target.target,), float(target.log_lines_unattributed)) for target in view.targets],
            [((target.target,), target.scrape_duration_seconds) for target in view.targets],
        ]
        for metric, series in zip(TARGET_METRICS, target_values, strict=True):
            yield from _family(metric, series)
        own = self._self_samples()
        for metric in SELF_METRICS:
            yield from _family(metric, own.get(metric.name, ()))


def _engine_series(metric: Metric, engines: Iterable[EngineView]) -> Iterator[_Series]:
    for engine in engines:
        yield from _series(metric, (engine.target, engine.model_name, engine.engine), getattr(engine, metric.field))


def _model_series(metric: Metric, models: Iterable[ModelView]) -> Iterator[_Series]:
    for model in models:
        yield from _series(metric, (model.model_name, model.role), getattr(model, metric.field))


def _series(metric: Metric, labels: tuple[str, ...], value: float | Mapping[str, float] | None) -> Iterator[_Series]:
    if isinstance(value, Mapping):
        for key, number in value.items():
            if metric.name not in _ONE_HOT or number:
                yield (*labels, key), number
    else:
        yield labels, value


def _validity_series(engines: Iterable[EngineView]) -> Iterator[tuple[tuple[str, ...], float]]:
    for engine in engines:
        for estimate, validity in engine.estimate_valid.items():
            labels = (engine.target, engine.model_name, engine.engine, estimate, validity.reason)
            yield labels, float(validity.valid)


def _family(metric: Metric, series: Iterable[_Series]) -> Iterator[Family]:
    """The family with its finite series; nothing where there is none."""
    known = [(labels, value) for labels, value in series if value is not None and math.isfinite(value)]
    if not known:
        return
    if metric.kind is Kind.INFO:
        info = InfoMetricFamily(metric.name.removesuffix("_info"), metric.help, labels=())
        for labels, _ in known:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        yield info
        return
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in known:
        family.add_metric(labels, value)
    yield family


def make_registry(*collectors: Collector) -> CollectorRegistry:
    """A registry of its own, so that two daemons in one process do not share metrics."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return registry


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The exposition in the format that an ``Accept`` header asks for, and its content type.

    OpenMetrics 1.0 where the header names it, the classic text format 0.0.4 otherwise.
    """
    for offer in accept.lower().split(","):
        media, *parameters = (part.strip() for part in offer.split(";"))
        if media == "application/openmetrics-text" and "q=0" not in parameters:
            return _generate_openmetrics(registry), CONTENT_TYPE_OPENMETRICS
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4

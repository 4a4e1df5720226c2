"""FleetView → families of Prometheus' own library, for a process that has a registry already.

The daemon's ``/metrics`` is written by :mod:`kvwatch.export.exposition`, which gives the same text. Nothing is kept
between two scrapes: a series exists because the view holds its number, and is gone when the number is unknown.
Numbers that are not finite never leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from kvwatch.export.catalog import ENGINE_METRICS, TARGET_METRICS, VALIDITY
from kvwatch.export.catalog_model import MODEL_METRICS
from kvwatch.export.catalog_self import SELF_METRICS
from kvwatch.export.catalog_settings import SETTING_METRICS
from kvwatch.export.metric import Kind, Metric
from kvwatch.export.series import Samples, Series, model_series, number, setting_series, target_series
from kvwatch.views import EngineView, FleetView


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
        engines = [engine for target in view.targets for engine in target.shown]
        roles = {target.target: target.role for target in view.targets if target.role}
        for metric in ENGINE_METRICS:
            series = chain.from_iterable(_engine_series(metric, engine) for engine in engines)
            yield from _with_roles(_family(metric, series), roles)
        for metric in MODEL_METRICS:
            yield from _family(metric, model_series(metric, view.models))
        yield from _with_roles(_family(VALIDITY, chain.from_iterable(map(_validity_series, engines))), roles)
        for metric in SETTING_METRICS:
            shown = chain.from_iterable(setting_series(metric, engine) for engine in engines)
            yield from _with_roles(_family(metric, shown), roles)
        for metric, found in zip(TARGET_METRICS, target_series(view), strict=True):
            yield from _family(metric, found)
        own = self._self_samples()
        for metric in SELF_METRICS:
            yield from _family(metric, own.get(metric.name, ()))


def _with_roles(families: Iterable[Family], roles: Mapping[str, str]) -> Iterator[Family]:
    """The families, with the label ``role`` on the series of engines whose target has one.

    To Prometheus a label without a value is none, so that nobody else's series change.
    """
    for family in families:
        for sample in family.samples if roles else ():
            role = roles.get(sample.labels["target"])
            if role:
                sample.labels["role"] = role
        yield family


def _family(metric: Metric, series: Iterable[Series]) -> Iterator[Family]:
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
    if metric.kind is Kind.SUMMARY:
        quantiles = Family(metric.name, metric.help, "summary")
        for labels, value in known:
            quantiles.add_sample(metric.name, dict(zip(metric.labels, labels, strict=True)), value)
        yield quantiles
        return
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in known:
        family.add_metric(labels, value)
    yield family


def _engine_series(metric: Metric, engine: EngineView) -> Iterable[Series]:
    """The series of one engine."""
    labels, value = (engine.target, engine.model_name, engine.engine), number(metric, engine)
    if isinstance(value, dict):
        return [((*labels, *metric.values_of(key)), one) for key, one in value.items()]
    return ((labels, value),)


def _validity_series(engine: EngineView) -> Iterator[Series]:
    """Which estimates of one engine may be believed."""
    for estimate, validity in engine.estimate_valid.items():
        labels = (engine.target, engine.model_name, engine.engine, estimate, validity.reason)
        yield labels, float(validity.valid)

"""A view becomes families at each scrape, and nothing outlives it."""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import fields, replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kvwatch.export.catalog import BY_NAME, CATALOG, ENGINE_METRICS
from kvwatch.export.catalog_self import SELF_METRICS
from kvwatch.export.collector import FleetCollector, expose, make_registry
from kvwatch.export.metric import Kind
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.views import EngineView, FleetView, ModelView
from tests.export.full_view import fleet, full_engine

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(view: FleetView, accept: str = "") -> Series:
    """Every series of the exposition, by name and labels."""
    metrics = SelfMetrics()
    metrics.add_target("localhost:8000")
    metrics.count("kvwatch_discovery_failures_total", "dns[0]")
    metrics.put("kvwatch_discovered_targets", "dns[0]", value=2.0)
    body, content_type = expose(make_registry(FleetCollector(lambda: view, metrics.samples)), accept)
    parse = parse_openmetrics if content_type.startswith("application/openmetrics") else parse_text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """A series by name and labels."""
    return name, frozenset(labels.items())


ENGINE = {"target": "localhost:8000", "model_name": "llama", "engine": "0"}


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"])
def test_every_metric_of_the_catalogue_is_exported_with_its_labels(accept: str) -> None:
    """A view in which all is known gives every name of the catalogue, in both formats."""
    found = series(fleet(full_engine()), accept)
    assert {name for name, _ in found} == set(BY_NAME)
    for name, labels in found:
        assert {label for label, _ in labels} == set(BY_NAME[name].labels)


def test_values_come_from_the_view() -> None:
    """A number stands under its metric's name and its key's label."""
    engine = full_engine()
    found = series(fleet(engine))
    for metric in ENGINE_METRICS:
        value = getattr(engine, metric.field)
        if not metric.extra_labels:
            assert found[key(metric.name, **ENGINE)] == value
            continue
        for label, number in value.items():
            if number:
                assert found[key(metric.name, **ENGINE, **{metric.extra_labels[0]: label})] == number
    assert found[key("kvwatch_replicas_required", model_name="llama", role="")] == 3.0
    assert found[key("kvwatch_target_up", target="localhost:8000")] == 1.0
    assert found[key("kvwatch_target_up", target="localhost:8001")] == 0.0


def test_only_the_limit_that_binds_has_a_series() -> None:
    """binding_limit and demand_selected are never exported as 0."""
    found = series(fleet(full_engine()))
    assert [value for (name, _), value in found.items() if name == "kvwatch_binding_limit"] == [1.0]
    assert [value for (name, _), value in found.items() if name == "kvwatch_demand_selected"] == [1.0]


def test_an_estimate_has_one_validity_with_its_reason() -> None:
    """1 with reason ok, or 0 with the reason."""
    found = series(fleet(full_engine()))
    valid = key("kvwatch_estimate_valid", **ENGINE, estimate="service_rate", reason="ok")
    invalid = key("kvwatch_estimate_valid", **ENGINE, estimate="stable_limit", reason="delta_is_bound")
    assert {k: v for k, v in found.items() if k[0] == "kvwatch_estimate_valid"} == {valid: 1.0, invalid: 0.0}


def test_what_is_unknown_is_absent() -> None:
    """An engine of which nothing is known has no series, and a target without a scrape no age."""
    found = series(fleet(EngineView("localhost:8000", "llama", "0")))
    names = {name for name, _ in found}
    assert not names & {metric.name for metric in ENGINE_METRICS}
    assert key("kvwatch_scrape_age_seconds", target="localhost:8001") not in found


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_absent(poison: float) -> None:
    """No NaN and no infinity is ever exported, whatever the core computes."""
    engine = full_engine()
    poisoned = {
        field.name: dict.fromkeys(getattr(engine, field.name), poison) if "Keyed" in str(field.type) else poison
        for field in fields(EngineView)
        if field.name not in {"target", "model_name", "engine", "estimate_valid"}
    }
    view = replace(fleet(replace(engine, **poisoned)), models=(ModelView("llama", replicas_required=poison),))
    found = series(view)
    assert not {name for name, _ in found} & {metric.name for metric in ENGINE_METRICS}
    assert all(math.isfinite(value) for value in found.values())


def test_a_series_is_gone_when_the_view_no_longer_has_it() -> None:
    """Nothing is kept between two scrapes of one registry."""
    views = [fleet(full_engine()), fleet()]
    registry = make_registry(FleetCollector(lambda: views.pop(0)))
    assert b"kvwatch_service_rate{" in expose(registry, "")[0]
    assert b"kvwatch_service_rate{" not in expose(registry, "")[0]


def test_hostile_label_values_are_escaped() -> None:
    """A model named with quotes, newlines and backslashes arrives as it is."""
    name = 'a"b\\c\nd{e="f"} 1 é'
    found = series(fleet(full_engine(model_name=name)))
    assert key("kvwatch_service_rate", **(ENGINE | {"model_name": name})) in found


def test_the_format_follows_the_accept_header() -> None:
    """Text 0.0.4 unless OpenMetrics is asked for; nonsense is text."""
    registry = make_registry(FleetCollector(fleet))
    for accept in ("", "*/*", "text/plain", "application/openmetrics-text;q=0", "\x00;=,;;", "text/html"):
        assert expose(registry, accept)[1] == "text/plain; version=0.0.4; charset=utf-8"
    for accept in ("application/openmetrics-text", "text/plain;q=0.1, Application/OpenMetrics-Text; version=nonsense"):
        body, content_type = expose(registry, accept)
        assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert body.endswith(b"# EOF\n")


def test_two_registries_do_not_share_metrics() -> None:
    """Two daemons may live in one process."""
    first, second = make_registry(FleetCollector(lambda: fleet(full_engine()))), make_registry(FleetCollector(fleet))
    assert b"kvwatch_service_rate{" in expose(first, "")[0]
    assert b"kvwatch_service_rate{" not in expose(second, "")[0]


@pytest.mark.prometheus
def test_promtool_finds_no_fault_in_the_exposition() -> None:
    """Names, types and help satisfy Prometheus' own linter."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH")
    metrics = SelfMetrics()
    metrics.add_target("localhost:8000")
    metrics.count("kvwatch_discovery_failures_total", "dns[0]")
    metrics.put("kvwatch_discovered_targets", "dns[0]", value=2.0)
    body, _ = expose(make_registry(FleetCollector(lambda: fleet(full_engine()), metrics.samples)), "")
    assert body.count(b"# TYPE") == len(CATALOG)
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "", "")


def test_counters_begin_at_zero_and_refuse_what_is_not_in_the_catalogue() -> None:
    """A first failure is seen as an increase, and no label value can be made up."""
    metrics = SelfMetrics()
    metrics.add_target("a:1")
    assert (("a:1", "success"), 0.0) in metrics.samples()["kvwatch_scrapes_total"]
    assert (("failure",), 0.0) in metrics.samples()["kvwatch_config_reloads_total"]
    with pytest.raises(KeyError):
        metrics.count("kvwatch_scrapes_total", "a:1", "made-up")
    with pytest.raises(KeyError):
        metrics.count("kvwatch_made_up_total")


def test_a_removed_target_takes_its_counters_along() -> None:
    """Series do not pile up while targets come and go."""
    metrics = SelfMetrics()
    metrics.add_target("a:1")
    metrics.count("kvwatch_scrapes_total", "a:1", "timeout")
    metrics.count("kvwatch_exposition_bad_lines_total", "a:1", by=3)
    metrics.remove_target("a:1")
    for metric in SELF_METRICS:
        if metric.kind is Kind.COUNTER and "target" in metric.labels:
            assert metrics.samples()[metric.name] == []

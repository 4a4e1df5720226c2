"""A view becomes text at each scrape, and nothing outlives it."""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector, CollectorRegistry

from bench.collector import FleetCollector
from kvwatch.estimate import Estimate
from kvwatch.export.catalog import BY_NAME, CATALOG, ENGINE_METRICS
from kvwatch.export.catalog_self import SELF_METRICS
from kvwatch.export.catalog_settings import SETTING_METRICS
from kvwatch.export.exposition import Exposition
from kvwatch.export.metric import Kind
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.views import EngineView, FleetView, ModelView, TargetView
from tests.export.full_view import WINDOWS, fields_of, fleet, full_engine, keys_of

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(view: FleetView, accept: str = "") -> Series:
    """Every series of the exposition, by name and labels."""
    body, content_type = Exposition(lambda: view, own_numbers().samples).text(accept)
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
    for place, metric in enumerate(ENGINE_METRICS, 1):
        if not metric.extra_labels:
            assert found[key(metric.name, **ENGINE)] == place
            continue
        for index, label in enumerate(metric.values[:1] if metric.one_hot else metric.values or WINDOWS):
            value = 1.0 if metric.one_hot else place + index / 8
            labels = dict(zip(metric.extra_labels, (label, "0.95"), strict=False))
            assert found[key(metric.name, **ENGINE, **labels)] == value
    assert found[key("kvwatch_replicas_required", model_name="llama", role="")] == 3.0
    assert found[key("kvwatch_target_up", target="localhost:8000")] == 1.0
    assert found[key("kvwatch_target_up", target="localhost:8001")] == 0.0


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_engines_of_a_target_with_a_role_say_so(accept: str) -> None:
    """All their series carry it, and those of the other targets are as they were."""
    plain, prefill = full_engine(), full_engine(target="localhost:8002")
    view = fleet(plain)
    view = replace(
        view, targets=(*view.targets, TargetView("localhost:8002", True, 0.25, 0.01, (prefill,), role="prefill"))
    )
    found = series(view, accept)
    assert series(fleet(plain), accept).keys() <= found.keys()
    labelled = {name for name, labels in found if ("role", "prefill") in labels}
    settings = {metric.name for metric in SETTING_METRICS}
    assert labelled == {metric.name for metric in ENGINE_METRICS} | {"kvwatch_estimate_valid"} | settings
    for name, labels in found:
        if name in labelled and ("target", "localhost:8002") in labels:
            assert ("role", "prefill") in labels


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
    poisoned = fields_of(
        (metric, dict.fromkeys(keys_of(metric, WINDOWS), poison) if metric.extra_labels else poison)
        for metric in ENGINE_METRICS
    )
    view = replace(fleet(replace(engine, **poisoned)), models=(ModelView("llama", replicas_required=poison),))
    found = series(view)
    assert not {name for name, _ in found} & {metric.name for metric in ENGINE_METRICS}
    assert all(math.isfinite(value) for value in found.values())


def test_a_series_is_gone_when_the_view_no_longer_has_it() -> None:
    """No series is kept from one scrape to the next."""
    views = [fleet(full_engine()), fleet()]
    exposition = Exposition(lambda: views.pop(0))
    assert b"kvwatch_service_rate{" in exposition.text()[0]
    assert b"kvwatch_service_rate{" not in exposition.text()[0]


def test_hostile_label_values_are_escaped() -> None:
    """A model named with quotes, newlines and backslashes arrives as it is."""
    name = 'a"b\\c\nd{e="f"} 1 é'
    found = series(fleet(full_engine(model_name=name)))
    assert key("kvwatch_service_rate", **(ENGINE | {"model_name": name})) in found


def test_the_format_follows_the_accept_header() -> None:
    """Text 0.0.4 unless OpenMetrics is asked for; nonsense is text."""
    exposition = Exposition(fleet)
    for accept in ("", "*/*", "text/plain", "application/openmetrics-text;q=0", "\x00;=,;;", "text/html"):
        assert exposition.text(accept)[1] == "text/plain; version=0.0.4; charset=utf-8"
    for accept in ("application/openmetrics-text", "text/plain;q=0.1, Application/OpenMetrics-Text; version=nonsense"):
        body, content_type = exposition.text(accept)
        assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert body.endswith(b"# EOF\n")


def own_numbers() -> SelfMetrics:
    """Self-metrics of each kind, with a label that needs escapes."""
    metrics = SelfMetrics()
    metrics.add_target("localhost:8000")
    metrics.count("kvwatch_scrapes_total", "localhost:8000", "success", by=12345678.0)
    metrics.count("kvwatch_discovery_failures_total", 'dns["a\\b\n"]')
    metrics.put("kvwatch_discovered_targets", "dns[0]", value=2.0)
    metrics.put("kvwatch_target_engines", "localhost:8000", value=1.0)
    metrics.put("kvwatch_log_source_recognized", "localhost:8000", "/var/log/vllm.log", value=0.0)
    metrics.put("kvwatch_state_last_save_timestamp_seconds", value=1.7e9)
    return metrics


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(['"', "\\", "\n", '\\"\n{}='])
numbers = st.floats() | st.sampled_from([0.0, -0.0, 1.0, 123456.0, 1234567.0, 1e21, 1e-9, 5e-324])


@given(
    values=st.lists(numbers, min_size=len(ENGINE_METRICS), max_size=len(ENGINE_METRICS)),
    name=texts,
    key=texts,
    role=st.sampled_from(["", "prefill"]) | texts,
    openmetrics=st.booleans(),
)
def test_the_text_is_that_of_the_reference_library(
    values: list[float], name: str, key: str, role: str, openmetrics: bool
) -> None:
    """Byte for byte, in both formats, whatever the numbers and the labels are."""
    known = fields_of(
        (metric, dict(zip(keys_of(metric, (key, "b")), (value, 1.0), strict=True)) if metric.extra_labels else value)
        for metric, value in zip(ENGINE_METRICS, values, strict=True)
    )
    engines = (replace(full_engine(), model_name=name, **known), full_engine(engine=key))
    targets = tuple(replace(target, role=role) for target in fleet(*engines).targets)
    view = replace(fleet(*engines), targets=targets)
    metrics = own_numbers()
    registry = CollectorRegistry()
    registry.register(FleetCollector(lambda: view, metrics.samples))
    reference = (generate_openmetrics if openmetrics else generate_latest)(registry)
    text, _ = Exposition(lambda: view, metrics.samples).text("application/openmetrics-text" if openmetrics else "")
    assert text == reference


def test_lines_that_are_kept_are_those_of_the_view_that_is_shown() -> None:
    """An engine whose view is another one is written anew, and one whose view is the same is not."""
    engines = [full_engine(engine=str(number)) for number in range(3)]
    views = [
        fleet(*engines),
        fleet(*engines),
        fleet(engines[0], replace(engines[1], service_rate=Estimate(77.5))),
        fleet(),
    ]
    exposition = Exposition(lambda: views[0])
    written = []
    while views:
        pieces = list(exposition.pieces(openmetrics=False))
        written.append(pieces.count(""))
        assert "".join(pieces).encode() == Exposition(lambda: views[0]).text()[0]
        views.pop(0)
    assert written == [3, 0, 1, 0]


class _Other(Collector):
    """A collector of Prometheus' library with one gauge."""

    def collect(self) -> list[GaugeMetricFamily]:
        return [GaugeMetricFamily("other", "Something else.", value=3.0)]


def test_families_of_other_collectors_follow() -> None:
    """The process's own memory and CPU come from Prometheus' library, before the end mark where there is one."""
    exposition = Exposition(fleet, dict, _Other())
    assert exposition.text()[0].endswith(b"# TYPE other gauge\nother 3.0\n")
    assert exposition.text("application/openmetrics-text")[0].endswith(b"# TYPE other gauge\nother 3.0\n# EOF\n")


@pytest.mark.prometheus
def test_promtool_finds_no_fault_in_the_exposition() -> None:
    """Names, types and help satisfy Prometheus' own linter."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH")
    body, _ = Exposition(lambda: fleet(full_engine()), own_numbers().samples).text()
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


def test_a_setting_is_a_series_with_its_value_and_source() -> None:
    """And a value that is contradicted is one of its own."""
    found = series(fleet(full_engine()))
    about = {**ENGINE, "setting": "max_num_seqs"}
    assert found[key("kvwatch_setting_info", **about, value="37", source="measured")] == 1
    assert found[key("kvwatch_setting_refuted", **about, value="256", source="config")] == 1
    assert found[key("kvwatch_setting_info", **ENGINE, setting="watermark", value="0.01", source="process")] == 1
    assert found[key("kvwatch_setting_info", **ENGINE, setting="async_scheduling", value="true", source="log")] == 1

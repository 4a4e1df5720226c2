"""The autoscalers that the chart makes: what they ask for, and how fast they follow."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from kvwatch.export.catalog import CATALOG
from tests.helm.chart import CHART, Helm, Object, kinds, named, one

pytestmark = pytest.mark.helm


def test_autoscalers_ask_for_series_that_exist(helm4: Helm) -> None:
    """Each series in the adapter's rules and in KEDA's query is one that kvwatch exports or a shipped rule records."""
    rules = yaml.safe_load((CHART / "files" / "kvwatch.rules.yaml").read_text(encoding="utf-8"))["groups"]
    known = {rule["record"] for group in rules for rule in group["rules"] if "record" in rule}
    known |= {metric.name for metric in CATALOG}
    queries, offered = [], set()
    for name in ("fleet", "sidecar"):
        (config,) = (
            yaml.safe_load(item["data"]["config.yaml"])
            for item in helm4.template(named(name))
            if item["kind"] == "ConfigMap" and "config.yaml" in item["data"]
        )
        for rule in config["rules"] + config["externalRules"]:
            queries += [rule["seriesQuery"], rule["metricsQuery"]]
            offered.add(rule["name"]["as"])
    trigger = one(helm4.template(named("fleet-keda")), "ScaledObject")["spec"]["triggers"][0]["metadata"]
    place = re.fullmatch(r'models\.#\(model_name=="(.*)"\)#\|#\(role=="(.*)"\)\.(\w+)', trigger["valueLocation"])
    assert place is not None
    assert place.groups() == ("llama-3-8b", "decode", "replicas_required")
    assert f"kvwatch_{place[3]}" in known
    queries.append(
        one(helm4.template(named("sidecar-keda")), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    )
    queries.append(
        one(helm4.template(named("sidecar-zero")), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    )
    used = {word for query in queries for word in re.findall(r"(?:model:)?kvwatch_[a-z0-9_:]+", query)}
    assert used <= known
    assert used
    wanted = {
        (metric.get("pods") or metric.get("external"))["metric"]["name"]
        for name in ("fleet", "sidecar")
        for metric in one(helm4.template(named(name)), "HorizontalPodAutoscaler")["spec"]["metrics"]
    }
    assert wanted <= offered
    assert any(name.startswith("kvwatch_replicas_required_") for name in wanted)
    assert "kvwatch_utilization" in wanted


def behavior(objects: list[Object]) -> Object:
    """How fast the autoscaler among the objects scales."""
    if "ScaledObject" in kinds(objects):
        found: Object = one(objects, "ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    else:
        found = one(objects, "HorizontalPodAutoscaler")["spec"]["behavior"]
    return found


UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 2, "periodSeconds": 60},
        {"type": "Percent", "value": 100, "periodSeconds": 60},
    ],
}
"""At once, and by no more than two replicas or the number that there is in a minute."""


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("fleet", 60), ("fleet-keda", 60), ("fleet-shards", 60), ("sidecar", 300), ("sidecar-keda", 60)],
)
def test_going_down_waits_once(helm: Helm, name: str, seconds: int) -> None:
    """To the number of replicas, which waits before it falls, the autoscaler adds a minute; ρ gets five."""
    assert behavior(helm.template(named(name))) == {
        "scaleUp": UP,
        "scaleDown": {"stabilizationWindowSeconds": seconds},
    }


@pytest.mark.parametrize("seconds", [0, 600])
def test_a_window_of_the_users_own_wins(helm: Helm, seconds: int) -> None:
    """Whatever is said of the behaviour stands, 0 too, and what is not said stays the chart's."""
    for name in ("fleet", "fleet-keda", "sidecar"):
        values = yaml.safe_load(named(name).read_text(encoding="utf-8"))
        policy = {"type": "Pods", "value": 1, "periodSeconds": 60}
        values["autoscaling"]["behavior"] = {
            "scaleDown": {"stabilizationWindowSeconds": seconds, "policies": [policy]},
        }
        assert behavior(helm.template(values)) == {
            "scaleUp": UP,
            "scaleDown": {"stabilizationWindowSeconds": seconds, "policies": [policy]},
        }


def test_a_fleet_is_scaled_by_its_own_number_and_sidecars_by_the_recorded_one(helm4: Helm) -> None:
    """A kvwatch beside each engine knows no more than its own; one that sees all of them needs no recording rule."""
    values = yaml.safe_load(named("sidecar-keda").read_text(encoding="utf-8"))
    recorded = one(helm4.template(values), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert recorded.startswith("max(model:kvwatch_replicas_required:")
    own = one(helm4.template(values | {"mode": "fleet"}), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert own.startswith("max(kvwatch_replicas_required{")


def test_a_fallback_is_there_only_where_keda_must_know_it(helm: Helm) -> None:
    """KEDA before 2.17 drops its behaviour and scales to one: from one replica on there is none, and zero says so."""
    for name in ("fleet-keda", "fleet-shards", "sidecar-keda"):
        assert "fallback" not in one(helm.template(named(name)), "ScaledObject")["spec"]
    values = yaml.safe_load(named("sidecar-zero").read_text(encoding="utf-8"))
    kept = {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
    assert one(helm.template(values), "ScaledObject")["spec"]["fallback"] == kept
    assert "KEDA 2.17 or later" in helm.try_template(values).stdout
    own = {"failureThreshold": 5, "replicas": 4}
    values["autoscaling"]["keda"]["fallback"] = own
    assert one(helm.template(values), "ScaledObject")["spec"]["fallback"] == own


def test_two_releases_with_one_model_are_told_apart(helm: Helm) -> None:
    """Where the chart's monitor says by which labels, KEDA and the adapter ask for this release's numbers alone."""
    for name, labels in (
        ("fleet", {"namespace": "monitoring", "job": "kvwatch"}),
        ("fleet-shards", {"namespace": "monitoring"}),
    ):
        values = yaml.safe_load(named(name).read_text(encoding="utf-8"))
        values["autoscaling"]["hpa"] = {"enabled": False}
        values["autoscaling"]["keda"] = {"enabled": True, "serverAddress": "http://prometheus:9090"}
        values["prometheusAdapter"] = {"enabled": True, "namespace": "adapter"}
        for own in ({}, {"job": "renamed", "cluster": "a"}):
            values["autoscaling"]["seriesLabels"] = own
            objects = helm.template(values)
            (adapter,) = (item for item in objects if "config.yaml" in item.get("data", {}))
            assert adapter["metadata"]["namespace"] == "adapter"
            (rule,) = yaml.safe_load(adapter["data"]["config.yaml"])["externalRules"]
            trigger = one(objects, "ScaledObject")["spec"]["triggers"][0]["metadata"]
            for query in (rule["seriesQuery"], rule["metricsQuery"], trigger["query"]):
                for label, value in (labels | own).items():
                    assert f',{label}="{value}"' in query
    values = yaml.safe_load(named("fleet").read_text(encoding="utf-8")) | {"monitor": {"enabled": False}}
    (text,) = (i["data"]["config.yaml"] for i in helm.template(values) if "config.yaml" in i.get("data", {}))
    assert "job=" not in text


@pytest.mark.parametrize("name", ["fleet", "fleet-shards", "sidecar"])
def test_windows_that_the_queries_do_not_find_are_refused(helm: Helm, name: str) -> None:
    """The rules name the windows 1m and 5m; without one of them nothing would ever be scaled."""
    values = yaml.safe_load(named(name).read_text(encoding="utf-8"))
    values["prometheusRule"] = {"enabled": True, "runbookUrl": "http://localhost:9718/runbooks"}
    for windows in (["1m"], ["60s", "5m"]):
        values.setdefault("config", {})["estimates"] = {"windows": windows}
        refused = helm.try_template(values)
        assert refused.returncode != 0
        assert "config.estimates.windows" in refused.stderr
        assert "5m" in refused.stderr
    values["config"]["estimates"]["windows"] = ["1m", "5m", "15m"]
    helm.template(values)


def test_models_of_which_the_adapter_would_make_one_metric_are_refused(helm: Helm) -> None:
    """Names differ by what a metric's name cannot hold, or by a role: the message says which two."""
    values = yaml.safe_load(named("fleet").read_text(encoding="utf-8"))
    for models, roles in ((["Qwen/Qwen3-8B", "qwen-qwen3.8b"], []), (["a", "a-prefill"], ["prefill"])):
        values["prometheusAdapter"] = {"enabled": True, "models": models, "roles": roles}
        refused = helm.try_template(values)
        assert refused.returncode != 0
        assert f"{models[0]} and {models[1]} would both be the metric" in refused.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("replicas", "recorded", "plain", "value"),
    [
        (0, None, None, 0.0),
        (2, None, None, None),
        (2, 2.0, 4.0, 2.0),
        (2, 0.0, None, 0.0),
        (None, None, 3.0, None),
        (1, None, 3.0, 3.0),
        (3, None, 3.0, None),
        (3, None, 1.0, None),
    ],
)
def test_only_a_model_that_is_scaled_to_zero_needs_nothing_by_default(  # noqa: PLR0917 - a table's columns
    helm4: Helm, tmp_path: Path, replicas: int | None, recorded: float | None, plain: float | None, value: float | None
) -> None:
    """KEDA's query is 0 without engines only where the workload has no replicas; else missing data stays missing.

    While there is no number to go on from, the plain one counts where it asks for more replicas than there are.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH")
    query = one(helm4.template(named("sidecar-zero")), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    series = []
    for name, number in (
        ('kube_deployment_spec_replicas{namespace="serving",deployment="vllm"}', replicas),
        ('kube_deployment_spec_replicas{namespace="serving",deployment="other"}', 0),
        ('model:kvwatch_replicas_required:hold5m{namespace="serving",model_name="llama-3-8b"}', recorded),
        ('model:kvwatch_replicas_required:hold5m{namespace="other",model_name="llama-3-8b"}', 7),
        ('model:kvwatch_replicas_required:total{namespace="serving",model_name="llama-3-8b"}', plain),
        ('model:kvwatch_replicas_required:total{namespace="other",model_name="llama-3-8b"}', 9),
    ):
        if number is not None:
            series.append({"series": name, "values": f"{number}+0x5"})
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    expected = [{"expr": query, "eval_time": "1m", "exp_samples": samples}]
    path = tmp_path / "case.yaml"
    path.write_text(
        yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expected}]})
    )
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_pool_is_scaled_by_its_own_number(helm4: Helm) -> None:
    """With a role, query, metric and the adapter's rule are of that role; without one, of engines that have none."""
    values = yaml.safe_load(named("fleet").read_text(encoding="utf-8"))
    for role, suffix in (("", ""), ("prefill", "_prefill")):
        values["autoscaling"]["role"] = role
        objects = helm4.template(values)
        (metric,) = one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
        name = metric["external"]["metric"]["name"]
        assert name == "kvwatch_replicas_required_meta_llama_llama_3_1_8b_instruct" + suffix
        (config,) = (yaml.safe_load(i["data"]["config.yaml"]) for i in objects if "config.yaml" in i.get("data", {}))
        (rule,) = (rule for rule in config["externalRules"] if rule["name"]["as"] == name)
        assert f'role="{role}"' in rule["seriesQuery"]
        assert f'role="{role}",' in rule["metricsQuery"]
        assert ",<<.LabelMatchers>>})" in rule["metricsQuery"]
    values["prometheusAdapter"]["roles"] = ["prefill", "decode"]
    (config,) = (
        yaml.safe_load(i["data"]["config.yaml"]) for i in helm4.template(values) if "config.yaml" in i.get("data", {})
    )
    assert {rule["name"]["as"].rsplit("_", 1)[1] for rule in config["externalRules"]} == {"prefill", "decode"}


def test_parts_of_a_fleet_are_added_up_by_the_rules(helm4: Helm) -> None:
    """A shard exports no number of a model: adapter and KEDA ask for recorded ones, of whichever release shards."""
    values = yaml.safe_load(named("fleet-shards").read_text(encoding="utf-8"))
    own = {name: value for name, value in values.items() if name != "fleet"}
    for case in (values, own | {"config": {"discovery": {"shard": "0/2"}}}, own | {"extraArgs": ["--shard=0/2"]}):
        if "config" in case:
            case["config"]["targets"] = [{"url": "http://vllm:8000"}]
        objects = helm4.template(case)
        query = one(objects, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
        assert query.startswith("max(model:kvwatch_replicas_required:")
        (adapter,) = (i["data"]["config.yaml"] for i in objects if "config.yaml" in i.get("data", {}))
        assert "seriesQuery: model:kvwatch_replicas_required:" in adapter

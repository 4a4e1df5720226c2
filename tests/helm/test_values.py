"""What a user may write: the schema of the values, the errors, and the copies that the chart packs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import yaml

from tests.helm.chart import CHART, ROOT, Helm, kvwatch_yaml

helm_needed = pytest.mark.helm
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
WATCHED = {"config": {"targets": [{"url": "http://vllm:8000"}]}}
ZERO = (
    "autoscaling.keda.enabled=true,autoscaling.keda.serverAddress=http://prometheus:9090,autoscaling.target.name=x,"
    "autoscaling.modelName=m,autoscaling.minReplicas=0"
)
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def test_the_chart_is_in_step_with_what_it_packs() -> None:
    """Rules, dashboards, options, version and the README's table are those of today: scripts/sync_chart.py is run."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "sync_chart.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr + "run scripts/sync_chart.py"


def test_the_schema_knows_just_the_values_that_there_are() -> None:
    """Every key of values.yaml is in the schema and the other way round, as deep as the schema is closed."""

    def compare(values: Any, schema: dict[str, Any], path: str) -> list[str]:
        if "properties" not in schema:
            return []
        keys, known = set(values), set(schema["properties"]) - {"global"}
        differences = [f"{path}.{key}" for key in keys ^ known]
        return differences + [
            line for key in keys & known for line in compare(values[key], schema["properties"][key], f"{path}.{key}")
        ]

    assert compare(VALUES, SCHEMA, "") == []
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)


def test_every_value_is_described_in_the_readme() -> None:
    """A value is in the chart's README itself, or below one that is."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")

    def check(values: Any, path: str) -> list[str]:
        if f"| `{path}` |" in readme:
            return []
        if not isinstance(values, dict) or not values:
            return [path]
        return [line for key, value in values.items() for line in check(value, f"{path}.{key}" if path else key)]

    assert check(VALUES, "") == []


@helm_needed
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("modus=fleet", "modus"),
        ("mode=daemon", "mode"),
        ("config.scrape.intervall=1s", "intervall"),
        ("fleet.shards=0", "shards"),
        ("config.targets[0].max_num_seqs=many", "max_num_seqs"),
        ("config.targets[0].name=without-url", "url"),
        ("engines.port=0", "port"),
        ("image.digest=sha256:12", "digest"),
        ("autoscaling.hpa.targetUtilization=80", "targetUtilization"),
        ("autoscaling.hpa.metric=queue", "metric"),
        ("autoscaling.role=draft", "role"),
        ("engines.role=draft", "role"),
        ("monitor.interval=15 s", "interval"),
        ("resources=small", "resources"),
        (r"podLabels.app\.kubernetes\.io/name=vllm", "podLabels"),
        (r"commonLabels.app\.kubernetes\.io/instance=x", "commonLabels"),
        (r"commonLabels.helm\.sh/chart=x", "commonLabels"),
        (r"monitor.labels.app\.kubernetes\.io/version=x", "monitor"),
        (r"podAnnotations.checksum/config=x", "podAnnotations"),
    ],
)
def test_the_schema_refuses(helm: Helm, setting: str, words: str) -> None:
    """Misspelt keys and impossible values, of the chart and of kvwatch.yaml, end in an error that names the place."""
    done = helm.try_template({}, "--set", setting)
    assert done.returncode != 0
    assert words in done.stderr
    assert "schema" in done.stderr


@helm_needed
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("mode=sidecar", "mode sidecar needs engines.matchLabels"),
        (
            "mode=node-agent,nodeAgent.hostNetwork=true,networkPolicy.enabled=true",
            "networkPolicy.enabled has no effect",
        ),
        ("mode=sidecar,engines.matchLabels.app=x,networkPolicy.enabled=true", "would cut your vLLM pods off"),
        (
            "mode=sidecar,engines.matchLabels.app=x,podDisruptionBudget.enabled=true",
            "podDisruptionBudget.enabled is for",
        ),
        ("mode=sidecar,engines.matchLabels.app=x,persistence.enabled=true", "persistence.enabled is for mode fleet"),
        ("mode=sidecar,engines.matchLabels.app=x,prometheusRule.enabled=true", "prometheusRule.runbookUrl is missing"),
        ("mode=node-agent,prometheusRule.enabled=true", "http://localhost:9718/runbooks for a port that they forward"),
        ("autoscaling.hpa.enabled=true", "autoscaling.target.name is missing"),
        ("autoscaling.hpa.enabled=true,autoscaling.keda.enabled=true", "keep one of them"),
        ("autoscaling.hpa.enabled=true,autoscaling.target.name=x", "autoscaling.modelName is missing"),
        (
            "autoscaling.hpa.enabled=true,autoscaling.target.name=x,autoscaling.hpa.metric=utilization",
            "it needs mode sidecar",
        ),
        (
            "autoscaling.hpa.enabled=true,autoscaling.target.name=x,autoscaling.modelName=m,autoscaling.minReplicas=0",
            "KEDA can go to 0",
        ),
        (
            "autoscaling.hpa.enabled=true,autoscaling.target.name=x,autoscaling.modelName=m,autoscaling.minReplicas=9",
            "greater than autoscaling.maxReplicas",
        ),
        (
            "autoscaling.keda.enabled=true,autoscaling.target.name=x,autoscaling.modelName=m",
            "autoscaling.keda.serverAddress is missing",
        ),
        (f"{ZERO},autoscaling.keda.trigger=metrics-api", "needs autoscaling.keda.trigger prometheus"),
        (ZERO, "needs autoscaling.keda.kubeStateMetrics"),
        (f"{ZERO},autoscaling.keda.kubeStateMetrics=true", "nothing would wake the model"),
        (
            f"{ZERO},autoscaling.keda.kubeStateMetrics=true,autoscaling.target.kind=LeaderWorkerSet",
            "kube-state-metrics has no replicas of a LeaderWorkerSet",
        ),
        (
            "mode=sidecar,engines.matchLabels.app=x,engines.role=prefill,autoscaling.keda.enabled=true,"
            "autoscaling.target.name=x,autoscaling.role=decode",
            "no engine of this release would count for the target",
        ),
        ("config.server.listen=127.0.0.1:9718", "config.server.listen 127.0.0.1:9718 cannot work"),
        ("config.server.listen=:0", "at a known port"),
        (
            "config.server.tls.cert_file=/c.pem,config.server.tls.key_file=/k.pem,monitor.enabled=true",
            "monitor.tlsConfig is missing",
        ),
        ("config.traces.enabled=true,config.traces.grpc_listen=127.0.0.1:4317", "vLLM sends to the pod's address"),
        ("mode=node-agent,config.traces.enabled=true,config.traces.grpc_listen=:0", "at a known port"),
        ("config.traces.enabled=true,config.traces.grpc_listen=:9718", "is the port of config.server.listen"),
        ("extraArgs[0]=--listen=:9000", "set config.server.listen"),
        ("mode=node-agent,fleet.shards=2", "fleet.shards is for mode fleet"),
        ("fleet.shards=2,config.discovery.shard=0/2", "leave the shard out of config.discovery.shard"),
        ("fleet.shards=2,extraArgs[0]=--shard=0/2", "leave the shard out of extraArgs"),
        ("fleet.shards=2,persistence.enabled=true,persistence.existingClaim=x", "each gets a claim of its own"),
        ("fleet.shards=2,service.type=NodePort", "another part of the fleet at each request"),
        ("fleet.shards=2,config.traces.enabled=true", "a span must reach the process that watches its engine"),
        ("fleet.shards=2,fullnameOverride=" + 53 * "x", "too long for the name of a StatefulSet"),
        (
            "fleet.shards=2,autoscaling.keda.enabled=true,autoscaling.target.name=x,autoscaling.modelName=m,"
            "autoscaling.keda.trigger=metrics-api",
            "each shard knows its part only; use prometheus with the recording rules",
        ),
        (
            "mode=sidecar,engines.matchLabels.app=x,autoscaling.keda.enabled=true,autoscaling.target.name=x,"
            "autoscaling.modelName=m,autoscaling.keda.trigger=metrics-api",
            "it needs mode fleet; use prometheus",
        ),
    ],
)
def test_combinations_that_make_no_sense_stop(helm: Helm, settings: str, message: str) -> None:
    """What the schema cannot say ends in one sentence with the mend."""
    done = helm.try_template(WATCHED, "--set", settings)
    assert done.returncode != 0
    assert message in done.stderr


@helm_needed
def test_a_fleet_needs_engines(helm: Helm) -> None:
    """A release that would watch nothing is refused, for kvwatch would not start."""
    for mode in ("fleet", "node-agent"):
        done = helm.try_template({"mode": mode})
        assert done.returncode != 0
        assert f"mode {mode} has nothing to watch" in done.stderr


@helm_needed
@pytest.mark.parametrize("limits", [{"max_targets": 5000}, {"shard": "0/2"}])
def test_limits_of_discovery_are_no_source_of_engines(helm: Helm, limits: dict[str, Any]) -> None:
    """With such keys alone the chart still looks for ``engines.matchLabels``, and without labels it refuses."""
    values: dict[str, Any] = {"config": {"discovery": limits}}
    done = helm.try_template(values)
    assert done.returncode != 0
    assert "mode fleet has nothing to watch" in done.stderr
    found = kvwatch_yaml(helm.template(values | {"engines": {"matchLabels": {"app": "vllm"}}}))["discovery"]
    (source,) = found.pop("kubernetes")
    assert source["label_selector"] == "app=vllm"
    assert found == limits


@helm_needed
def test_a_source_of_the_users_own_is_the_only_one(helm: Helm) -> None:
    """Where ``config`` says where engines are, ``engines.matchLabels`` finds none beside them."""
    for source in (
        {"dns": [{"names": ["vllm"]}]},
        {"files": [{"paths": ["/x.yaml"]}]},
        {"http": [{"url": "http://list"}]},
        {"kubernetes": [{"label_selector": "app=other"}]},
    ):
        values = {"engines": {"matchLabels": {"app": "vllm"}}, "config": {"discovery": source}}
        assert kvwatch_yaml(helm.template(values))["discovery"] == source


@helm_needed
def test_an_engine_counts_for_the_pool_that_is_scaled(helm: Helm) -> None:
    """Beside the engines ``autoscaling.role`` is the engines' own; a fleet of both pools is told apart by its pods."""
    engines: dict[str, Any] = {"matchLabels": {"app": "vllm"}}
    values = {"mode": "sidecar", "engines": engines, "autoscaling": {"role": "decode"}}
    assert kvwatch_yaml(helm.template(values))["targets"][0]["role"] == "decode"
    (source,) = kvwatch_yaml(helm.template(values | {"mode": "fleet"}))["discovery"]["kubernetes"]
    assert "target" not in source
    own = values | {"engines": engines | {"role": "prefill"}, "autoscaling": {}}
    assert kvwatch_yaml(helm.template(own))["targets"][0]["role"] == "prefill"
    (source,) = kvwatch_yaml(helm.template(own | {"mode": "fleet"}))["discovery"]["kubernetes"]
    assert source["target"] == {"role": "prefill"}


@helm_needed
def test_an_installation_can_be_a_part_of_another_chart(helm4: Helm) -> None:
    """Values that Helm hands to a subchart, `global`, are taken."""
    assert helm4.template(WATCHED | {"global": {"imageRegistry": "x"}})


@helm_needed
def test_a_label_is_written_once(helm: Helm) -> None:
    """Where a label is common and an object's or a pod's own too, the nearer one wins; no key is there twice."""
    labels = {"team": "own"}
    values = WATCHED | {
        "commonLabels": {"team": "common", "zone": "a"},
        "podLabels": labels,
        "monitor": {"enabled": True, "labels": labels},
    }
    done = helm.try_template(values)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("team: own") == 2
    blocks = re.findall(r"labels:\n((?: +\S+: .*\n)+)", done.stdout)
    assert len(blocks) >= 5
    for block in blocks:
        keys = [line.split(":")[0].strip() for line in block.splitlines()]
        assert len(keys) == len(set(keys)), block
    assert done.stdout.count("zone: a") == len(blocks)

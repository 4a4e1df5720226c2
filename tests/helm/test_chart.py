"""What the chart makes: golden files, the schemas of several Kubernetes versions, and that the parts fit together."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import kvwatch
from kvwatch.cli import make_parser
from kvwatch.config.load import read_config
from kvwatch.export.catalog import CATALOG
from kvwatch.shell.discovery import in_shard
from tests.helm.chart import CHART, Helm, Object, cases, kinds, one, pod_templates
from tests.helm.schemas import VERSIONS, faults

pytestmark = pytest.mark.helm
GOLDEN = Path(__file__).with_name("golden")
each_case = pytest.mark.parametrize("case", cases(), ids=lambda path: path.stem)


def named(name: str) -> Path:
    """The values file of a case."""
    (found,) = (path for path in cases() if path.stem == name)
    return found


def brief(item: Object) -> Object:
    """An object for the golden file: what is copied into the chart, and checked on its own, is left out."""
    text = yaml.safe_dump(item, sort_keys=True).replace(kvwatch.__version__, "VERSION")
    item = yaml.safe_load(re.sub(r"checksum/config: \w{64}", "checksum/config: SHA256", text))
    if item["kind"] == "PrometheusRule":
        item["spec"] = "as in alerts/"
    if item["kind"] == "ConfigMap":
        item["data"] = {k: "as in dashboards/" if k.endswith(".json") else v for k, v in item["data"].items()}
    return item


@each_case
def test_lint_has_nothing_to_say(helm: Helm, case: Path) -> None:
    """``helm lint --strict`` passes on every case."""
    done = helm.run("lint", "--strict", CHART, "--values", case)
    assert done.returncode == 0, done.stdout + done.stderr


@each_case
def test_objects_are_as_in_the_golden_file(helm: Helm, case: Path) -> None:
    """Each case gives the objects of its golden file; KVWATCH_UPDATE_GOLDEN=1 writes them."""
    objects = sorted(
        (brief(item) for item in helm.template(case)),
        key=lambda item: (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]),
    )
    path = GOLDEN / case.name
    text = yaml.safe_dump_all(objects, sort_keys=True, width=120)
    if os.environ.get("KVWATCH_UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("version", VERSIONS)
@each_case
def test_objects_are_known_to_kubernetes(helm4: Helm, case: Path, version: str) -> None:
    """Each object fits the schema of its kind, in old and new versions of Kubernetes, and has no unknown field.

    A version that cannot do what the case asks for is refused.
    """
    if case.stem == "fleet-shards" and version == "1.27":
        assert "needs Kubernetes 1.28" in helm4.try_template(case, "--kube-version", version).stderr
        return
    objects = helm4.template(case, "--kube-version", version)
    assert [fault for item in objects for fault in faults(item, version)] == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("PodMonitor", {"spec": {"selector": {}, "podMetricsEndpoints": [{"intervall": "15s"}]}}),
        ("PodMonitor", {"spec": {"selector": {}, "podMetricsEndpoints": [{"interval": "15 s"}]}}),
        ("ServiceMonitor", {"spec": {"selector": {}, "endpoint": []}}),
        ("PrometheusRule", {"spec": {"groups": [{"name": "g", "rules": [{"alert": "A"}]}]}}),
        ("ScaledObject", {"spec": {"scaleTargetRef": {"name": "x"}, "triggers": [{"type": "prometheus"}]}}),
        ("Deployment", {"spec": {"selector": {}, "template": {"spec": {"container": []}}}}),
    ],
)
def test_the_schemas_find_faults(kind: str, wrong: Object) -> None:
    """The check above is able to fail."""
    groups = {"ScaledObject": "keda.sh/v1alpha1", "Deployment": "apps/v1"}
    head = {"apiVersion": groups.get(kind, "monitoring.coreos.com/v1"), "kind": kind, "metadata": {"name": "x"}}
    assert faults(head | wrong, VERSIONS[-1])


@each_case
def test_kvwatch_accepts_its_configuration(helm4: Helm, case: Path) -> None:
    """The kvwatch.yaml in the ConfigMap is one that kvwatch runs with."""
    files = [
        item["data"]["kvwatch.yaml"]
        for item in helm4.template(case)
        if item["kind"] == "ConfigMap" and "kvwatch.yaml" in item["data"]
    ]
    assert files
    for text in files:
        assert read_config(text.encode()).server.port == 9718


@each_case
def test_selectors_select_and_ports_exist(helm4: Helm, case: Path) -> None:
    """Everything that refers to kvwatch's pods by label or port name finds them."""
    objects = helm4.template(case)
    for pod in pod_templates(objects):
        labels = pod["metadata"]["labels"]
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", ())}
        for item in objects:
            spec = item.get("spec", {})
            selectors = {
                "Deployment": lambda spec: spec["selector"]["matchLabels"],
                "DaemonSet": lambda spec: spec["selector"]["matchLabels"],
                "StatefulSet": lambda spec: spec["selector"]["matchLabels"],
                "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
                "PodMonitor": lambda spec: spec["selector"]["matchLabels"],
                "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
                "Service": lambda spec: spec["selector"],
            }
            if item["kind"] in selectors:
                assert selectors[item["kind"]](spec).items() <= labels.items(), item["kind"]
            if item["kind"] == "Service":
                assert {port["targetPort"] for port in spec["ports"]} <= ports
            if item["kind"] == "ServiceMonitor":
                service = one(objects, "Service")
                assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
                assert {e["port"] for e in spec["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
            if item["kind"] == "PodMonitor":
                assert {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]} <= ports
            if item["kind"] == "StatefulSet":
                assert spec["serviceName"] == one(objects, "Service")["metadata"]["name"]
        mounts = {mount["name"] for c in pod["spec"]["containers"] for mount in c.get("volumeMounts", ())}
        templates = [item["spec"].get("volumeClaimTemplates", []) for item in objects if "spec" in item]
        claims = {claim["metadata"]["name"] for claims in templates for claim in claims}
        assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]} | claims


@each_case
def test_pods_are_locked_down(helm4: Helm, case: Path) -> None:
    """No capability, no privilege, a read-only root, no CPU limit; root only for the agent, whose logs need it."""
    objects = helm4.template(case)
    for pod in pod_templates(objects):
        container = pod["spec"]["containers"][0]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert set(container["resources"]["limits"]) == {"memory"}
        if "DaemonSet" in kinds(objects):
            assert [m["readOnly"] for m in container["volumeMounts"] if m["name"] == "pod-logs"] == [True]
        else:
            assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
            assert not any("hostPath" in volume for volume in pod["spec"]["volumes"])


def test_permissions_are_no_more_than_to_watch_pods(helm4: Helm) -> None:
    """A pod has a token, and may read pods where the engines are, only if kvwatch asks the Kubernetes API itself."""
    for name in ("fleet", "node-agent"):
        values = yaml.safe_load(named(name).read_text(encoding="utf-8"))
        static = helm4.template(values)
        assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & kinds(static)
        assert [pod["spec"]["automountServiceAccountToken"] for pod in pod_templates(static)] == [False]
        values["config"]["discovery"] = {"kubernetes": [{"namespaces": ["serving"]}]}
        asking = helm4.template(values)
        assert not {"ClusterRole", "ClusterRoleBinding"} & kinds(asking)
        assert [pod["spec"]["automountServiceAccountToken"] for pod in pod_templates(asking)] == [True]
        role = one(asking, "Role")
        assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
        assert role["metadata"]["namespace"] == "serving"
        (subject,) = one(asking, "RoleBinding")["subjects"]
        assert subject == {"kind": "ServiceAccount", "name": "kvwatch", "namespace": "monitoring"}


def test_rules_are_those_that_are_packed(helm4: Helm) -> None:
    """The PrometheusRule holds the rules that are packed, to the letter, less the alerts that are switched off."""
    groups = yaml.safe_load((CHART / "files" / "kvwatch.rules.yaml").read_text(encoding="utf-8"))["groups"]
    assert one(helm4.template(named("fleet")), "PrometheusRule")["spec"]["groups"] == groups
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != "KvwatchModelGap"]
    assert one(helm4.template(named("sidecar")), "PrometheusRule")["spec"]["groups"] == groups


def test_dashboards_are_those_that_are_packed(helm4: Helm) -> None:
    """There is a ConfigMap for each dashboard, with its JSON and the label that Grafana's sidecar looks for."""
    found = {}
    for item in helm4.template(named("sidecar")):
        if item["kind"] == "ConfigMap" and item["metadata"]["labels"].get("grafana_dashboard") == "1":
            assert item["metadata"]["namespace"] == "grafana"
            found |= {name: json.loads(text) for name, text in item["data"].items()}
    sources = {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in (CHART / "files" / "dashboards").glob("*.json")
    }
    assert found == sources
    assert found


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


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("fleet", 60), ("fleet-keda", 60), ("fleet-shards", 60), ("sidecar", 300), ("sidecar-keda", 60)],
)
def test_going_down_waits_once(helm: Helm, name: str, seconds: int) -> None:
    """To the number of replicas, which waits before it falls, the autoscaler adds a minute; ρ gets five."""
    assert behavior(helm.template(named(name))) == {
        "scaleUp": {"stabilizationWindowSeconds": 0},
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
            "scaleUp": {"stabilizationWindowSeconds": 0},
            "scaleDown": {"stabilizationWindowSeconds": seconds, "policies": [policy]},
        }


def test_a_fleet_is_scaled_by_its_own_number_and_sidecars_by_the_recorded_one(helm4: Helm) -> None:
    """A kvwatch beside each engine knows no more than its own; one that sees all of them needs no recording rule."""
    values = yaml.safe_load(named("sidecar-keda").read_text(encoding="utf-8"))
    recorded = one(helm4.template(values), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert recorded.startswith("max(model:kvwatch_replicas_required:")
    own = one(helm4.template(values | {"mode": "fleet"}), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert own.startswith("max(kvwatch_replicas_required{")


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("replicas", "recorded", "value"),
    [(0, None, 0.0), (2, None, None), (2, 2.0, 2.0), (2, 0.0, 0.0), (None, None, None)],
)
def test_only_a_model_that_is_scaled_to_zero_needs_nothing_by_default(
    helm4: Helm, tmp_path: Path, replicas: int | None, recorded: float | None, value: float | None
) -> None:
    """KEDA's query is 0 without engines only where the workload has no replicas; else missing data stays missing."""
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
        assert f'role="{role}",<<.LabelMatchers>>' in rule["metricsQuery"]
    values["prometheusAdapter"]["roles"] = ["prefill", "decode"]
    (config,) = (
        yaml.safe_load(i["data"]["config.yaml"]) for i in helm4.template(values) if "config.yaml" in i.get("data", {})
    )
    assert {rule["name"]["as"].rsplit("_", 1)[1] for rule in config["externalRules"]} == {"prefill", "decode"}


def test_shards_watch_every_engine_once(helm4: Helm) -> None:
    """With the index that Kubernetes gives each pod, the flags of a StatefulSet's pods share out all targets."""
    objects = helm4.template(named("fleet-shards"))
    assert "Deployment" not in kinds(objects)
    spec = one(objects, "StatefulSet")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (variable,) = container["env"]
    path = "metadata.labels['apps.kubernetes.io/pod-index']"
    assert variable == {"name": "KVWATCH_SHARD", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    shards = []
    for index in range(spec["replicas"]):
        arguments = [argument.replace("$(KVWATCH_SHARD)", str(index)) for argument in container["args"]]
        shards.append(make_parser().parse_args(arguments).shard)
    names = [f"vllm-{number}:8000" for number in range(100)]
    watched = [name for shard in shards for name in names if in_shard(name, shard)]
    assert sorted(watched) == sorted(names)
    assert len(shards) == 4


def test_what_shards_have_learnt_is_kept_apart(helm4: Helm) -> None:
    """Each has a claim of its own where persistence is on, a volume of its own where it is off."""
    values = yaml.safe_load(named("fleet-shards").read_text(encoding="utf-8"))
    objects = helm4.template(values)
    assert "PersistentVolumeClaim" not in kinds(objects)
    (claim,) = one(objects, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert (claim["metadata"]["name"], claim["spec"]["storageClassName"]) == ("kvwatch-state", "fast")
    without = one(helm4.template(values | {"persistence": {}}), "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in without
    (volume,) = (v for v in without["template"]["spec"]["volumes"] if v["name"] == "kvwatch-state")
    assert "emptyDir" in volume


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


def test_a_sidecar_has_no_readiness_probe(helm4: Helm) -> None:
    """The notes of a sidecar release show a container that can never take vLLM out of service, and its volumes."""
    done = helm4.run(
        "install", "kvwatch", CHART, "--dry-run=client", "--namespace", "serving", "--values", named("sidecar")
    )
    assert done.returncode == 0, done.stderr
    notes = done.stdout.split("NOTES:")[1]
    container_text, volumes_text = re.findall(r"\n\n(- name: .*?)\n\n", notes, flags=re.DOTALL)
    (container,), volumes = yaml.safe_load(container_text), yaml.safe_load(volumes_text)
    assert "readinessProbe" not in container
    assert container["securityContext"]["runAsUser"] == 65532
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}
    pod["spec"] = {"containers": [container], "volumes": volumes}
    assert faults(pod, VERSIONS[-1]) == []


def test_every_key_of_the_fullest_case_matters(helm4: Helm) -> None:
    """Each key changes what comes out: none is read by nothing."""
    values = yaml.safe_load(named("fleet").read_text(encoding="utf-8"))
    whole = helm4.template(values)
    for key in values.keys() - {"mode", "config"}:
        rest = {name: value for name, value in values.items() if name != key}
        assert helm4.template(rest) != whole, key

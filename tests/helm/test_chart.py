"""What the chart makes: golden files, the schemas of several Kubernetes versions, and that the parts fit together."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

import kvwatch
from kvwatch.config.load import read_config
from tests.helm.chart import CHART, Helm, Object, cases, kinds, named, one, pod_templates
from tests.helm.schemas import VERSIONS, faults

pytestmark = pytest.mark.helm
GOLDEN = Path(__file__).with_name("golden")
each_case = pytest.mark.parametrize("case", cases(), ids=lambda path: path.stem)


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
    """To the letter, but for the address of the runbooks, and less the alerts that are switched off."""
    groups = yaml.safe_load((CHART / "files" / "kvwatch.rules.yaml").read_text(encoding="utf-8"))["groups"]
    at_home = ("--set", "prometheusRule.runbookUrl=http://localhost:9718/runbooks")
    assert one(helm4.template(named("fleet"), *at_home), "PrometheusRule")["spec"]["groups"] == groups
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


@each_case
def test_runbooks_are_found_where_kvwatch_serves_them(helm: Helm, case: Path) -> None:
    """In a fleet behind its service, in the scheme that it speaks; in other modes where it is said."""
    objects = helm.template(case)
    scheme = "https" if "tls" in yaml.safe_load(case.read_text()).get("config", {}).get("server", {}) else "http"
    hosts = [
        f"{item['metadata']['name']}.{item['metadata']['namespace']}.svc:{item['spec']['ports'][0]['port']}"
        for item in objects
        if item["kind"] == "Service"
    ]
    for item in (item for item in objects if item["kind"] == "PrometheusRule"):
        for rule in (rule for group in item["spec"]["groups"] for rule in group["rules"] if "alert" in rule):
            url = rule["annotations"]["runbook_url"]
            assert url == f"{scheme}://{(*hosts, 'localhost:9718')[0]}/runbooks/{rule['alert']}.md"

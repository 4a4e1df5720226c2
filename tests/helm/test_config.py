"""What the chart follows of kvwatch.yaml: the port that it listens on, and the namespaces that it looks into."""

from __future__ import annotations

import pytest

from tests.helm.chart import CHART, Helm, one, pod_templates

pytestmark = pytest.mark.helm
TARGETS = [{"url": "http://vllm:8000"}]


@pytest.mark.parametrize("mode", ["fleet", "node-agent"])
def test_the_port_is_the_one_that_kvwatch_listens_on(helm: Helm, mode: str) -> None:
    """``config.server.listen`` moves the container's port, by whose name service, probes and policy find it."""
    config = {"server": {"listen": ":9000"}, "targets": TARGETS}
    objects = helm.template({"mode": mode, "config": config, "networkPolicy": {"enabled": True}})
    (pod,) = pod_templates(objects)
    (container,) = pod["spec"]["containers"]
    assert container["ports"] == [{"name": "kvwatch", "containerPort": 9000}]
    assert {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe")} == {"kvwatch"}
    assert one(objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"] == "kvwatch"
    if mode == "fleet":
        (port,) = one(objects, "Service")["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (9718, "kvwatch")


def test_the_notes_show_the_port_of_a_sidecar(helm4: Helm) -> None:
    """The container to add has the port that its kvwatch.yaml says."""
    settings = "mode=sidecar,engines.matchLabels.app=vllm,config.server.listen=:9000"
    done = helm4.run("install", "k", CHART, "--dry-run=client", "--set", settings)
    assert done.returncode == 0, done.stderr
    assert "containerPort: 9000" in done.stdout.split("NOTES:")[1]


def test_pods_may_be_read_where_they_are_looked_for(helm: Helm) -> None:
    """A role and its binding are in each namespace that a source names, else in kvwatch's own, and nowhere else."""
    sources = [{"namespaces": ["serving", "batch"]}, {"label_selector": "app=vllm"}, {"namespaces": ["batch"]}]
    values = {"engines": {"namespaces": ["elsewhere"]}, "config": {"discovery": {"kubernetes": sources}}}
    objects = helm.template(values)
    for kind in ("Role", "RoleBinding"):
        places = [item["metadata"]["namespace"] for item in objects if item["kind"] == kind]
        assert sorted(places) == ["batch", "monitoring", "serving"]

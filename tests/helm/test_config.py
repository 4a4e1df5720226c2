"""What the chart follows of kvwatch.yaml: the port that it listens on, and the namespaces that it looks into."""

from __future__ import annotations

from typing import Any

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


TLS = {"tls": {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key"}}


@pytest.mark.parametrize("mode", ["fleet", "node-agent", "sidecar"])
def test_all_that_asks_kvwatch_speaks_tls_where_kvwatch_does(helm: Helm, mode: str) -> None:
    """Probes, the monitor, which says how the certificate is checked, and KEDA; a probe's own scheme wins."""
    check = {"serverName": "kvwatch"}
    values: dict[str, Any] = {
        "mode": mode,
        "engines": {"matchLabels": {"app": "vllm"}},
        "config": {"server": TLS} | ({} if mode == "sidecar" else {"targets": TARGETS}),
        "monitor": {"enabled": True, "tlsConfig": check},
    }
    objects = helm.template(values)
    monitor = one(objects, "ServiceMonitor" if mode == "fleet" else "PodMonitor")["spec"]
    (endpoint,) = monitor["endpoints" if mode == "fleet" else "podMetricsEndpoints"]
    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", check)
    if mode != "sidecar":
        (container,) = next(pod_templates(objects))["spec"]["containers"]
        probes = [container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert [probe["scheme"] for probe in probes] == ["HTTPS"] * 3
    own = {"readinessProbe": {"httpGet": {"path": "/", "port": 1, "scheme": "HTTP"}}}
    if mode == "fleet":
        keda = {"keda": {"enabled": True, "trigger": "metrics-api"}, "target": {"name": "vllm"}, "modelName": "m"}
        objects = helm.template(values | own | {"autoscaling": keda})
        (trigger,) = one(objects, "ScaledObject")["spec"]["triggers"]
        assert trigger["metadata"]["url"].startswith("https://")
        (container,) = next(pod_templates(objects))["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTP"


def test_without_tls_nothing_asks_for_it(helm: Helm) -> None:
    """A probe without a scheme and a monitor without one speak HTTP."""
    objects = helm.template({"config": {"targets": TARGETS}, "monitor": {"enabled": True, "tlsConfig": {"x": "y"}}})
    (endpoint,) = one(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert not {"scheme", "tlsConfig"} & set(endpoint)
    (container,) = next(pod_templates(objects))["spec"]["containers"]
    assert "scheme" not in container["livenessProbe"]["httpGet"]


def test_traces_over_grpc_have_a_port(helm: Helm) -> None:
    """Of the pod, the service and the policy, where they are received; one for the pod alone is not shown."""
    traces = {"enabled": True, "grpc_listen": "[::]:4318"}
    values: dict[str, Any] = {"config": {"targets": TARGETS, "traces": traces}, "networkPolicy": {"enabled": True}}
    objects = helm.template(values)
    (container,) = next(pod_templates(objects))["spec"]["containers"]
    assert container["ports"][1:] == [{"name": "otlp-grpc", "containerPort": 4318}]
    port = {"name": "otlp-grpc", "port": 4318, "targetPort": "otlp-grpc"}
    assert one(objects, "Service")["spec"]["ports"][1:] == [port]
    (ingress,) = one(objects, "NetworkPolicy")["spec"]["ingress"]
    assert [port["port"] for port in ingress["ports"]] == ["kvwatch", "otlp-grpc"]
    for other in (traces | {"enabled": False}, {"enabled": True}):
        objects = helm.template(values | {"config": {"targets": TARGETS, "traces": other}})
        assert len(one(objects, "Service")["spec"]["ports"]) == 1
    near = traces | {"grpc_listen": "127.0.0.1:4317"}
    objects = helm.template({"mode": "node-agent", "config": {"targets": TARGETS, "traces": near}})
    (container,) = next(pod_templates(objects))["spec"]["containers"]
    assert len(container["ports"]) == 1


def egress(helm: Helm, values: dict[str, Any]) -> list[tuple[list[Any], list[str], dict[str, str]]]:
    """(ports, namespaces, labels) of what a policy lets kvwatch reach, but for DNS; no namespace is anywhere."""
    policy = one(helm.template(values | {"networkPolicy": {"enabled": True}}), "NetworkPolicy")
    found = []
    for rule in policy["spec"]["egress"][1:]:
        (peer,) = rule.get("to", [{}])
        spaces = [e["values"] for e in peer.get("namespaceSelector", {}).get("matchExpressions", [])]
        labels = peer.get("podSelector", {}).get("matchLabels", {})
        found.append(([port["port"] for port in rule["ports"]], [name for space in spaces for name in space], labels))
    return found


API = ([443, 6443], [], {})


def test_the_engines_may_be_reached_wherever_they_are_looked_for(helm: Helm) -> None:
    """Ports and namespaces are those of the sources that look; a list of targets may name any place."""
    labels = {"app": "vllm"}
    kubernetes = [{"namespaces": ["serving"], "port": 9000}, {"port": "http"}]
    cases: list[tuple[dict[str, Any], list[Any]]] = [
        ({"engines": {"matchLabels": labels, "namespaces": ["a", "b"]}}, [([8000], ["a", "b"], labels), API]),
        (
            {"config": {"discovery": {"kubernetes": kubernetes}}},
            [([9000, "http"], ["serving", "monitoring"], {}), API],
        ),
        (
            {
                "engines": {"matchLabels": labels, "namespaces": ["a"]},
                "config": {"discovery": {"kubernetes": kubernetes}},
            },
            [([9000, "http"], ["a", "serving", "monitoring"], labels), API],
        ),
        (
            {"config": {"targets": [{"url": "http://a:9001"}, {"url": "https://b"}, {"url": "http://[::1]"}]}},
            [([9001, 443, 80], [], {})],
        ),
        (
            {"config": {"discovery": {"dns": [{"names": ["a"], "port": 9002}, {"names": ["b"]}]}}},
            [([9002, 8000], [], {})],
        ),
        (
            {"engines": {"port": 7000}, "config": {"discovery": {"dns": [{"names": ["_http._tcp.a"], "type": "SRV"}]}}},
            [([7000], [], {})],
        ),
        (
            {"config": {"discovery": {"http": [{"url": "https://list/x"}], "kubernetes": kubernetes[:1]}}},
            [([9000, 8000], [], {}), ([443], [], {}), API],
        ),
    ]
    for values, expected in cases:
        assert egress(helm, values) == expected

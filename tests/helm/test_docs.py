"""The YAML in docs/kubernetes.md works: manifests are what Kubernetes knows, values are what the chart takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from kvwatch.cli import make_parser
from tests.helm.chart import ROOT, Helm, Object, kinds, pod_templates
from tests.helm.schemas import VERSIONS, faults

DOCS = (Path("docs/kubernetes.md"), Path("helm/kvwatch/README.md"))
OWN_KINDS = {"LeaderWorkerSet", "InferenceService"}


def snippets(language: str) -> list[str]:
    """The fenced blocks of a language in the operators' documents."""
    text = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in DOCS)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


SNIPPETS = snippets("yaml")
VALUES = [text for text in SNIPPETS if text.startswith("# values.yaml\n")]
MANIFESTS = [text for text in SNIPPETS if not text.startswith("# values")]
CONTAINERS = [text for text in SNIPPETS if "name: kvwatch\n" in text]


def containers(document: object) -> list[Object]:
    """Every mapping in a document that is a kvwatch container, however deep."""
    if isinstance(document, dict):
        found = [document] if document.get("name") == "kvwatch" and "image" in document else []
        return found + [item for child in document.values() for item in containers(child)]
    return [item for child in document for item in containers(child)] if isinstance(document, list) else []


@pytest.mark.helm
@pytest.mark.parametrize("text", VALUES, ids=range(len(VALUES)))
def test_values_render(helm: Helm, text: str) -> None:
    """Each values.yaml gives objects that Kubernetes knows."""
    objects = helm.template(text)
    assert [fault for item in objects for fault in faults(item, VERSIONS[-1])] == []
    assert "ConfigMap" in kinds(objects)


def test_manifests_are_known_to_kubernetes() -> None:
    """Each manifest fits its schema; of kinds that others define, the pods in them do."""
    assert len(MANIFESTS) >= 4
    for text in MANIFESTS:
        manifest = yaml.safe_load(text)
        if text.startswith("# patch"):
            manifest["spec"]["selector"] = {"matchLabels": {}}
        if manifest["kind"] not in OWN_KINDS:
            assert faults(manifest, VERSIONS[-1]) == []
        pods = list(pod_templates(manifest))
        if manifest["kind"] == "InferenceService":
            pods = [{"spec": manifest["spec"]["predictor"]}]
        assert pods or manifest["kind"] == "ScaledObject"
        for pod in pods:
            item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod["spec"]}
            assert faults(item, VERSIONS[-1]) == []


def test_containers_run_with_flags_that_there_are() -> None:
    """The arguments of each kvwatch container are a command line that kvwatch takes, and it takes no traffic's risk."""
    found = [(container, text) for text in CONTAINERS for container in containers(yaml.safe_load(text))]
    assert len(found) >= 6
    for container, text in found:
        arguments = make_parser().parse_args(container["args"])
        assert arguments.max_num_seqs == (None if "shareProcessNamespace: true" in text else 256)
        assert "readinessProbe" not in container
        assert container["ports"] == [{"name": "kvwatch", "containerPort": 9718}]
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container]}}
        item["spec"]["volumes"] = [{"name": mount["name"]} for mount in container.get("volumeMounts", ())]
        assert faults(item, VERSIONS[-1]) == []


def test_workers_join_the_engine_of_their_leader() -> None:
    """A worker of a LeaderWorkerSet runs the leader's model in its layout, as a node of its own, without a server."""
    (group,) = (yaml.safe_load(text) for text in MANIFESTS if "kind: LeaderWorkerSet" in text)
    template = group["spec"]["leaderWorkerTemplate"]
    (worker,) = template["workerTemplate"]["spec"]["containers"]
    leader = template["leaderTemplate"]["spec"]["containers"][0]
    assert f"--nnodes={template['size']}" in worker["args"]
    assert set(leader["args"]) - set(worker["args"]) == {"--node-rank=0"}
    assert set(worker["args"]) - set(leader["args"]) == {"--node-rank=$(LWS_WORKER_INDEX)", "--headless"}
    assert worker["image"] == leader["image"]


def test_each_pool_of_llm_d_has_its_role() -> None:
    """The container of the decode servers says that they are decode servers, and likewise that of the prefill ones."""
    (values,) = (yaml.safe_load(text) for text in SNIPPETS if text.startswith("# values of llm-d"))
    for role in ("decode", "prefill"):
        (container,) = values[role]["initContainers"]
        assert make_parser().parse_args(container["args"]).role == role


def test_pods_of_kserve_are_selected_by_the_label_that_kserve_keeps() -> None:
    """KServe overwrites ``app`` on its pods; the values beside the service select by the label with its name."""
    (service,) = (yaml.safe_load(text) for text in MANIFESTS if "kind: InferenceService" in text)
    (values,) = (yaml.safe_load(text) for text in VALUES if "serving.kserve.io" in text)
    assert values["engines"]["matchLabels"] == {"serving.kserve.io/inferenceservice": service["metadata"]["name"]}
    assert "app" not in service["metadata"].get("labels", {})
    (vllm,) = (c for c in service["spec"]["predictor"]["containers"] if c["name"] == "kserve-container")
    assert values["engines"]["port"] == vllm["ports"][0]["containerPort"]


@pytest.mark.helm
def test_the_container_without_the_chart_is_that_of_the_chart(helm4: Helm) -> None:
    """The first snippet and the chart's sidecar differ in flags, image and the mounted configuration only."""
    deployment = yaml.safe_load(next(text for text in MANIFESTS if "kind: Deployment" in text))
    (ours,) = containers(deployment)
    done = helm4.run(
        "install",
        "k",
        ROOT / "helm" / "kvwatch",
        "--dry-run=client",
        "--set",
        "mode=sidecar,engines.matchLabels.app=vllm",
    )
    text = re.search(r"\n\n(- name: kvwatch\n.*?)\n\n", done.stdout.split("NOTES:")[1], flags=re.DOTALL)
    assert text is not None
    (charts,) = yaml.safe_load(text[1])
    charts["livenessProbe"].pop("periodSeconds")
    for key in charts.keys() - {"image", "imagePullPolicy", "args", "volumeMounts"}:
        assert ours[key] == charts[key], key


def test_each_installation_says_where_the_image_is() -> None:
    """No registry has the image under its default name, so every ``helm install`` in the documents sets another."""
    commands = [text.replace("\\\n", " ") for text in snippets("sh")]
    installs = [line for text in commands for line in text.splitlines() if line.startswith("helm install")]
    assert len(installs) >= len(DOCS)
    assert all("--set image.repository=registry.example.com/kvwatch" in line for line in installs)


def test_scripts_in_the_documents_exist() -> None:
    """A script that a reader starts from a document is there."""
    named = {word for text in snippets("sh") for word in re.findall(r"^scripts/\S+", text, flags=re.MULTILINE)}
    assert named
    assert all((ROOT / name).is_file() for name in named)

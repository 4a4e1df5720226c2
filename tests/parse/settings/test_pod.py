"""What the specification of a pod shows of the server in it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.pod import PodSpec, settings_of_pod

OPENAI = "vllm/vllm-openai:v0.32.0"
SEATS = {"name": "SEATS", "value": "37"}


def shown(*containers: dict[str, Any], port: int = 8000, **spec: Any) -> Settings | None:
    """What is found in a pod of these containers."""
    text = json.dumps({"containers": list(containers), **spec})
    return settings_of_pod(msgspec.json.decode(text, type=PodSpec), port)


def container(**parts: Any) -> dict[str, Any]:
    """A container."""
    return {"name": "c", "image": "registry.test/llm", **parts}


@pytest.mark.parametrize(
    "server",
    [
        container(command=["vllm", "serve", "m"], args=["--max-num-seqs", "37"]),
        container(image=OPENAI, args=["--model", "m", "--max-num-seqs", "37"]),
        container(
            command=["sh", "-c"], args=["vllm serve m --max-num-seqs $SEATS"], env=[{"name": "SEATS", "value": "37"}]
        ),
        container(command=["/bin/bash", "-c", "vllm serve m --max-num-seqs $(SEATS)"], env=[SEATS]),
    ],
    ids=["command", "the image's command", "a shell", "a variable"],
)
def test_the_ways_to_start_a_server_in_a_container(server: dict[str, Any]) -> None:
    """Beside a proxy and kvwatch itself."""
    others = (container(image="envoy", args=["--max-num-seqs", "3"]), container(command=["kvwatch", "run"]))
    assert shown(others[0], server, others[1]) == Settings(37, source=SettingSource.POD, complete=True)


def test_a_value_from_a_secret_or_a_file_is_not_known() -> None:
    """Neither is it taken to be the default."""
    secret = {"name": "SEATS", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}
    found = shown(container(command=["vllm", "serve", "m", "--max-num-seqs", "$(SEATS)"], env=[secret]))
    assert found == Settings(source=SettingSource.POD)
    assert shown(container(command=["vllm", "serve", "--config", "/etc/v.yaml"])) == Settings(source=SettingSource.POD)


def test_of_several_servers_the_one_on_the_port_is_meant() -> None:
    """By its option, or by the port that its container names; where neither tells, none is."""
    one = container(command=["vllm", "serve", "a", "--port", "8001", "--max-num-seqs", "1"])
    two = container(command=["python", "-m", "dynamo.vllm", "--max-num-seqs", "2"], ports=[{"containerPort": 9090}])
    for port, seats in ((8001, 1), (9090, 2)):
        found = shown(one, two, port=port)
        assert found is not None
        assert found.max_num_seqs == seats
    assert shown(one, two, port=7000) is None


@pytest.mark.parametrize(
    ("parts", "spec", "device"),
    [
        ({}, {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}, "gpu_large"),
        ({}, {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}, "gpu_small"),
        ({"resources": {"limits": {"nvidia.com/gpu": "1", "memory": "9Gi"}}}, {}, "gpu"),
        ({"resources": {"limits": {"cpu": "8"}}}, {}, None),
    ],
)
def test_the_node_or_the_resources_tell_the_device(parts: dict[str, Any], spec: dict[str, Any], device: str) -> None:
    """From which the defaults follow."""
    found = shown(container(command=["vllm", "serve", "m"], **parts), **spec)
    assert found is not None
    assert found.device == device

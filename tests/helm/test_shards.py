"""Shards: processes that share out the engines of a fleet."""

from __future__ import annotations

import pytest
import yaml

from kvwatch.cli import make_parser
from kvwatch.shell.discovery import in_shard
from tests.helm.chart import Helm, kinds, named, one

pytestmark = pytest.mark.helm


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

"""Pods as the Kubernetes API tells of them, and which of them are targets.

Only the fields that matter are read, whatever else a pod has.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.pod import PodSpec, settings_of_pod
from kvwatch.shell.discovery.found import Found, join

_RUNNING = "Running"
_ANNOTATIONS = {"prometheus.io/scheme": "__scheme__", "prometheus.io/path": "__metrics_path__"}
_PORT_ANNOTATION = "prometheus.io/port"
_MAX_VALUE_CHARACTERS = 512


class Metadata(msgspec.Struct, rename="camel"):
    """Of a pod or of a list."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    continue_: str | None = msgspec.field(default=None, name="continue")


class _Condition(msgspec.Struct, rename="camel"):
    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class _Running(msgspec.Struct, rename="camel"):
    started_at: str | None = None


class _State(msgspec.Struct, rename="camel"):
    running: _Running | None = None


class _ContainerStatus(msgspec.Struct, rename="camel"):
    restart_count: int = 0
    state: _State = msgspec.field(default_factory=_State)


class _Status(msgspec.Struct, rename="camel"):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class Pod(msgspec.Struct, rename="camel"):
    """One pod."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: _Status = msgspec.field(default_factory=_Status)


class PodList(msgspec.Struct, rename="camel"):
    """One page of a list."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    items: list[Pod] | None = None


class Pods:
    """The pods of one namespace that are targets.

    A pod is one from when it is first ready until it ends or a container of it restarts. Under load a pod may fail its
    readiness probe; not to watch it then would hide the very traffic that asks for more replicas. A kvwatch that starts
    meanwhile sees by the pod's own times that it was ready.
    """

    def __init__(self, port: str, role_label: str) -> None:
        self._port = port
        self._role_label = role_label
        self._targets: dict[str, tuple[int, Found]] = {}
        """By uid: how often its containers had restarted when it was ready, and the target."""

    def replace(self, pods: list[Pod]) -> None:
        """Take all pods that there are."""
        known = {pod.metadata.uid for pod in pods}
        self._targets = {uid: target for uid, target in self._targets.items() if uid in known}
        for pod in pods:
            self.update(pod)

    def update(self, pod: Pod) -> None:
        """Take a pod that is new or has changed."""
        restarts = sum(status.restart_count for status in pod.status.container_statuses or ())
        latched = self._targets.get(pod.metadata.uid)
        alive = pod.status.phase == _RUNNING and pod.metadata.deletion_timestamp is None
        was_ready = (latched is not None and latched[0] == restarts) or _has_been_ready(pod.status)
        found = self._found(pod) if alive and was_ready else None
        if found is None:
            self._targets.pop(pod.metadata.uid, None)
        else:
            self._targets[pod.metadata.uid] = restarts, found

    def remove(self, pod: Pod) -> None:
        """Take that a pod is gone."""
        self._targets.pop(pod.metadata.uid, None)

    def found(self) -> list[Found]:
        """The targets."""
        return [found for _, found in self._targets.values()]

    def _found(self, pod: Pod) -> Found | None:
        """The target that a pod is; ``None`` where it has no address, or not the port that was named."""
        annotations, labels = pod.metadata.annotations or {}, pod.metadata.labels or {}
        port = self._port_number(pod, annotations.get(_PORT_ANNOTATION, self._port))
        if port is None or not pod.status.pod_ip:
            return None
        told = {
            label: annotations[key][:_MAX_VALUE_CHARACTERS] for key, label in _ANNOTATIONS.items() if key in annotations
        }
        role = labels.get(self._role_label, "")
        if role in ("prefill", "decode"):
            told["role"] = role
        name = f"{pod.metadata.namespace}/{pod.metadata.name}:{port}"
        address, settings = join(pod.status.pod_ip, port), settings_of_pod(pod.spec, port)
        return Found(address, name, tuple(told.items()), settings or Settings(source=SettingSource.POD))

    def _port_number(self, pod: Pod, port: str) -> int | None:
        if port.isascii() and port.isdecimal() and len(port) <= 5:
            return int(port) if 0 < int(port) < 65536 else None
        ports = (p for c in pod.spec.all_containers() for p in c.ports or ())
        return next((p.container_port for p in ports if p.name == port), None)


def _has_been_ready(status: _Status) -> bool:
    """Whether a pod is ready, or was since the last of its containers started.

    The kubelet writes down that a pod is not ready before it starts the first container, and the time again only where
    readiness changes (``lastTransitionTime``). So a pod that has not been ready yet is "not ready" since before its
    containers started, and one that has been since after.
    """
    ready = next((condition for condition in status.conditions or () if condition.type == "Ready"), None)
    if ready is None or ready.status == "True":
        return ready is not None
    states = [container.state.running for container in status.container_statuses or ()]
    started = [_moment(running.started_at) if running is not None else None for running in states]
    changed = _moment(ready.last_transition_time)
    return bool(started) and changed is not None and all(at is not None and at < changed for at in started)


def _moment(text: str | None) -> datetime | None:
    """A time as the API writes it; ``None`` where it is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None

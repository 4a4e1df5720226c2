"""The specification of a Kubernetes pod → the settings of the server in it.

A container's words are its command and its arguments, with the variables that its environment gives a value. What is
taken from a secret or a config map is not known here, nor are files that are mounted: ``vllm serve --config`` is not
followed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.command import ServerCommand, server_command
from kvwatch.parse.settings.defaults import GPU, device_class
from kvwatch.parse.settings.options import settings_from_options

_GPU_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "karpenter.k8s.aws/instance-gpu-name")
"""Labels of nodes that name their GPUs."""
_GPU_RESOURCES = ("nvidia.com/", "amd.com/gpu")
_IMAGE = "vllm"
"""Of an image whose own command is ``vllm serve``, so that arguments alone are enough."""


class Port(msgspec.Struct, rename="camel"):
    """A port of a container."""

    name: str = ""
    container_port: int = 0


class Variable(msgspec.Struct):
    """A variable of a container's environment; ``value`` is ``None`` where it comes from somewhere else."""

    name: str = ""
    value: str | None = None


class Resources(msgspec.Struct):
    """What a container may use."""

    limits: dict[str, object] | None = None


class Container(msgspec.Struct, rename="camel"):
    """A container."""

    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[Variable] | None = None
    ports: list[Port] | None = None
    resources: Resources | None = None


class PodSpec(msgspec.Struct, rename="camel"):
    """What a pod is made of."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    node_selector: dict[str, str] | None = None

    def all_containers(self) -> list[Container]:
        """The containers, and those that start before them, which may stay beside them."""
        return [*(self.containers or ()), *(self.init_containers or ())]


def settings_of_pod(spec: PodSpec, port: int) -> Settings | None:
    """The settings of the server that listens on ``port``; ``None`` where no container is known to be one."""
    servers = [(c, command) for c in spec.all_containers() if (command := _command(c)) is not None]
    there = [(c, command) for c, command in servers if port == command.port or port in _ports(c)]
    chosen = there or servers
    if len(chosen) != 1:
        return None
    container, command = chosen[0]
    settings = settings_from_options(command.options, SettingSource.POD, complete=not command.config_file)
    return replace(settings, device=settings.device or _device(container, spec))


def _command(container: Container) -> ServerCommand | None:
    variables = {v.name: v.value for v in container.env or () if v.value is not None}
    words = [*(container.command or ()), *(container.args or ())]
    found = server_command(words, variables, shells=True)
    if found is not None or container.command or _IMAGE not in container.image.rpartition("/")[2]:
        return found
    return server_command(["vllm", "serve", *words], variables)


def _ports(container: Container) -> Iterable[int]:
    return [port.container_port for port in container.ports or ()]


def _device(container: Container, spec: PodSpec) -> str | None:
    named = [value for label, value in (spec.node_selector or {}).items() if label in _GPU_LABELS]
    if named:
        return device_class(named[0].replace("-", " "))
    limits = container.resources.limits if container.resources is not None else None
    return GPU if any(name.startswith(_GPU_RESOURCES) for name in limits or ()) else None

"""The pod that kvwatch itself runs in, as the Kubernetes API has it: a sidecar's target is in the same.

Needs a service account that may ``get`` the pod; without one there is nothing to be seen, which is no error.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

import aiohttp
import msgspec

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.pod import PodSpec, settings_of_pod
from kvwatch.shell.logging import event

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a pod's credentials."""
_MOST_BYTES = 4 * 1024**2
"""Of a pod. Choice: more than the API server stores of one object."""
_SECONDS = 5.0
"""Longest wait for the API. Choice: it answers at once or not."""


class _Pod(msgspec.Struct):
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class OwnPodLook:
    """Looks at the containers beside this one for the server that listens on a port."""

    def __init__(
        self,
        target: str,
        port: int,
        environment: Mapping[str, str] = os.environ,
        account: Path = SERVICE_ACCOUNT,
    ) -> None:
        self._target, self._port = target, port
        self._environment, self._account = environment, account
        self._said = False

    @property
    def possible(self) -> bool:
        """Whether this process runs in a pod with a service account."""
        return "KUBERNETES_SERVICE_HOST" in self._environment and (self._account / "token").exists()

    async def look(self) -> Iterable[Settings]:
        """The settings in the pod's specification."""
        try:
            spec = await self._own_spec()
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
            if not self._said:
                self._said = True
                event(logging.INFO, "own_pod_not_readable", target=self._target, why=f"{type(error).__name__}: {error}")
            return [Settings(source=SettingSource.POD)]
        return [settings_of_pod(spec, self._port) or Settings(source=SettingSource.POD)]

    async def _own_spec(self) -> PodSpec:
        host, port = (
            self._environment["KUBERNETES_SERVICE_HOST"],
            self._environment.get("KUBERNETES_SERVICE_PORT", "443"),
        )
        name = self._environment.get("POD_NAME") or socket.gethostname()
        namespace = (self._account / "namespace").read_text(encoding="utf-8").strip()
        token = (self._account / "token").read_text(encoding="utf-8").strip()
        context = ssl.create_default_context(cafile=self._account / "ca.crt")
        address = f"[{host}]" if ":" in host else host
        url = f"https://{address}:{port}/api/v1/namespaces/{namespace}/pods/{name}"
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"the Kubernetes API answered {response.status}; may kvwatch get its own pod?")
            body = await response.content.read(_MOST_BYTES)
            while len(body) < _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
                body += more
        return msgspec.json.decode(body, type=_Pod).spec

"""Targets from the Kubernetes API: pods are listed once, then a watch tells of each change.

A watch that ends goes on from the last version seen. Only where the server no longer has that version (410), or an
answer makes no sense, is everything listed anew; until then what was found stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from kvwatch.shell.discovery.found import Deliver, Failed, SourceError
from kvwatch.shell.discovery.pods import Metadata, Pod, PodList, Pods
from kvwatch.shell.tasks import Backoff, sleep

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

KUBERNETES_INSTALLED = find_spec("kubernetes_asyncio") is not None
"""An optional extra, imported only where it is used: that takes a second and 50 MB."""
KUBERNETES_MISSING = "needs an extra: pip install 'kvwatch[kubernetes]'"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PAGE_PODS = 500
_MAX_PODS = 100_000
_MAX_PAGE_BYTES = 64 * 1024**2
_MAX_EVENT_BYTES = 4 * 1024**2
_WATCH_SECONDS = 300
_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 330.0
_LIST_SECONDS = 30.0
_GONE = 410


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Failure(msgspec.Struct):
    code: int = 0
    message: str = ""


class _OnlyMetadata(msgspec.Struct):
    metadata: Metadata


class _GoneError(Exception):
    """The server no longer has the version that was asked for."""


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Which pods to follow, and how to reach the API: by a kubeconfig, or as a pod by its service account."""

    namespaces: tuple[str, ...]
    label_selector: str
    port: str
    role_label: str
    kubeconfig: Path | None = None
    service_account: Path = SERVICE_ACCOUNT
    first_pause_seconds: float = 1.0
    patience_seconds: float = 30.0
    """So long all namespaces are waited for at the start; then those that cannot be read are left out."""


class KubernetesSource:
    """Follows the pods of some namespaces.

    Raises:
        SourceError: the extra is not installed.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        if not KUBERNETES_INSTALLED:
            raise SourceError(KUBERNETES_MISSING)
        self._namespaces = settings.namespaces
        self._selector = settings.label_selector
        self._port, self._role_label = settings.port, settings.role_label
        self._kubeconfig = settings.kubeconfig
        self._service_account = settings.service_account
        self._first_pause_seconds = settings.first_pause_seconds
        self._patience_seconds = settings.patience_seconds

    async def run(self, deliver: Deliver, failed: Failed) -> None:
        """Follow the pods for ever."""
        namespaces = await self._own_namespaces(failed)
        states: dict[str, Pods | None] = dict.fromkeys(namespaces)
        troubled: set[str] = set()
        patient = True

        def tell() -> None:
            known = [state for state in states.values() if state is not None]
            missing = {namespace for namespace, state in states.items() if state is None}
            if known and not (missing if patient else missing - troubled):  # not half of what is there
                deliver(tuple(found for state in known for found in state.found()), whole=not troubled)

        def changed(namespace: str, pods: Pods) -> None:
            states[namespace] = pods
            troubled.discard(namespace)
            tell()

        def lost(namespace: str, why: str) -> None:
            first = namespace not in troubled
            troubled.add(namespace)
            failed(f"{namespace}: {why}"[:200])
            if first and states[namespace] is None:
                tell()

        async def lose_patience() -> None:
            nonlocal patient
            await sleep(self._patience_seconds)
            patient = False
            tell()

        async with asyncio.TaskGroup() as group:
            for namespace in namespaces:
                group.create_task(self._follow(namespace, changed, lost))
            if len(namespaces) > 1:
                group.create_task(lose_patience())

    async def _own_namespaces(self, failed: Failed) -> tuple[str, ...]:
        backoff = Backoff(self._first_pause_seconds)
        while not self._namespaces:
            try:
                return ((self._service_account / "namespace").read_text(encoding="utf-8").strip(),)
            except (OSError, UnicodeDecodeError):
                failed("kvwatch's own namespace is not known outside of a cluster; give namespaces")
            await sleep(backoff.next())
        return self._namespaces

    async def _follow(
        self, namespace: str, changed: Callable[[str, Pods], None], lost: Callable[[str, str], None]
    ) -> None:
        pods = Pods(self._port, self._role_label)
        backoff = Backoff(self._first_pause_seconds)
        version: str | None = None
        failing = False
        while True:
            try:
                async with await self._client() as client:
                    while True:
                        if version is None:
                            listed, version = await self._list(client, namespace)
                            pods.replace(listed)
                            changed(namespace, pods)
                        watched = await self._watch(client, namespace, version)
                        if failing:  # a quiet namespace has no event that would tell that it is known again
                            changed(namespace, pods)
                            failing = False
                        async for event in _events(watched):
                            version = self._take(event, pods) or version
                            if event.type != "BOOKMARK":
                                changed(namespace, pods)
                            backoff.reset()
                        backoff.reset()
                        await sleep(self._first_pause_seconds)  # a server that ends each watch at once
            except _GoneError:
                version = None
                await sleep(min(backoff.next(), 5.0))
                continue
            except (aiohttp.ClientError, TimeoutError) as error:  # the version is still good
                lost(namespace, f"{type(error).__name__}: {error}")
            except (SourceError, OSError, ValueError, msgspec.MsgspecError) as error:
                version = None
                lost(namespace, str(error))
            failing = True
            await sleep(backoff.next())

    def _take(self, event: _Event, pods: Pods) -> str | None:
        """Take an event; the version that it brings."""
        if event.type == "ERROR":
            failure = msgspec.json.decode(event.object, type=_Failure)
            if failure.code == _GONE:
                raise _GoneError
            raise SourceError(f"the watch ended with {failure.code}: {failure.message}")
        if event.type == "BOOKMARK":
            return msgspec.json.decode(event.object, type=_OnlyMetadata).metadata.resource_version
        pod = msgspec.json.decode(event.object, type=Pod)
        if event.type == "DELETED":
            pods.remove(pod)
        elif event.type in ("ADDED", "MODIFIED"):
            pods.update(pod)
        return pod.metadata.resource_version

    async def _list(self, client: ApiClient, namespace: str) -> tuple[list[Pod], str]:
        """All pods, page by page, and the version that they are."""
        pods: list[Pod] = []
        token: str | None = None
        while True:
            page_token = {"_continue": token} if token else {}
            response = await self._get(client, namespace, _LIST_SECONDS, limit=_PAGE_PODS, **page_token)
            body = await _body(response)
            page = msgspec.json.decode(body, type=PodList)
            pods += page.items or []
            token = page.metadata.continue_
            if len(pods) > _MAX_PODS:
                raise SourceError(f"more than {_MAX_PODS} pods; narrow label_selector")
            if not token:
                return pods, page.metadata.resource_version

    async def _watch(self, client: ApiClient, namespace: str, version: str) -> aiohttp.ClientResponse:
        """Ask for the changes since a version."""
        timeout = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        return await self._get(
            client,
            namespace,
            timeout,
            watch=True,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_SECONDS,
        )

    async def _get(
        self,
        client: ApiClient,
        namespace: str,
        limit_on_time: float | aiohttp.ClientTimeout,
        **query: Any,  # noqa: ANN401
    ) -> aiohttp.ClientResponse:
        from kubernetes_asyncio.client import CoreV1Api  # noqa: PLC0415

        if self._selector:
            query["label_selector"] = self._selector
        answer: Any = await CoreV1Api(client).list_namespaced_pod(
            namespace, _preload_content=False, _request_timeout=limit_on_time, **query
        )
        response: aiohttp.ClientResponse = answer
        if response.status == _GONE:
            response.release()
            raise _GoneError
        if response.status != 200:
            response.release()
            advice = "; may kvwatch get, list and watch pods there?" if response.status in (401, 403) else ""
            raise SourceError(f"the Kubernetes API answered {response.status}{advice}")
        return response

    async def _client(self) -> ApiClient:
        """A client by the configuration as it is now: the token, and who signs the server's certificate, rotate."""
        from kubernetes_asyncio import config  # noqa: PLC0415
        from kubernetes_asyncio.client import ApiClient, Configuration  # noqa: PLC0415

        configuration = Configuration()
        try:
            if self._kubeconfig is not None:
                await config.load_kube_config(
                    config_file=str(self._kubeconfig), client_configuration=configuration, persist_config=False
                )
            else:
                token = self._service_account / "token"
                config.load_incluster_config(  # type: ignore[no-untyped-call]
                    client_configuration=configuration,
                    token_filename=str(token),
                    cert_filename=str(self._service_account / "ca.crt"),
                )

                def reread(configuration: Any, *_: object) -> None:  # noqa: ANN401 - the library's own
                    configuration.api_key["BearerToken"] = f"Bearer {token.read_text(encoding='utf-8').strip()}"

                configuration.refresh_api_key_hook = reread
        except config.ConfigException as error:
            raise SourceError(str(error)) from None
        return ApiClient(configuration)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[_Event]:
    """The changes, until the server ends the watch."""
    pending = bytearray()
    async with response:
        async for piece in response.content.iter_any():
            pending += piece
            *lines, rest = pending.split(b"\n")
            pending = bytearray(rest)
            if len(pending) > _MAX_EVENT_BYTES:
                raise SourceError(f"an event is longer than {_MAX_EVENT_BYTES} bytes")
            for line in lines:
                if line.strip():
                    yield msgspec.json.decode(line, type=_Event)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async with response:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > _MAX_PAGE_BYTES:
                raise SourceError(f"a page of pods is longer than {_MAX_PAGE_BYTES} bytes")
    return bytes(body)

"""A Kubernetes API server that knows pods: it lists by pages, watches, forgets old versions, and can be unkind."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

TLS = Path(__file__).parents[2] / "data" / "tls"
Json = dict[str, Any]
SCHEDULED, STARTED, LATER = "2026-11-30T09:00:00Z", "2026-11-30T09:00:07Z", "2026-11-30T09:20:00Z"
"""When the kubelet took a pod, which is not ready since then; when it started its container; some time after."""


def pod(name: str, ip: str = "10.0.0.1", *, ready: bool = True, restarts: int = 0, **more: Any) -> Json:
    """A pod as the API shows it, with fields that kvwatch does not read."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "models",
            "uid": f"uid-{name}",
            "labels": {"app": "vllm", **more.get("labels", {})},
            "annotations": more.get("annotations", {}),
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if more.get("deleting") else {}),
        },
        "spec": {"containers": [{"name": "vllm", "ports": [{"name": "http", "containerPort": 8080}]}], "nodeName": "n"},
        "status": {
            "phase": more.get("phase", "Running"),
            "podIP": ip,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "lastTransitionTime": more.get("since", SCHEDULED),
                }
            ],
            "containerStatuses": [
                {
                    "name": "vllm",
                    "restartCount": restarts,
                    "state": more.get("state", {"running": {"startedAt": STARTED}}),
                }
            ],
        },
    }


@dataclass
class KubeApi:
    """The server's state; every change of a pod is a version."""

    token: str = "first"
    version: int = 100
    oldest: int = 0
    """Versions below this are gone: a watch from one of them is answered with 410."""
    gone_as_event: bool = True
    page: int = 500
    pods: dict[str, Json] = field(default_factory=dict)
    log: list[tuple[int, str, Json]] = field(default_factory=list)
    lists: int = 0
    watches: int = 0
    watched_from: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    forbidden: set[str] = field(default_factory=set)
    """Namespaces of which nothing is told."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    open: dict[int, web.Request] = field(default_factory=dict)

    async def change(self, kind: str, one: Json) -> None:
        """ADDED, MODIFIED or DELETED."""
        self.version += 1
        one = json.loads(json.dumps(one))
        one["metadata"]["resourceVersion"] = str(self.version)
        if kind == "DELETED":
            self.pods.pop(one["metadata"]["uid"], None)
        else:
            self.pods[one["metadata"]["uid"]] = one
        self.log.append((self.version, kind, one))
        async with self.changed:
            self.changed.notify_all()

    async def bookmark(self) -> None:
        """Tell watchers a version without a change."""
        self.version += 10
        bookmark = {"kind": "Pod", "metadata": {"resourceVersion": str(self.version)}}
        self.log.append((self.version, "BOOKMARK", bookmark))
        async with self.changed:
            self.changed.notify_all()

    def disconnect(self) -> None:
        """Cut all connections, as a proxy that is restarted does."""
        for request in list(self.open.values()):
            if request.transport is not None:
                request.transport.abort()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """List or watch."""
        self.queries.append(dict(request.query))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        if request.match_info["namespace"] in self.forbidden:
            return web.json_response({"kind": "Status", "code": 403}, status=403)
        if self.status != 200:
            return web.json_response({"kind": "Status", "code": self.status}, status=self.status)
        return await self._watch(request) if request.query.get("watch") in ("true", "True") else self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        self.lists += 1
        start = int(request.query.get("continue") or 0)
        items = list(self.pods.values())
        metadata = {"resourceVersion": str(self.version)}
        if start + self.page < len(items):
            metadata["continue"] = str(start + self.page)
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": items[start : start + self.page]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches += 1
        seen = int(request.query["resourceVersion"])
        self.watched_from.append(str(seen))
        gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
        if seen < self.oldest and not self.gone_as_event:
            return web.json_response(gone, status=410)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if seen < self.oldest:
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        self.open[id(request)] = request
        try:
            while True:
                for version, kind, one in self.log:
                    if version > seen:
                        seen = version
                        line = json.dumps({"type": kind, "object": one}).encode() + b"\n"
                        await response.write(line[: len(line) // 2])  # events do not come in whole pieces
                        await response.write(line[len(line) // 2 :])
                async with self.changed:
                    if not any(version > seen for version, _, _ in self.log):
                        await self.changed.wait()
        finally:
            self.open.pop(id(request), None)


@asynccontextmanager
async def kube_api() -> AsyncIterator[tuple[KubeApi, int]]:
    """A server on the loopback address with TLS, as in a cluster, and its port."""
    api = KubeApi()
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/{namespace}/pods", api.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield api, runner.addresses[0][1]
    finally:
        await runner.cleanup()

"""A receiver of traces on free ports of the loopback address, and what it has taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from kvwatch.export.exposition import Exposition
from kvwatch.facts import RequestRecord
from kvwatch.shell.access.policy import WebPolicy
from kvwatch.shell.otlp.receiver import TraceReceiver, TraceSettings
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.web.pages import Pages
from kvwatch.shell.web.server import HttpServer, Listen
from kvwatch.views import FleetView
from tests.parse.otlp.exports import END

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
NOW = END / 10**9 + 1.0
"""A second after the spans of the tests end."""


@dataclass
class Taken:
    """Records what reaches the core."""

    requests: list[tuple[str, RequestRecord]] = field(default_factory=list)

    def observe(self, target: str, fact: RequestRecord) -> None:
        """Keep it."""
        self.requests.append((target, fact))


@dataclass
class Receiving:
    """A receiver that runs, a clock to turn, and ways to ask."""

    receiver: TraceReceiver
    metrics: SelfMetrics
    session: aiohttp.ClientSession
    url: str
    taken: Taken = field(default_factory=Taken)
    now: float = NOW

    async def post(self, body: bytes, path: str = "/v1/traces", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Send an export, in protobuf unless the headers say otherwise: status, body and headers of the answer."""
        given = {**PROTOBUF, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.session.post(self.url + path, data=body, headers=given) as response:
            return response.status, await response.read(), dict(response.headers)

    def spans(self, result: str) -> float:
        """The counter."""
        return dict(self.metrics.samples()["kvwatch_spans_total"])[result,]

    def results(self) -> dict[str, float]:
        """All of them that are not 0."""
        return {labels[0]: value for labels, value in self.metrics.samples()["kvwatch_spans_total"] if value}


@asynccontextmanager
async def receiving(
    *targets: str,
    settings: TraceSettings | None = None,
    policy: Callable[[], WebPolicy] = WebPolicy,
    **changes: Any,
) -> AsyncIterator[Receiving]:
    """A receiver for these targets, by default the one ``http://vllm:8000``."""
    taken, metrics = Taken(), SelfMetrics()
    holder: list[Receiving] = []
    receiver = TraceReceiver(
        taken,
        metrics,
        replace(settings or TraceSettings(), **changes),
        lambda: holder[0].now if holder else NOW,
        policy=policy,
    )
    receiver.follow({name: name for name in targets} or {"vllm": "vllm"})
    pages = Pages(Exposition(lambda: FleetView(0.0)), lambda: FleetView(0.0), lambda: True)
    server = HttpServer([*pages.routes(), *receiver.routes()], Listen("127.0.0.1", 0))
    async with receiver.running(), aiohttp.ClientSession(auto_decompress=False) as session:
        await server.start()
        holder.append(Receiving(receiver, metrics, session, f"http://127.0.0.1:{server.port}", taken))
        try:
            yield holder[0]
        finally:
            await server.stop()

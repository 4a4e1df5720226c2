"""The receiver of traces as the daemon sees it: built from its settings, started and stopped as one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from kvwatch.parse.otlp.spans import AttributeKeys
from kvwatch.shell.access.policy import WebPolicy
from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.lookups import Lookups
from kvwatch.shell.otlp.auth import BearerCheck
from kvwatch.shell.otlp.http import PATH, TracesEndpoint
from kvwatch.shell.otlp.ingest import TraceIntake
from kvwatch.shell.otlp.limits import ByteBudget, SeenSpans
from kvwatch.shell.selfmetrics import SelfMetrics

_BODIES_AT_A_TIME = 4
_OPEN = WebPolicy()
"""Neither TLS nor users."""


class MissingExtraError(Exception):
    """gRPC is asked for and grpcio is not installed."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What to take and how much of it; ``grpc`` is (host, port)."""

    keys: AttributeKeys = field(default_factory=AttributeKeys)
    max_body_bytes: int = 4 * 1024 * 1024
    max_spans_per_second: float = 10_000.0
    bearer_token_file: Path | None = None
    grpc: tuple[str, int] | None = None


class TraceReceiver:
    """Exports over HTTP and, where configured, gRPC; both go to ``sink``, unless ``seen`` has them.

    ``policy`` says how the port for gRPC is guarded at the moment.

    Raises:
        MissingExtraError: gRPC is configured and cannot be imported.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is one thing that it works with
        self,
        sink: Intake,
        metrics: SelfMetrics,
        settings: TraceSettings,
        clock: Callable[[], float],
        seen: SeenSpans | None = None,
        lookups: Lookups | None = None,
        policy: Callable[[], WebPolicy] = lambda: _OPEN,
    ) -> None:
        self._intake = TraceIntake(
            sink,
            metrics,
            keys=settings.keys,
            max_spans_per_second=settings.max_spans_per_second,
            clock=clock,
            seen=seen,
            lookups=lookups,
        )
        auth = BearerCheck(settings.bearer_token_file)
        budget = ByteBudget(_BODIES_AT_A_TIME * settings.max_body_bytes)
        limit = settings.max_body_bytes
        self._http = TracesEndpoint(self._intake, auth, budget, max_body_bytes=limit)
        self._grpc = None
        if settings.grpc is not None:
            try:
                from kvwatch.shell.otlp.grpc import GrpcGuard, GrpcListen, GrpcServer  # noqa: PLC0415 - an optional extra
            except ImportError:
                raise MissingExtraError("grpcio is not installed; pip install 'kvwatch[grpc]'") from None
            listen = GrpcListen(*settings.grpc)
            self._grpc = GrpcServer(self._intake, GrpcGuard(auth, policy), budget, listen, max_body_bytes=limit)

    @property
    def grpc_port(self) -> int | None:
        """The port for gRPC, the real one once started; ``None`` without."""
        return self._grpc.port if self._grpc is not None else None

    def routes(self) -> list[web.RouteDef]:
        """What kvwatch's own endpoint serves besides its pages."""
        return self._http.routes()

    def follow(self, hosts: Mapping[str, str]) -> None:
        """Take the targets: the host of each by its name."""
        self._intake.targets.follow(hosts)

    async def keep_looking_up(self) -> None:
        """Keep the addresses of the targets' hosts, for ever."""
        await self._intake.targets.keep_looking_up()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take exports while the body runs. Raises OSError where the address for gRPC cannot be had."""
        try:
            if self._grpc is not None:
                await self._grpc.start()
            event(logging.INFO, "receiving_traces", path=PATH, grpc_port=self.grpc_port)
            yield
        finally:
            if self._grpc is not None:
                await self._grpc.stop()
            self._intake.close()

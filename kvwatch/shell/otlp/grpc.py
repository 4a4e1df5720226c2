"""OTLP over gRPC, on a port of its own: the same exports as over HTTP. Needs the extra ``kvwatch[grpc]``.

Messages are taken as bytes and read by kvwatch's own decoder, so that one limit and one result hold for both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import unquote

import grpc
import grpc.aio

from kvwatch.shell.access import passwords
from kvwatch.shell.access.policy import Pem, WebPolicy
from kvwatch.shell.otlp.auth import BearerCheck
from kvwatch.shell.otlp.http import success_message
from kvwatch.shell.otlp.ingest import Sender, TraceIntake
from kvwatch.shell.otlp.limits import BusyError, ByteBudget

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_MAX_CONCURRENT = 64
_STOP_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class GrpcListen:
    """Where to listen: an empty host is every interface."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """As gRPC writes it."""
        host = self.host or "::"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class GrpcGuard:
    """Who may send, and the certificate of the port: as they are at the moment, TLS itself as it was at the start."""

    def __init__(self, token: BearerCheck, policy: Callable[[], WebPolicy]) -> None:
        self._token = token
        self._policy = policy
        self._shown = policy().pem

    def credentials(self) -> grpc.ServerCredentials | None:
        """Those of the port; ``None`` without TLS."""
        if self._shown is None:
            return None
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._shown), self._changed, require_client_authentication=self._policy().client_required
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """A certificate that is newer than the one in use; called by gRPC at each handshake, in a thread of its own."""
        newest = self._policy().pem
        if newest is None or newest == self._shown:
            return None
        self._shown = newest
        return _configuration(newest)

    async def admits(self, authorization: str, names: Collection[str]) -> bool:
        """Whether a sender with this header, and these alternative names in its certificate, may send.

        Raises:
            passwords.BusyError: too many others are being checked.
        """
        policy = self._policy()
        if policy.client_names and policy.client_names.isdisjoint(names):
            return False
        if self._token.asks:
            return self._token.allows(authorization)
        return await policy.passwords.right(authorization)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], root_certificates=pem.client_ca)


class GrpcServer:
    """Listens, serves and stops; ``port`` is the real one after ``start``."""

    def __init__(
        self, intake: TraceIntake, guard: GrpcGuard, budget: ByteBudget, listen: GrpcListen, *, max_body_bytes: int
    ) -> None:
        self._intake = intake
        self._guard = guard
        self._budget = budget
        self._listen = listen
        self._max_body_bytes = max_body_bytes
        self._server: grpc.aio.Server | None = None
        self.port = listen.port

    async def start(self) -> None:
        """Bind and listen. Raises OSError where the address cannot be had."""
        options = [
            ("grpc.max_receive_message_length", self._max_body_bytes),
            ("grpc.so_reuseport", 0),  # a second process on the port is a fault, not a share of its traffic
        ]
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_MAX_CONCURRENT)
        method = grpc.unary_unary_rpc_method_handler(self._export)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),))
        credentials = self._guard.credentials()
        try:
            if credentials is None:
                self.port = server.add_insecure_port(self._listen.address)
            else:
                self.port = server.add_secure_port(self._listen.address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen for gRPC on {self._listen.address}: {error}") from None
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Stop listening and end what is under way, at once or nearly so."""
        if self._server is not None:
            await self._server.stop(_STOP_SECONDS)
            self._server = None

    async def _export(self, body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        metadata = {key.lower(): value for key, value in context.invocation_metadata() or ()}
        names = [name.decode() for name in context.auth_context().get("x509_subject_alternative_name", ())]
        try:
            admitted = await self._guard.admits(str(metadata.get("authorization", "")), names)
        except passwords.BusyError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "too many logins; try again in 1 s")
        if not admitted:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "not the token, password or certificate asked for")
        try:
            self._intake.admit()
            with self._budget.share() as share:
                share.take(len(body))
                # a sender that goes away in the middle leaves no export half counted
                outcome = await asyncio.shield(self._intake.take(body, Sender(_peer(context.peer()))))
        except BusyError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        if outcome.damaged:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, outcome.message)
        return success_message(outcome)


def _peer(uri: str) -> str | None:
    """The address in gRPC's ``ipv4:127.0.0.1:4242`` or ``ipv6:[::1]:4242``, which may be percent-encoded."""
    family, _, rest = unquote(uri).partition(":")
    return rest.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else None

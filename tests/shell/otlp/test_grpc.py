"""OTLP over gRPC: the same exports, limits and results as over HTTP, with gRPC's own statuses."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import bcrypt
import grpc
import grpc.aio
import pytest
from aiohttp import encode_basic_auth
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from kvwatch.shell.access.passwords import Passwords
from kvwatch.shell.access.policy import Pem, WebPolicy
from tests.parse.otlp.exports import export, span
from tests.shell.conftest import TLS
from tests.shell.otlp.receiving import Receiving, receiving

ANYWHERE = ("127.0.0.1", 0)
GOOD = export(span(1), span(2))
RAW = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def channel(it: Receiving, **options: object) -> grpc.aio.Channel:
    """A connection to it."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{it.receiver.grpc_port}", **options)  # type: ignore[arg-type]


async def code(call: object) -> grpc.StatusCode:
    """The status of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_opentelemetry_s_own_stub_is_understood(compression: grpc.Compression) -> None:
    """The generated client sends, compressed and not, and reads the answer; repeats count once on either way."""
    bad = export(span(3), span(4, {"gen_ai.usage.prompt_tokens": -1}))
    async with receiving(grpc=ANYWHERE) as it, channel(it, compression=compression) as open_channel:
        stub = TraceServiceStub(open_channel)
        assert await stub.Export(GOOD) == ExportTraceServiceResponse()
        answer = await stub.Export(bad)
        assert answer.partial_success.rejected_spans == 1
        await it.post(GOOD.SerializeToString())
        assert it.results() == {"request": 3, "invalid": 1, "duplicate": 2}


async def test_the_sender_s_address_tells_the_target() -> None:
    """Where two targets are told apart by it."""
    async with receiving("127.0.0.1", "10.0.0.1", grpc=ANYWHERE) as it, channel(it) as open_channel:
        await TraceServiceStub(open_channel).Export(GOOD)
        assert {target for target, _ in it.taken.requests} == {"127.0.0.1"}


async def test_limits_have_grpc_s_own_statuses() -> None:
    """What may be sent again is UNAVAILABLE; what may not is something else."""
    async with receiving(grpc=ANYWHERE, max_body_bytes=65536, max_spans_per_second=100) as it, channel(it) as on:
        send = on.unary_unary(RAW)
        assert await code(send(b"\x0a\x05x")) is grpc.StatusCode.INVALID_ARGUMENT
        assert await code(send(bytes(70_000))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        bomb = on.unary_unary(RAW)(bytes(10_000_000), compression=grpc.Compression.Gzip)
        assert await code(bomb) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await code(on.unary_unary("/other/Export")(b"")) is grpc.StatusCode.UNIMPLEMENTED
        many = export(*(span(number, name="x") for number in range(200))).SerializeToString()
        await send(many)
        assert await code(send(b"")) is grpc.StatusCode.UNAVAILABLE
        it.now += 10.0
        await send(GOOD.SerializeToString())
        assert it.results() == {"ignored": 200, "request": 2}


async def test_a_token_is_asked_for_where_one_is_set(tmp_path: Path) -> None:
    """In the metadata, as OTEL_EXPORTER_OTLP_HEADERS puts it."""
    file = tmp_path / "token"
    file.write_text("secret")
    async with receiving(grpc=ANYWHERE, bearer_token_file=file) as it, channel(it) as on:
        send, body = on.unary_unary(RAW), GOOD.SerializeToString()
        assert await code(send(body)) is grpc.StatusCode.UNAUTHENTICATED
        assert await code(send(body, metadata=[("authorization", "Bearer other")])) is grpc.StatusCode.UNAUTHENTICATED
        await send(body, metadata=[("authorization", "Bearer secret")])
        assert it.results() == {"request": 2}


def shown(name: str, *, client_ca: bool = False, **more: Any) -> WebPolicy:
    """TLS with a certificate of the test data."""
    ca = (TLS / "ca.crt").read_bytes() if client_ca else None
    return WebPolicy(pem=Pem((TLS / f"{name}.key").read_bytes(), (TLS / f"{name}.crt").read_bytes(), ca), **more)


async def sent_over_tls(it: Receiving, *client: bytes, **metadata: str) -> object:
    """The result of an export over TLS; None for a good one."""
    credentials = grpc.ssl_channel_credentials((TLS / "ca.crt").read_bytes(), *client)
    async with grpc.aio.secure_channel(f"localhost:{it.receiver.grpc_port}", credentials) as on:
        try:
            await on.unary_unary(RAW)(GOOD.SerializeToString(), metadata=list(metadata.items()))
        except grpc.aio.AioRpcError as error:
            return error.code()
    return None


async def test_it_speaks_tls_and_follows_a_certificate_that_rotates() -> None:
    """The next handshake shows the newest certificate."""
    current = shown("server")
    async with receiving(grpc=ANYWHERE, policy=lambda: current) as it:
        at = ("localhost", it.receiver.grpc_port or 0)
        assert await sent_over_tls(it) is None
        first = await asyncio.to_thread(ssl.get_server_certificate, at)
        current = shown("client")
        assert await sent_over_tls(it) is None
        assert await asyncio.to_thread(ssl.get_server_certificate, at) != first


async def test_it_asks_for_certificates_and_passwords_as_the_other_port_does() -> None:
    """A certificate with a name that is let in, and a user's password where there is no token."""
    users = Passwords({"me": bcrypt.hashpw(b"right", bcrypt.gensalt(4))})
    asked = {"client_ca": True, "client_required": True, "passwords": users}
    client = (TLS / "client.key").read_bytes(), (TLS / "client.crt").read_bytes()
    right, wrong = (encode_basic_auth("me", word) for word in ("right", "wrong"))
    names = frozenset({"localhost"})
    async with receiving(grpc=ANYWHERE, policy=lambda: shown("server", client_names=names, **asked)) as it:
        assert await sent_over_tls(it, authorization=right) is grpc.StatusCode.UNAVAILABLE
        assert await sent_over_tls(it, *client, authorization=wrong) is grpc.StatusCode.UNAUTHENTICATED
        assert await sent_over_tls(it, *client) is grpc.StatusCode.UNAUTHENTICATED
        assert await sent_over_tls(it, *client, authorization=right) is None
        names = frozenset({"other"})
        assert await sent_over_tls(it, *client, authorization=right) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_taken_port_is_an_error() -> None:
    """It is not shared in silence with whoever has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="cannot listen for gRPC on 127"):
            async with receiving(grpc=taken.getsockname()):
                pass


async def test_a_sender_that_gives_up_leaves_nothing_half_done() -> None:
    """Its export counts whole, and once when it comes again."""
    many = export(*(span(number) for number in range(1, 5001))).SerializeToString()
    async with receiving(grpc=ANYWHERE) as it, channel(it, options=[("grpc.max_send_message_length", -1)]) as on:
        call = on.unary_unary(RAW)(many)
        await asyncio.sleep(0.02)
        call.cancel()
        await on.unary_unary(RAW)(many)
        assert it.spans("request") == 5000
        assert len(it.taken.requests) == 5000

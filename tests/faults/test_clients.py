"""Clients of kvwatch's own port that send nothing, never read, or are too many: those that behave are answered."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from kvwatch.export.exposition import Exposition
from kvwatch.shell.access.policy import WebPolicy
from kvwatch.shell.web.connections import Limits
from kvwatch.shell.web.pages import Pages
from kvwatch.shell.web.server import HttpServer, Listen
from kvwatch.views import FleetView
from tests.export.full_view import fleet, full_engine
from tests.shell.conftest import TLS

HEALTHY = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n"
END = b"# EOF\n"
PATIENCE_SECONDS = 30.0


@dataclass
class Port:
    """A server, why it has dropped connections, and how many views it was asked for."""

    server: HttpServer
    dropped: Counter[str] = field(default_factory=Counter)
    views: int = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has been accepted or refused when its first answer comes."""
        return await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 30)

    async def ask(self, request: bytes, until: bytes) -> bytes:
        """The answer to a well-behaved client that comes newly."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await self.connect()
            writer.write(request)
            try:
                return await reader.readuntil(until)
            finally:
                writer.close()

    async def until_dropped(self, reason: str, count: int = 1) -> None:
        """Wait until so many have been dropped for this reason."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.dropped[reason] < count:  # noqa: ASYNC110 - the server tells nobody else
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(
    view: FleetView | None = None, tls: ssl.SSLContext | None = None, **limits: float
) -> AsyncIterator[Port]:
    """A server on a free port of the loopback address, with these limits."""
    shown = view or FleetView(0.0)
    ports: list[Port] = []

    def seen() -> FleetView:
        ports[0].views += 1
        return shown

    dropped: Counter[str] = Counter()
    pages = Pages(Exposition(seen), seen, lambda: True)
    server = HttpServer(
        pages.routes(),
        Listen("127.0.0.1", 0),
        Limits(**limits),  # type: ignore[arg-type]
        lambda: WebPolicy(tls),
        dropped=lambda reason: dropped.update([reason]),
    )
    ports.append(Port(server, dropped))
    await server.start()
    try:
        yield ports[0]
    finally:
        await server.stop()


async def test_a_silent_connection_is_closed() -> None:
    """A client that sends half a request, or none, does not hold a connection for ever."""
    async with serving(first_request_seconds=0.05) as port, asyncio.timeout(PATIENCE_SECONDS):
        for beginning in (b"", b"GET / HTTP/1.1\r\nHost: "):
            reader, writer = await port.connect()
            writer.write(beginning)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        await port.until_dropped("silent", 2)


async def test_a_client_that_goes_away_by_itself_is_not_counted_as_dropped() -> None:
    """As a load balancer's probe does that only connects."""
    async with serving(first_request_seconds=0.05) as port:
        _, writer = await port.connect()
        writer.close()
        await asyncio.sleep(0.2)
        assert not port.dropped


async def test_a_connection_that_asks_is_kept() -> None:
    """The limit is for the first request only, so Prometheus may keep its connection."""
    async with serving(first_request_seconds=0.05) as port:
        reader, writer = await port.connect()
        for _ in range(2):
            writer.write(HEALTHY)
            assert (await reader.readuntil(b"healthy\n")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.15)
        writer.close()


async def test_idle_connections_do_not_lock_anybody_out() -> None:
    """With all places taken, the one that has been idle longest makes way; the one that asked last is kept."""
    async with serving(max_connections=3) as port:
        held = []
        for _ in range(3):
            reader, writer = await port.connect()
            writer.write(HEALTHY)
            await reader.readuntil(b"healthy\n")
            held.append((reader, writer))
        held[0][1].write(HEALTHY)
        await held[0][0].readuntil(b"healthy\n")
        assert await port.ask(HEALTHY, b"healthy\n")
        assert port.dropped == {"idle": 1}
        held[0][1].write(HEALTHY)
        assert await held[0][0].readuntil(b"healthy\n")
        with contextlib.suppress(ConnectionResetError):
            assert await held[1][0].read() == b""
        for _, writer in held:
            writer.close()


async def test_connections_that_bring_nothing_do_not_lock_anybody_out() -> None:
    """The oldest of them makes way, before its time is over."""
    async with serving(max_connections=3) as port:
        held = [await port.connect() for _ in range(3)]
        for _ in range(5):
            assert await port.ask(HEALTHY, b"healthy\n")
        assert port.dropped["silent"] + port.dropped["idle"] <= 5
        assert port.dropped["full"] == 0
        for _, writer in held:
            writer.close()


async def test_handshakes_that_hang_do_not_lock_anybody_out() -> None:
    """Connections to a port with TLS that never begin to speak it make way as well."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    trusting = ssl.create_default_context(cafile=TLS / "ca.crt")
    async with serving(tls=context, max_connections=3) as port, asyncio.timeout(PATIENCE_SECONDS):
        held = [await port.connect() for _ in range(5)]
        reader, writer = await asyncio.open_connection("localhost", port.server.port, ssl=trusting)
        writer.write(HEALTHY)
        assert await reader.readuntil(b"healthy\n")
        assert port.dropped["silent"] >= 2
        assert port.dropped["full"] == 0
        writer.close()
        for _, other in held:
            other.close()


async def never_reading(port: Port) -> socket.socket:
    """A client that asks for /metrics and takes nothing, with as little of it in the system's buffers as can be."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port.server.port))
    await asyncio.get_running_loop().sock_sendall(client, METRICS)
    return client


BIG = fleet(*(full_engine(engine=str(number)) for number in range(200)))
"""A page of more than half a megabyte: more than the buffers of a connection hold."""


async def test_clients_that_never_read_hold_no_more_than_the_answers_memory_allows() -> None:
    """The oldest answers are given up for new ones, and a client that reads gets its whole page meanwhile."""
    async with serving(BIG, answer_bytes=2 << 20) as port:
        whole = await port.ask(METRICS, END)
        page_bytes = len(whole)
        assert page_bytes > 400_000, page_bytes
        allowed = (2 << 20) // page_bytes
        hanging = []
        for number in range(1, 3 * allowed):
            hanging.append(await never_reading(port))
            await until_views(port, 1 + number)
        await port.until_dropped("slow", 3 * allowed - 1 - allowed - 1)
        held = {id(answer.body) for answer in port.server._connections._answers.values()}
        assert len(held) <= allowed
        assert len(await port.ask(METRICS, END)) == page_bytes
        for client in hanging:
            client.close()


async def until_views(port: Port, count: int) -> None:
    """Wait until the server has made so many views."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while port.views < count:  # noqa: ASYNC110 - a page has no event to wait for
            await asyncio.sleep(0.005)


async def test_a_client_that_does_not_take_its_answer_in_time_is_closed() -> None:
    """Even where nobody else needs the memory."""
    async with serving(BIG, answer_seconds=0.2) as port:
        client = await never_reading(port)
        await port.until_dropped("slow")
        assert port.server._connections._answers == {}
        client.close()


async def test_all_who_wait_for_a_page_get_one_that_is_made_after_they_asked() -> None:
    """Fifty requests at once cost two pages at most, however many clients there are."""
    async with serving(BIG) as port:
        answers = await asyncio.gather(*(port.ask(METRICS, END) for _ in range(50)))
        lengths = {len(re.sub(rb"(?i)date: [^\r]*", b"", answer)) for answer in answers}
        assert len(lengths) == 1
        first = port.views
        assert first < 25  # connections come one after the other, so that some ask while a page is being made
        await port.ask(METRICS, END)
        assert port.views == first + 1


async def test_without_a_file_descriptor_connections_wait_and_the_log_stays_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An attempt a second, each counted, and the client is answered once there is room again."""
    monkeypatch.setattr("kvwatch.shell.web.listening._PAUSE_SECONDS", 0.2)
    async with serving() as port:
        loop = asyncio.get_running_loop()
        accept, attempts = loop.sock_accept, 0

        async def exhausted(listening: socket.socket) -> tuple[socket.socket, object]:
            nonlocal attempts
            if attempts < 3:
                attempts += 1
                raise OSError(24, "Too many open files")
            return await accept(listening)

        assert await port.ask(HEALTHY, b"healthy\n")
        monkeypatch.setattr(loop, "sock_accept", exhausted)
        assert await port.ask(HEALTHY, b"healthy\n")  # accepted by the call that was under way
        assert await port.ask(HEALTHY, b"healthy\n")
        assert port.dropped == {"no_files": 3}

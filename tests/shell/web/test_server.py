"""kvwatch's own endpoint: what it serves, what it refuses, and what a bad client can do to it."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from kvwatch.export.exposition import Exposition
from kvwatch.shell.access.policy import WebPolicy
from kvwatch.shell.web import bodies
from kvwatch.shell.web.connections import Limits
from kvwatch.shell.web.pages import Pages
from kvwatch.shell.web.server import HttpServer, Listen
from kvwatch.views import FleetView
from tests.export.full_view import fleet, full_engine
from tests.shell.conftest import TLS

PATHS = ("/metrics", "/api/v1/engines", "/-/healthy", "/-/ready")
Serve = Callable[..., AbstractAsyncContextManager[HttpServer]]


@asynccontextmanager
async def serving(
    view: Callable[[], FleetView] = lambda: fleet(full_engine()),
    *,
    ready: bool = True,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    dropped: Callable[[str], None] = lambda _reason: None,
) -> AsyncIterator[HttpServer]:
    """A server on a free port of the loopback address."""
    pages = Pages(Exposition(view), view, lambda: ready)
    server = HttpServer(pages.routes(), Listen("127.0.0.1", 0), limits, lambda: WebPolicy(tls), dropped=dropped)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(
    server: HttpServer, path: str, method: str = "GET", **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """One request."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{server.port}{path}", headers=headers) as response,
    ):
        return response, await response.read()


async def talk(server: HttpServer, data: bytes) -> bytes:
    """Send bytes and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    """Prometheus' own Accept header gives OpenMetrics, none gives text."""
    async with serving() as server:
        response, body = await ask(server, "/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
        assert response.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert body.endswith(b"# EOF\n")
        response, body = await ask(server, "/metrics")
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert b"\nkvwatch_service_rate{" in body


async def test_a_page_of_many_engines_leaves_room_for_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """While /metrics and the API are made, what is due has its turn again and again."""
    monkeypatch.setattr(bodies, "SLICE_SECONDS", 0.0)
    view = fleet(*(full_engine(engine=str(number)) for number in range(50)))
    pages = Pages(Exposition(lambda: view), lambda: view, lambda: True)
    for page in (pages.metrics, pages.engines):
        making = asyncio.ensure_future(page(make_mocked_request("GET", "/")))
        turns = 0
        while not making.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 50
        assert (await making).status == 200


async def test_each_request_sees_a_fresh_view() -> None:
    """Metrics and API ask for the view once per request."""
    views = iter([fleet(full_engine()), fleet(), fleet(full_engine()), fleet()])
    async with serving(lambda: next(views)) as server:
        assert b"\nkvwatch_service_rate{" in (await ask(server, "/metrics"))[1]
        assert b"\nkvwatch_service_rate{" not in (await ask(server, "/metrics"))[1]
        assert json.loads((await ask(server, "/api/v1/engines"))[1])["engines"] != []
        assert json.loads((await ask(server, "/api/v1/engines"))[1])["engines"] == []


async def test_the_api_gives_engines_and_targets() -> None:
    """The contract's JSON, with the health of every target."""
    async with serving() as server:
        response, body = await ask(server, "/api/v1/engines")
    assert response.headers["Content-Type"].startswith("application/json")
    document = json.loads(body)
    assert document["engines"][0]["service_rate"] == full_engine().service_rate.value
    assert [target["up"] for target in document["targets"]] == [True, False]


async def test_probes_answer_whatever_the_targets_do() -> None:
    """Healthy and ready speak of kvwatch alone; before the start and at the end it is not ready."""
    async with serving(fleet) as server:
        assert (await ask(server, "/-/healthy"))[0].status == 200
        assert (await ask(server, "/-/ready"))[0].status == 200
    async with serving(fleet, ready=False) as server:
        assert (await ask(server, "/-/healthy"))[0].status == 200
        assert (await ask(server, "/-/ready"))[0].status == 503


async def test_large_answers_are_compressed_where_the_client_takes_it() -> None:
    """Prometheus asks for gzip."""
    view = fleet(*(full_engine(engine=str(number)) for number in range(8)))
    async with serving(lambda: view) as server:
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        head, _, body = (await talk(server, request)).partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert b"\nkvwatch_service_rate{" in gzip.decompress(body)


@pytest.mark.parametrize("path", PATHS)
async def test_head_gives_the_head_only(path: str) -> None:
    """HEAD answers as GET does, without a body."""
    async with serving() as server:
        response, body = await ask(server, path, "HEAD")
    assert (response.status, body) == (200, b"")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(path: str, method: str) -> None:
    """Every other method is refused with what is allowed."""
    async with serving() as server:
        response, _ = await ask(server, path, method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//metrics"])
async def test_other_paths_are_not_found(path: str) -> None:
    """No file is served, and the path is not echoed."""
    async with serving() as server:
        response, body = await ask(server, path)
    assert (response.status, body) == (404, b"404 Not Found\n")


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
async def test_every_answer_has_the_headers_that_keep_browsers_out(path: str) -> None:
    """No sniffing, no framing, no scripts, no caching."""
    async with serving() as server:
        response, _ = await ask(server, path)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["Cache-Control"] == "no-store"
    assert "Python" not in response.headers["Server"]


async def test_oversized_headers_are_refused() -> None:
    """A header of megabytes ends in a 400 at most."""
    async with serving() as server:
        answer = await talk(server, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n")
        assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400", b"HTTP/1.1 431"))
        assert (await ask(server, "/-/healthy"))[0].status == 200


async def test_https_is_served_with_a_certificate() -> None:
    """With tls the same pages come over HTTPS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    trusting = ssl.create_default_context(cafile=TLS / "ca.crt")
    async with (
        serving(tls=context) as server,
        aiohttp.ClientSession() as session,
        session.get(f"https://localhost:{server.port}/-/healthy", ssl=trusting) as response,
    ):
        assert await response.text() == "healthy\n"


async def test_a_taken_port_is_an_error() -> None:
    """Two servers on one port are refused by the system, and that is passed on."""
    async with serving() as server:
        second = HttpServer(Pages(Exposition(fleet), fleet, lambda: True).routes(), Listen("127.0.0.1", server.port))
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        await second.stop()

"""A daemon behind a web configuration file, as Prometheus and its exporters take it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from kvwatch.config import ConfigError, ServerConfig, TargetConfig, TracesConfig, ValidatedConfig
from kvwatch.daemon import Daemon
from tests.daemon.conftest import Running, config, run
from tests.parse.otlp.exports import export, span
from tests.shell.conftest import TLS

GONE = TargetConfig("gone", "http://127.0.0.1:1")
HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users: {{me: {HASH}}}\n"
ME, OTHER = aiohttp.encode_basic_auth("me", "right"), aiohttp.encode_basic_auth("me", "wrong")
SERVED = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
VERIFIED = SERVED + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to write, beside certificates; changes are looked for all the time."""
    monkeypatch.setattr("kvwatch.shell.access.policy.CHECK_SECONDS", 0.01)
    for file in TLS.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / "web.yml"


def put(file: Path, text: str) -> None:
    """Write a file."""
    file.write_text(text)


def guarded(file: Path, traces: TracesConfig | None = None) -> ValidatedConfig:
    """A configuration with that file."""
    server = ServerConfig("127.0.0.1", 0, web_config_file=file)
    return replace(config(GONE), server=server, traces=traces or TracesConfig())


def trusting(*client: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client that knows who signed the server's certificate, and may show one of its own."""
    context = ssl.create_default_context(cafile=TLS / "ca.crt")
    context.maximum_version = newest
    if client:
        context.load_cert_chain(*client)
    return context


async def status(
    kvwatch: Running, path: str = "/metrics", auth: str | None = None, tls: ssl.SSLContext | None = None
) -> int:
    """What one request on a connection of its own is answered with."""
    url = f"{'https' if tls else 'http'}://localhost:{kvwatch.port}{path}"
    headers = {"Connection": "close"} | ({"Authorization": auth} if auth else {})
    async with kvwatch.session.get(url, ssl=tls or True, headers=headers) as response:
        return response.status


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it does."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_all_but_probes_ask_for_a_password(web: Path) -> None:
    """Metrics, API, page and stream alike; the refusal says which kind, and has the usual headers."""
    put(web, USERS)
    async with run(lambda: guarded(web)) as kvwatch:
        for path in ("/metrics", "/api/v1/engines", "/", "/api/v1/stream", "/nothing", "/-/healthy/"):
            assert await status(kvwatch, path) == 401, path
            assert await status(kvwatch, path, OTHER) == 401, path
        assert await status(kvwatch, auth=ME) == 200
        assert await status(kvwatch, "/nothing", ME) == 404
        assert [await status(kvwatch, path) for path in ("/-/healthy", "/-/ready")] == [200, 200]
        async with kvwatch.session.get(f"http://localhost:{kvwatch.port}/metrics") as response:
            assert response.headers["WWW-Authenticate"] == 'Basic realm="kvwatch", charset="UTF-8"'
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_file_is_followed_and_a_mistake_in_it_opens_nothing(
    web: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Users come, headers come, TLS comes, without a restart; a broken file leaves what was."""
    caplog.set_level("INFO")
    put(web, USERS)
    async with run(lambda: guarded(web)) as kvwatch:
        put(web, "basic_auth_users: {me: plain text}")
        await until(lambda: "web_files_rejected" in caplog.messages)
        assert "plain text" not in str([record.__dict__ for record in caplog.records])
        assert await status(kvwatch) == 401
        assert await status(kvwatch, auth=ME) == 200
        put(web, SERVED + "http_server_config: {headers: {X-Frame-Options: sameorigin}}")
        await until(lambda: "web_files_read" in caplog.messages)
        url = f"https://localhost:{kvwatch.port}/metrics"
        async with kvwatch.session.get(url, ssl=trusting()) as response:
            assert (response.status, response.headers["X-Frame-Options"]) == (200, "sameorigin")
        with pytest.raises(aiohttp.ClientError):
            await status(kvwatch)


async def test_clients_show_the_certificate_that_is_asked_for(web: Path) -> None:
    """None, or one with none of the names that are let in, reads nothing."""
    put(web, VERIFIED + "  client_allowed_sans: [localhost]\n")
    client = trusting(TLS / "client.crt", TLS / "client.key")
    async with run(lambda: guarded(web)) as kvwatch:
        assert await status(kvwatch, tls=client) == 200
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await status(kvwatch, tls=trusting())
    put(web, VERIFIED + "  client_allowed_sans: [prometheus.example]\n")
    async with run(lambda: guarded(web)) as kvwatch:
        assert await status(kvwatch, tls=client) == 403
        assert await status(kvwatch, "/-/healthy", tls=client) == 403


async def test_old_versions_of_tls_are_refused_as_the_file_says(web: Path) -> None:
    """1.2 is spoken by default, and not where the file asks for 1.3."""
    old = trusting(newest=ssl.TLSVersion.TLSv1_2)
    put(web, SERVED)
    async with run(lambda: guarded(web)) as kvwatch:
        assert await status(kvwatch, tls=old) == 200
    put(web, SERVED + "  min_version: TLS13\n")
    async with run(lambda: guarded(web)) as kvwatch:
        assert await status(kvwatch, tls=trusting()) == 200
        with pytest.raises(aiohttp.ClientError):
            await status(kvwatch, tls=old)


async def test_traces_have_a_port_and_a_token_of_their_own(web: Path, tmp_path: Path, unused_tcp_port: int) -> None:
    """Who may send need not read, and who may read need not send."""
    token = tmp_path / "token"
    put(token, "secret")
    put(web, USERS)
    body = export(span(1)).SerializeToString()
    headers = {"Content-Type": "application/x-protobuf"}

    async def sent(kvwatch: Running, port: int, **more: str) -> int:
        url = f"http://127.0.0.1:{port}/v1/traces"
        async with kvwatch.session.post(url, data=body, headers=headers | more) as response:
            return response.status

    traces = TracesConfig(enabled=True, http=("127.0.0.1", unused_tcp_port), bearer_token_file=token)
    async with run(lambda: guarded(web, traces)) as kvwatch:
        assert await sent(kvwatch, unused_tcp_port, Authorization="Bearer secret") == 200
        assert await sent(kvwatch, unused_tcp_port, Authorization=ME) == 401
        assert await sent(kvwatch, kvwatch.port, Authorization=ME) in {401, 404}
        url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
        async with kvwatch.session.get(url, headers={"Authorization": ME}) as response:
            assert response.status == 404
    async with run(lambda: guarded(web, TracesConfig(enabled=True))) as kvwatch:
        assert await sent(kvwatch, kvwatch.port) == 401
        assert await sent(kvwatch, kvwatch.port, Authorization=ME) == 200


def test_a_file_with_a_fault_stops_the_start(web: Path) -> None:
    """All of its faults at once, before anything listens."""
    put(web, "basic_auth_users: {me: x}\ntls_config: {}\n")
    with pytest.raises(ConfigError, match=r"web.yml: basic_auth_users.me: .*; .*web.yml: tls_config: unknown key"):
        Daemon(lambda: guarded(web))

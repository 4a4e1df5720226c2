"""The receiver within the whole daemon: off unless asked for, following its targets, counted in its metrics."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kvwatch.config import ConfigError, ServerConfig, ServerTls, TargetConfig, TracesConfig, ValidatedConfig
from kvwatch.daemon import Daemon
from kvwatch.parse.tenant import tenant_namer
from tests.daemon.conftest import Running, config, models, run, vllm
from tests.parse.otlp.exports import export, span
from tests.shell.conftest import TLS
from tests.shell.otlp.receiving import PROTOBUF

GONE = TargetConfig("gone", "http://127.0.0.1:1")
ON = TracesConfig(enabled=True)


def fresh(*numbers: int) -> bytes:
    """Spans that end now."""
    now = time.time_ns()
    times = {"start_time_unix_nano": now - 10**9, "end_time_unix_nano": now}
    return export(*(span(number, **times) for number in numbers)).SerializeToString()


async def post(kvwatch: Running, body: bytes, path: str = "/v1/traces") -> int:
    """Send an export; the status of the answer."""
    url = f"http://127.0.0.1:{kvwatch.port}{path}"
    async with kvwatch.session.post(url, data=body, headers=PROTOBUF) as response:
        return response.status


async def ingested(kvwatch: Running, target: str) -> int:
    """Requests of a target that came as traces."""
    series = rf'kvwatch_requests_ingested_total{{source="otlp",target="{re.escape(target)}"}} (\d+)'
    found = re.search(series, await kvwatch.metrics())
    assert found is not None
    return int(found[1])


def traced(*targets: TargetConfig, traces: TracesConfig = ON) -> ValidatedConfig:
    """The tests' configuration with a receiver."""
    return replace(config(*targets), traces=traces)


async def test_it_is_off_unless_enabled() -> None:
    """The address is not found, as any other that kvwatch does not have."""
    async with run(lambda: config(GONE)) as kvwatch:
        assert await post(kvwatch, fresh(1)) == 404


async def test_requests_count_before_and_after_the_first_scrape() -> None:
    """Each once by target, whether or not the server has been seen; nothing that comes is a fault."""
    async with vllm() as server, run(lambda: traced(server.target)) as kvwatch:
        assert await post(kvwatch, fresh(1, 2)) == 200
        await kvwatch.until(lambda answer: models(answer) == ["tiny"])
        assert await post(kvwatch, fresh(2, 3)) == 200
        assert await ingested(kvwatch, server.target.name) == 3
        text = await kvwatch.metrics()
    assert 'kvwatch_spans_total{result="duplicate"} 1.0' in text
    for place in ("observe", "view", "model", "task"):
        assert f'kvwatch_internal_errors_total{{place="{place}"}} 0.0' in text


async def test_a_span_that_is_sent_again_after_a_restart_counts_once(tmp_path: Path) -> None:
    """A sender that had no answer when kvwatch stopped sends its export again; the state file knows its spans."""
    told = traced(GONE)
    told = replace(told, estimates=replace(told.estimates, state_file=tmp_path / "state.json"))
    body = fresh(1, 2)
    async with run(lambda: told) as kvwatch:
        assert await post(kvwatch, body) == 200
        assert await ingested(kvwatch, "gone") == 2
    async with run(lambda: told) as kvwatch:
        assert await post(kvwatch, body) == 200
        assert await post(kvwatch, fresh(3)) == 200
        text = await kvwatch.metrics()
    assert 'kvwatch_spans_total{result="duplicate"} 2.0' in text
    assert 'kvwatch_spans_total{result="request"} 1.0' in text


async def test_a_reload_brings_targets_to_the_receiver() -> None:
    """New ones can be named at once, and those that are gone no more."""
    current = traced(GONE)
    async with run(lambda: current) as kvwatch:
        current = traced(replace(GONE, name="a"), replace(GONE, name="b"))
        assert await post(kvwatch, fresh(1), "/v1/traces/a") == 404
        kvwatch.daemon.reload()
        assert await post(kvwatch, fresh(1), "/v1/traces/a") == 200
        assert await post(kvwatch, fresh(2), "/v1/traces/gone") == 404
        assert await ingested(kvwatch, "a") == 1
        assert await ingested(kvwatch, "b") == 0


async def test_other_settings_of_the_receiver_need_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    """That is logged, and what runs goes on."""
    current = traced(GONE)
    async with run(lambda: current) as kvwatch:
        current = traced(GONE, traces=TracesConfig())
        kvwatch.daemon.reload()
        assert await post(kvwatch, fresh(1)) == 200
    (record,) = [record for record in caplog.records if record.getMessage() == "config_needs_restart"]
    assert record.fields["keys"] == "traces"  # type: ignore[attr-defined]


async def test_grpc_without_its_library_is_a_fault_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before anything starts, with what to install."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "kvwatch.shell.otlp.grpc", raising=False)
    with pytest.raises(
        ConfigError, match=r"traces.grpc_listen: grpcio is not installed; pip install 'kvwatch\[grpc\]'"
    ):
        Daemon(lambda: traced(GONE, traces=replace(ON, grpc=("127.0.0.1", 0))))


async def test_a_grpc_port_that_is_taken_ends_the_start() -> None:
    """As with kvwatch's own port: nothing is scraped, and nothing is left listening."""
    async with run(lambda: traced(GONE, traces=replace(ON, grpc=("127.0.0.1", 0)))) as kvwatch:
        assert kvwatch.daemon._traces is not None
        taken = kvwatch.daemon._traces.grpc_port
        assert taken
        with pytest.raises(OSError, match="cannot listen for gRPC"):
            async with run(lambda: traced(GONE, traces=replace(ON, grpc=("127.0.0.1", taken)))):
                pass


async def test_tenants_are_hashed_where_that_is_asked_for(tmp_path: Path) -> None:
    """With the key in the file; one that cannot be had is found before anything starts."""
    key = tmp_path / "key"
    traces = replace(ON, tenant_attribute="enduser.id", tenant_hash=True, tenant_key_file=key)
    for content, fault in ((None, "No such file"), (b" \n", "is empty")):
        if content is not None:
            key.write_bytes(content)
        with pytest.raises(ConfigError, match=rf"traces.tenant_key_file: .*{fault}"):
            Daemon(lambda: traced(GONE, traces=traces))
    key.write_bytes(b"k\n")
    async with vllm() as server, run(lambda: traced(server.target, traces=traces)) as kvwatch:
        await kvwatch.until(lambda answer: models(answer) == ["tiny"])
        now = time.time_ns()
        times = {"start_time_unix_nano": now - 10**9, "end_time_unix_nano": now}
        mine = export(*(span(number, {"enduser.id": "me"}, **times) for number in range(1, 60)))
        assert await post(kvwatch, mine.SerializeToString()) == 200
        name = tenant_namer(hashed=True, key=b"k")("me")
        async with asyncio.timeout(20):
            while f'tenant="{name}"' not in (text := await kvwatch.metrics()):  # noqa: ASYNC110 - it comes over HTTP
                await asyncio.sleep(0.1)
        assert 'tenant="me"' not in text


async def test_grpc_uses_the_server_s_certificate() -> None:
    """Files that cannot be read are found before anything starts."""
    tls = ServerTls(TLS / "server.crt", TLS / "none.key")
    broken = replace(traced(GONE, traces=replace(ON, grpc=("127.0.0.1", 0))), server=ServerConfig("127.0.0.1", 0, tls))
    with pytest.raises(ConfigError):
        Daemon(lambda: broken)
    whole = replace(broken, server=replace(broken.server, tls=replace(tls, key_file=TLS / "server.key")))
    Daemon(lambda: whole)

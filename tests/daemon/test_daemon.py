"""The whole daemon over real connections: servers come, go, restart and change, and it goes on."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kvwatch.config import ConfigError, EstimatesConfig, Fault, ServerConfig, ServerTls, TargetConfig
from kvwatch.daemon import Daemon
from tests.daemon.conftest import Running, config, models, run, up, vllm
from tests.shell.conftest import TLS, serve_raw

GONE = TargetConfig("gone", "http://127.0.0.1:1")


def der_of(path: Path) -> list[bytes]:
    """The certificates in a PEM file."""
    begin = "-----BEGIN CERTIFICATE-----"
    return [
        ssl.PEM_cert_to_DER_cert(begin + part.split("-----END")[0] + "-----END CERTIFICATE-----\n")
        for part in path.read_text(encoding="utf-8").split(begin)[1:]
    ]


async def test_a_server_s_estimates_are_served() -> None:
    """From the server's exposition to our own, by way of the real core."""
    async with vllm() as server, run(lambda: config(server.target)) as kvwatch:
        await kvwatch.until(lambda answer: models(answer) == ["tiny"])
        text = await kvwatch.metrics()
    target = f'target="127.0.0.1:{server.port}"'
    assert f"kvwatch_target_up{{{target}}} 1.0" in text
    assert re.search(rf'kvwatch_kv_capacity_tokens{{engine="0",model_name="tiny",{target}}} 32736.0', text)
    assert "process_resident_memory_bytes" in text


async def test_one_dead_target_does_not_disturb_another() -> None:
    """The dead one is down with its problem; the other is served."""
    async with vllm() as server, run(lambda: config(GONE, server.target)) as kvwatch:
        await kvwatch.until(lambda answer: up(answer) == [False, True])
        dead, _ = (await kvwatch.engines())["targets"]
        assert str(dead["problem"]).startswith("connection: ")
        assert 'kvwatch_scrapes_total{result="connection",target="gone"}' in await kvwatch.metrics()


async def test_a_server_that_dies_is_withheld_and_comes_back() -> None:
    """Down at once, estimates gone once stale, and back after the restart."""
    async with vllm() as server, run(lambda: config(server.target)) as kvwatch:
        await kvwatch.until(lambda answer: models(answer) == ["tiny"])
        await server.stop()
        await kvwatch.until(lambda answer: up(answer) == [False] and answer["engines"] == [])
        text = await kvwatch.metrics()
        assert f'kvwatch_target_up{{target="127.0.0.1:{server.port}"}} 0.0' in text
        assert "\nkvwatch_kv_capacity_tokens{" not in text
        await server.start()
        await kvwatch.until(lambda answer: up(answer) == [True] and models(answer) == ["tiny"])


async def test_a_reload_adds_and_removes_without_touching_who_stays(caplog: pytest.LogCaptureFixture) -> None:
    """A target that stays is not begun anew: its counters go on, and it comes up once. A removed one leaves nothing."""
    caplog.set_level("INFO")
    async with vllm("first") as first, vllm("second") as second:
        current = config(first.target, GONE)
        async with run(lambda: current) as kvwatch:
            before = await scrapes(kvwatch, first.target.name, 5)
            current = config(first.target, second.target)
            kvwatch.daemon.reload()
            assert await scrapes(kvwatch, first.target.name) >= before
            await kvwatch.until(lambda answer: models(answer) == ["first", "second"])
            text = await kvwatch.metrics()
    assert 'target="gone"' not in text
    assert 'kvwatch_config_reloads_total{result="success"} 1.0' in text
    came_up = [record.fields["target"] for record in caplog.records if record.getMessage() == "target_up"]  # type: ignore[attr-defined]
    assert came_up == [first.target.name, second.target.name]


async def scrapes(kvwatch: Running, target: str, least: int = 1) -> int:
    """Good scrapes of a target, once there are so many."""
    series = rf'kvwatch_scrapes_total{{result="success",target="{target}"}} (\d+)'
    found = None
    while found is None or int(found[1]) < least:
        found = re.search(series, await kvwatch.metrics())
    return int(found[1])


async def test_a_faulty_reload_changes_nothing_and_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    """The old targets are watched on, each fault is logged, and a gauge says so until a good reload."""
    faults: list[Fault] = []

    async with vllm() as server:

        def load() -> object:
            if faults:
                raise ConfigError(faults)
            return config(server.target)

        async with run(load) as kvwatch:  # type: ignore[arg-type]
            await kvwatch.until(lambda answer: models(answer) == ["tiny"])
            faults = [Fault("targets[0].url", "is missing"), Fault("scrape", "is odd")]
            kvwatch.daemon.reload()
            text = await kvwatch.metrics()
            assert "kvwatch_config_last_reload_successful 0.0" in text
            assert 'kvwatch_config_reloads_total{result="failure"} 1.0' in text
            assert models(await kvwatch.engines()) == ["tiny"]
            faults = []
            kvwatch.daemon.reload()
            assert "kvwatch_config_last_reload_successful 1.0" in await kvwatch.metrics()
    logged = [record.fields["fault"] for record in caplog.records if record.getMessage() == "config_fault"]  # type: ignore[attr-defined]
    assert [str(fault) for fault in logged] == ["targets[0].url: is missing", "scrape: is odd"]


async def test_a_reload_says_what_needs_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    """Settings that cannot change while it runs are named and stay."""
    current = config(GONE)
    async with run(lambda: current) as kvwatch:
        port = kvwatch.port
        estimates, server = EstimatesConfig(target_utilization=0.5), replace(current.server, port=1)
        current = replace(current, estimates=estimates, server=server)
        kvwatch.daemon.reload()
        await kvwatch.engines()
        assert kvwatch.port == port
    (record,) = [record for record in caplog.records if record.getMessage() == "config_needs_restart"]
    assert record.fields["keys"] == "server, estimates"  # type: ignore[attr-defined]


async def test_a_target_whose_settings_change_keeps_its_state() -> None:
    """New seats given in the configuration reach the core without a new start of the estimates."""
    async with vllm() as server:
        current = config(server.target)
        async with run(lambda: current) as kvwatch:
            await kvwatch.until(lambda answer: models(answer) == ["tiny"])
            current = config(replace(server.target, max_num_seqs=12))
            kvwatch.daemon.reload()
            assert models(await kvwatch.engines()) == ["tiny"]


async def test_a_target_that_moves_is_scraped_at_its_new_address() -> None:
    """The name stays, the address changes."""
    async with vllm("first") as first, vllm("second") as second:
        current = config(replace(first.target, name="it"))
        async with run(lambda: current) as kvwatch:
            await kvwatch.until(lambda answer: models(answer) == ["first"])
            current = config(replace(second.target, name="it"))
            kvwatch.daemon.reload()
            await kvwatch.until(lambda answer: "second" in models(answer))


async def test_https_is_served_and_its_certificate_is_read_again() -> None:
    """A reload takes up files that have changed; files that cannot be used keep the old ones."""
    tls = ServerTls(TLS / "server.crt", TLS / "server.key")
    current = replace(config(GONE), server=ServerConfig("127.0.0.1", 0, tls))
    trusting = ssl.create_default_context(cafile=TLS / "ca.crt")
    async with run(lambda: current) as kvwatch:

        async def reload_and_ask() -> str:
            kvwatch.daemon.reload()
            url = f"https://localhost:{kvwatch.port}/metrics"
            async with kvwatch.session.get(url, ssl=trusting, headers={"Connection": "close"}) as response:
                return await response.text()

        assert 'kvwatch_config_reloads_total{result="success"} 1.0' in await reload_and_ask()
        current = replace(current, server=replace(current.server, tls=replace(tls, key_file=TLS / "client.key")))
        assert 'kvwatch_config_reloads_total{result="failure"} 1.0' in await reload_and_ask()


async def test_a_certificate_that_rotates_is_served_without_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While only one of its two files is the new one kvwatch serves what it had."""
    monkeypatch.setattr("kvwatch.shell.access.policy.CHECK_SECONDS", 0.01)
    files = cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    for file, name in zip(files, ("server.crt", "server.key"), strict=True):
        shutil.copy(TLS / name, file)
    current = replace(config(GONE), server=ServerConfig("127.0.0.1", 0, ServerTls(*files)))
    async with run(lambda: current) as kvwatch:

        async def served() -> str:
            return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", kvwatch.port))

        first = await served()
        shutil.copy(TLS / "client.crt", cert)
        async with asyncio.timeout(30):
            while "web_files_rejected" not in caplog.messages:  # noqa: ASYNC110 - a log has no event to wait for
                await asyncio.sleep(0.01)
        assert await served() == first
        shutil.copy(TLS / "client.key", key)
        async with asyncio.timeout(30):
            while await served() == first:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        assert ssl.PEM_cert_to_DER_cert(await served()) in der_of(TLS / "client.crt")


async def test_a_certificate_that_cannot_be_used_is_a_fault_of_the_configuration() -> None:
    """It is found before anything starts."""
    tls = ServerTls(TLS / "none.crt", TLS / "none.key")
    with pytest.raises(ConfigError, match=r"server.tls: cannot use the files: No such file or directory"):
        Daemon(lambda: replace(config(GONE), server=ServerConfig("127.0.0.1", 0, tls)))


async def test_a_taken_port_is_an_error_before_anything_is_scraped() -> None:
    """Two daemons on one port: the second says so."""
    async with run(lambda: config(GONE)) as kvwatch:
        current = config(GONE)
        taken = replace(current, server=replace(current.server, port=kvwatch.port))
        with pytest.raises(OSError, match="address already in use"):
            async with run(lambda: taken):
                pass


async def test_nothing_is_left_running_after_the_stop() -> None:
    """Every task of the daemon has ended when run returns, even those on servers that hang."""
    asked = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with serve_raw(hang) as url:
        before = asyncio.all_tasks()
        async with run(lambda: config(TargetConfig("hanging", url))) as kvwatch:
            await asked.wait()
            assert up(await kvwatch.engines()) == [False]
        left = [task for task in asyncio.all_tasks() - before if "serve_raw" not in repr(task)]
    assert left == []


async def test_open_files_do_not_grow_with_scrapes() -> None:
    """After many scrapes and many pages the process has the open files it had."""

    def open_files(text: str) -> int:
        found = re.search(r"process_open_fds (\d+)", text)
        assert found is not None
        return int(found[1])

    async with vllm() as server, run(lambda: config(server.target, GONE)) as kvwatch:
        await scrapes(kvwatch, server.target.name, 3)
        before = open_files(await kvwatch.metrics())
        await scrapes(kvwatch, server.target.name, 15)
        assert open_files(await kvwatch.metrics()) <= before + 1


@pytest.mark.prometheus
async def test_promtool_finds_no_fault_in_what_the_daemon_serves() -> None:
    """The exposition as it comes over the wire, with the process' own metrics."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH")
    async with vllm() as server, run(lambda: config(server.target, GONE)) as kvwatch:
        await kvwatch.until(lambda answer: models(answer) == ["tiny"])
        text = await kvwatch.metrics()
    check = partial(subprocess.run, input=text.encode(), capture_output=True, timeout=30, check=False)
    done = await asyncio.to_thread(check, [promtool, "check", "metrics"])
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "", "")

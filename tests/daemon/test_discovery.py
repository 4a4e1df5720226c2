"""The daemon follows what is discovered: targets come and go without loss, leak or doubt about whose they are."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.config import ValidatedConfig
from kvwatch.config.model import BasicAuth, DiscoveryConfig, FilesConfig, FoundTarget, HttpConfig, TargetTls
from kvwatch.daemon.discoverer import Discoverer
from kvwatch.daemon.found import clean_name, target_config
from kvwatch.shell.discovery import Found, in_shard
from kvwatch.shell.discovery.shards import shard_of
from kvwatch.shell.scrape.client import new_session
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.daemon.conftest import config, models, run, up, vllm


def listed(path: Path, *addresses: str, **labels: str) -> None:
    """Write a file that lists these targets, at a stroke."""
    path.with_suffix(".new").write_text(json.dumps([{"targets": addresses, "labels": labels}]))
    path.with_suffix(".new").rename(path)


def found_in(path: Path, **more: object) -> ValidatedConfig:
    """A configuration that discovers targets in a file."""
    discovery = DiscoveryConfig(files=(FilesConfig((str(path),), 0.02),), **more)  # type: ignore[arg-type]
    return replace(config(), discovery=discovery)


async def test_discovered_targets_are_watched_and_forgotten(tmp_path: Path) -> None:
    """Static and discovered ones together; a role and a name come from the source; what goes is gone everywhere."""
    path = tmp_path / "targets.json"
    async with vllm("fixed") as static, vllm("found") as server:
        listed(path, f"127.0.0.1:{server.port}", role="decode", instance="pod-1")
        wanted = replace(found_in(path), targets=(static.target,))
        async with run(lambda: wanted) as running:
            await running.until(lambda answer: models(answer) == ["fixed", "found"])
            roles = {model["model_name"]: model.get("role") for model in (await running.engines())["models"]}
            assert roles == {"fixed": None, "found": "decode"}
            metrics = await running.metrics()
            assert 'kvwatch_discovered_targets{source="files[0]"} 1.0' in metrics
            assert 'kvwatch_target_up{target="pod-1"} 1.0' in metrics
            path.write_text("[")
            async with asyncio.timeout(30):
                failures = 'kvwatch_discovery_failures_total{source="files[0]"}'
                while f"{failures} 0.0" in await running.metrics():  # noqa: ASYNC110 - the answer comes over HTTP
                    await asyncio.sleep(0.02)
            assert models(await running.engines()) == ["fixed", "found"]
            listed(path)
            await running.until(lambda answer: models(answer) == ["fixed"])
            assert "pod-1" not in await running.metrics()
            assert up(await running.engines()) == [True]


async def test_two_hundred_rounds_of_churn_leave_nothing_behind() -> None:
    """Targets that come and go two hundred times leave no task and no memory: what is there is what is watched."""
    wanted = replace(config(), discovery=DiscoveryConfig(files=(FilesConfig(("/nowhere/*.json",), 60.0),)))
    async with run(lambda: wanted) as running:
        daemon = running.daemon
        discoverer = daemon._discoverer
        watches = daemon._watches
        await asyncio.sleep(0.2)

        async def round_of(number: int) -> None:
            addresses = [f"127.0.0.{2 + i}:{1 + (number * 10 + i) % 60000}" for i in range(10)]
            discoverer._deliver("files[0]", tuple(Found(address, address) for address in addresses))
            discoverer.changed.clear()
            await daemon._follow(watches)
            assert len(watches) == 10
            await asyncio.sleep(0.01)

        async def settled() -> tuple[int, int]:
            discoverer._deliver("files[0]", ())
            discoverer.changed.clear()
            await daemon._follow(watches)
            await asyncio.sleep(0.3)
            await daemon._follow(watches)
            gc.collect()
            return len(asyncio.all_tasks()), tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        logging.disable(logging.CRITICAL)  # pytest keeps each record
        try:
            for number in range(20):
                await round_of(number)
            tasks, memory = await settled()
            for number in range(20, 220):
                await round_of(number)
            tasks_after, memory_after = await settled()
        finally:
            logging.disable(logging.NOTSET)
            tracemalloc.stop()
        assert tasks_after == tasks
        assert memory_after - memory < 300_000  # 2,000 targets came and went: less than 150 bytes of each
        assert len(watches) == 0
        assert watches.tasks() == []
        assert "127.0.0." not in (await running.metrics())


async def test_bounds_names_and_addresses_are_kept() -> None:
    """Of too many the same ones stay, one server is watched once, and what cannot be a target is left out."""
    discoverer = Discoverer(SelfMetrics(), lambda _name, _error: None)
    wanted = replace(config(), discovery=DiscoveryConfig(max_targets=50, files=(FilesConfig(("/nowhere",), 60.0),)))
    async with new_session() as session:
        discoverer.follow(wanted.discovery, session)
        many = tuple(Found(f"10.0.0.{n}:8000", f"pod-{n}") for n in range(200))
        discoverer._deliver("files[0]", many)
        first = set(discoverer.targets(wanted))
        assert len(first) == 50
        discoverer._deliver("files[0]", (*many[1:], Found("10.0.1.1:8000", "new")))
        assert len(first & set(discoverer.targets(wanted))) >= 48
        odd = (Found("a:1", "x"), Found("a:1", "y"), Found("b c:1", "z"), Found("c:1/path", "p"), Found("d:99999", "q"))
        discoverer._deliver("files[0]", odd)
        assert set(discoverer.targets(wanted)) == {"x"}
        await discoverer.stop()


async def test_two_names_of_one_server_are_one_target_in_all_shards_together() -> None:
    """It goes by its first name, after a reload too; one that is left out for its name takes no address from others."""
    shards = 4
    first, second = HttpConfig("http://127.0.0.1:1/a"), HttpConfig("http://127.0.0.1:1/b")
    discoverer = Discoverer(SelfMetrics(), lambda _name, _error: None)
    async with new_session() as session:
        discoverer.follow(DiscoveryConfig(http=(first, second)), session)
        discovery = DiscoveryConfig(http=(replace(first, interval_seconds=9.0), second))
        discoverer.follow(discovery, session)
        plain = tuple(Found(f"10.0.0.{n}:8000", f"10.0.0.{n}:8000") for n in range(50))
        named = tuple(Found(one.address, f"pod-{n}") for n, one in enumerate(plain))
        discoverer._deliver("http[0]", (*plain, Found("a:1", "twice"), Found("b:1", "twice"), Found("b:1", "other")))
        discoverer._deliver("http[1]", (*named, Found("c:1", "pod-c")))
        watched: list[str] = []
        for index in range(shards):
            watched += discoverer.targets(replace(config(), discovery=replace(discovery, shard=(index, shards))))
        assert sorted(watched) == sorted([*(one.name for one in plain), "twice", "other", "pod-c"])
        await discoverer.stop()


async def test_of_a_source_with_too_many_targets_the_same_ones_are_read(caplog: pytest.LogCaptureFixture) -> None:
    """Before any work on them; it is told once how many are left out, and they come where the limit is raised."""
    metrics = SelfMetrics()
    discoverer = Discoverer(metrics, lambda _name, _error: None)
    source = HttpConfig("http://127.0.0.1:1/sd")
    wanted = replace(config(), discovery=DiscoveryConfig(max_targets=20, http=(source,)))
    every = tuple(Found(f"10.0.0.{n}:8000", f"pod-{n}") for n in range(200))
    async with new_session() as session:
        discoverer.follow(wanted.discovery, session)
        discoverer._deliver("http[0]", every, left_out=1000)
        assert len(discoverer._running["http[0]"].found) == 20
        first = set(discoverer.targets(wanted))
        discoverer._deliver("http[0]", tuple(reversed(every)), left_out=1000)
        assert set(discoverer.targets(wanted)) == first
        told = [record.__dict__ for record in caplog.records if "discovery_over_limit" in str(record.__dict__)]
        assert len(told) == 1
        assert "1180" in str(told[0])
        assert metrics.samples()["kvwatch_discovered_targets"] == [(("http[0]",), 1200.0)]
        task = discoverer._running["http[0]"].task
        discoverer.follow(replace(wanted.discovery, max_targets=500), session)
        assert discoverer._running["http[0]"].task is not task  # it looks again, for what was left out
        discoverer._deliver("http[0]", every)
        assert len(discoverer._running["http[0]"].found) == 200
        await discoverer.stop()


async def test_one_address_in_two_spellings_is_one_target() -> None:
    """However an IPv6 address is written, its engine is watched once."""
    discoverer = Discoverer(SelfMetrics(), lambda _name, _error: None)
    wanted = replace(config(), discovery=DiscoveryConfig(http=(HttpConfig("http://127.0.0.1:1/sd"),)))
    async with new_session() as session:
        discoverer.follow(wanted.discovery, session)
        spelled = ("[fd00::1]:8000", "[FD00:0:0::0001]:8000", "Host.Example:8000", "host.example:8000")
        discoverer._deliver("http[0]", tuple(Found(address, address) for address in spelled))
        assert list(discoverer.targets(wanted)) == ["[fd00::1]:8000", "host.example:8000"]
        await discoverer.stop()


async def test_what_cannot_be_a_target_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not at each delivery, of which there may be many a minute; it is told again when it comes again."""
    discoverer = Discoverer(SelfMetrics(), lambda _name, _error: None)
    good, bad = Found("a:1", "a:1"), Found("a b:1", "a b:1")
    async with new_session() as session:
        discoverer.follow(DiscoveryConfig(http=(HttpConfig("http://127.0.0.1:1/sd"),)), session)
        for found in ((good, bad), (good, bad), (good,), (bad, good)):
            discoverer._deliver("http[0]", found)
        assert [record.getMessage() for record in caplog.records] == ["discovered_target_refused"] * 2
        await discoverer.stop()


async def test_a_source_that_fails_in_part_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One of its names fails round after round: that is a warning, and no recovery until nothing fails."""
    discoverer = Discoverer(SelfMetrics(), lambda _name, _error: None)
    async with new_session() as session:
        discoverer.follow(DiscoveryConfig(http=(HttpConfig("http://127.0.0.1:1/sd"),)), session)
        caplog.set_level(logging.INFO)
        for whole in (False, False, False, True, True):
            if not whole:
                discoverer._failed("http[0]", "no such name")
            discoverer._deliver("http[0]", (Found("a:1", "a:1"),), whole=whole)
        assert [record.getMessage() for record in caplog.records] == ["discovery_failed", "discovery_recovered"]
        await discoverer.stop()


async def test_a_source_with_other_keys_begins_with_what_was_found() -> None:
    """Until it has looked itself; credentials are taken over for the same place, and never for what another found."""
    discoverer = Discoverer(SelfMetrics(), lambda _name, _error: None)
    first, second = HttpConfig("http://127.0.0.1:1/first"), HttpConfig("http://127.0.0.1:1/second")

    async def followed(*sources: HttpConfig) -> dict[str, Path | None]:
        wanted = replace(config(), discovery=DiscoveryConfig(http=sources))
        discoverer.follow(wanted.discovery, session)
        await asyncio.sleep(0)
        return {name: target.bearer_token_file for name, target in discoverer.targets(wanted).items()}

    async with new_session() as session:
        assert await followed(first, second) == {}
        discoverer._deliver("http[0]", (Found("a:1", "a:1"),))
        discoverer._deliver("http[1]", (Found("b:1", "b:1"),))
        slower = replace(second, interval_seconds=90.0)
        assert await followed(first, slower) == {"a:1": None, "b:1": None}
        discoverer._deliver("http[1]", (Found("b:1", "b:1"),))
        with_token = replace(slower, target=FoundTarget(bearer_token_file=Path("/second")))
        assert await followed(first, with_token) == {"a:1": None, "b:1": Path("/second")}
        discoverer._deliver("http[1]", (Found("b:1", "b:1"),))
        assert await followed(with_token) == {"b:1": Path("/second")}
        elsewhere = replace(first, target=FoundTarget(bearer_token_file=Path("/first")))
        assert await followed(elsewhere) == {"b:1": Path("/second")}
        discoverer._deliver("http[0]", (Found("b:1", "b:1"), Found("a:1", "a:1")))
        assert await followed(elsewhere) == {"a:1": Path("/first"), "b:1": Path("/first")}
        assert await followed() == {}
        await discoverer.stop()


async def test_a_reload_of_a_source_does_not_end_the_watch_of_its_targets(tmp_path: Path) -> None:
    """A scrape goes on, and nothing of what is known is given up, while the source looks for the first time."""
    path = tmp_path / "targets.json"
    async with vllm() as server:
        listed(path, f"127.0.0.1:{server.port}")
        wanted = [found_in(path)]
        async with run(lambda: wanted[0]) as running:
            await running.until(lambda answer: up(answer) == [True])
            watches = running.daemon._watches
            (watch,) = watches._by_name.values()
            wanted[0] = replace(wanted[0], discovery=DiscoveryConfig(files=(FilesConfig((str(path),), 60.0),)))
            running.daemon.reload()
            assert list(watches._by_name.values()) == [watch]
            path.write_text("[")
            await asyncio.sleep(0.1)
            running.daemon.reload()
            assert list(watches._by_name.values()) == [watch]
            assert watch.tasks[0] in asyncio.all_tasks()


def test_what_a_source_says_of_a_target_is_checked() -> None:
    """Labels win over the template, credentials never go to http where they are for https, nonsense is refused."""
    template = FoundTarget(scheme="https", tls=TargetTls(), basic_auth=BasicAuth("me", Path("/p")), max_num_seqs=8)
    made = target_config(Found("a:1", "a:1", (("__metrics_path__", "/m"), ("max_num_seqs", "64"))), template)
    assert (made.base_url, made.metrics_path, made.max_num_seqs) == ("https://a:1", "/m", 64)
    for labels in (
        ("__scheme__", "http"),
        ("__scheme__", "file"),
        ("role", "cook"),
        ("max_num_seqs", "-1"),
        ("__metrics_path__", "m"),
    ):
        with pytest.raises(ValueError, match=r"http|scheme|prefill|number|begin"):
            target_config(Found("a:1", "a:1", (labels,)), template)


@given(st.text(max_size=500))
def test_names_are_clean(name: str) -> None:
    """Whatever a source calls a target, the label is printable and short; a name that is both stays as it is."""
    clean = clean_name(name)
    assert clean.isprintable()
    assert len(clean) <= 220
    assert clean == name or len(name) > 200 or not name.isprintable()


def test_shards_are_even_and_stable() -> None:
    """Each target is in one shard, shards are within 10% of even, and a ninth shard takes one target in nine only."""
    names = [f"10.{n // 250}.0.{n % 250}:8000" for n in range(10_000)]
    before, after = ([shard_of(name, count) for name in names] for count in (8, 9))
    counts = [before.count(shard) for shard in range(8)]
    assert min(counts) > 1125
    assert max(counts) < 1375
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {8}
    assert 0.09 < len(moved) / len(names) < 0.135
    assert all(sum(in_shard(name, (i, 3)) for i in range(3)) == 1 for name in names[:100])


async def test_a_shard_watches_its_part_and_says_nothing_of_models(tmp_path: Path) -> None:
    """Two processes share three servers: each server is watched by one, and neither claims a model's number."""
    path = tmp_path / "targets.json"
    seen: list[str] = []
    async with vllm() as a, vllm() as b, vllm() as c:
        listed(path, *(f"127.0.0.1:{server.port}" for server in (a, b, c)))
        for index in range(2):
            wanted = found_in(path, shard=(index, 2))
            own = [s.target.name for s in (a, b, c) if in_shard(s.target.name, (index, 2))]
            async with run(lambda wanted=wanted: wanted) as running:
                await running.until(lambda answer, own=own: up(answer) == [True] * len(own))
                await asyncio.sleep(0.3 if not own else 0.0)
                answer = await running.engines()
                seen += [str(target["target"]) for target in answer["targets"]]
                assert answer["models"] == []
        assert sorted(seen) == sorted(server.target.name for server in (a, b, c))

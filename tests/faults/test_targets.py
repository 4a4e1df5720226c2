"""Targets that answer without being vLLM, and thousands that go at once."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from aiohttp import web

from kvwatch.config import ScrapeConfig, TargetConfig
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.daemon.conftest import Running, config, run, up, vllm
from tests.shell.conftest import serve, text_response

PYTHON_ONLY = b"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.75e9\n"


async def engines_of(running: Running, target: str) -> float | None:
    """The gauge of a target, once it is there."""
    async with asyncio.timeout(30):
        while True:
            found = re.search(rf'kvwatch_target_engines{{target="{target}"}} (\S+)', await running.metrics())
            if found:
                return float(found[1])
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PYTHON_ONLY,
        PYTHON_ONLY + b'vllm:num_requests_running{engine="0",model_name="\xff\xfe"} 3\n',
        PYTHON_ONLY + b'vllm:num_requests_running{engine="0",model_name="a\nb"} 3\n',
    ],
    ids=["empty", "another program", "bad UTF-8", "a line feed in a label"],
)
async def test_a_target_without_vllm_s_series_is_up_and_says_that_it_has_no_engine(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The gauge is what an alert can look at; the log says it once, with what may be wrong."""

    async def handler(_request: web.Request) -> web.Response:
        return text_response(body)

    async with serve(handler) as url, run(lambda: config(TargetConfig("odd", url))) as running:
        assert await engines_of(running, "odd") == 0
        await running.until(lambda answer: up(answer) == [True])
        await asyncio.sleep(0.3)
    events = [record.getMessage() for record in caplog.records]
    assert events.count("target_without_engines") == 1


async def test_the_number_of_engines_is_that_of_the_last_good_scrape_and_goes_with_it() -> None:
    """One engine while the server answers, nothing once it is gone."""
    async with vllm() as server, run(lambda: config(server.target)) as running:
        assert await engines_of(running, server.target.name) == 1
        await server.stop()
        await running.until(lambda answer: up(answer) == [False])
        assert "kvwatch_target_engines{" not in await running.metrics()


async def test_thousands_of_targets_that_go_leave_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a thousand targets are added and removed, other work of the event loop is done between any two of them."""
    monkeypatch.setattr("kvwatch.daemon.watches._SLICE_SECONDS", 0.0)
    slow = replace(config(), scrape=ScrapeConfig(60.0))
    async with run(lambda: slow) as running:
        daemon = running.daemon
        watches = daemon._watches
        assert watches is not None
        wanted = {f"t{n}": TargetConfig(f"t{n}", f"http://127.0.0.1:{1 + n}") for n in range(1000)}
        for step, targets in enumerate((wanted, {})):
            work = asyncio.create_task(watches.follow(targets, daemon.config, {}))
            turns = 0
            while not work.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns > 1000, step
            await work
        assert len(watches) == 0


def test_forgetting_a_target_does_not_look_at_the_others() -> None:
    """What is counted of each is kept apart: the work to forget all of them is proportional to their number."""
    metrics = SelfMetrics()
    for number in range(3000):
        metrics.add_target(f"t{number}")
    metrics.put("kvwatch_target_engines", "t0", value=1.0)
    others = [metrics._targets[f"t{number}"] for number in range(1, 3000)]
    metrics.remove_target("t0")
    assert "t0" not in metrics._targets
    assert list(metrics._targets.values()) == others
    assert not any(labels[0] == "t0" for values in metrics.samples().values() for labels, _ in values if labels)

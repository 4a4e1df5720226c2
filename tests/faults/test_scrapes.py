"""Faults between kvwatch and an engine, through the whole daemon: each is named, withheld in time, and over with it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from kvwatch.config import EstimatesConfig, ScrapeConfig, TargetConfig
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.shell.emulator.server import EngineServer, ServeOptions
from tests.daemon.conftest import Running, config, run
from tests.faults.proxy import FaultProxy, proxied

INTERVAL_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
RHO = "kvwatch_utilization{"


@dataclass
class Watched:
    """A daemon that watches a busy engine through a proxy."""

    proxy: FaultProxy
    running: Running

    async def until(self, holds: Callable[[str], bool], least_scrapes: int = 0) -> str:
        """The first page of which this holds, once the proxy has served so many scrapes from now on."""
        before = self.proxy.served
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                page = await self.running.metrics()
                if holds(page) and self.proxy.served - before >= least_scrapes:
                    return page
                await asyncio.sleep(0.05)


@asynccontextmanager
async def watched(wall: Callable[[], float] = time.time) -> AsyncIterator[Watched]:
    """Ten times as fast as real time, with windows of λ that are short accordingly, and ρ known."""
    engine = EngineServer(ServeOptions(SCENARIOS["steady"], port=0, speed=10.0))
    async with engine, proxied(f"http://127.0.0.1:{engine.port}") as proxy:
        wanted = replace(
            config(TargetConfig("it", proxy.url)),
            scrape=ScrapeConfig(INTERVAL_SECONDS, timeout_seconds=0.5),
            estimates=EstimatesConfig(windows_seconds={"2s": 2.0, "6s": 6.0}),
        )
        async with run(lambda: wanted, wall=wall) as running:
            found = Watched(proxy, running)
            await found.until(lambda page: RHO in page)
            yield found


def lines(pattern: bytes, replacement: bytes = b"") -> Callable[[bytes], bytes]:
    """A rewriting of the lines that match."""
    return lambda body: re.sub(rb"(?m)^" + pattern + rb".*\n", replacement, body)


def values(name: bytes, value: bytes) -> Callable[[bytes], bytes]:
    """A rewriting that gives all series of a name this value."""
    return lambda body: re.sub(rb"(?m)^(" + name + rb"\{.*\}) .*$", rb"\1 " + value, body)


UP = 'kvwatch_target_up{target="it"} 1.0'

VANISHING = {
    "running is gone": lines(rb"vllm:num_requests_running\{"),
    "waiting is gone": lines(rb"vllm:num_requests_waiting\{"),
    "finished is gone": lines(rb"vllm:request_success_total\{"),
    "running is NaN": values(rb"vllm:num_requests_running", b"NaN"),
    "running is infinite": values(rb"vllm:num_requests_running", b"+Inf"),
    "running is negative": values(rb"vllm:num_requests_running", b"-3"),
    "running is absurd": values(rb"vllm:num_requests_running", b"1e308"),
}


@pytest.mark.long
@pytest.mark.parametrize("rewrite", VANISHING.values(), ids=VANISHING.keys())
async def test_utilization_is_not_shown_from_an_input_that_has_stopped_coming(
    rewrite: Callable[[bytes], bytes],
) -> None:
    """Scrapes go on and the target is up, but ρ is gone after three intervals, with its reason; it comes back."""
    async with watched() as found:
        found.proxy.rewrite = rewrite
        # on a busy machine a scrape may be late for a moment, which is another reason to withhold
        await found.until(lambda page: RHO not in page and UP in page and 'reason="metric_missing"' in page)
        found.proxy.heal()
        await found.until(lambda page: RHO in page)


FAILURES: dict[str, tuple[str, Callable[[FaultProxy], None]]] = {
    "late": ("timeout", lambda proxy: setattr(proxy, "delay_seconds", 2.0)),
    "cut": ("connection", lambda proxy: setattr(proxy, "cut_bytes", 1000)),
    "refused": ("unauthorized", lambda proxy: setattr(proxy, "status", 403)),
    "failing": ("status", lambda proxy: setattr(proxy, "status", 500)),
    "redirecting": ("redirect", lambda proxy: setattr(proxy, "status", 302)),
    "another page": ("not_metrics", lambda proxy: setattr(proxy, "rewrite", lambda _: b"<html>\n<p>hello\n</html>\n")),
}


@pytest.mark.parametrize(("reason", "fault"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_failing_scrape_has_its_reason_and_estimates_are_withheld(
    reason: str, fault: Callable[[FaultProxy], None]
) -> None:
    """Down at once, nothing shown of it after three intervals, and up again with the next good scrape."""
    async with watched() as found:
        fault(found.proxy)
        page = await found.until(lambda page: f'result="{reason}",target="it"}}' in page and RHO not in page)
        assert 'kvwatch_target_up{target="it"} 0.0' in page
        found.proxy.heal()
        await found.until(lambda page: 'kvwatch_target_up{target="it"} 1.0' in page)


async def test_a_contradicting_series_does_not_move_what_is_shown() -> None:
    """With its labels in another order and a thousand times the value: λ and ρ are withheld, never raised."""

    def twice(body: bytes) -> bytes:
        return re.sub(
            rb'(?m)^vllm:num_requests_running\{(engine="0"),(model_name="[^"]*")\} (.*)$',
            rb"\g<0>" + b"\n" + rb"vllm:num_requests_running{\2,\1} 9000",
            body,
        )

    async with watched() as found:
        found.proxy.rewrite = twice
        page = await found.until(lambda page: RHO not in page)
        assert "kvwatch_running_requests{" not in page
        assert not re.search(r'kvwatch_exposition_bad_lines_total{target="it"} 0\.0', page)

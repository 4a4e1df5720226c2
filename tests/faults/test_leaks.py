"""Nothing is left of faults: as many tasks, threads and open files after hundreds of them as before."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle

from kvwatch.config import ScrapeConfig, TargetConfig
from tests.daemon.conftest import config, run, up, vllm
from tests.faults.proxy import FaultProxy, proxied

FAULTS = 300
INTERVAL_SECONDS = 0.02
TIMEOUT_SECONDS = 0.05
SPARE_FILES = 2
"""A connection of the proxy's own and one of kvwatch's may be open or not as the files are counted."""
LOOKS = 20
"""How often they are counted: on a crowded machine more than one scrape may be under way, but what leaks stays."""
KINDS: tuple[Callable[[FaultProxy], object], ...] = (
    lambda proxy: setattr(proxy, "status", 500),
    lambda proxy: setattr(proxy, "cut_bytes", 100),
    lambda proxy: setattr(proxy, "delay_seconds", 2 * TIMEOUT_SECONDS),
    lambda proxy: setattr(proxy, "rewrite", lambda _: b"\xff\x00" * 5000),
    lambda proxy: setattr(proxy, "rewrite", lambda body: body.replace(b'engine="0"', b'engine="%d"' % proxy.served)),
)


@dataclass(frozen=True)
class Held:
    """What the process has open."""

    tasks: int
    threads: int
    files: int


async def held() -> Held:
    """As it is now, with what was given up gone."""
    gc.collect()
    await asyncio.sleep(0.2)
    files = sum(1 for _ in os.scandir("/proc/self/fd"))
    return Held(len(asyncio.all_tasks()), threading.active_count(), files)


async def test_hundreds_of_failed_scrapes_leave_no_task_thread_or_file() -> None:
    """Refused, cut off, late, garbage and engines of other names in turn; then healthy again."""
    async with vllm() as server, proxied(server.target.base_url) as proxy:
        target = TargetConfig("it", proxy.url)
        wanted = replace(config(target), scrape=ScrapeConfig(INTERVAL_SECONDS, timeout_seconds=TIMEOUT_SECONDS))
        async with run(lambda: wanted) as running:
            await running.until(lambda answer: up(answer) == [True])
            before = await held()
            failures = 0.0
            for fault in cycle(KINDS):
                proxy.heal()
                fault(proxy)
                seen = proxy.served
                async with asyncio.timeout(30):
                    while proxy.served < seen + 10:  # noqa: ASYNC110 - the proxy is another task
                        await asyncio.sleep(INTERVAL_SECONDS)
                failures += 10
                if failures >= FAULTS:
                    break
            proxy.heal()
            await running.until(lambda answer: up(answer) == [True])
            after = await held()
            for _ in range(LOOKS):
                if after.tasks <= before.tasks + 1 and after.files <= before.files + SPARE_FILES:
                    break
                after = await held()
    assert after.tasks <= before.tasks + 1  # a scrape may be under way
    assert after.threads <= before.threads
    assert after.files <= before.files + SPARE_FILES

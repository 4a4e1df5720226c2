"""Eternal tasks come back, and sleeps can be woken."""

from __future__ import annotations

import asyncio
import itertools

from kvwatch.shell.tasks import Backoff, run_forever, sleep, stop_all, ticks
from tests.shell.conftest import running


async def test_a_sleep_can_be_woken() -> None:
    """An hour ends when the event is set, and says so."""
    wake = asyncio.Event()
    asyncio.get_running_loop().call_soon(wake.set)
    assert await sleep(3600, wake) is True


async def test_a_sleep_that_is_not_woken_says_so() -> None:
    """Time that has passed, even negative, is no wake."""
    assert await sleep(0.001, asyncio.Event()) is False
    assert await sleep(-1) is False


def test_back_off_doubles_to_its_last_pause_and_resets() -> None:
    """1, 2, 4, 5, 5 … and 1 again."""
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0


async def test_a_task_that_fails_or_ends_is_reported_and_started_again() -> None:
    """Neither an exception nor a return ends an eternal task."""
    runs = itertools.count()
    faults: list[str] = []
    done = asyncio.Event()

    async def work() -> None:
        match next(runs):
            case 0:
                raise ValueError("a bug")
            case 1:
                return
            case _:
                done.set()
                await asyncio.Event().wait()

    async with running(run_forever("it", work, lambda name, error: faults.append(f"{name}: {error}"), first_pause=0.0)):
        await done.wait()
    assert faults == ["it: a bug", "it: it ended"]


async def test_cancelling_is_no_fault() -> None:
    """Shutdown reports nothing, and stop_all waits for the end."""
    faults: list[str] = []
    task = asyncio.create_task(run_forever("it", asyncio.Event().wait, lambda name, _: faults.append(name)))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await stop_all([task], within=5.0)
    assert task.cancelled()
    assert faults == []


async def test_stop_all_does_not_wait_for_the_stubborn() -> None:
    """A task that ignores its cancellation does not hold up the shutdown."""
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await stop_all([task], within=0.01)
    assert not task.done()
    release.set()
    await task


async def test_ticks_stay_on_their_grid() -> None:
    """Work that takes time does not shift the next tick; ticks that were missed are left out."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    seen = []
    async for _ in ticks(0.02, 0.01):
        seen.append((loop.time() - start - 0.01) / 0.02)
        if len(seen) == 2:
            await asyncio.sleep(0.05)  # two and a half ticks
        if len(seen) == 5:
            break
    whole = [int(tick + 1e-6) for tick in seen]
    assert whole == sorted(set(whole))
    assert whole[2] >= whole[1] + 3

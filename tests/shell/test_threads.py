"""Work for the event loop is done beside it, never in its way."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kvwatch.shell.threads import in_daemon_thread


async def test_work_is_done_in_another_thread_while_the_loop_turns() -> None:
    """The loop can release what the work waits for."""
    release = threading.Event()
    asyncio.get_running_loop().call_soon(release.set)

    def work() -> int:
        assert release.wait(10)
        return threading.get_ident()

    assert await in_daemon_thread(work, "test") != threading.get_ident()


async def test_what_the_work_raises_is_raised_to_who_waits() -> None:
    """A failed run is an exception, not a silence."""

    def work() -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await in_daemon_thread(work, "test")


async def test_who_no_longer_waits_is_not_disturbed() -> None:
    """Cancelled while the work goes on: its result is dropped, and the thread does not hold up the process."""
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(10)
        assert threading.current_thread().daemon
        ended.set()

    task = asyncio.create_task(in_daemon_thread(work, "test"))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert await asyncio.to_thread(ended.wait, 10)

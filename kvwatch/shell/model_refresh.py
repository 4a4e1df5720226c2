"""Runs the embedded engine in the background and gives the core what it says.

A run takes a fraction of a second of CPU, which the event loop must not lose. It is made in a thread that the
process does not wait for at its end, one run at a time however many engines are watched.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from kvwatch.shell.intake import Intake
from kvwatch.shell.tasks import sleep

CHECK_SECONDS = 1.0
_REST_RATIO = 3.0
"""Pause after a run, in times of it: with a thousand engines there is always one due, and scrapes must not be late."""
T = TypeVar("T")


async def keep_refreshing(intake: Intake, clock: Callable[[], float]) -> None:
    """Make the runs that are due, for ever."""
    while True:
        for target, key, run in intake.due_runs(clock()):
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                correction = await in_daemon_thread(run.run)
            except Exception as error:
                intake.model_fault(target, error)
            else:
                intake.correct(target, key, correction)
            await sleep(_REST_RATIO * (loop.time() - began))
        await sleep(CHECK_SECONDS)


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """The result of ``work``, computed in a thread of its own; what it raises is raised here."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def compute() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=compute, name="kvwatch-model", daemon=True).start()
    return await done

"""Runs the embedded engine in the background and gives the core what it says.

A run takes a fraction of a second of CPU, which the event loop must not lose. It is made in a thread that the
process does not wait for at its end, one run at a time however many engines are watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kvwatch.core.fleet import MANY_TARGETS
from kvwatch.shell.intake import Intake
from kvwatch.shell.tasks import sleep
from kvwatch.shell.threads import in_daemon_thread

CHECK_SECONDS = 1.0
MANY_CHECK_SECONDS = 0.1
"""With many targets the core looks at a few of them each time."""
_REST_RATIO, _MANY_REST_RATIO = 3.0, 6.0
"""Pause after a run, in times of it: with a thousand engines there is always one due, and scrapes must not be late."""


async def keep_refreshing(intake: Intake, clock: Callable[[], float]) -> None:
    """Make the runs that are due, for ever."""
    while True:
        for target, key, run in intake.take_due_runs(clock()):
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                correction = await in_daemon_thread(run.run, "kvwatch-model")
            except Exception as error:
                intake.model_fault(target, error)
            else:
                intake.correct(target, key, correction)
            many = len(intake) > MANY_TARGETS
            await sleep((_MANY_REST_RATIO if many else _REST_RATIO) * (loop.time() - began))
        await sleep(MANY_CHECK_SECONDS if len(intake) > MANY_TARGETS else CHECK_SECONDS)

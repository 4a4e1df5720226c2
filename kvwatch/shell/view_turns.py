"""Makes the views of many targets one after another, so that they are at hand when they are asked for.

They take a fixed share of a core: with more targets, or on a slower machine, they come more seldom, and scrapes are
not late for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kvwatch.core.fleet import MANY_TARGETS
from kvwatch.shell.intake import Intake
from kvwatch.shell.tasks import sleep

IDLE_SECONDS = 0.25
"""Pause where none of many targets has been scraped since its view was made."""
FEW_SECONDS = 1.0
"""Pause where targets are so few that views are made when they are asked for: there is nothing to do but to look if
there are more now, and each look wakes the process."""
_REST_RATIO = 5.0
"""Pause after a view, in times of what it took."""


async def keep_viewing(intake: Intake, clock: Callable[[], float]) -> None:
    """Make the next view and rest, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        made = intake.keep_views(clock())
        idle = IDLE_SECONDS if len(intake) > MANY_TARGETS else FEW_SECONDS
        await sleep(_REST_RATIO * (loop.time() - began) if made else idle)

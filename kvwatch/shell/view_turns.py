"""Makes the views of many targets one after another, so that they are at hand when they are asked for.

They take a fixed share of a core: with more targets, or on a slower machine, they come more seldom, and scrapes are
not late for them. Where the process is late all the same, for the machine has no time left, views make way: they take
less and less until scrapes are in time again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kvwatch.core.fleet import MANY_TARGETS
from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.tasks import sleep

IDLE_SECONDS = 0.25
"""Pause where none of many targets has been scraped since its view was made."""
FEW_SECONDS = 1.0
"""Pause where targets are so few that views are made when they are asked for: there is nothing to do but to look if
there are more now, and each look wakes the process."""
REST_RATIO, MOST_REST_RATIO = 5.0, 80.0
"""Pause after a view, in times of what it took, and the longest where scrapes are late: a hundredth of a core."""
LATE_SECONDS = 0.1
"""How late the end of a pause is that shows that scrapes are late: a tenth of their usual interval."""


class Rest:
    """How long views rest, by how late the process was in taking them up again."""

    def __init__(self) -> None:
        self._ratio = REST_RATIO
        self._said = False

    def seconds(self, took: float) -> float:
        """The pause after a view that took so many seconds."""
        return self._ratio * took

    def noted(self, late: float) -> None:
        """Take how late the end of a pause was [s]; say so once when views give all that they can."""
        self._ratio = min(2 * self._ratio, MOST_REST_RATIO) if late > LATE_SECONDS else max(self._ratio / 2, REST_RATIO)
        if self._ratio == MOST_REST_RATIO and not self._said:
            event(logging.WARNING, "estimates_late", reason="the core is full; scrapes go first", late=round(late, 1))
        self._said = self._ratio == MOST_REST_RATIO or (self._said and self._ratio > REST_RATIO)


async def keep_viewing(intake: Intake, clock: Callable[[], float]) -> None:
    """Make the next view and rest, for ever."""
    loop = asyncio.get_running_loop()
    rest = Rest()
    while True:
        began = loop.time()
        made = intake.keep_views(clock())
        now = loop.time()
        many = len(intake) > MANY_TARGETS
        pause = rest.seconds(now - began) if made else IDLE_SECONDS if many else FEW_SECONDS
        await sleep(pause)
        if many:
            rest.noted(loop.time() - now - pause)

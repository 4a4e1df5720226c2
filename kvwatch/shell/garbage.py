"""Keeps collections of cyclic garbage short, however much is known of however many engines.

The interpreter looks through all that lives now and then, which for a thousand engines takes most of a second in which
nothing is scraped. What the estimators hold has no cycles and goes with the last reference to it. So what came in the
last seconds and lives is looked through once and then not again while there is much of it: tens of milliseconds for a
thousand engines, as long for a second's objects as for five seconds', since each scrape's take the place of the last.
"""

from __future__ import annotations

import gc

from kvwatch.shell.tasks import sleep

PERIOD_SECONDS = 5.0
FULL_EVERY = 120
"""Periods from one collection of everything to the next."""
FULL_OBJECTS = 200_000
"""Everything is looked through only while it is fewer objects than this, which takes some tens of milliseconds."""
_BACKSTOP = 100_000
"""Objects more than at the last collection at which the interpreter makes one by itself."""
_NEVER = 1 << 30


def set_aside(period: int) -> None:
    """Collect what came since the last time, and leave out what lives from the next collections."""
    if period % FULL_EVERY == 0 and gc.get_freeze_count() < FULL_OBJECTS:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


async def keep_short() -> None:
    """Do so for ever; the interpreter's own collections of everything are off meanwhile."""
    before = gc.get_threshold()
    gc.set_threshold(_BACKSTOP, _NEVER, _NEVER)
    try:
        period = 0
        while True:
            await sleep(PERIOD_SECONDS)
            period += 1
            set_aside(period)
    finally:
        gc.set_threshold(*before)

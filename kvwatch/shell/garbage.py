"""Keeps collections of cyclic garbage short, however much is known of however many engines.

The interpreter looks through all that lives now and then, which for a thousand engines takes most of a second in which
nothing is scraped. What the estimators hold has no cycles and goes with the last reference to it. So what came in the
last seconds and lives is looked through once and then not again while there is much of it: tens of milliseconds for a
thousand engines, as long for a second's objects as for five seconds', since each scrape's take the place of the last.

What is freed between two blocks that live stays with the process, as the C library gives back only what is free at the
end of its heap: minutes of faults would leave it a third larger for ever. So it is asked to give that back too.
"""

from __future__ import annotations

import ctypes
import gc
import sys

from kvwatch.shell.tasks import sleep

PERIOD_SECONDS = 5.0
FULL_EVERY = 120
"""Periods from one collection of everything to the next."""
FULL_OBJECTS = 200_000
"""Everything is looked through only while it is fewer objects than this, which takes some tens of milliseconds."""
GIVE_BACK_EVERY = 12
"""Periods from one time that free memory is given back to the next: a minute. With 430 MB it takes 20 ms."""
_BACKSTOP = 100_000
"""Objects more than at the last collection at which the interpreter makes one by itself."""
_NEVER = 1 << 30


def set_aside(period: int) -> None:
    """Collect what came since the last time, and leave out what lives from the next collections."""
    if period % FULL_EVERY == 0 and gc.get_freeze_count() < FULL_OBJECTS:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Give memory that is free back to the system, where the C library is one that can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


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
            if not period % GIVE_BACK_EVERY:
                give_back()
    finally:
        gc.set_threshold(*before)

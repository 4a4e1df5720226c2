"""Tasks that never end by themselves, and sleeps that can be woken.

An eternal task that ends, with or without an exception, is a fault: it is reported, and the task is started
again after a pause that doubles while the faults go on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable


async def sleep(seconds: float, wake: asyncio.Event | None = None) -> bool:
    """Sleep, or until ``wake`` is set; true when woken. A woken event is left set."""
    if wake is None:
        await asyncio.sleep(max(0.0, seconds))
        return False
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await wake.wait()
    except TimeoutError:
        return False
    return True


async def ticks(interval_seconds: float, phase_seconds: float = 0.0) -> AsyncIterator[None]:
    """Wake on a steady grid that begins ``phase_seconds`` from now; ticks missed meanwhile are left out."""
    loop = asyncio.get_running_loop()
    start = loop.time() + phase_seconds
    tick = 0
    while True:
        await sleep(start + tick * interval_seconds - loop.time())
        yield
        tick = max(tick + 1, math.ceil((loop.time() - start) / interval_seconds))


class Backoff:
    """Pauses that double from ``first`` to ``last`` seconds until they are reset."""

    def __init__(self, first: float = 1.0, last: float = 60.0) -> None:
        self._first, self._last = first, last
        self._next = first

    def next(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause = self._next
        self._next = min(self._last, pause * 2)
        return pause

    def reset(self) -> None:
        """Begin again with the first pause."""
        self._next = self._first


async def run_forever(
    name: str,
    work: Callable[[], Awaitable[None]],
    on_fault: Callable[[str, Exception], None],
    *,
    first_pause: float = 1.0,
    healthy_after: float = 60.0,
) -> None:
    """Keep ``work`` running until cancelled; ``on_fault`` gets the name and the reason each time it ends.

    Work that ran for ``healthy_after`` seconds before it failed starts the back-off anew.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(first_pause)
    while True:
        started = loop.time()
        try:
            await work()
            fault: Exception = RuntimeError(f"{name} ended")
        except Exception as error:
            fault = error
        on_fault(name, fault)
        if loop.time() - started > healthy_after:
            backoff.reset()
        await sleep(backoff.next())


async def stop_all(tasks: list[asyncio.Task[None]], *, within: float) -> None:
    """Cancel tasks and wait for their end, at most ``within`` seconds."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=within)

"""A thread for work that may wait on a disk, so that the event loop does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from kvwatch.shell.threads import handed_over

T = TypeVar("T")


class Worker:
    """Does one piece of work after the other; the process does not wait for it at its end."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def do(self, work: Callable[[], T]) -> T:
        """The result of ``work``; what it raises is raised here."""
        done, compute = handed_over(work)
        self._work.put(compute)
        return await done

    def stop(self, last: Callable[[], None] = lambda: None) -> None:
        """End the thread after what it does now, and after ``last``."""
        self._work.put(last)
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

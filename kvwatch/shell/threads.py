"""Work in other threads for the event loop, which the process does not wait for at its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def handed_over(work: Callable[[], T]) -> tuple[asyncio.Future[T], Callable[[], None]]:
    """The future result of ``work``, and what computes it: to be called once, in any thread.

    What ``work`` raises is raised where the future is awaited. To be called where an event loop runs.
    """
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

    return done, compute


async def in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """The result of ``work``, computed in a thread of its own; what it raises is raised here."""
    done, compute = handed_over(work)
    threading.Thread(target=compute, name=name, daemon=True).start()
    return await done

"""The daemon as a process: which signals end it and which reload its configuration."""

from __future__ import annotations

import asyncio
import gc
import signal

from kvwatch.daemon.running import Daemon
from kvwatch.shell.garbage import keep_short


async def serve(daemon: Daemon) -> None:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP reloads its configuration."""
    # What the imports made lives as long as the process: looking through it costs collections their time, and the
    # interpreter most of a second at its end.
    gc.freeze()
    keeping = asyncio.create_task(keep_short())
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, daemon.reload)
    try:
        await daemon.run(stop_on_signal())
    finally:
        keeping.cancel()


def stop_on_signal() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop

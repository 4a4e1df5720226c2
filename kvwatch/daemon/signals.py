"""The daemon as a process: which signals end it and which reload its configuration."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal

from kvwatch.daemon.running import Daemon
from kvwatch.shell.garbage import keep_short


async def serve(daemon: Daemon, *, reload: bool = False) -> None:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP reloads its configuration, and did so before with ``reload``."""
    # What the imports made lives as long as the process: looking through it costs collections their time, and the
    # interpreter most of a second at its end.
    gc.freeze()
    raise_open_files()
    keeping = asyncio.create_task(keep_short())
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, daemon.reload)
    if reload:
        daemon.reload()
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


def raise_open_files() -> None:
    """Allow as many open files as the system lets the process have: each target, client and log needs one.

    The lower limit that a process begins with is for programs that use select(2), which this one does not.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # one that may not be raised stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

"""``kvwatch record``: one target, its client and a writer, put together."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from kvwatch.config import TargetConfig, ValidatedConfig
from kvwatch.daemon.parts import configured_settings, scrape_target
from kvwatch.daemon.signals import stop_on_signal
from kvwatch.shell.clock import SteadyClock
from kvwatch.shell.recordings.recorder import Recorder, RecordingSummary, RecordingWriter
from kvwatch.shell.scrape.client import Client, new_session
from kvwatch.shell.tasks import stop_all

_STOP_SECONDS = 0.5
"""Longest wait for the recorder's task to end. Choice: long enough for a write, short beside a pod's grace period."""


async def record(
    target_config: TargetConfig, config: ValidatedConfig, folder: Path, duration_seconds: float | None
) -> RecordingSummary:
    """Write a target's scrapes to ``folder`` until a signal or the end of ``duration_seconds``.

    Raises:
        RecordingExistsError: the folder holds a recording already.
        OSError: the folder cannot be written.
    """
    stop = stop_on_signal()
    if duration_seconds is not None:
        asyncio.get_running_loop().call_later(duration_seconds, stop.set)
    target = scrape_target(target_config, config)
    async with new_session() as session:
        with RecordingWriter(folder) as writer:
            recorder = Recorder(target, Client(session, target), writer, SteadyClock(time.time, time.monotonic))
            task = asyncio.create_task(recorder.run(configured_settings(target_config)))
            await asyncio.wait([task, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            await stop_all([task], within=_STOP_SECONDS)
            return recorder.summary

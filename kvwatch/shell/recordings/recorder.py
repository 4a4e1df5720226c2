"""Writes a recording: one JSON object a line, gzipped so that a killed recorder leaves a readable file.

The file is a row of gzip members. Each line is flushed to the operating system as it is written, and a new
member begins every :data:`LINES_PER_MEMBER` lines, so that what was written before a kill can be read, and
damage in the middle costs one member.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import orjson

from kvwatch.core.settings.weigh import Measured, weigh
from kvwatch.facts import Settings
from kvwatch.shell.logging import event
from kvwatch.shell.scrape.client import Client, FetchError, Target
from kvwatch.shell.settings.looking import look, looks
from kvwatch.shell.tasks import ticks

SCRAPES_NAME = "scrapes.jsonl.gz"
SETTINGS_NAME = "settings.json"
LINES_PER_MEMBER = 60
_GZIP = 31


class RecordingExistsError(Exception):
    """The folder already holds a recording, which is never overwritten."""


class RecordingWriter:
    """Appends scrapes to ``folder/scrapes.jsonl.gz``, which must not exist.

    Raises:
        RecordingExistsError: the folder holds one already.
        OSError: the folder or file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        try:
            self._file: BinaryIO = (folder / SCRAPES_NAME).open("xb")
        except FileExistsError:
            raise RecordingExistsError(f"{folder / SCRAPES_NAME} exists; choose another folder") from None
        self._member = zlib.compressobj(wbits=_GZIP)
        self._lines = 0
        self._settings = Settings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scrape(self, at: float, body: bytes) -> None:
        """Write a good scrape: its time [unix s] and the exposition as it came."""
        self._write({"t": round(at, 4), "text": body.decode("utf-8", errors="replace")})

    def failure(self, at: float, reason: str, detail: str) -> None:
        """Write a scrape that brought nothing."""
        self._write({"t": round(at, 4), "error": f"{reason}: {detail}"})

    def settings(self, settings: Settings) -> None:
        """Write ``settings.json`` with what is known, if that has changed."""
        if settings == self._settings:
            return
        self._settings = settings
        known = {
            key: getattr(settings, key)
            for key in ("max_num_seqs", "max_num_batched_tokens", "max_model_len")
            if getattr(settings, key) is not None
        }
        partial = self._folder / (SETTINGS_NAME + ".partial")
        partial.write_bytes(orjson.dumps(known) + b"\n")
        partial.replace(self._folder / SETTINGS_NAME)

    def close(self) -> None:
        """End the last member and close the file."""
        if not self._file.closed:
            self._file.write(self._member.flush())
            self._file.close()

    def _write(self, line: Mapping[str, object]) -> None:
        data = self._member.compress(orjson.dumps(line) + b"\n")
        self._lines += 1
        if self._lines % LINES_PER_MEMBER:
            data += self._member.flush(zlib.Z_SYNC_FLUSH)
        else:
            data += self._member.flush()
            self._member = zlib.compressobj(wbits=_GZIP)
        self._file.write(data)
        self._file.flush()


@dataclass(slots=True)
class RecordingSummary:
    """What a recording holds."""

    scrapes: int = 0
    failures: int = 0


class Recorder:
    """Reads one target on a steady grid and writes what comes, good or bad. ``clock`` gives unix seconds."""

    def __init__(self, target: Target, client: Client, writer: RecordingWriter, clock: Callable[[], float]) -> None:
        self._target = target
        self._client = client
        self._writer = writer
        self._clock = clock
        self._failing = ""
        self.summary = RecordingSummary()

    async def run(self, configured: Settings) -> None:
        """Record for ever; settings.json gets the best that is ``configured`` or found.

        Raises:
            OSError: the recording cannot be written.
        """
        self._writer.settings(configured)
        async for _ in ticks(self._target.interval_seconds):
            if not await self._scrape():
                self.summary.failures += 1
                continue
            self.summary.scrapes += 1
            if self.summary.scrapes == 1:
                found = await look(looks(self._client, self._target))
                reports = {settings.source: settings for settings in (configured, *found)}
                self._writer.settings(weigh(reports, Measured()).settings)

    async def _scrape(self) -> bool:
        began = self._clock()
        body = bytearray()
        try:
            answer = await self._client.get(self._target.metrics_path, body.extend)
        except FetchError as error:
            self._writer.failure(began, error.reason, error.detail)
            if error.reason != self._failing:
                event(
                    logging.WARNING, "target_down", target=self._target.name, reason=error.reason, detail=error.detail
                )
            self._failing = error.reason
            return False
        self._writer.scrape(began + answer.duration_seconds / 2, bytes(body))
        if self._failing:
            event(logging.INFO, "target_up", target=self._target.name)
        self._failing = ""
        return True

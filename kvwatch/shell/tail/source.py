"""The next lines of one source, whatever has become of its files.

Runs in a thread of its own. A file that has lost its name is read to its end before the one that took the name, and
looked at for :data:`GRACE_SECONDS` more: who writes to it may not know yet. Where a file is found truncated, what had
not been read of it is sought in the copy that a rotation has made before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kvwatch.facts import Settings
from kvwatch.parse.logs import LocalTime, LogReader, Reading, Sample
from kvwatch.parse.logs.results import TOO_LONG
from kvwatch.shell.logging import event
from kvwatch.shell.tail.file import TailedFile, TailedPipe
from kvwatch.shell.tail.finder import Finder, SourceSettings
from kvwatch.shell.tail.positions import Key, Mark, Marks
from kvwatch.shell.tail.start_up import start_up_lines

GRACE_SECONDS = 5.0
FAST_SECONDS = 10.0
"""For so long after a rotation the log is looked at more often. Choice: some intervals that are hard to follow."""
_MAX_RETIRED = 100
_TURNS = 32
"""Chunks of one file before another has its turn."""


@dataclass(slots=True)
class Batch:
    """What a chunk came to, and the positions that hold once it has been taken."""

    path: str = ""
    reading: Reading = field(default_factory=Reading)
    marks: dict[Key, Mark | None] = field(default_factory=dict)


class LogSource:
    """Reads one source. ``clock`` gives unix seconds, ``monotonic`` never goes back."""

    def __init__(
        self,
        settings: SourceSettings,
        marks: Marks | None,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._clock, self._monotonic = clock, monotonic
        self._finder = Finder(settings, marks, monotonic)
        self._round: Iterator[Batch] | None = None

    def step(self) -> Batch | None:
        """The next batch, or ``None`` at the end of a round over all files; the step after begins another."""
        if self._round is None:
            self._finder.look()
            self._round = self._read_all()
        batch = next(self._round, None)
        if batch is None:
            self._round = None
            if not self._finder.changes:
                return None
            batch = Batch()
        batch.marks, self._finder.changes = self._finder.changes, {}
        return batch

    def rotates_fast(self) -> bool:
        """Whether the log was rotated a moment ago, so that the next time may be soon."""
        return self._monotonic() - self._finder.rotated_at < FAST_SECONDS

    def close(self) -> None:
        """Let go of all files."""
        for file in self._finder.files.values():
            file.close()
        for pipe in self._finder.pipes.values():
            pipe.close()

    def _read_all(self) -> Iterator[Batch]:
        """One round over all files."""
        if self._settings.format.name == "vllm":
            yield from self._start_up_lines()
        retired = [(file.retired_at, key) for key, file in self._finder.files.items() if file.retired_at is not None]
        for _, key in sorted(retired):
            while (batch := self._next(self._finder.files.get(key))) is not None:
                yield batch
        for file in [file for file in self._finder.files.values() if file.retired_at is None]:
            yield from self._rest_of_truncated(file)
        busy = [key for key, file in self._finder.files.items() if file.retired_at is None]
        while busy:
            for key in list(busy):
                for _ in range(_TURNS):
                    batch = self._next(self._finder.files.get(key))
                    if batch is None:
                        busy.remove(key)
                        break
                    yield batch
        for pipe in list(self._finder.pipes.values()):
            yield from self._read_pipe(pipe)
        yield from self._let_go()

    def _next(self, file: TailedFile | None) -> Batch | None:
        """The next chunk of a file; ``None`` where there is none now."""
        if file is None:
            return None
        try:
            chunk = file.read()
            if chunk is None and not file.overlong:
                return None
            return self._batch(file, chunk)
        except OSError as error:
            self._finder.problem(file.path, error)
            self._finder.drop(file, resume=True)
            return None

    def _batch(self, file: TailedFile, chunk: bytes | None) -> Batch:
        reading = Reading()
        if chunk:
            reading = file.reader.read(chunk, self._local())
            file.advance(len(chunk), reading.unfinished_bytes)
        self._finder.changes[file.mark.key] = file.mark
        if file.retired_at is not None:
            file.retired_at = self._monotonic()
        return _with_overlong(file, reading)

    def _start_up_lines(self) -> Iterator[Batch]:
        """What a server told when it last started, from files that are not read from there."""
        for file in self._finder.begun_at_end():
            for lines in start_up_lines(file.path, file.mark.offset):
                found = LogReader(self._settings.format).read(lines, self._local()).facts
                settings = [fact for fact in found if isinstance(fact, Settings)]
                if settings:
                    yield Batch(str(file.path), Reading(facts=[settings[-1]]))
                    break

    def _rest_of_truncated(self, file: TailedFile) -> Iterator[Batch]:
        """Where a file has been truncated, the rest of its former content; then it is begun anew."""
        try:
            if not file.was_rewritten():
                return
            mark, reader = file.mark, file.reader
            file.rewind(LogReader(self._settings.format))
        except OSError as error:
            self._finder.problem(file.path, error)
            self._finder.drop(file, resume=True)
            return
        self._finder.changes[file.mark.key] = file.mark
        rest = self._finder.follow_rest(mark, reader)
        event(logging.INFO, "log_truncated", path=str(file.path), rest_in=str(rest.path) if rest else None)
        while (batch := self._next(rest)) is not None:
            yield batch

    def _read_pipe(self, pipe: TailedPipe) -> Iterator[Batch]:
        for _ in range(_TURNS):
            try:
                chunk = pipe.read()
            except OSError as error:
                self._finder.problem(pipe.path, error)
                return
            if chunk is None:
                break
            yield _with_overlong(pipe, pipe.reader.read(chunk, self._local()))
        if pipe.overlong:
            yield _with_overlong(pipe, Reading())

    def _let_go(self) -> Iterator[Batch]:
        """Close the files without a name that nobody has written to for a while."""
        retired = sorted(
            (file.retired_at, key) for key, file in self._finder.files.items() if file.retired_at is not None
        )
        for index, (since, key) in enumerate(retired):
            if self._monotonic() - since < GRACE_SECONDS and len(retired) - index <= _MAX_RETIRED:
                continue
            file = self._finder.files[key]
            rest = file.last_line()
            if rest is not None or file.overlong:
                yield self._batch(file, rest)
            event(logging.INFO, "log_finished", path=str(file.path), offset_bytes=file.mark.offset)
            self._finder.drop(file)

    def _local(self) -> LocalTime:
        return LocalTime(self._clock(), self._settings.utc_offset)


def _with_overlong(file: TailedFile | TailedPipe, reading: Reading) -> Batch:
    """A batch that also counts the lines that were too long to be read."""
    for _ in range(file.overlong):
        reading.reject(TOO_LONG, Sample(0, 0))
    file.overlong = 0
    return Batch(str(file.path), reading)

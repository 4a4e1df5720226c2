"""One open file, read in pieces of whole lines."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from kvwatch.parse.logs import LogReader
from kvwatch.parse.logs.wrappers import MAX_LINE_BYTES
from kvwatch.shell.tail.positions import HEAD_BYTES, Mark, continues, mark_at

CHUNK_BYTES = 32 * 1024
"""Most that is read at a time, but for a longer line: what follows from it is given to the core at a stroke."""
_SKIP_BYTES = 16 << 20
"""Most that is passed over at a time."""


class TailedFile:
    """A regular file, from an offset on. ``reader`` keeps what joins its chunks."""

    def __init__(self, path: Path, descriptor: int, reader: LogReader, mark: Mark) -> None:
        self.path = path
        self.reader = reader
        self.mark = mark
        self.retired_at: float | None = None
        self.overlong = 0
        self._descriptor = descriptor
        self._settled_size = -1

    def prime(self) -> None:
        """Give a new reader the pieces of the line that was unfinished at the mark."""
        if 0 < self.mark.unfinished <= self.mark.offset:
            start = self.mark.offset - self.mark.unfinished
            self.reader.prime(os.pread(self._descriptor, self.mark.unfinished, start))

    def has_beginning_of(self, descriptor: int) -> bool:
        """Whether all that another open file holds, which is little, is this one's beginning."""
        content = os.pread(descriptor, HEAD_BYTES, 0)
        return os.pread(self._descriptor, len(content), 0) == content

    def was_rewritten(self) -> bool:
        """Whether it no longer holds what was read of it: truncated, and perhaps written anew."""
        return not continues(self._descriptor, self.mark)

    def rewind(self, reader: LogReader) -> None:
        """Begin anew after a truncation."""
        self.reader, self._settled_size = reader, -1
        self.mark = mark_at(self._descriptor, 0)

    def read(self) -> bytes | None:
        """The next whole lines, or ``None`` where there are none yet. What is skipped is counted in ``overlong``.

        Empty where much was passed over and more may follow.

        Raises:
            OSError: the file cannot be read.
        """
        size = os.fstat(self._descriptor).st_size
        if size == self._settled_size:
            return None
        until = self.mark.offset + _SKIP_BYTES
        while data := os.pread(self._descriptor, CHUNK_BYTES, self.mark.offset):
            if self.mark.skipping or data[:1] == b"\0":
                if self.mark.offset >= until:
                    return b""
                if self.mark.skipping:
                    self._skip(data)
                else:
                    self._pass_over_hole(data)
                continue
            end = data.rfind(b"\n")
            if end < 0:
                if len(data) == CHUNK_BYTES:
                    data = os.pread(self._descriptor, MAX_LINE_BYTES + 1, self.mark.offset)
                    end = data.find(b"\n")
                if end < 0 and len(data) > MAX_LINE_BYTES:
                    self.mark = replace(self.mark, skipping=True)
                    continue
            if end < 0:
                break
            return data[: end + 1]
        self._settled_size = size
        return None

    def last_line(self) -> bytes | None:
        """What is left without a line feed, of a file that nobody will write to any more."""
        if self.mark.skipping:
            self.overlong += 1
            return None
        return os.pread(self._descriptor, MAX_LINE_BYTES, self.mark.offset) or None

    def advance(self, length: int, unfinished: int) -> None:
        """Go past ``length`` bytes that have been read."""
        moved = mark_at(self._descriptor, self.mark.offset + length, self.mark)
        self.mark = replace(moved, unfinished=unfinished)

    def _pass_over_hole(self, data: bytes) -> None:
        """Zeros before a line: who does not open a log for appending leaves a hole where it was truncated."""
        offset = self.mark.offset + len(data) - len(data.lstrip(b"\0"))
        with contextlib.suppress(OSError):  # not every file system knows its holes
            offset = max(offset, os.lseek(self._descriptor, self.mark.offset, os.SEEK_DATA))
        self.mark = mark_at(self._descriptor, offset, self.mark)

    def _skip(self, data: bytes) -> None:
        end = data.find(b"\n")
        moved = mark_at(self._descriptor, self.mark.offset + (end + 1 if end >= 0 else len(data)), self.mark)
        self.mark = replace(moved, skipping=end < 0)
        self.overlong += end >= 0

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class TailedPipe:
    """A named pipe. What was read of it is gone, so it has no position, and none survives a restart."""

    def __init__(self, path: Path, descriptor: int, reader: LogReader) -> None:
        self.path = path
        self.reader = reader
        self.overlong = 0
        self._descriptor = descriptor
        self._pending = bytearray()
        self._skipping = False

    def read(self) -> bytes | None:
        """The next whole lines, or ``None`` where there are none yet.

        Empty where much was passed over and more may follow.

        Raises:
            OSError: the pipe cannot be read.
        """
        for _ in range(_SKIP_BYTES // CHUNK_BYTES):
            try:
                data = os.read(self._descriptor, CHUNK_BYTES)
            except BlockingIOError:
                return None
            if not data:
                return None  # nobody writes to it now
            if self._skipping:
                _, found, data = data.partition(b"\n")
                self._skipping = not found
                self.overlong += bool(found)
            self._pending += data
            end = self._pending.rfind(b"\n")
            if end >= 0:
                lines = bytes(self._pending[: end + 1])
                del self._pending[: end + 1]
                return lines
            if len(self._pending) > MAX_LINE_BYTES:
                self._pending.clear()
                self._skipping = True
        return b""

    def close(self) -> None:
        """Let go of the pipe."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

"""Where, in a log of vLLM that is followed from its end, the server told its settings when it last started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

LINES_BYTES = 256 * 1024
"""Start-up lines that tell settings are among the first ones."""
_BACK_BYTES = 256 << 20
_BLOCK_BYTES = 1 << 20
_MAX_PLACES = 20
_STARTS = (b"non-default args: ", b"args: Namespace(")


def start_up_lines(path: Path, end: int) -> Iterator[bytes]:
    """Lines that may be a server's first, the latest before ``end`` first, and the beginning of the file last.

    A line may hold the words of a first one without being it, in a prompt for example: whoever reads it decides.
    Nothing for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            for place in _places(file.fileno(), end):
                yield os.pread(file.fileno(), min(LINES_BYTES, end - place), place)
    except OSError:
        return


def _places(descriptor: int, end: int) -> Iterator[int]:
    overlap = max(map(len, _STARTS))
    found = 0
    stop = end
    while stop > max(0, end - _BACK_BYTES) and found < _MAX_PLACES:
        start = max(0, stop - _BLOCK_BYTES)
        block = os.pread(descriptor, min(stop + overlap, end) - start, start)
        limit = len(block)
        while found < _MAX_PLACES and (at := max(block.rfind(words, 0, limit) for words in _STARTS)) >= 0:
            found += 1
            limit = at
            yield _line_begin(descriptor, start + at)
        stop = start
    yield 0


def _line_begin(descriptor: int, at: int) -> int:
    before = max(0, at - LINES_BYTES)
    return before + os.pread(descriptor, at - before, before).rfind(b"\n") + 1

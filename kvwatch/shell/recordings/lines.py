"""Lines of a file that may be gzipped, cut off or damaged: what can be read is read, the rest is reported.

Memory is bounded by the longest line allowed; a longer one is skipped and reported.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

MAX_LINE_BYTES = 64 * 1024 * 1024
_READ_BYTES = 256 * 1024
_MEMBER_MAGIC = b"\x1f\x8b\x08"

Report = Callable[[str], None]
"""Told in words about each damage."""


def read_lines(path: Path, report: Report) -> Iterator[tuple[int, bytes]]:
    """(line number, line without its end) of a plain or gzipped file, empty lines left out.

    Raises:
        OSError: the file cannot be opened or read.
    """
    with path.open("rb") as file:
        start = file.read(len(_MEMBER_MAGIC))
        file.seek(0)
        chunks = iter(lambda: file.read(_READ_BYTES), b"")
        yield from _split(_inflate(chunks, path.name, report) if start == _MEMBER_MAGIC else chunks, path.name, report)


def _inflate(chunks: Iterator[bytes], name: str, report: Report) -> Iterator[bytes]:
    """The content of a row of gzip members; after damage, reading goes on at the next member that can be found."""
    member = zlib.decompressobj(wbits=31)
    begun = False  # whether the current member has had a byte
    pending = b""
    for chunk in chunks:
        pending += chunk
        while pending:
            try:
                data = member.decompress(pending, _READ_BYTES)
            except zlib.error:
                report(f"{name}: damaged compressed data; going on at the next readable part")
                next_member = pending.find(_MEMBER_MAGIC, 1)
                keep = pending[-len(_MEMBER_MAGIC) + 1 :]
                pending = pending[next_member:] if next_member >= 0 else b""
                member, begun = zlib.decompressobj(wbits=31), False
                if next_member < 0:
                    pending = _seek_member(chunks, keep)
                yield b"\n"  # the line that the damage cut is no part of the next one
                continue
            begun = True
            yield data
            pending = member.unconsumed_tail
            if member.eof:
                pending = member.unused_data
                member, begun = zlib.decompressobj(wbits=31), False
            elif not pending:
                break
    if begun:
        yield member.flush()
        report(f"{name}: the file is cut off; its last scrapes may be missing")


def _seek_member(chunks: Iterator[bytes], keep: bytes) -> bytes:
    """The bytes from the next member's beginning on, empty at the end of the file."""
    for chunk in chunks:
        window = keep + chunk
        found = window.find(_MEMBER_MAGIC)
        if found >= 0:
            return window[found:]
        keep = window[-len(_MEMBER_MAGIC) + 1 :]
    return b""


def _split(chunks: Iterator[bytes], name: str, report: Report) -> Iterator[tuple[int, bytes]]:
    number = 0
    partial = bytearray()
    skipping = False
    for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            number += 1
            line = bytes(partial) + piece
            partial.clear()
            if skipping:
                skipping = False
                report(f"{name}:{number}: longer than {MAX_LINE_BYTES} bytes; skipped")
            elif line.strip():
                yield number, line
        if not skipping:
            partial += rest
            if len(partial) > MAX_LINE_BYTES:
                partial.clear()
                skipping = True
    if partial.strip() and not skipping:
        yield number + 1, bytes(partial)

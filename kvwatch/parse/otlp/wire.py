"""The outer frames of an OTLP export in protobuf, walked without decoding what is inside.

A few megabytes can hold millions of empty spans, each of which costs a decoder a hundred times its two bytes. So an
export is cut into pieces of bounded size first, at the borders of spans, and decoded one piece at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

PIECE_BYTES = 64 * 1024
_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}
_MAX_VARINT_BYTES = 10


class WireError(ValueError):
    """The bytes are not protobuf, or not of this shape."""


def next_field(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The field that begins at ``at``: its number, where its content begins, and where it ends.

    The number is 0 for a field that is not length-delimited, and so none of interest here.

    Raises:
        WireError: it is damaged or reaches beyond ``end``.
    """
    tag = data[at]
    at += 1
    if tag > 0x7F:
        tag, at = _varint(data, at - 1, end)
    kind, number = tag & 7, tag >> 3
    if kind == _LENGTH_DELIMITED and number:
        if at >= end:
            raise WireError("cut off")
        length = data[at]
        at += 1
        if length > 0x7F:
            length, at = _varint(data, at - 1, end)
        stop = at + length
    elif kind == 0 and number:
        number, stop = 0, _varint(data, at, end)[1]
    elif kind in _FIXED and number:
        number, stop = 0, at + _FIXED[kind]
    else:
        raise WireError("no such field")
    if stop > end:
        raise WireError("cut off")
    return number, at, stop


def fields(data: bytes, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Where the contents of each field of that number begin and end, one (0, 0) for every other field.

    Raises:
        WireError: as :func:`next_field`.
    """
    at = start
    while at < end:
        found, content, at = next_field(data, at, end)
        yield (content, at) if found == number else (0, 0)


def pieces(data: bytes, start: int, end: int, number: int, limit: int) -> Iterator[tuple[bytes, int]]:
    """The message in ``data[start:end]`` as messages of about ``PIECE_BYTES``, each with its count of fields.

    A field of more than ``limit`` bytes is left out: for one of that number comes an empty piece, with the count 1.

    Raises:
        WireError: as :func:`next_field`.
    """
    at = begin = start
    count = 0
    while at < end:
        before = at
        found, _, at = next_field(data, at, end)
        count += 1
        if at - before > limit:
            if begin < before:
                yield data[begin:before], count - 1
            if found == number:
                yield b"", 1
            begin, count = at, 0
        elif at - begin >= PIECE_BYTES:
            yield data[begin:at], count
            begin, count = at, 0
    if begin < end:
        yield data[begin:end], count


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if at + index >= end:
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise WireError("a number without an end")

r"""Takes off what container runtimes put around a line: Kubernetes' CRI format and Docker's JSON.

CRI (containerd, CRI-O): ``<RFC 3339 time> <stdout|stderr> <P|F> <text>``, where P is a piece of a longer line and F its
last piece. Docker's json-file driver: ``{"log": "<text>\n", "stream": …, "time": …}``, where a piece of a longer line
lacks the line feed. Both name the time of writing in UTC, which vLLM's own stamps do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from kvwatch.parse.logs.moments import LocalTime, from_text

MAX_LINE_BYTES = 1 << 20
"""Longest line, joined from its pieces, that is looked at."""

_CRI = re.compile(
    rb"(\d{4}-\d\d-\d\dT[0-9:.]{8,18}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF])(?::[^ ]*)?(?: |\Z)", re.ASCII
)
_DOCKER = (b'{"log":"', b'{"log": "')
_MAX_PIECES = 4096
_MAX_UNFINISHED_BYTES = 2 << 20


class _DockerLine(msgspec.Struct):
    log: str
    stream: str
    time: str


_docker_line = msgspec.json.Decoder(_DockerLine).decode
_NO_ZONE = LocalTime()


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A whole line and the runtime's time of writing [unix s], ``None`` where there is no runtime.

    ``text`` is ``None`` where the pieces came to more than :data:`MAX_LINE_BYTES` and were dropped.
    """

    text: bytes | None
    at: float | None


@dataclass(slots=True)
class _Pieces:
    begun_at: int
    parts: list[bytes] = field(default_factory=list)
    length: int = 0
    overlong: bool = False


def begins_wrapped(chunk: bytes) -> bool:
    """Whether the first line of a chunk looks like one of a container runtime."""
    return chunk.startswith(_DOCKER) or _CRI.match(chunk) is not None


def may_be_wrapped(chunk: bytes) -> bool:
    """Whether any line of a chunk might be one of a container runtime."""
    return b'{"log":' in chunk or b" stdout " in chunk or b" stderr " in chunk


class Unwrapper:
    """Peels the lines of one file, one after the other, and joins those that were split."""

    def __init__(self) -> None:
        self._open: dict[bytes, _Pieces] = {}
        self._read_bytes = 0

    @property
    def unfinished_bytes(self) -> int:
        """Bytes from the first piece of the oldest unfinished line to the end of what was read; 0 where none is open.

        Fed that much again, a new unwrapper has the same pieces.
        """
        begun = min((p.begun_at for p in self._open.values() if not p.overlong), default=self._read_bytes)
        return self._read_bytes - begun

    def lines(self, chunk: bytes) -> Iterator[Unwrapped]:
        """The whole lines that end in ``chunk``, which holds complete lines of the file; empty ones are left out."""
        if not self._open:
            self._read_bytes = 0
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield from self._peel(line, len(line) + 1)
        if rest:
            yield from self._peel(rest, len(rest))
        for stream in [s for s, p in self._open.items() if self._read_bytes - p.begun_at > _MAX_UNFINISHED_BYTES]:
            del self._open[stream]  # its end is not to be expected any more

    def _peel(self, line: bytes, length: int) -> Iterator[Unwrapped]:
        begun_at = self._read_bytes
        self._read_bytes += length
        whole = self._whole(line.rstrip(b"\r"), begun_at)
        if whole is not None and (whole.text is None or whole.text.strip()):
            yield whole

    def _whole(self, line: bytes, begun_at: int) -> Unwrapped | None:
        match = _CRI.match(line)
        if match is not None:
            at = from_text(match[1].decode("ascii"), _NO_ZONE)
            return self._piece(match[2], line[match.end() :], at, begun_at, last=match[3] == b"F")
        if line.startswith(_DOCKER):
            try:
                found = _docker_line(line)
            except (msgspec.DecodeError, ValueError, RecursionError):
                return Unwrapped(line, None)
            text = found.log.encode("utf-8", "replace")
            at = from_text(found.time, _NO_ZONE)
            stream = b"stderr" if found.stream == "stderr" else b"stdout"
            return self._piece(stream, text.removesuffix(b"\n"), at, begun_at, last=text.endswith(b"\n"))
        return Unwrapped(line, None)

    def _piece(self, stream: bytes, text: bytes, at: float | None, begun_at: int, *, last: bool) -> Unwrapped | None:
        pieces = self._open.get(stream)
        if pieces is None:
            if last:
                return Unwrapped(text, at)
            pieces = self._open[stream] = _Pieces(begun_at)
        pieces.length += len(text)
        pieces.parts.append(text)
        if pieces.length > MAX_LINE_BYTES or len(pieces.parts) > _MAX_PIECES:
            pieces.overlong = True
            pieces.parts.clear()
        if not last:
            return None
        del self._open[stream]
        return Unwrapped(None if pieces.overlong else b"".join(pieces.parts), at)

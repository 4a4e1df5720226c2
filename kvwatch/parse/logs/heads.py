"""What stands before the message in a line of vLLM's log: a level, a stamp and a place, and whatever is put in front.

vLLM's own logger writes ``(APIServer pid=1) INFO 11-22 01:44:37 [loggers.py:199] message``. In front of that may be
anything: ``VLLM_LOGGING_PREFIX``, the names of ``docker compose logs``, stamps of ``kubectl logs --timestamps`` and of
journald, Ray's actors. As JSON the same is an object, vLLM's own (from 0.31 on) or that of a program that passes lines
on, whose text may then be a whole line in turn.

What a client sends must not pass for a line of the engine. It stands behind a head or within quotes, so the first head
of a line counts, and none that a quote is before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from kvwatch.parse.logs.moments import LocalTime, from_text, moment

_ANSI = re.compile(rb"\x1b\[[0-9;]*m")
_HEAD = (
    rb"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) "
    rb"((\d\d)-(\d\d) (\d\d):(\d\d):(\d\d))(?:\.\d+)? \[[^\]]{1,120}\] "
)
_USUAL = re.compile(rb"(\([A-Za-z][\w .-]{0,40} pid=\d+\) )?" + _HEAD, re.ASCII)
_FRONTED = re.compile(rb"([^'\"]{0,300}?)" + _HEAD, re.ASCII)
_JSON_FRONT = re.compile(rb"[^'\"{]{0,300}(?=\{\s{0,8}\")")
_PROCESS = re.compile(rb"\(([A-Za-z][\w .-]{0,40}) pid=\d+\)", re.ASCII)
_ZONED = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)",
    re.ASCII,
)
_RANK = re.compile(r"DP(\d{1,6})\Z", re.ASCII)
_NO_ZONE = LocalTime()


@dataclass(frozen=True, slots=True)
class Headed:
    """A message, when it was written [unix s], ``None`` where that cannot be read, and the engine that wrote it."""

    message: bytes
    at: float | None
    engine: str | None


class _JsonLine(msgspec.Struct):
    message: str | None = None
    msg: str | None = None
    log: str | None = None
    journal: str | None = msgspec.field(default=None, name="MESSAGE")
    created: Any = None
    asctime: Any = None
    timestamp: Any = None
    elastic: Any = msgspec.field(default=None, name="@timestamp")
    time: Any = None
    ts: Any = None
    written: Any = msgspec.field(default=None, name="__REALTIME_TIMESTAMP")
    process_name: Any = msgspec.field(default=None, name="processName")

    @property
    def text(self) -> str | None:
        """What was logged."""
        return next((text for text in (self.message, self.msg, self.log, self.journal) if text is not None), None)

    def at(self, local: LocalTime) -> float | None:
        """When it was logged, by the first of the usual keys that tells [unix s]."""
        keys = (self.created, self.asctime, self.timestamp, self.elastic, self.time, self.ts, self.written)
        return next((at for key in keys if key is not None and (at := moment(key, local)) is not None), None)


_json_line = msgspec.json.Decoder(_JsonLine).decode


class Heads:
    """Takes the heads off the lines of one log, one after another."""

    def __init__(self) -> None:
        self._last_stamp: tuple[bytes, float] | None = None

    def read(self, line: bytes, local: LocalTime, at: float | None = None) -> Headed | None:
        """The line without its head; ``None`` where it has none: uvicorn and libraries write to the same stream.

        ``at`` [unix s] is the container runtime's time of writing, which counts where there is one.
        """
        if b"\x1b" in line:
            line = _ANSI.sub(b"", line)
        found = None if line.startswith(b"{") else self._text(line, local, at)
        if found is None and (part := json_part(line)) is not None:
            found = self._json(part[0], local, at if at is not None else part[1])
        return found

    def _text(self, line: bytes, local: LocalTime, at: float | None) -> Headed | None:
        match = _USUAL.match(line) or _FRONTED.match(line)
        if match is None:
            return None
        front = match[1] or b""
        if at is None:
            at = _zoned(front)
        processes = _PROCESS.findall(front)
        engine = rank_of(processes[-1].decode("ascii")) if processes else None
        return Headed(line[match.end() :], at if at is not None else self._stamp(match, local), engine)

    def _json(self, line: bytes, local: LocalTime, at: float | None) -> Headed | None:
        try:
            found = _json_line(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        text = found.text
        if text is None:
            return None
        message = text.encode("utf-8", "replace").rstrip(b"\n")
        if at is None:
            at = found.at(local)
        within = self._text(_ANSI.sub(b"", message), local, at)
        if within is not None:
            return within
        process = found.process_name
        return Headed(message, at, rank_of(process) if isinstance(process, str) else None)

    def _stamp(self, match: re.Match[bytes], local: LocalTime) -> float | None:
        if self._last_stamp is not None and self._last_stamp[0] == match[2]:
            return self._last_stamp[1]
        month, day, hour, minute, second = (int(part) for part in match.groups()[2:7])
        at = local.stamp(month, day, hour * 3600 + minute * 60 + second)
        if at is not None:
            self._last_stamp = (match[2], at)
        return at


def json_part(line: bytes) -> tuple[bytes, float | None] | None:
    """The object in a line, behind whatever is put in front, and the time with a zone that stands there [unix s]."""
    front = _JSON_FRONT.match(line)
    return (line[front.end() :], _zoned(front[0])) if front is not None else None


def rank_of(process: str) -> str | None:
    """The data-parallel rank that a process is named after, such as EngineCore_DP1."""
    rank = _RANK.search(process)
    return str(int(rank[1])) if rank else None


def _zoned(front: bytes) -> float | None:
    """The time with a zone that stands in front of a line [unix s]."""
    match = _ZONED.search(front)
    return from_text(match[0].decode("ascii"), _NO_ZONE) if match is not None else None

"""Reads vLLM's own log: settings at the start, arrivals, aborts and engine steps.

The forms are those of vLLM 0.8 to 0.32: with and without the ``(APIServer pid=…)`` prefix, with and without colours,
as text or, from 0.31 on, by its JSON formatter. Only the beginning of a message is ever matched, so that nothing that
a client sends (a request's id, a path) can pass for a line of the engine. What a line says besides is not kept.

A time stamp has neither year nor zone and shows whole seconds; where the container runtime tells the time, that counts.
"""

from __future__ import annotations

import re

import msgspec

from kvwatch.facts import Iteration, RequestAborted, RequestStarted, Settings
from kvwatch.parse.logs.moments import LocalTime, from_number, from_text
from kvwatch.parse.logs.results import BAD_EVENT, BAD_TIME, LogFact

LOG_SETTINGS_SOURCE = "server log"

_ANSI = re.compile(rb"\x1b\[[0-9;]*m")
_PREFIX = re.compile(
    rb"(?:\(([A-Za-z][\w .-]{0,40}) pid=\d+\) )?(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) "
    rb"((\d\d)-(\d\d) (\d\d):(\d\d):(\d\d))(?:\.\d+)? \[[^\]]{1,120}\] ",
    re.ASCII,
)
_ENGINE = re.compile(rb"Engine (\d{1,6}): ", re.ASCII)
_RANK = re.compile(r"DP(\d{1,6})\Z", re.ASCII)
_ITERATION = re.compile(
    rb"Iteration\((\d{1,15})\): (\d{1,9}) context requests, (\d{1,12}) context tokens, (\d{1,9}) generation requests, "
    rb"(\d{1,12}) generation tokens, iteration elapsed time: (\d{1,12}(?:\.\d{1,6})?) ms( \(dummy\))?"
    rb"(?:, [A-Za-z]{1,10} KV cache usage: (\d{1,3}(?:\.\d{1,6})?)%)?",
    re.ASCII,
)
_ABORTED = re.compile(rb"Aborted request(?:\(s\))? (.+?)\.?\Z", re.ASCII)
_DEAD = re.compile(rb"Request [^ ]{1,512} failed \(engine dead\)", re.ASCII)
_NUMBER = rb"['\"]?(?:=|: ?)(\d{1,10})\b"
_SEATS = re.compile(rb"\bmax_num_seqs" + _NUMBER)
_BUDGET = re.compile(rb"\bmax_num_batched_tokens" + _NUMBER)
_CONTEXT = re.compile(rb"\bmax_model_len" + _NUMBER)
_CONFIG_CONTEXT = re.compile(rb"\bmax_seq_len" + _NUMBER)
_DEFAULTING = re.compile(rb"Defaulting (max_num_seqs|max_num_batched_tokens) to (\d{1,10}) for ", re.ASCII)
_USING_CONTEXT = re.compile(rb"Using max model len (\d{1,10})\Z", re.ASCII)
_STARTS = (b"non-default args: ", b"args: Namespace(")
_MAX_ABORTS = 10_000
_MAX_ELAPSED_MS = 3_600_000.0


class _JsonLine(msgspec.Struct):
    message: str
    asctime: str | None = None
    created: float | None = None
    process_name: str | None = msgspec.field(default=None, name="processName")


_json_line = msgspec.json.Decoder(_JsonLine).decode


class VllmLines:
    """Reads the lines of one server's log in their order, and keeps the settings that its start-up lines show."""

    def __init__(self) -> None:
        self._settings = Settings()
        self._last_stamp: tuple[bytes, float] | None = None

    def read(self, line: bytes, local: LocalTime, at: float | None = None) -> list[LogFact] | str:
        """The facts that a line tells, none where it is about something else, or the reason for which it is refused.

        ``at`` [unix s] is the container runtime's time of writing.
        """
        if line.startswith(b"{"):
            return self._json(line, local, at)
        if b"\x1b" in line:
            line = _ANSI.sub(b"", line)
        match = _PREFIX.match(line)
        if match is None:
            return []
        message = line[match.end() :]
        engine = _engine_of(match[1].decode("ascii")) if match[1] else None
        return self._facts(message, at if at is not None else self._stamp(match, local), engine)

    def _json(self, line: bytes, local: LocalTime, at: float | None) -> list[LogFact] | str:
        try:
            found = _json_line(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return []  # uvicorn and libraries write to the same stream
        if at is None and found.created is not None:
            at = from_number(found.created)
        if at is None and found.asctime is not None:
            at = from_text(found.asctime, local)
        return self._facts(found.message.encode("utf-8", "replace"), at, _engine_of(found.process_name or ""))

    def _stamp(self, match: re.Match[bytes], local: LocalTime) -> float | None:
        if self._last_stamp is not None and self._last_stamp[0] == match[2]:
            return self._last_stamp[1]
        month, day, hour, minute, second = (int(part) for part in match.groups()[2:7])
        at = local.stamp(month, day, hour * 3600 + minute * 60 + second)
        if at is not None:
            self._last_stamp = (match[2], at)
        return at

    def _facts(self, message: bytes, at: float | None, engine: str | None) -> list[LogFact] | str:
        if (prefix := _ENGINE.match(message)) is not None:
            engine, message = str(int(prefix[1])), message[prefix.end() :]
        found: list[LogFact] | str
        if message.startswith(b"Iteration("):
            found = _iteration(message, at or 0.0, engine)
        elif message.startswith(b"Added request "):
            found = [RequestStarted(at or 0.0, engine)]
        elif (match := _ABORTED.match(message)) is not None:
            found = [RequestAborted(at or 0.0, engine)] * min(match[1].count(b",") + 1, _MAX_ABORTS)
        elif _DEAD.match(message) is not None:
            found = [RequestAborted(at or 0.0, engine)]
        else:
            return self._start_up(message)
        return BAD_TIME if found and at is None else found

    def _start_up(self, message: bytes) -> list[LogFact] | str:
        """The settings that are known now, if the message has changed them."""
        before = self._settings
        if message.startswith(_STARTS):
            # a server starts: what the one before it was told is no longer true
            self._settings = _given(message)
            return [self._settings] if self._settings != Settings() else []
        found = _settings(message)
        if found is None:
            return []
        self._settings = found.over(before)
        return [self._settings] if self._settings != before else []


def _engine_of(process: str) -> str | None:
    """The data-parallel rank that a process is named after, such as EngineCore_DP1."""
    rank = _RANK.search(process)
    return str(int(rank[1])) if rank else None


def _iteration(message: bytes, at: float, engine: str | None) -> list[LogFact] | str:
    match = _ITERATION.match(message)
    if match is None or float(match[6]) > _MAX_ELAPSED_MS:
        return BAD_EVENT
    if match[7]:
        return []  # a dummy step keeps data-parallel engines in step and serves nobody
    index, context_requests, context_tokens, generation_requests, generation_tokens = (
        int(n) for n in match.groups()[:5]
    )
    return [
        Iteration(
            at=at,
            index=index,
            context_requests=context_requests,
            context_tokens=context_tokens,
            generation_requests=generation_requests,
            generation_tokens=generation_tokens,
            elapsed_seconds=float(match[6]) / 1000,
            kv_usage_ratio=float(match[8]) / 100 if match[8] else None,
            engine=engine,
        )
    ]


def _given(message: bytes) -> Settings:
    """The arguments that a server was started with; the first line of each start."""
    return Settings(
        _positive(_SEATS.search(message)),
        _positive(_BUDGET.search(message)),
        _positive(_CONTEXT.search(message)),
        LOG_SETTINGS_SOURCE,
    )


def _settings(message: bytes) -> Settings | None:
    """What a later start-up line shows of the settings that came to hold."""
    if message.startswith(b"Chunked prefill is enabled with max_num_batched_tokens"):
        return Settings(max_num_batched_tokens=_positive(_BUDGET.search(message)), source=LOG_SETTINGS_SOURCE)
    if message.startswith(b"Initializing a V"):
        return Settings(max_model_len=_positive(_CONFIG_CONTEXT.search(message)), source=LOG_SETTINGS_SOURCE)
    if (match := _USING_CONTEXT.match(message)) is not None:
        return Settings(max_model_len=_positive(match), source=LOG_SETTINGS_SOURCE)
    if (match := _DEFAULTING.match(message)) is not None:
        size = int(match[2]) or None
        if match[1] == b"max_num_seqs":
            return Settings(max_num_seqs=size, source=LOG_SETTINGS_SOURCE)
        return Settings(max_num_batched_tokens=size, source=LOG_SETTINGS_SOURCE)
    return None


def _positive(match: re.Match[bytes] | None) -> int | None:
    return int(match[1]) or None if match is not None else None

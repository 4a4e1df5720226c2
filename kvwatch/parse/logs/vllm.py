"""Reads vLLM's own log: settings at the start, arrivals, aborts and engine steps.

The messages are those of vLLM 0.8 to 0.32, behind whatever head (:mod:`kvwatch.parse.logs.heads`). Only the beginning
of a message is ever matched, so that nothing that a client sends (a request's id, a path) can pass for a line of the
engine. What a line says besides is not kept.

A time stamp has neither year nor zone and shows whole seconds; where the container runtime tells the time, that counts.
"""

from __future__ import annotations

import re

from kvwatch.facts import Iteration, RequestAborted, RequestStarted
from kvwatch.parse.logs.heads import Heads
from kvwatch.parse.logs.moments import LocalTime
from kvwatch.parse.logs.results import BAD_EVENT, BAD_TIME, LogFact
from kvwatch.parse.logs.start_up import StartUp

_ENGINE = re.compile(rb"Engine (\d{1,6}): ", re.ASCII)
_ITERATION = re.compile(
    rb"Iteration\((\d{1,15})\): (\d{1,9}) context requests, (\d{1,12}) context tokens, (\d{1,9}) generation requests, "
    rb"(\d{1,12}) generation tokens, iteration elapsed time: (\d{1,12}(?:\.\d{1,6})?) ms( \(dummy\))?"
    rb"(?:, [A-Za-z]{1,10} KV cache usage: (\d{1,3}(?:\.\d{1,6})?)%)?",
    re.ASCII,
)
_ABORTED = re.compile(rb"Aborted request(?:\(s\))? (.+?)\.?\Z", re.ASCII)
_DEAD = re.compile(rb"Request [^ ]{1,512} failed \(engine dead\)", re.ASCII)
_MAX_ABORTS = 10_000
_MAX_ELAPSED_MS = 3_600_000.0


class VllmLines:
    """Reads the lines of one server's log in their order, and keeps the settings that its start-up lines show."""

    def __init__(self) -> None:
        self._start_up = StartUp()
        self._heads = Heads()
        self.recognized = 0
        """Lines that had a head: whatever they were about, they are vLLM's."""

    def read(self, line: bytes, local: LocalTime, at: float | None = None) -> list[LogFact] | str:
        """The facts that a line tells, none where it is about something else, or the reason for which it is refused.

        ``at`` [unix s] is the container runtime's time of writing.
        """
        found = self._heads.read(line, local, at)
        if found is None:
            return []
        self.recognized += 1
        return self._facts(found.message, found.at, found.engine)

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
            settings = self._start_up.read(message)
            return [settings] if settings is not None else []
        return BAD_TIME if found and at is None else found


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

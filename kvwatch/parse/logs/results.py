"""What may become of a line: the closed list of results, and what one chunk of lines came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvwatch.facts import Iteration, RequestAborted, RequestRecord, RequestStarted, Settings

LogFact = RequestRecord | RequestStarted | RequestAborted | Iteration | Settings

REQUEST = "request"
EVENT = "event"
OTHER = "other"
TOO_LONG = "too_long"
NOT_JSON = "not_json"
WRONG_TYPE = "wrong_type"
NO_TIME = "no_time"
NO_TOKENS = "no_tokens"
BAD_TIME = "bad_time"
BAD_TOKENS = "bad_tokens"
BAD_EVENT = "bad_event"
BAD_WRAPPER = "bad_wrapper"

LINE_RESULTS: dict[str, str] = {
    REQUEST: "a request was read from it",
    EVENT: "it reports an arrival, an abort, an engine step or a setting",
    OTHER: "it is about something else, or `only` leaves it out",
    TOO_LONG: "it is longer than a mebibyte",
    NOT_JSON: "it is not valid JSON, or not valid UTF-8",
    WRONG_TYPE: "it is JSON but no object, or one of the fields, `tenant` excepted, is neither a number nor text",
    NO_TIME: "no field, and no container runtime, says when the request ended",
    NO_TOKENS: "a request that succeeded, without its numbers of tokens",
    BAD_TIME: "a time cannot be read, or the request ends before it begins",
    BAD_TOKENS: "a number of tokens is negative, not whole or beyond all sense",
    BAD_EVENT: "it begins like a line of vLLM that is known, and goes on otherwise",
    BAD_WRAPPER: "pieces of a line that the container runtime has split do not come to an end within a mebibyte",
}
"""Every result of a line, with its meaning."""

REJECTIONS = tuple(LINE_RESULTS)[3:]
"""Results that mean that a line was not understood."""

_MAX_NAMES = 20
_MAX_NAME_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Sample:
    """A line that was rejected, told without what it says: the lines before it in its chunk, its length, its keys."""

    line: int
    length_bytes: int
    fields: tuple[str, ...] = ()


def field_names(found: object) -> tuple[str, ...]:
    """The first names of an object's keys, cut to a length: never a value."""
    if not isinstance(found, dict):
        return ()
    return tuple(str(name)[:_MAX_NAME_CHARACTERS] for name in list(found)[:_MAX_NAMES])


@dataclass(slots=True)
class Reading:
    """What a chunk of lines came to: facts in their order, lines by result, and a sample of each reason for refusal.

    ``recognized`` counts the lines that were known for what the format says: a log without any is another program's.
    ``unfinished_bytes`` is how much of the chunk's end belongs to a line whose other pieces are still to come: to read
    on later, one begins that much before the chunk's end.
    """

    facts: list[LogFact] = field(default_factory=list)
    results: dict[str, int] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    unfinished_bytes: int = 0
    recognized: int = 0

    def count(self, result: str, by: int = 1) -> None:
        """Count lines of one result."""
        self.results[result] = self.results.get(result, 0) + by

    def reject(self, reason: str, sample: Sample) -> None:
        """Count a line that was not understood, and keep the first as the sample."""
        self.count(reason)
        self.samples.setdefault(reason, sample)

"""Reads one line of a request log: what a request asked for and when it came and went."""

from __future__ import annotations

import msgspec

from kvwatch.constants import LATEST_DATE_SECONDS
from kvwatch.facts import Rejected, RequestRecord

_DONE = 200
_MAX_LINE_BYTES = 1 << 20
_MAX_TOKENS = 2**53
"""Beyond this a float no longer counts tokens one by one."""


class _Line(msgspec.Struct):
    arrival: float
    finish: float
    prompt_tokens: int
    completion_tokens: int
    status: int = _DONE
    cached_tokens: int = 0


_decode = msgspec.json.Decoder(_Line).decode


def request_record(line: bytes | str, where: str = "") -> RequestRecord | Rejected:
    """The request that a line of ``requests.jsonl`` tells of; keys it does not need are skipped.

    Times are unix seconds, lengths tokens; status 200 (the default) is a request that completed. ``where`` is
    the place of the line, given back with a refusal. Reasons: "too_long", "not_json", "not_a_request",
    "bad_time", "bad_tokens".
    """
    if len(line) > _MAX_LINE_BYTES:
        return Rejected("too_long", where)
    try:
        found = _decode(line)
    except msgspec.ValidationError:
        return Rejected("not_a_request", where)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Rejected("not_json", where)
    if not 0 <= found.arrival <= found.finish < LATEST_DATE_SECONDS:
        return Rejected("bad_time", where)
    lengths = (found.prompt_tokens, found.completion_tokens, found.cached_tokens)
    if not all(0 <= length <= _MAX_TOKENS for length in lengths) or found.cached_tokens > found.prompt_tokens:
        return Rejected("bad_tokens", where)
    return RequestRecord(
        arrival=found.arrival,
        finish=found.finish,
        prompt_tokens=found.prompt_tokens,
        completion_tokens=found.completion_tokens,
        completed=found.status == _DONE,
        cached_tokens=found.cached_tokens,
    )

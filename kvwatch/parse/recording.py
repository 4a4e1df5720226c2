"""Reads one line of a recording: a scrape as it was, or that it failed."""

from __future__ import annotations

import math

import msgspec

from kvwatch.facts import Rejected, Scrape, ScrapeFailed
from kvwatch.parse.exposition import MAX_BODY_BYTES
from kvwatch.parse.reader import ExpositionReader

_MAX_DETAIL = 500


class _Line(msgspec.Struct):
    t: float
    text: str | None = None
    error: str | None = None


_decode = msgspec.json.Decoder(_Line).decode


def recorded_scrape(line: bytes | str, reader: ExpositionReader, where: str = "") -> Scrape | ScrapeFailed | Rejected:
    """What a line of ``scrapes.jsonl`` holds, read by the recording's ``reader``.

    The scrape's time is the recorded one, unix seconds. A failure has reason "recorded" and the recorded text.
    ``where`` is the place of the line, given back with a refusal. Reasons: "too_long", "not_json",
    "not_a_scrape", "bad_time".
    """
    if len(line) > MAX_BODY_BYTES:
        return Rejected("too_long", where)
    try:
        found = _decode(line)
    except msgspec.ValidationError:
        return Rejected("not_a_scrape", where)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Rejected("not_json", where)
    if not math.isfinite(found.t):
        return Rejected("bad_time", where)
    if found.text is not None:
        return reader.read(found.text.encode("utf-8", "replace"), found.t)
    if found.error is not None:
        return ScrapeFailed(found.t, "recorded", found.error[:_MAX_DETAIL])
    return Rejected("not_a_scrape", where)

"""Reads one line of a recording: a scrape as it was, or that it failed."""

from __future__ import annotations

import msgspec

from kvwatch.constants import LATEST_DATE_SECONDS
from kvwatch.facts import Rejected, Scrape, ScrapeFailed
from kvwatch.parse.exposition.reader import ExpositionReader
from kvwatch.parse.exposition.samples import MAX_BODY_BYTES

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
    found = _line(line)
    if isinstance(found, str):
        return Rejected(found, where)
    if found.text is not None:
        return reader.read(found.text.encode("utf-8", "replace"), found.t)
    return ScrapeFailed(found.t, "recorded", (found.error or "")[:_MAX_DETAIL])


def recorded_text(line: bytes | str) -> tuple[float, bytes] | None:
    """The time [unix s] and the exposition of a line; ``None`` where the scrape failed or the line cannot be read."""
    found = _line(line)
    if isinstance(found, str) or found.text is None:
        return None
    return found.t, found.text.encode("utf-8", "replace")


def _line(line: bytes | str) -> _Line | str:
    """The line, or in a word why it is none."""
    if len(line) > MAX_BODY_BYTES:
        return "too_long"
    try:
        found = _decode(line)
    except msgspec.ValidationError:
        return "not_a_scrape"
    except (msgspec.DecodeError, ValueError, RecursionError):
        return "not_json"
    if not 0 <= found.t < LATEST_DATE_SECONDS:
        return "bad_time"
    return "not_a_scrape" if found.text is None and found.error is None else found

"""Times as logs write them, to unix seconds, without a clock or a time zone database of our own.

Numbers are unix times in seconds, milliseconds, microseconds or nanoseconds: which of these, their size tells. Texts
are ISO 8601, with ``T`` or a space, a point or a comma before the fraction, and ``Z``, an offset or none at the end.
vLLM's own stamps have neither year nor zone, so both are the caller's to know.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kvwatch.constants import LATEST_DATE_SECONDS

LATEST = LATEST_DATE_SECONDS
"""No log is later [unix s]."""
_SCALES = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (float("inf"), 1e9))
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?[ ]?(?:(Z|UTC)|([+-])(\d\d):?(\d\d))?\Z", re.ASCII
)
_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY = 86400.0
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,20})?\Z", re.ASCII)
_MAX_TEXT = 40
_MAX_MINUTES = 1000
_minutes: dict[str, float] = {}
"""Unix seconds of the beginning of minutes written as ``2026-11-22T02:38:``, in UTC."""


def _utc(_: float) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class LocalTime:
    """How to read stamps that lack a part.

    ``reference`` [unix s] is a time near which the log was written; the year that brings a stamp nearest to it is the
    one. ``utc_offset`` gives the zone's offset from UTC [s] at a local time (as the unix seconds that it would be
    in UTC).
    """

    reference: float = 0.0
    utc_offset: Callable[[float], float] = _utc

    def stamp(self, month: int, day: int, second_of_day: int) -> float | None:
        """Unix seconds of a stamp without a year; ``None`` for a date that there is not."""
        guess = int(1970 + self.reference / (365.2425 * _DAY))
        best = None
        for year in (guess - 1, guess, guess + 1):
            days = days_since_epoch(year, month, day)
            if days is None:
                continue
            civil = days * _DAY + second_of_day
            at = civil - self.utc_offset(civil)
            if best is None or abs(at - self.reference) < abs(best - self.reference):
                best = at
        return best


def days_since_epoch(year: int, month: int, day: int) -> int | None:
    """Days from 1970-01-01 in the Gregorian calendar; ``None`` for a date that there is not."""
    if not (1 <= month <= 12 and day >= 1):
        return None
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if day > _DAYS_IN_MONTH[month - 1] + (leap and month == 2):
        return None
    before = year - 1
    leaps = before // 4 - before // 100 + before // 400 - 477  # 477 leap days before 1970
    return (year - 1970) * 365 + leaps + _DAYS_BEFORE_MONTH[month - 1] + (leap and month > 2) + day - 1


def from_number(value: float) -> float | None:
    """Unix seconds of a unix time in seconds or a smaller unit; ``None`` where it is before 1970 or after 3000."""
    if not value >= 0:
        return None
    for limit, scale in _SCALES:
        if value < limit:
            seconds = value / scale
            return seconds if seconds < LATEST else None
    return None


def _in_known_minute(text: str) -> float | None:
    """A time in UTC as gateways write it, thousands of them in one minute; ``None`` for any other."""
    minute = _minutes.get(text[:17])
    if minute is None or not text.isascii():
        return None
    whole, _, fraction = text[17:-1].partition(".")
    if len(whole) != 2 or not (whole + fraction).isdecimal() or len(fraction) > 9:
        return None
    seconds = float(f"{whole}.{fraction}")
    return minute + seconds if seconds < 60 else None


def from_text(text: str, local: LocalTime) -> float | None:
    """Unix seconds of an ISO 8601 time, or of a number written as text; ``None`` where it is neither."""
    quickly = _in_known_minute(text) if text.endswith("Z") else None
    if quickly is not None:
        return quickly
    match = _ISO.match(text) if len(text) <= _MAX_TEXT else None
    if match is None:
        return from_number(float(text)) if len(text) <= _MAX_TEXT and _NUMBER.match(text) else None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    days = days_since_epoch(year, month, day)
    if days is None or year < 1970 or hour > 23 or minute > 59 or second > 60:
        return None
    civil = days * _DAY + hour * 3600 + minute * 60 + second
    fraction = float("0." + match[7]) if match[7] else 0.0
    if match[8]:
        if len(_minutes) >= _MAX_MINUTES:
            _minutes.clear()
        _minutes[text[:17]] = civil - second
        return civil + fraction
    if match[9]:
        offset = int(match[10]) * 3600 + int(match[11]) * 60
        return civil - (offset if match[9] == "+" else -offset) + fraction
    return civil - local.utc_offset(civil) + fraction


def moment(value: object, local: LocalTime) -> float | None:
    """Unix seconds of a value of a JSON log; ``None`` where it is no time."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return from_number(value)
    return from_text(value, local) if isinstance(value, str) else None

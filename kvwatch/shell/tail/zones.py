"""Offsets from UTC of the zones in which logs are written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def utc_offset(name: str | None) -> Callable[[float], float]:
    """The offset [s] of a zone, of this machine's where it has no name, at a local time given as if it were UTC's.

    Raises:
        KeyError: there is no such zone.
    """
    if name == "UTC":
        return lambda _: 0.0
    zone = ZoneInfo(name) if name is not None else None

    def offset(civil: float) -> float:
        local = datetime.fromtimestamp(civil, UTC).replace(tzinfo=zone)
        found = (local if zone is not None else local.astimezone()).utcoffset()
        return found.total_seconds() if found is not None else 0.0

    return offset

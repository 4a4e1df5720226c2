"""Where to begin a window of finished requests: after the last pause of the traffic, if there was one.

When an engine has run empty, nothing that finishes later had begun before: a window that starts there holds exactly
the requests that came in it, while one cut anywhere else holds too few of the long ones (they are still running at
its end, and their like at its beginning counts for the time before). In queueing theory such an instant is a
regeneration point. What comes after a pause is also more likely to be alike than what lies on both sides of it.
"""

from __future__ import annotations

from collections import deque

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval

_LEAST_SCRAPES = 3
"""Scrapes in a row that must find the engine empty to make a pause [scrapes]. Choice: shorter gaps are part of light
traffic, and what finishes after them is no fairer a sample."""
_LEAST_WINDOW_SECONDS = 30.0
"""How long ago a pause must have ended for the window to begin there [s]. Choice: long enough that requests of usual
length have finished, or else the short ones alone would count."""
_MOST_SPELLS = 64
"""Pauses that are remembered [1]. Choice: memory; the window of two minutes holds half a minute's scrapes in each."""


class IdleSpells:
    """Pauses of the traffic in the last ``window_seconds``; at most a few dozen numbers."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._pauses: deque[tuple[float, float]] = deque(maxlen=_MOST_SPELLS)
        self._empty_since: float | None = None
        self._empty_scrapes = 0
        self._last_empty = 0.0

    def update(self, interval: Interval) -> None:
        """Take an interval: what counts is the number of requests inside the engine at its end."""
        at, sample = interval.end, interval.sample
        if sample.running is None or sample.waiting is None:
            return
        if sample.running + sample.waiting == 0:
            self._empty_since = at if self._empty_since is None else self._empty_since
            self._empty_scrapes += 1
            self._last_empty = at
            return
        if self._empty_since is not None and self._empty_scrapes >= _LEAST_SCRAPES:
            self._pauses.append((self._last_empty, self._last_empty - self._empty_since))
        self._empty_since, self._empty_scrapes = None, 0

    def begin_anew(self, cause: Cause) -> None:
        """An engine that starts again is no less empty for it: all stays."""

    def get(self, now: float) -> float | None:
        """End of the longest pause within the window [unix s], the latest of equals; ``None`` without one."""
        recent = [
            (length, end) for end, length in self._pauses if now - self._window < end <= now - _LEAST_WINDOW_SECONDS
        ]
        return max(recent)[1] if recent else None

"""The waiting queue and its trend."""

from __future__ import annotations

from collections import deque

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.estimate import Estimate, Reason
from kvwatch.stats.trend import theil_sen

_POINTS = 60
"""Points of the queue's trend [points]. Choice: two seconds each of two minutes; the test compares all pairs, so double
costs four times as much."""


class QueueTrend:
    """Trend of the number of waiting requests over a trailing window, from at most 60 points."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._points: deque[tuple[float, float]] = deque()

    def update(self, interval: Interval) -> None:
        """Take an interval: what counts is the queue at its end."""
        at, waiting = interval.end, interval.waiting[1]
        if waiting is None:
            return
        if self._points and at - self._points[-1][0] < self._window / _POINTS:
            return
        self._points.append((at, waiting))
        while self._points[0][0] < at - self._window:
            self._points.popleft()

    def begin_anew(self, cause: Cause) -> None:
        """A queue that a restart or a mass abort has emptied did not fall by itself."""
        if cause.changes_requests:
            self._points.clear()

    def get(self, _now: float) -> Estimate:
        """Slope in requests/s; unknown until half of the window is seen."""
        if not self._points or self._points[-1][0] - self._points[0][0] < self._window / 2:
            return Estimate(verdict=Reason.WARMING_UP)
        trend = theil_sen([t for t, _ in self._points], [x for _, x in self._points])
        if trend is None:
            return Estimate(verdict=Reason.WARMING_UP)
        return Estimate(trend.slope, trend.lower, trend.upper, Reason.OK)

"""The waiting queue and its trend."""

from __future__ import annotations

from collections import deque

from kvwatch.estimate import Estimate, Reason
from kvwatch.stats.trend import theil_sen

_POINTS = 60


class QueueTrend:
    """Trend of the number of waiting requests over a trailing window, from at most 60 points."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._points: deque[tuple[float, float]] = deque()

    def update(self, at: float, waiting: float) -> None:
        """Take the queue length at time ``at``."""
        if self._points and at - self._points[-1][0] < self._window / _POINTS:
            return
        self._points.append((at, waiting))
        while self._points[0][0] < at - self._window:
            self._points.popleft()

    def clear(self) -> None:
        """Forget everything, as after a restart or a mass abort."""
        self._points.clear()

    def get(self) -> Estimate:
        """Slope in requests/s; unknown until half of the window is seen."""
        if not self._points or self._points[-1][0] - self._points[0][0] < self._window / 2:
            return Estimate(verdict=Reason.WARMING_UP)
        trend = theil_sen([t for t, _ in self._points], [x for _, x in self._points])
        if trend is None:
            return Estimate(verdict=Reason.WARMING_UP)
        return Estimate(trend.slope, trend.lower, trend.upper, Reason.OK)

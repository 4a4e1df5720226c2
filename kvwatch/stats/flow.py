"""Rise of a cumulative count over a trailing window, from irregular samples."""

from __future__ import annotations

import itertools
from collections import deque


class WindowedCount:
    """Cumulative count sampled at irregular times; how much it rose over trailing windows.

    The value at the window's left edge is interpolated between the two samples around it, so that the
    answer covers exactly the window. Keeps at most about ``max_points`` points over ``horizon_seconds``: a
    sample that comes sooner than ``horizon_seconds / max_points`` after the last kept one replaces it.
    """

    def __init__(self, horizon_seconds: float, max_points: int = 1024) -> None:
        self._horizon = horizon_seconds
        self._spacing = horizon_seconds / max_points
        self._points: deque[tuple[float, float]] = deque()

    def update(self, at: float, value: float) -> None:
        """Take the cumulative ``value`` at time ``at`` (unix seconds); times must not go back."""
        if len(self._points) > 1 and at - self._points[-2][0] < self._spacing:
            self._points.pop()
        self._points.append((at, value))
        # the sample just outside the horizon stays: the window's left edge is interpolated from it
        while len(self._points) > 2 and self._points[1][0] <= at - self._horizon:
            self._points.popleft()

    def clear(self) -> None:
        """Forget everything, as after a counter reset."""
        self._points.clear()

    @property
    def seen(self) -> bool:
        """Whether there is any sample."""
        return bool(self._points)

    def span_seconds(self) -> float:
        """Time between the oldest and the newest sample."""
        return self._points[-1][0] - self._points[0][0] if self._points else 0.0

    def rise(self, window_seconds: float) -> float | None:
        """Rise over the last ``window_seconds`` before the newest sample; ``None`` unless samples cover it."""
        rises = self.rises(window_seconds, 1)
        return rises[0] if rises else None

    def between(self, start: float, end: float, *, partial: bool = False) -> float | None:
        """Rise between two times up to the newest sample; ``None`` unless samples cover them.

        With ``partial`` what samples cover of them counts, and nothing is 0.
        """
        if not self._points:
            return 0.0 if partial else None
        first, last = self._points[0][0], self._points[-1][0]
        if partial:
            start = min(max(start, first), last)
        if start < first or start > end:
            return None
        low, high = self._interpolate([start, min(max(end, start), last)]) if start < last else (0.0, 0.0)
        return high - low

    def rises(self, window_seconds: float, bins: int) -> list[float] | None:
        """Rises over ``bins`` equal parts of the window, oldest first; ``None`` unless samples cover it."""
        if not self._points or self.span_seconds() < window_seconds:
            return None
        end, last = self._points[-1]
        edges = self._interpolate([end - window_seconds * (bins - i) / bins for i in range(bins)])
        edges.append(last)
        return [b - a for a, b in itertools.pairwise(edges)]

    def _interpolate(self, times: list[float]) -> list[float]:
        """Values at ``times`` (rising, within the samples), in one pass from the oldest sample on."""
        values: list[float] = []
        points = iter(self._points)
        t0, v0 = t1, v1 = next(points)
        for time in times:
            while t1 < time:
                t0, v0 = t1, v1
                t1, v1 = next(points)
            values.append(v1 if t1 == t0 else v0 + (v1 - v0) * (time - t0) / (t1 - t0))
        return values

"""Rise of a cumulative count over a trailing window, from irregular samples."""

from __future__ import annotations

import itertools
from bisect import bisect_left

_MOST_POINTS = 1024
"""Points kept over the horizon [points]. Choice: three a second of the five-minute window; more is memory without
accuracy, as values between points are interpolated."""
_LEFT_OVER_RATIO = 1 / 8
"""Share of the points that may lie beyond the horizon until they are dropped together [1]. Choice: each drop moves all
points, so the mean cost of a sample stays constant; the memory is an eighth more."""


class WindowedCount:
    """Cumulative count sampled at irregular times; how much it rose over trailing windows.

    The value at the window's left edge is interpolated between the two samples around it, so that the
    answer covers exactly the window. Keeps at most about ``max_points`` points over ``horizon_seconds``, and an
    eighth more: a sample that comes sooner than ``horizon_seconds / max_points`` after the last kept one replaces it.
    """

    def __init__(self, horizon_seconds: float, max_points: int = _MOST_POINTS) -> None:
        self._horizon = horizon_seconds
        self._spacing = horizon_seconds / max_points
        # points beyond the horizon are dropped together: one by one each would move all the others
        self._most_left_over = int(max_points * _LEFT_OVER_RATIO)
        self._times: list[float] = []
        self._values: list[float] = []
        self._first = 0

    def update(self, at: float, value: float) -> None:
        """Take the cumulative ``value`` at time ``at`` (unix seconds); times must not go back."""
        times, values = self._times, self._values
        if len(times) - self._first > 1 and at - times[-2] < self._spacing:
            times[-1], values[-1] = at, value
        else:
            times.append(at)
            values.append(value)
        # the sample just outside the horizon stays: the window's left edge is interpolated from it
        while len(times) - self._first > 2 and times[self._first + 1] <= at - self._horizon:
            self._first += 1
        if self._first > self._most_left_over:
            del times[: self._first], values[: self._first]
            self._first = 0

    def clear(self) -> None:
        """Forget everything, as after a counter reset."""
        self._times.clear()
        self._values.clear()
        self._first = 0

    @property
    def seen(self) -> bool:
        """Whether there is any sample."""
        return bool(self._times)

    def span_seconds(self) -> float:
        """Time between the oldest and the newest sample."""
        return self._times[-1] - self._times[self._first] if self._times else 0.0

    def rise(self, window_seconds: float) -> float | None:
        """Rise over the last ``window_seconds`` before the newest sample; ``None`` unless samples cover it."""
        rises = self.rises(window_seconds, 1)
        return rises[0] if rises else None

    def between(self, start: float, end: float, *, partial: bool = False) -> float | None:
        """Rise between two times up to the newest sample; ``None`` unless samples cover them.

        With ``partial`` what samples cover of them counts, and nothing is 0.
        """
        if not self._times:
            return 0.0 if partial else None
        first, last = self._times[self._first], self._times[-1]
        if partial:
            start = min(max(start, first), last)
        if start < first or start > end:
            return None
        return self._value(min(max(end, start), last)) - self._value(start) if start < last else 0.0

    def rises(self, window_seconds: float, bins: int) -> list[float] | None:
        """Rises over ``bins`` equal parts of the window, oldest first; ``None`` unless samples cover it."""
        if not self._times or self.span_seconds() < window_seconds:
            return None
        end = self._times[-1]
        edges = [self._value(end - window_seconds * (bins - i) / bins) for i in range(bins)]
        edges.append(self._values[-1])
        return [b - a for a, b in itertools.pairwise(edges)]

    def _value(self, time: float) -> float:
        """The count at a time within the samples."""
        times, values = self._times, self._values
        i = bisect_left(times, time, self._first)
        if i == self._first:
            return values[i]
        t0, t1, v0, v1 = times[i - 1], times[i], values[i - 1], values[i]
        return v0 + (v1 - v0) * (time - t0) / (t1 - t0)

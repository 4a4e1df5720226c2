"""The truth while it shows: with requests waiting for capacity, what completes is the service rate."""

from __future__ import annotations

from collections import deque

from kvwatch.core.interval import Interval


class Backlog:
    """Service rate observed over a spell of uninterrupted waiting.

    The spell counts from ``settle_seconds`` after its start, when the batch is full and the first finishers no
    longer are only the short ones. Completions are counted as generated tokens over mean output.
    """

    def __init__(self, window_seconds: float = 60.0, min_seconds: float = 15.0, min_requests: float = 20.0) -> None:
        self._window = window_seconds
        self._min_seconds = min_seconds
        self._min_requests = min_requests
        self._since: float | None = None
        self._intervals: deque[tuple[float, float, float]] = deque(maxlen=600)

    def update(self, interval: Interval) -> None:
        """Take an interval; one at whose ends nothing waits ends the spell."""
        before, after = interval.waiting
        if not before or not after or interval.generation_tokens is None:
            self.clear()
            return
        if self._since is None:
            self._since = interval.start
        self._intervals.append((interval.end, interval.seconds, interval.generation_tokens))
        while self._intervals[0][0] <= interval.end - self._window:
            self._intervals.popleft()

    def clear(self) -> None:
        """End the spell."""
        self._since = None
        self._intervals.clear()

    def service_rate(self, mean_output_tokens: float | None, settle_seconds: float) -> float | None:
        """Observed μ [requests/s]; ``None`` unless the spell is long enough."""
        if self._since is None or not mean_output_tokens:
            return None
        start = self._since + settle_seconds
        kept = [(s, tokens) for end, s, tokens in self._intervals if end - s >= start]
        seconds = sum(s for s, _ in kept)
        requests = sum(tokens for _, tokens in kept) / mean_output_tokens
        if seconds < self._min_seconds or requests < self._min_requests:
            return None
        return requests / seconds

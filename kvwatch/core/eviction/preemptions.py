"""How often requests are evicted, and what that costs now.

No metric of vLLM shows what is computed again: it is the evictions seen times what one costs in the embedded engine.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from kvwatch.core.capacity.correction import Correction
from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval

_MOST_INTERVALS = 1200
"""Intervals that are remembered [intervals]. Choice: memory; a quarter of an hour at more than one scrape a second."""
EVICTIONS_WINDOW_SECONDS = 60.0
"""Window over which evictions are counted against finished requests [s]. Choice: a minute, that of the shortest λ; a
mean lifetime where that is longer."""
_LONGEST_WINDOW_SECONDS = 900.0
"""Longest such window [s]. Choice: an eviction a quarter of an hour ago says nothing about now, however long requests
live."""


@dataclass(frozen=True, slots=True)
class Evictions:
    """Evictions and finished requests of the last minutes, as they are known at ``now`` [unix s].

    ``intervals`` are (time, evictions, finished requests); ``window_seconds`` is over how many they count at least.
    """

    now: float
    window_seconds: float
    intervals: tuple[tuple[float, float, float], ...]

    def per_finished(self, lifetime_seconds: float = 0.0) -> float | None:
        """Evictions for each finished request over the window, or a mean lifetime where that is longer."""
        since = self.now - max(self.window_seconds, lifetime_seconds)
        recent = [e for e in self.intervals if e[0] > since]
        preempted, finished = (sum(e[i] for e in recent) for i in (1, 2))
        if not preempted:
            return 0.0 if recent else None
        return preempted / finished if finished >= 1 else None  # a counter that is no number of requests shows less


class Preemptions:
    """Evictions of one engine over the last minutes."""

    def __init__(self, window_seconds: float = EVICTIONS_WINDOW_SECONDS) -> None:
        self._window = window_seconds
        self._intervals: deque[tuple[float, float, float]] = deque(maxlen=_MOST_INTERVALS)
        """(time, preemptions, finished) of each."""

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        if not interval.goes_on:
            return
        if interval.preemptions is not None and interval.finished is not None:
            self._intervals.append((interval.end, interval.preemptions, interval.finished))
        longest = max(self._window, _LONGEST_WINDOW_SECONDS)
        while self._intervals and self._intervals[0][0] <= interval.end - longest:
            self._intervals.popleft()

    def begin_anew(self, cause: Cause) -> None:
        """Those evicted before a restart or a mass abort are gone."""
        if cause.changes_requests:
            self._intervals.clear()

    def get(self, now: float) -> Evictions:
        """Those of the last quarter of an hour, to be counted over as long as requests live."""
        return Evictions(now, self._window, tuple(self._intervals))


def costs(correction: Correction) -> tuple[float, float] | None:
    """What one eviction costs in the embedded engine: tokens computed again, and the share of throughput lost.

    The share is for one eviction a finished request. ``None`` where that engine evicts nobody.
    """
    run = correction.saturation
    if not run.preemptions_per_finished or not run.generated_tokens_per_step:
        return None
    finished_per_step = run.generated_tokens_per_step / run.mean_output_tokens
    recomputed = run.recomputed_token_ratio * run.computed_tokens_per_step / finished_per_step
    lost = max(1 - correction.factor, 0.0)
    return recomputed / run.preemptions_per_finished, lost / run.preemptions_per_finished

"""b̄: engine step time as it is now, from plain counters."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from kvwatch.core.cause import Cause
from kvwatch.core.interval import MOST_KEPT_INTERVALS, Interval
from kvwatch.estimate import KeyedEstimate, Reason
from kvwatch.stats.trimmed import trimmed_ratio, weighted_median

IDLE_FACTOR = 1.08
"""Cadence over inter-token latency above which the engine was idle in between, or made steps without output [1].
Measured: bench/sensitivity, where the median error on the recordings is 3.7% at 1.04, 1.08 and 1.15 alike; nearer to 1
noise passes for idle time, farther off idle time passes for slow steps."""
_PARALLEL_FACTOR = 1.5
"""Latency over cadence above which steps are micro-batches (pipeline) or are counted twice [1]. Choice: between the one
of a plain engine and the two of the smallest pipeline."""
_PARALLEL_MEMORY = 0.02
"""Weight of the newest interval in the judgement of that [1]. Choice: the last fifty intervals count; an engine's
parallelism never changes."""
_JUDGED_ENOUGH = 5
"""Intervals from which on it is believed [intervals]. Choice: the first law is fitted on twenty rows, and must know by
then what a step is."""
_LEAST_INTERVALS = 3
"""Busy intervals from which on b̄ is reported [intervals]. Choice: the least of which a median is not one of its
ends."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """Step time over the last busy intervals [s] and how many there were."""

    trimmed_mean: float
    median: float
    intervals: int


class Cadence:
    """Reads the mean step time of an interval.

    Cadence (Δt/Δsteps) is exact while the engine never idles. Where it idled, the mean inter-token latency
    stands in: it weighs steps by their batch, but knows no idle time. Where several micro-batches are in
    flight, or several API servers count the same step, the cadence is no request's step, and the latency is used.
    """

    def __init__(self) -> None:
        self._parallel = 0.0
        self._judged = 0

    def update(self, interval: Interval) -> None:
        """Take an interval: whether requests see several steps at once is judged by many."""
        latency = _latency(interval)
        if not interval.steps or latency is None or not all(interval.running) or interval.preemptions:
            return
        self._judged += 1
        # the first ones count alike: before the law is first fitted it must be known what a step is
        memory = max(_PARALLEL_MEMORY, 1 / self._judged)
        cadence = interval.seconds / interval.steps
        self._parallel += memory * ((latency > _PARALLEL_FACTOR * cadence) - self._parallel)

    def step_seconds(self, interval: Interval) -> float | None:
        """Mean step time of an interval that was taken [s]; ``None`` if the engine was not seen to step."""
        if not interval.steps:
            return None
        cadence, latency, busy = interval.seconds / interval.steps, _latency(interval), all(interval.running)
        if latency is None:
            return cadence if busy else None
        parallel = self._judged >= _JUDGED_ENOUGH and self._parallel > 0.5
        if not busy or cadence > IDLE_FACTOR * latency or parallel:
            return latency
        return cadence


def _latency(interval: Interval) -> float | None:
    """Mean time between two tokens of a request [s]."""
    if interval.inter_tokens and interval.inter_token_seconds:
        return interval.inter_token_seconds / interval.inter_tokens
    return None


class StepTimes:
    """Step times of one engine over a trailing window of busy intervals."""

    def __init__(self, window_seconds: float, trim: float, max_intervals: int = MOST_KEPT_INTERVALS) -> None:
        self._window = window_seconds
        self._trim = trim
        self._kept: deque[tuple[float, float, float]] = deque(maxlen=max_intervals)

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        if not interval.goes_on:
            return
        if interval.step_seconds is not None and interval.steps:
            self._kept.append((interval.end, interval.step_seconds * interval.steps, interval.steps))
        while self._kept and self._kept[0][0] <= interval.end - self._window:
            self._kept.popleft()

    def begin_anew(self, cause: Cause) -> None:
        """Steps before a break ran on the same hardware: all stay, unless they were counted wrongly."""
        if cause is Cause.REFUTED:
            self._kept.clear()

    def get(self, _now: float) -> StepTime | None:
        """Trimmed mean and median over the window; ``None`` with fewer than 3 intervals."""
        if len(self._kept) < _LEAST_INTERVALS:
            return None
        seconds = [k[1] for k in self._kept]
        steps = [k[2] for k in self._kept]
        mean = trimmed_ratio(seconds, steps, self._trim)
        median = weighted_median([s / n for s, n in zip(seconds, steps, strict=True)], steps)
        return None if mean is None or median is None else StepTime(mean, median, len(self._kept))


def step_seconds(now: StepTime | None, saturated: float | None) -> KeyedEstimate:
    """b̄ now and at full load [s]; the verdict is on what it is now."""
    seconds = {"trimmed_mean": now.trimmed_mean, "median": now.median} if now is not None else {}
    if saturated is not None:
        seconds["saturated"] = saturated
    return KeyedEstimate(seconds, verdict=Reason.OK if now is not None else Reason.NO_BUSY_INTERVALS)

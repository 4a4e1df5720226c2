"""How many times is each step counted? Several API servers count the same one, as do the stages of a pipeline.

While requests run an engine steps without a pause, or computes prompts in steps that are not counted. So steps, each as
long as the time between two tokens, never take longer than requests run; where they seem to, each was counted several
times. The busy engine shows that by itself (:class:`~kvwatch.core.steps.step_seconds.Cadence`), one with pauses only in
the mean: a pause hides steps that are counted twice.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from kvwatch.core.interval import Interval

_SUMS_KEPT_RATIO = 0.98
"""Share of the sums that is kept at each interval [1]. Choice: the last fifty count; how an engine counts never
changes."""
_LEAST_SCRAPES = 10.0
"""Intervals with requests that it rests on at least [intervals]. Choice: half of those that the first law is fitted
to."""
_SEVERAL = 1.5
"""Time that the steps seem to take over that in which requests run, from which on each is counted several times [1].
Choice: between the 1 of one server and the 2 of two."""
_ONCE = 1.25
"""The same up to which each is counted once again [1]. Choice: clearly below the other, so that noise changes
nothing."""
_MOST_TIMES_RUNNING = 4.0
"""Time of the tokens in an interval over what those that run can have taken, up to which it counts [1]. Choice: a
request that ends within an interval is seen at neither end of it."""
_TIME_DEVIATIONS = 3.0
"""Standard errors that the time in which requests run may be off, as scrapes show it [1]. Choice: they are taken as
independent, and are not where requests last longer than the time between two scrapes."""


class StepCounts:
    """Follows the time that an engine's steps seem to take."""

    def __init__(self) -> None:
        self._stepping = self._busy = self._seconds = self._scrapes = 0.0
        self.times = 1.0
        """How many times each step is counted, in the mean."""

    def update(self, interval: Interval) -> bool:
        """Take an interval; whether it has turned out that steps are counted several times, or no longer are."""
        before, after = interval.running
        if before is None or after is None or not interval.goes_on or interval.preemptions:
            return False
        steps, tokens, time = interval.steps, interval.inter_tokens, interval.inter_token_seconds
        if time is not None and time > _MOST_TIMES_RUNNING * max(before, after, 1.0) * interval.seconds:
            return False  # requests that are aborted inside an engine add times as long as the host's uptime
        took = steps * time / tokens if steps and tokens and time else 0.0
        share = ((before > 0) + (after > 0)) / 2
        for name, value in (
            ("_stepping", took),
            ("_busy", share * interval.seconds),
            ("_seconds", interval.seconds),
            ("_scrapes", 1.0),
        ):
            setattr(self, name, _SUMS_KEPT_RATIO * getattr(self, name) + value)
        were_several = self.times > 1
        self.times = self._found(_ONCE if were_several else _SEVERAL)
        return (self.times > 1) != were_several

    def _found(self, least: float) -> float:
        share = self._busy / self._seconds if self._seconds else 0.0
        seen = share * self._scrapes
        if seen < _LEAST_SCRAPES:
            return self.times
        error = _TIME_DEVIATIONS * sqrt((1 - share) / seen)
        several = self._stepping >= least * self._busy * (1 + error)
        return self._stepping / self._busy if several else 1.0

    def once(self, interval: Interval) -> Interval:
        """The interval with each of its steps counted once."""
        return replace(interval, steps=interval.steps / self.times) if self.times > 1 and interval.steps else interval

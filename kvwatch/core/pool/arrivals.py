"""λ of a pool of engines: its mean over five minutes and its trend over ten, right also while replicas come and go.

Each engine's own mean over five minutes is wrong for as long whenever another one comes or goes and takes its share of
the traffic. The sum of the means over one minute is right again after a minute, so the sum is kept, and the mean is
taken of it. The recording rules do the same, sample by sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from kvwatch.core.pool.evaluation import Times

STAYS_RATIO = 0.95
"""Share of the engines that must have been there throughout a trend [1]. Choice: one of twenty may restart."""
TREND_DEVIATIONS = 4.5
"""Standard errors above 0 from which a trend is no accident [sd]. Choice: it is asked for every 15 s, so that chance
has many tries; one false trend in weeks of steady traffic."""
HALF_SHARE = 0.5
"""Share of the trend that either half of its window must have [1]. Choice: a ramp has all of it in both, a step of the
load in one half only."""
SLOPE_VARIANCE_FACTOR = 12.0
"""Variance of a regression's slope over T s, in times of the variance of a mean over T s by T² [1]. Definition."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """λ over the last minute [requests/s], and of how many engines."""

    at: float
    rate: float
    engines: int


class PoolArrivals:
    """The sums of the last quarter of an hour, at most one an evaluation."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._samples: deque[_Sample] = deque()

    def update(self, now: float, rate: float, engines: int) -> None:
        """Take the sum of λ over the last minute [requests/s] of ``engines`` engines at ``now`` [unix s]."""
        self._samples.append(_Sample(now, rate, engines))
        while now - self._samples[0].at > self._times.longest:
            self._samples.popleft()

    def mean(self, now: float) -> float | None:
        """λ over the last five minutes [requests/s], or over what is known of them."""
        rates = [sample.rate for sample in self._between(now - self._times.mean, now)]
        return sum(rates) / len(rates) if rates else None

    def trend(self, now: float, count_variance: float) -> float | None:
        """How fast λ rises [requests/s²] where that is no accident; ``None`` while engines come or go.

        ``count_variance``: variance of the arrivals in a second [requests²/s], which of Poisson arrivals is λ.
        """
        samples = self._between(now - self._times.memory, now)
        if not samples or not any(self._times.shows_trend(now - sample.at) for sample in self._samples):
            return None
        engines = [sample.engines for sample in samples]
        slope = _slope(samples)
        halves = [_slope(self._between(now - back - self._times.mean, now - back)) for back in (0.0, self._times.half)]
        if slope is None or min(engines) < STAYS_RATIO * max(engines):
            return None
        deviation = sqrt(SLOPE_VARIANCE_FACTOR * count_variance / self._times.memory**3)
        sure = slope > TREND_DEVIATIONS * deviation
        return slope if sure and all(half is not None and half > HALF_SHARE * slope for half in halves) else None

    def _between(self, begin: float, end: float) -> list[_Sample]:
        return [sample for sample in self._samples if begin <= sample.at <= end]


def _slope(samples: Iterable[_Sample]) -> float | None:
    """Of the regression line through the samples [requests/s²]; ``None`` for fewer than two."""
    points = [(sample.at, sample.rate) for sample in samples]
    if len(points) < 2:
        return None
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(rate for _, rate in points) / len(points)
    return sum((at - middle) * (rate - mean) for at, rate in points) / sum((at - middle) ** 2 for at, _ in points)

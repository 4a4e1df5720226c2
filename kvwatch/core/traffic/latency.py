"""What users feel: time to the first token and between tokens, from vLLM's own histograms over the last minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from kvwatch.core.interval import Cause, Interval
from kvwatch.estimate import Keyed
from kvwatch.facts import EngineSample, Histogram
from kvwatch.stats.bucket_quantile import bucket_quantile

QUANTILES = (0.5, 0.95)
"""The median, and what one in twenty exceeds [1]. Choice: a larger quantile needs more requests than a minute has."""
_POINTS = 12
"""Histograms that are kept of a window [1]. Choice: a window of a minute ends within five seconds of now."""

_Kinds = tuple[Histogram | None, Histogram | None]


class Latency:
    """Quantiles over a trailing window, from histograms at a dozen moments of it."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._kept: deque[tuple[float, _Kinds]] = deque(maxlen=_POINTS + 2)
        self._newest: _Kinds = (None, None)

    def update(self, interval: Interval) -> None:
        """Take an interval: what counts is the sample at its end."""
        self._newest = _histograms(interval.sample)
        if not self._kept or interval.end - self._kept[-1][0] >= self._window / _POINTS:
            self._kept.append((interval.end, self._newest))
        while len(self._kept) > 1 and self._kept[1][0] <= interval.end - self._window:
            self._kept.popleft()

    def begin_anew(self, cause: Cause) -> None:
        """Counters that start again have another past; a mass abort changes nothing of what was counted."""
        if cause in (Cause.FIRST, Cause.RESTART):
            self._kept.clear()

    def get(self, _now: float) -> dict[str, Keyed]:
        """Quantiles [s] by kind, ``ttft`` and ``itl``; what nobody has felt in the window is missing."""
        if not self._kept:
            return {}
        _, oldest = self._kept[0]
        kinds = zip(("ttft", "itl"), oldest, self._newest, strict=True)
        found = {kind: _quantiles(before, after) for kind, before, after in kinds}
        return {kind: quantiles for kind, quantiles in found.items() if quantiles}


def _histograms(sample: EngineSample) -> _Kinds:
    return sample.first_token_seconds, sample.inter_token_seconds


def _quantiles(before: Histogram | None, after: Histogram | None) -> Mapping[str, float]:
    if before is None or after is None or before.edges != after.edges:
        return {}
    values = {f"{q:g}": bucket_quantile(q, after.edges, before.cumulative, after.cumulative) for q in QUANTILES}
    return {q: value for q, value in values.items() if value is not None}

"""What users feel: time in the queue, to the first token and between tokens, as vLLM's histograms have it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.estimate import Keyed, pair
from kvwatch.facts import EngineSample, Histogram
from kvwatch.stats.bucket_quantile import bucket_of_quantile, bucket_quantile

QUANTILES = (0.5, 0.95)
"""The median, and what one in twenty exceeds [1]. Choice: a larger quantile needs more requests than a minute has."""
_POINTS = 12
"""Histograms that are kept of a window [1]. Choice: a window of a minute ends within five seconds of now."""

_Kinds = dict[str, Histogram | None]


class Latency:
    """Quantiles over a trailing window, from histograms at a dozen moments of it."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._kept: deque[tuple[float, _Kinds]] = deque(maxlen=_POINTS + 2)
        self._newest: _Kinds = {}

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

    def get(self, _now: float) -> Keyed:
        """Quantiles [s] by kind (``wait``, ``ttft``, ``itl``) and quantile; what nobody has felt lately is missing.

        vLLM counts a request's time in the queue when the request finishes.
        """
        found = {
            pair(kind, f"{q:g}"): bucket_quantile(q, after.edges, before.cumulative, after.cumulative)
            for kind, before, after in self._pairs()
            for q in QUANTILES
        }
        return {key: value for key, value in found.items() if value is not None}

    def buckets(self) -> dict[str, tuple[float, float]]:
        """The edges of the bucket that each of these quantiles lies in [s]: between them nothing is known."""
        found = {
            pair(kind, f"{q:g}"): bucket_of_quantile(q, after.edges, before.cumulative, after.cumulative)
            for kind, before, after in self._pairs()
            for q in QUANTILES
        }
        return {key: edges for key, edges in found.items() if edges is not None}

    def _pairs(self) -> Iterator[tuple[str, Histogram, Histogram]]:
        oldest = self._kept[0][1] if self._kept else {}
        for kind, after in self._newest.items():
            before = oldest.get(kind)
            if before is not None and after is not None and before.edges == after.edges:
                yield kind, before, after


def _histograms(sample: EngineSample) -> _Kinds:
    return {"wait": sample.queue_seconds, "ttft": sample.first_token_seconds, "itl": sample.inter_token_seconds}

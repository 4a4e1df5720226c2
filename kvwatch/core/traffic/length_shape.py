"""Shape of the length distributions, from how the histograms' buckets fill; recent requests weigh more."""

from __future__ import annotations

from itertools import pairwise
from math import inf, isfinite
from operator import sub

from kvwatch.constants import LARGEST_SUM
from kvwatch.facts import EngineSample, Histogram
from kvwatch.queueing.length_mix import BucketCounts, accumulate

_MEMORY_REQUESTS = 1000.0
"""Requests over which the shape of the lengths is remembered [requests]. Choice: a histogram of a thousand is known to
a few per cent in each bucket; half is rough in the tail, double keeps the old shape for longer after a slow change."""

_MOST_BUCKETS = 1000
"""Buckets that a state may have [bins]. Choice: vLLM's histograms have 20; a thousand would be slow, no more."""


class LengthShape:
    """Bucket counts of prompt and output lengths over about the last thousand requests."""

    def __init__(self) -> None:
        self._last: tuple[Histogram | None, Histogram | None] = (None, None)
        self.prompt: BucketCounts | None = None
        self.output: BucketCounts | None = None

    def update(self, sample: EngineSample) -> None:
        """Take a sample."""
        now = (sample.request_prompt_tokens, sample.request_generation_tokens)
        before = self._last
        if before[0] is not None and now[0] is not None and before[0].count == now[0].count:
            return
        self.prompt = _grown(self.prompt, before[0], now[0])
        self.output = _grown(self.output, before[1], now[1])
        self._last = now

    def dump(self) -> list[dict[str, list[float]] | None]:
        """Bucket counts as plain numbers; an edge beyond all is left out."""
        return [
            {"edges": [e for e in shape.edges if isfinite(e)], "counts": list(shape.counts)} if shape else None
            for shape in (self.prompt, self.output)
        ]

    def restore(self, state: list[dict[str, list[float]] | None]) -> None:
        """Take up dumped counts. Raises ValueError, KeyError or TypeError for what cannot be some."""
        self.prompt, self.output = (_restored(shape) for shape in state)

    def begin_anew(self) -> None:
        """The counters of the next sample cannot be compared with those before."""
        self._last = (None, None)

    def clear(self) -> None:
        """Forget the requests so far, not the counters' state."""
        self.prompt = self.output = None


def _restored(state: dict[str, list[float]] | None) -> BucketCounts | None:
    if state is None:
        return None
    edges, counts = [float(e) for e in state["edges"]], [float(c) for c in state["counts"]]
    edges += [inf] * (len(counts) - len(edges))
    rising = all(a < b for a, b in pairwise(edges) if b < inf)
    if len(counts) > _MOST_BUCKETS:
        raise ValueError(f"more than {_MOST_BUCKETS} buckets")
    if len(edges) != len(counts) or not rising or not all(0 <= c < LARGEST_SUM for c in counts):
        raise ValueError("buckets must have rising edges and as many counts")
    return BucketCounts(tuple(edges), tuple(counts))


def _grown(shape: BucketCounts | None, before: Histogram | None, after: Histogram | None) -> BucketCounts | None:
    if after is None or before is None or before.edges != after.edges:
        return shape
    rises = list(map(sub, after.cumulative, before.cumulative))
    counts = list(map(sub, rises, [0.0, *rises[:-1]]))
    if counts and min(counts) < 0:
        counts = [max(c, 0.0) for c in counts]
    return accumulate(shape, counts, after.edges, keep=max(1 - sum(counts) / _MEMORY_REQUESTS, 0.0))

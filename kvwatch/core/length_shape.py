"""Shape of the length distributions, from how the histograms' buckets fill; recent requests weigh more."""

from __future__ import annotations

from kvwatch.facts import EngineSample, Histogram
from kvwatch.queueing.length_mix import BucketCounts, accumulate

_MEMORY_REQUESTS = 1000.0


class LengthShape:
    """Bucket counts of prompt and output lengths over about the last thousand requests."""

    def __init__(self) -> None:
        self._last: tuple[Histogram | None, Histogram | None] = (None, None)
        self.prompt: BucketCounts | None = None
        self.output: BucketCounts | None = None

    def update(self, sample: EngineSample, reset: bool) -> None:
        """Take a sample; ``reset`` says that its counters started anew."""
        now = (sample.request_prompt_tokens, sample.request_generation_tokens)
        before = (None, None) if reset else self._last
        if before[0] is not None and now[0] is not None and before[0].count == now[0].count:
            return
        self.prompt = _grown(self.prompt, before[0], now[0])
        self.output = _grown(self.output, before[1], now[1])
        self._last = now

    def clear(self) -> None:
        """Forget the requests so far, not the counters' state."""
        self.prompt = self.output = None


def _grown(shape: BucketCounts | None, before: Histogram | None, after: Histogram | None) -> BucketCounts | None:
    if after is None or before is None or before.edges != after.edges:
        return shape
    rises = [b - a for a, b in zip(before.cumulative, after.cumulative, strict=True)]
    counts = [max(r - left, 0.0) for left, r in zip([0.0, *rises], rises, strict=False)]
    return accumulate(shape, counts, after.edges, keep=max(1 - sum(counts) / _MEMORY_REQUESTS, 0.0))

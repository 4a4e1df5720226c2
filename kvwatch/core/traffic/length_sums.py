"""How many requests finished since a scrape, and with how many prompt and output tokens: where two histograms agree."""

from __future__ import annotations

from kvwatch.facts import EngineSample


class LengthSums:
    """The sums of the two histograms of lengths when they last agreed on the number of requests.

    A scrape is no snapshot: one histogram may already hold a request that the other does not. Such a scrape is passed
    over, and the next one covers both intervals.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float, float] | None = None

    def forget(self) -> None:
        """Sums that were wrong for a while are no beginning of a difference."""
        self._last = None

    def begin(self, sample: EngineSample) -> None:
        """Count from this sample on."""
        self._last = _lengths(sample)

    def update(self, sample: EngineSample) -> tuple[float, float, float]:
        """Take a sample; by how much (requests, prompt tokens, output tokens) rose since the histograms last agreed.

        All are 0 where that is not known.
        """
        now, before = _lengths(sample), self._last
        if now is None:
            return 0.0, 0.0, 0.0
        self._last = now
        if before is None:
            return 0.0, 0.0, 0.0
        rises = tuple(n - b for n, b in zip(now, before, strict=True))
        if min(rises) < 0:
            return 0.0, 0.0, 0.0
        return rises[0], rises[1], rises[2]


def _lengths(sample: EngineSample) -> tuple[float, float, float] | None:
    s, o = sample.request_prompt_tokens, sample.request_generation_tokens
    if s is None or o is None or s.count is None or o.count is None or s.total is None or o.total is None:
        return None
    return (s.count, s.total, o.total) if s.count == o.count else None

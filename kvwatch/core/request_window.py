"""Exact E[g] and the largest request, from a request log."""

from __future__ import annotations

from collections import deque

from kvwatch.facts import RequestRecord
from kvwatch.queueing.demand import block_demand

_SLICES = 120


class RequestWindow:
    """Sums of g over completed requests in time slices of a trailing window: bounded whatever the rate."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._slice = window_seconds / _SLICES
        self._sums: deque[tuple[int, float, float]] = deque()

    def update(self, record: RequestRecord, block_tokens: int, chunk_tokens: int) -> None:
        """Take one request that ended; those that did not complete, or are empty, count for nothing here."""
        if not record.completed or record.prompt_tokens < 1 or record.completion_tokens < 1:
            return
        g = float(block_demand(record.prompt_tokens, record.completion_tokens, block_tokens, chunk_tokens))
        index = int(record.finish // self._slice)
        if self._sums and self._sums[-1][0] >= index:
            last, count, total = self._sums.pop()
            self._sums.append((last, count + 1, total + g))
        else:
            self._sums.append((index, 1, g))
        while self._sums and self._sums[0][0] <= index - _SLICES:
            self._sums.popleft()

    def mean(self, now: float, min_requests: int = 1, since: float | None = None) -> float | None:
        """E[g] over requests that finished in the window before ``now``; ``None`` with too few.

        Only over those after ``since``, if they are enough.
        """
        if since is not None:
            later = [(count, total) for index, count, total in self._sums if index > int(since // self._slice)]
            if sum(c for c, _ in later) >= max(min_requests, 1):
                return sum(t for _, t in later) / sum(c for c, _ in later)
        first = int(now // self._slice) - _SLICES
        kept = [(count, total) for index, count, total in self._sums if index > first]
        count = sum(c for c, _ in kept)
        return sum(t for _, t in kept) / count if count >= max(min_requests, 1) else None

    def clear(self) -> None:
        """Forget everything."""
        self._sums.clear()

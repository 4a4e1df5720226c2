"""A histogram as prometheus_client keeps it, and the bucket edges that vLLM gives its own."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_SECONDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
    120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
"""Edges of a request's times [s]. Data sheet: vLLM 0.32, v1/metrics/buckets.py."""
FIRST_TOKEN_SECONDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
    10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
"""Edges of the time to the first token [s]. Data sheet: vLLM 0.32, v1/metrics/buckets.py."""
INTER_TOKEN_SECONDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
"""Edges of the latency between tokens [s]. Data sheet: vLLM 0.32, v1/metrics/buckets.py."""
ITERATION_TOKENS = (1.0, *(float(2**power) for power in range(3, 15)))
"""Edges of the tokens of a step [tokens]. Data sheet: vLLM 0.32, v1/metrics/buckets.py."""
REQUEST_COPIES = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Edges of the answers that a request asks for [answers]. Data sheet: vLLM 0.32, v1/metrics/buckets.py."""
PREEMPTIONS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
"""Edges of the evictions of a request [evictions]. Data sheet: vLLM 0.32, v1/metrics/buckets.py."""
_DIGITS = (1, 2, 5)
"""First digits of the edges of lengths in each decade [1]. Data sheet: vLLM 0.32, v1/metrics/buckets.py."""


def token_edges(max_model_len: int) -> tuple[float, ...]:
    """1, 2, 5, 10, … up to the longest sequence."""
    edges: list[float] = []
    decade = 1
    while decade <= max_model_len:
        edges += [float(digit * decade) for digit in _DIGITS if digit * decade <= max_model_len]
        decade *= 10
    return tuple(edges)


class BucketCounts:
    """Observations counted by bucket, with their sum."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = (*edges, inf)
        self.counts = [0] * len(self.edges)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count ``value``, ``times`` over; an edge belongs to the bucket it closes."""
        self.counts[bisect_left(self.edges, value)] += times
        self.total += value * times

    def cumulative(self) -> list[int]:
        """Observations at or below each edge; the last is their number."""
        return list(accumulate(self.counts))

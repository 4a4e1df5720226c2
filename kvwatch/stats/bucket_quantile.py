"""A quantile of what fell into the buckets of a histogram between two moments, as PromQL's ``histogram_quantile``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf


def bucket_quantile(
    quantile: float, edges: Sequence[float], before: Sequence[float], after: Sequence[float]
) -> float | None:
    """The quantile by linear interpolation within its bucket, in the unit of the edges; ``None`` of nothing.

    ``edges`` are upper bounds in rising order, the last one infinite; ``before`` and ``after`` the cumulative counts.
    What lies beyond the highest finite edge counts as that edge, so a quantile there is a lower bound.
    """
    counts = _counts(before, after)
    if counts is None:
        return None
    rank = quantile * counts[-1]
    place = next(index for index, count in enumerate(counts) if count >= rank)
    if place == len(counts) - 1:
        return edges[-2]
    lower_edge, below = (edges[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    inside = counts[place] - below
    return lower_edge + (edges[place] - lower_edge) * ((rank - below) / inside if inside else 1.0)


def bucket_of_quantile(
    quantile: float, edges: Sequence[float], before: Sequence[float], after: Sequence[float]
) -> tuple[float, float] | None:
    """The edges of the bucket that holds the quantile, which lies anywhere between them; ``None`` of nothing."""
    counts = _counts(before, after)
    if counts is None:
        return None
    place = next(index for index, count in enumerate(counts) if count >= quantile * counts[-1])
    return (edges[place - 1] if place else 0.0), (edges[place] if place < len(counts) - 1 else inf)


def _counts(before: Sequence[float], after: Sequence[float]) -> list[float] | None:
    """What came between, cumulative; ``None`` where nothing did or the counts are none."""
    counts = [b - a for a, b in zip(before, after, strict=True)]
    if len(counts) < 2 or counts[-1] <= 0 or any(low > high for low, high in pairwise(counts)):
        return None
    return counts

"""What a server's own histograms say of a phase: a quantile, and the bucket that it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from kvwatch.facts import EngineSample, Histogram, Scrape


@dataclass(frozen=True, slots=True)
class Observed:
    """A quantile [s] as Prometheus reads it off a histogram, and the edges between which it truly lies."""

    seconds: float
    low: float
    high: float
    requests: float


def quantile_of_phase(
    scrapes: Sequence[Scrape], metric: str, share: float, start: float, end: float
) -> Observed | None:
    """The quantile of what was observed between two times [unix s]; ``None`` where nothing was, or no bound holds it.

    ``metric`` is the field of the sample that holds the histogram.
    """
    within = [s.engines[0] for s in scrapes if start <= s.at <= end and s.engines]
    if len(within) < 2:
        return None
    before, after = (_histogram(sample, metric) for sample in (within[0], within[-1]))
    if before is None or after is None or before.edges != after.edges:
        return None
    counts = [b - a for a, b in zip(before.cumulative, after.cumulative, strict=True)]
    if not counts or counts[-1] <= 0:
        return None
    rank = share * counts[-1]
    place = next(i for i, count in enumerate(counts) if count >= rank)
    high = after.edges[place]
    low, below = (after.edges[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    if high == inf:
        return None
    seconds = low + (high - low) * (rank - below) / (counts[place] - below)
    return Observed(seconds, low, high, counts[-1])


def _histogram(sample: EngineSample, metric: str) -> Histogram | None:
    found = getattr(sample, metric)
    assert found is None or isinstance(found, Histogram)
    return found

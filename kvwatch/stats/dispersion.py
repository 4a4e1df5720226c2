"""How much burstier than Poisson an arrival stream is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from kvwatch.stats.normal import MEDIAN_OF_ABSOLUTE_NORMAL

_LEAST_BINS = 5
"""Bins from which on there is a dispersion to report [bins]. Choice: λ has 20 bins; of three or fewer differences the
median is one of them, which says nothing."""


def index_of_dispersion(counts: Sequence[float]) -> float | None:
    """Variance over mean of counts in equal bins; 1 for Poisson arrivals (Cox and Lewis, 1966).

    The variance is taken from the differences of neighbouring bins (von Neumann, 1941), by their median square:
    burstiness is what happens from bin to bin, while a trend, or a jump of the rate, is not.
    ``None`` with fewer than 5 bins or no events.
    """
    if len(counts) < _LEAST_BINS:
        return None
    mean = sum(counts) / len(counts)
    if mean <= 0:
        return None
    # the difference of two bins has twice the variance of one
    return median((b - a) ** 2 for a, b in pairwise(counts)) / (2 * MEDIAN_OF_ABSOLUTE_NORMAL**2) / mean

"""By how much two counts of the same events may differ by chance."""

from __future__ import annotations

from math import sqrt

_LEAST_NOISE = 3.0
"""Difference that says nothing, however few events there are [1]. Choice: a scrape is no snapshot, and a step that ends
one or two requests may show in one counter before it shows in another."""
_NOISE_DEVIATIONS = 3.0
"""Standard deviations of a Poisson count up to which a difference is chance [sd]. Choice: beyond it lies one scrape in
a thousand, and what follows from one is undone by the next."""


def counting_noise(count: float) -> float:
    """Events by which such a count may be off."""
    return max(_LEAST_NOISE, _NOISE_DEVIATIONS * sqrt(max(count, 0.0)))

"""The error of a mean over a window, from the window alone."""

from __future__ import annotations

import random
from math import pi, sin, sqrt
from statistics import fmean, stdev

import pytest

from kvwatch.stats.adjusted_range import mean_deviation


def test_of_independent_counts_it_is_their_standard_error() -> None:
    """Sixty intervals of about a hundred, a thousand times: a tenth below, as sixty steps are not infinitely many."""
    source = random.Random(1)
    windows = [[source.gauss(100, 10) for _ in range(60)] for _ in range(1000)]
    told = fmean(mean_deviation(window, [1.0] * 60) for window in windows)
    assert told == pytest.approx(stdev(fmean(w) for w in windows) / 100, rel=0.2)


@pytest.mark.parametrize("period", [15.0, 26.0, 40.0])
def test_a_wave_that_the_window_cuts_is_within_the_interval(period: float) -> None:
    """Rates that swing by 60%, windows of a minute at any place: 90% intervals hold the mean in nine of ten or more."""
    held = 0
    for start in range(200):
        counts = [8.4 * (1 + 0.6 * sin(2 * pi * (0.37 * start + t) / period)) for t in range(60)]
        error = fmean(counts) / 8.4 - 1
        held += abs(error) <= 1.645 * mean_deviation(counts, [1.0] * 60)
    assert held >= 180


def test_a_steady_rate_is_sure() -> None:
    """Nothing swings, whatever the length of the intervals."""
    assert mean_deviation([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == pytest.approx(0.0, abs=1e-12)
    assert mean_deviation([], []) == 0.0
    assert sqrt(mean_deviation([0.0], [1.0])) == 0.0

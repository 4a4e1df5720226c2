"""Robust linear trend with an honest interval for autocorrelated series.

Theil–Sen slope (Sen, JASA 63, 1968) with its rank-based interval, and the Mann–Kendall test. A queue length
is strongly autocorrelated, which makes the textbook interval far too narrow; the variance of Kendall's S is
therefore inflated as in Hamed and Rao (J. Hydrology 204, 1998), with the autocorrelation of the detrended ranks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.stats.normal import Z90

_LEAST_POINTS = 8
"""Points from which on there is a trend to report [points]. Choice: of half as many only a perfect order is significant
at 10% (2 of 4! orders); twice as many would report a growing queue later."""
_STEP_SHARE = 0.8
"""Share of what a line leaves unexplained that a step must leave at most to be what happened [1]. Choice: the best of
twenty places for a step explains a tenth more than a line by chance; of a ramp it leaves as much as the line does."""
_REMEMBERED_SIZES = 64
"""Lengths of series whose index pairs are kept [lengths]. Choice: the windows hold at most 60 points, so that each
length is made once."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Slope per second with its 90% interval; ``significant`` where Mann–Kendall rejects "no trend" at 10%."""

    slope: float
    lower: float
    upper: float
    significant: bool


def theil_sen(times: Sequence[float], values: Sequence[float]) -> Trend | None:
    """Trend of ``values`` over ``times`` (seconds, strictly rising); ``None`` with too few points."""
    n = len(times)
    if n < _LEAST_POINTS:
        return None
    t, x = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    if float(x.max()) == float(x.min()):
        return Trend(0.0, 0.0, 0.0, significant=False)
    i, j = _pairs(n)
    rises = x[j] - x[i]
    slopes = np.sort(rises / (t[j] - t[i]))
    middle = len(slopes) // 2
    slope = float(slopes[middle] if len(slopes) % 2 else (slopes[middle - 1] + slopes[middle]) / 2)
    score = float(np.count_nonzero(rises > 0) - np.count_nonzero(rises < 0))
    deviation = sqrt(_score_variance(x) * _inflation(x - slope * t))
    # Ranks of the interval's ends among the pairwise slopes: Sen (1968), section 6. They are within the slopes even at
    # the largest inflation that there can be, 1 + (n − 3)/2: with n points half is below n²·0.2, and the middle n²/4.
    half = Z90 * deviation / 2
    middle_rank = (len(slopes) - 1) / 2
    low, high = round(middle_rank - half), round(middle_rank + half)
    return Trend(slope, float(slopes[low]), float(slopes[high]), significant=abs(score) > Z90 * deviation)


def is_step(times: Sequence[float], values: Sequence[float]) -> bool:
    """Whether one step, from one level to another, explains the values better than a line: then nothing goes on."""
    n = len(times)
    if n < _LEAST_POINTS:
        return False
    t, x = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    around = x - x.mean()
    total = float(around @ around)
    centred = t - t.mean()
    of_line = total - float(centred @ around) ** 2 / float(centred @ centred)
    before = np.arange(1, n)
    sums = np.cumsum(around)[:-1]
    # a split explains the squares of its two means, and the sums before and after it are opposite
    of_step = total - float((sums**2 * n / (before * (n - before))).max())
    return of_step < _STEP_SHARE * of_line


@lru_cache(maxsize=_REMEMBERED_SIZES)
def _pairs(n: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.triu_indices(n, k=1)


def _score_variance(x: npt.NDArray[np.float64]) -> float:
    """Variance of Kendall's S under "no trend", corrected for ties."""
    n = len(x)
    correction = sum(ties * (ties - 1) * (2 * ties + 5) for ties in Counter(x.tolist()).values())
    return (n * (n - 1) * (2 * n + 5) - correction) / 18


def _mean_ranks(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, ties = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(ties) - (ties - 1) / 2)[place], dtype=float)


def _inflation(residuals: npt.NDArray[np.float64]) -> float:
    """n/n* of Hamed and Rao: by how much autocorrelation widens the variance of S; at least 1."""
    n = len(residuals)
    # equal residuals share a rank: ranked by their position they would look like a trend of their own
    ranks = _mean_ranks(residuals) - (n + 1) / 2
    power = float(ranks @ ranks)
    if power == 0:
        return 1.0
    total = 0.0
    for lag in range(1, n - 2):
        r = float(ranks[:-lag] @ ranks[lag:]) / power
        if abs(r) < Z90 / sqrt(n):
            break  # beyond the first insignificant lag only noise would be added
        total += (n - lag) * (n - lag - 1) * (n - lag - 2) * r
    return max(1.0, 1 + 2 * total / (n * (n - 1) * (n - 2)))

"""Period and strength of an oscillation in an unevenly sampled series, by its autocorrelation.

The series is resampled evenly, freed of its linear trend and of outliers (winsorized at three robust standard
deviations), and correlated with itself. An oscillation shows as a trough at half its period and a crest at the whole
one; noise that merely lasts has neither, and noise that swings by chance has them once, not over several periods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvwatch.stats.normal import MEDIAN_OF_ABSOLUTE_NORMAL

Array = npt.NDArray[np.float64]

_LEAST_POINTS = 24
"""Points from which on an oscillation is looked for [points]. Choice: six periods at the least points a period; the
autocorrelation of fewer swings by chance as much as a wave does."""
_LEAST_POINTS_A_PERIOD = 4.0
"""Points that a period must have [points]. Choice: twice the two below which a period is taken for another (Nyquist),
as a crest and a trough must both be met."""
_LEAST_PERIODS = 2.5
"""Periods that the series must hold [periods]. Choice: noise that lasts swings up and down once by chance, seldom two
and a half times; with twice as many a wave would be reported only after five of its periods, minutes into the
congestion."""
_FIRST_CREST_RATIO = 0.8
"""The first crest that comes this near the highest is the period [1]. Choice: later crests are the multiples of a
period, and noise makes any of them the highest by a tenth; the crests of a wave's harmonics are lower than this."""
_FARTHEST_DEVIATIONS = 3.0
"""Values are cut to this distance from the median [sd]. Choice: a sine stays whole (its crests lie 0.95 robust standard
deviations out), normal noise nearly so, and a single wild sample counts no more than a few others."""
_FLAT_RATIO = 1e-12
"""Variance over squared mean below which a series does not swing at all [1]. Choice: a swing by a millionth, which
whole numbers of requests cannot make; what the rounding of doubles leaves of a constant series is far below."""


@dataclass(frozen=True, slots=True)
class Oscillation:
    """The strongest oscillation of a series.

    Attributes:
        period: In the units of the positions.
        crest: Autocorrelation a period apart: 1 for a perfect oscillation, about 0 for noise.
        trough: Autocorrelation half a period apart: towards −1.
        amplitude_ratio: Standard deviation of the series over its mean.
    """

    period: float
    crest: float
    trough: float
    amplitude_ratio: float


def oscillation(positions: Sequence[float], values: Sequence[float]) -> Oscillation | None:
    """The strongest oscillation; ``None`` where the series is too short, too coarse, or does not swing at all.

    ``positions`` must rise. At least 2.5 periods must lie in the series, and four samples in a period.
    """
    if len(positions) < _LEAST_POINTS:
        return None
    x, y = np.asarray(positions, dtype=float), np.asarray(values, dtype=float)
    spacing = float(np.median(np.diff(x)))
    if spacing <= 0:
        return None
    points = int((x[-1] - x[0]) / spacing) + 1
    even = np.interp(x[0] + spacing * np.arange(points), x, y)
    mean = float(even.mean())
    swings = _swings(even)
    power = float(swings @ swings)
    if points < _LEAST_POINTS or mean <= 0 or power <= _FLAT_RATIO * mean**2 * points:
        return None
    overlap = np.arange(points, 0, -1)
    spectrum = np.fft.rfft(swings, 2 * points)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:points] / power * points / overlap
    longest = int(points / _LEAST_PERIODS)
    below = np.flatnonzero(correlation[:longest] < 0)
    if not len(below) or below[0] + 2 >= longest:
        return None
    crest = _first_crest(correlation, int(below[0]), longest)
    if crest is None or crest < _LEAST_POINTS_A_PERIOD:
        return None
    return Oscillation(
        period=_vertex(correlation, crest) * spacing,
        crest=float(correlation[crest]),
        trough=float(correlation[:crest].min()),
        amplitude_ratio=float(swings.std()) / mean,
    )


def _swings(values: Array) -> Array:
    """The values without their linear trend, and no farther from it than three robust standard deviations."""
    t = np.arange(len(values), dtype=float)
    trend = np.polynomial.Polynomial.fit(t, values, 1)
    left = values - trend(t)
    left -= np.median(left)
    farthest = _FARTHEST_DEVIATIONS * float(np.median(np.abs(left))) / MEDIAN_OF_ABSOLUTE_NORMAL
    left = np.clip(left, -farthest, farthest) if farthest > 0 else left
    return np.asarray(left - left.mean(), dtype=float)


def _first_crest(correlation: Array, start: int, end: int) -> int | None:
    """Index of the first local maximum that is nearly as high as the highest between ``start`` and ``end``."""
    part = correlation[start:end]
    crests = start + 1 + np.flatnonzero((part[1:-1] >= part[:-2]) & (part[1:-1] > part[2:]))
    if not len(crests):
        return None
    high = float(correlation[crests].max())
    return int(crests[correlation[crests] >= _FIRST_CREST_RATIO * high][0]) if high > 0 else None


def _vertex(correlation: Array, crest: int) -> float:
    """Position of the maximum of the parabola through a crest and its neighbours."""
    before, at, after = (float(correlation[crest + d]) for d in (-1, 0, 1))
    bend = before - 2 * at + after
    return crest + (0.5 * (before - after) / bend if bend < 0 else 0.0)

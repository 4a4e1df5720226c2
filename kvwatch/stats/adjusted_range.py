"""How well a window shows the mean of a rate that comes in waves: the range of its cumulated deviations.

Cumulate x − x̄ over a window of T: where counts are independent with a variance of σ² a unit of time, the range R of the
sums has the mean √(π/2)·σ·√T (Feller, Annals of Mathematical Statistics 22, 1951), so that R/(√(π/2)·T) is the standard
deviation of x̄. Where they come in waves R is the swing of a whole one, and x̄ is wrong by as much as the part of a wave
that the window cuts off: by R/(2·T) in the mean square for a sine, which is less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import pi, sqrt

_MEAN_RANGE = sqrt(pi / 2)
"""Mean range of a Brownian bridge of unit variance [1]. Definition: Feller 1951."""


def mean_deviation(counts: Sequence[float], seconds: Sequence[float]) -> float:
    """Relative standard deviation of Σcounts/Σseconds by the waves and bursts seen in it; 0 where nothing was counted.

    ``counts`` are what each of successive intervals brought, ``seconds`` how long these lasted.
    """
    whole, length = sum(counts), sum(seconds)
    if whole <= 0 or length <= 0:
        return 0.0
    mean = whole / length
    cumulated = list(accumulate((c - mean * t for c, t in zip(counts, seconds, strict=True)), initial=0.0))
    return (max(cumulated) - min(cumulated)) / (_MEAN_RANGE * whole)

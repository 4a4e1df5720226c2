"""Has the mean of a stream changed? ADWIN (Bifet and Gavaldà, SDM 2007), as river has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from river.drift import ADWIN

_LEAST_AFTER = 3
"""Values after a change without which its place is not sought [values]. Choice: with fewer, the last value alone, an
outlier or not, is the likeliest place of a change."""
_FALSE_ALARM_PROBABILITY = 1e-3
"""Bound on the probability that a change is seen in a stream that has none [1]. Choice: one false alarm in a thousand
values at most; it enters ADWIN's threshold by its logarithm only, so that half or double moves little."""
_VALUES_BETWEEN_CHECKS = 4
"""Values between two looks for a change [values]. Choice: a change is seen four scrapes late at most; river's default
is made for streams of thousands of values a second."""


def change_point(values: Sequence[float]) -> int:
    """Index of the first value after the likeliest single change of the mean: the largest CUSUM (Page, 1954).

    ADWIN finds soon that there was a change, but not where: it drops its oldest values until it can no longer be sure.
    """
    x = np.asarray(values, dtype=float)
    if len(x) <= _LEAST_AFTER:
        return 0
    before = np.arange(1, len(x) - _LEAST_AFTER + 1)
    sums = np.cumsum(x)[: len(before)]
    apart = np.abs(sums / before - x.mean()) * np.sqrt(before * len(x) / (len(x) - before))
    return int(np.argmax(apart)) + 1


class ChangeDetector:
    """Keeps as many of the newest values as can be of one mean. Bounded: O(log n) numbers of memory."""

    def __init__(self, confidence: float = _FALSE_ALARM_PROBABILITY) -> None:
        self._adwin = ADWIN(delta=confidence, clock=_VALUES_BETWEEN_CHECKS)  # type: ignore[no-untyped-call]

    def update(self, value: float) -> bool:
        """Take a value; whether a change was found with it."""
        self._adwin.update(value)  # type: ignore[no-untyped-call]
        return bool(self._adwin.drift_detected)

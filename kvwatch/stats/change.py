"""Has the mean of a stream changed? ADWIN (Bifet and Gavaldà, SDM 2007), as river has it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

import numpy as np
import river

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


def _adwin() -> Any:  # noqa: ANN401 - river has no types
    """The class ADWIN of river, without what its package of detectors imports besides.

    That is scipy's statistics, for another detector: 54 MB and half a second of each process (measured, Python 3.11).
    """
    name = "river.drift.adwin"
    spec = PathFinder.find_spec(name, [f"{path}/drift" for path in river.__path__])
    if spec is None or spec.loader is None:  # of a release that has it elsewhere
        from river.drift import ADWIN  # noqa: PLC0415 - see above

        return ADWIN
    module = sys.modules.setdefault(name, module_from_spec(spec))
    spec.loader.exec_module(module)
    return module.ADWIN


_ADWIN = _adwin()


class ChangeDetector:
    """Keeps as many of the newest values as can be of one mean. Bounded: O(log n) numbers of memory."""

    def __init__(self, confidence: float = _FALSE_ALARM_PROBABILITY) -> None:
        self._adwin = _ADWIN(delta=confidence, clock=_VALUES_BETWEEN_CHECKS)

    def update(self, value: float) -> bool:
        """Take a value; whether a change was found with it."""
        self._adwin.update(value)
        return bool(self._adwin.drift_detected)

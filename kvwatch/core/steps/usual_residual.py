"""How far the times of steps usually are from those of their like: what a pause of the host is told from."""

from __future__ import annotations

from collections import deque
from statistics import median

_LEAST_RESIDUALS = 8
"""Residuals from which on their usual size is taken [rows]. Choice: a median of fewer is any of them."""
_REMEMBERED_RESIDUALS = 120
"""Residuals of which the usual size is taken [rows]. Choice: two minutes of rows."""
_FIRST_TYPICAL = 0.1
"""Usual residual until there are some [1]. Choice: wide enough to drop nothing."""
_LOOKS = 8
"""Times that the usual size is taken while the residuals change once over [1]. Choice: a median costs something."""
_DEVIATION_OVER_MEDIAN = 1.5
"""Usual residual over the median of their absolute values [1]. Choice: it is 1.48 for normal ones."""
_LEAST_TYPICAL = 0.01
"""Least usual residual [1]. Choice: what whole steps in a second leave."""


class UsualResidual:
    """The last residuals, and their usual size, which is worked out again now and then."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=_REMEMBERED_RESIDUALS)
        self._since = 0
        self.typical = _FIRST_TYPICAL

    def append(self, residual: float) -> None:
        """Take one."""
        self._last.append(abs(residual))
        self._since += 1
        if len(self._last) >= _LEAST_RESIDUALS and self._since * _LOOKS >= len(self._last):
            self._since = 0
            self.typical = max(median(self._last) * _DEVIATION_OVER_MEDIAN, _LEAST_TYPICAL)

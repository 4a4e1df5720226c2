"""Has the mean of a stream changed? ADWIN (Bifet and Gavaldà, SDM 2007), as river has it."""

from __future__ import annotations

from river.drift import ADWIN


class ChangeDetector:
    """Keeps as many of the newest values as can be of one mean. Bounded: O(log n) numbers of memory."""

    def __init__(self, confidence: float = 1e-3) -> None:
        self._adwin = ADWIN(delta=confidence, clock=4)  # type: ignore[no-untyped-call]

    def update(self, value: float) -> bool:
        """Take a value; whether a change was found with it."""
        self._adwin.update(value)  # type: ignore[no-untyped-call]
        return bool(self._adwin.drift_detected)

    @property
    def kept(self) -> int:
        """How many of the newest values are of one mean."""
        return int(self._adwin.width)

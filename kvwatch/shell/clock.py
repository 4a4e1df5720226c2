"""A clock that shows the time of day and never jumps.

The estimates divide by differences of time, and the host's wall clock may be set back or forth by hours. So
time advances with the monotonic clock, and is led towards the wall clock too slowly to bend a rate.
"""

from __future__ import annotations

from collections.abc import Callable

SLEW_RATIO = 0.001
"""Largest share by which a second may be longer or shorter while the clock is led to the wall clock."""


class SteadyClock:
    """Unix seconds that advance with ``monotonic`` and slew towards ``wall``; never backwards."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._at, self._last = wall(), monotonic()

    def __call__(self) -> float:
        """The time now, in unix seconds."""
        monotonic = self._monotonic()
        elapsed = max(0.0, monotonic - self._last)
        self._last = monotonic
        ahead = self._wall() - (self._at + elapsed)
        bend = elapsed * SLEW_RATIO
        self._at += elapsed + min(bend, max(-bend, ahead))
        return self._at

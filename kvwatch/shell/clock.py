"""A clock that shows the time of day and never jumps.

The estimates divide by differences of time, and the host's wall clock may be set back or forth by hours. So
time advances with the monotonic clock, and is led towards the wall clock too slowly to bend a rate. Where the host's
clock was wrong at the start and is set right by hours, the two stay apart for months: times that come from outside, as
those of spans and log lines, and times that are shown are moved by the difference.
"""

from __future__ import annotations

from collections.abc import Callable

SLEW_RATIO = 0.001
"""Largest share by which a second may be longer or shorter while the clock is led to the wall clock.

Choice: a tenth of the least error of a rate that matters, 1%; a difference of a second is gone within 17 minutes."""
LEAST_DIFFERENCE_SECONDS = 0.1
"""A smaller difference of the two clocks is none. Choice: below it the clocks of two machines differ anyway."""


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

    def wall(self) -> float:
        """The wall clock's time, in unix seconds; it may jump."""
        return self._wall()

    def ahead(self) -> float:
        """How far this clock is ahead of the wall clock [s]; 0 where that does not matter."""
        ahead = self() - self._wall()
        return ahead if abs(ahead) >= LEAST_DIFFERENCE_SECONDS else 0.0

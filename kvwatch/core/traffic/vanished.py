"""Requests that leave an engine without finishing: clients that give up, which no counter of vLLM shows."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from kvwatch.core.interval import Interval

_MASS_REQUESTS = 20.0
"""So many requests at once are a mass, if they are a large share too (choice: a client's pool, not a user)."""
_MASS_RATIO = 0.3
"""Share of those inside that a mass has at least: beyond it, those inside are others than there were (choice)."""
_LEAST_NOISE_REQUESTS = 3.0
"""A drop of fewer requests may be a scrape that is torn between two counters (choice: a step ends one or two)."""
_NOISE_DEVIATIONS = 3.0
"""Standard deviations of a Poisson count of the finished requests that a drop must exceed (choice)."""
_RATE_NEWS = 0.1
"""Weight of an interval in the usual flow (choice: it is that of about ten intervals)."""


@dataclass(frozen=True, slots=True)
class Vanished:
    """Requests that left without finishing in one interval.

    ``mass`` says that they were so large a share that those inside now are others. ``returned`` says that those of the
    interval before are back: they had not left, that scrape was torn.
    """

    count: float = 0.0
    mass: bool = False
    returned: bool = False


NONE = Vanished()


class VanishedRequests:
    """Looks for drops of running + waiting that finished requests do not explain."""

    def __init__(self) -> None:
        self._usual_rate: float | None = None
        self._drop: tuple[float, float] | None = None
        """(end of its interval [unix s], requests) of the last drop."""

    def update(self, interval: Interval) -> Vanished:
        """Take an interval that does not begin a chain.

        A scrape is no snapshot: a step that ends many requests can show in the gauges one scrape before it shows
        in the counters. The next interval then gives the drop back.
        """
        (run0, run1), (wait0, wait1) = interval.running, interval.waiting
        if interval.finished is None or run0 is None or run1 is None or wait0 is None or wait1 is None:
            return NONE
        if interval.sample.waiting is None:
            return NONE
        flow = interval.finished + (run1 + wait1) - (run0 + wait0)
        noise = max(_LEAST_NOISE_REQUESTS, _NOISE_DEVIATIONS * sqrt(interval.finished + 1))
        usual = (self._usual_rate or 0.0) * interval.seconds
        if self._drop is not None and self._drop[0] == interval.start and flow - usual >= self._drop[1] / 2:
            self._drop = None
            return Vanished(returned=True)
        if flow >= -noise:
            rate = flow / interval.seconds
            known = self._usual_rate
            self._usual_rate = rate if known is None else (1 - _RATE_NEWS) * known + _RATE_NEWS * rate
            return NONE
        # those that arrived meanwhile hide as many of those that vanished
        self._drop = (interval.end, usual - flow)
        return Vanished(usual - flow, mass=-flow >= max(_MASS_REQUESTS, _MASS_RATIO * (run0 + wait0)))

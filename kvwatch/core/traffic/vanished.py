"""Requests that leave an engine without finishing: clients that give up, which no counter of vLLM shows."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.interval import Interval
from kvwatch.facts import SGLANG
from kvwatch.stats.counting import counting_noise

_MASS_REQUESTS = 20.0
"""Requests that must vanish at once for those inside to count as other ones than before [requests]. Choice: below it a
few impatient clients would empty all windows; with double, an aborted batch on a small engine goes unseen."""
_MASS_RATIO = 0.3
"""Share of the requests inside that must vanish at once for the same [1]. Choice: with a third gone the means of the
rest have another mix; a few per cent leave every scrape interval."""
_RATE_NEWS = 0.1
"""Weight of an interval in the usual flow [1]. Choice: the last ten intervals count; it only makes up for arrivals that
hide as many of those that vanished."""
_LATE_GAUGES = frozenset({SGLANG})
"""Servers that write their gauges seldom, and their counters at once."""


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
        self._surplus = 0.0
        """By how many more than usual seemed to arrive in the interval before [requests]."""

    def update(self, interval: Interval) -> Vanished:
        """Take an interval that does not begin a chain.

        A scrape is no snapshot: a step that ends many requests can show in the gauges one scrape before it shows
        in the counters. The next interval then gives the drop back. Where gauges are written seldom it is the other
        way round: those that finished in the interval before leave the gauges in this one.
        """
        (run0, run1), (wait0, wait1) = interval.running, interval.waiting
        if interval.finished is None or run0 is None or run1 is None or wait0 is None or wait1 is None:
            return NONE
        if interval.sample.waiting is None:
            return NONE
        flow = interval.finished + (run1 + wait1) - (run0 + wait0)
        noise = counting_noise(interval.finished + 1)
        usual = (self._usual_rate or 0.0) * interval.seconds
        if self._drop is not None and self._drop[0] == interval.start and flow - usual >= self._drop[1] / 2:
            self._drop = None
            return Vanished(returned=True)
        surplus, self._surplus = self._surplus, max(flow - usual, 0.0)
        late = surplus if interval.sample.server in _LATE_GAUGES else 0.0
        if flow + late >= -noise:
            rate = flow / interval.seconds
            known = self._usual_rate
            self._usual_rate = rate if known is None else (1 - _RATE_NEWS) * known + _RATE_NEWS * rate
            return NONE
        # those that arrived meanwhile hide as many of those that vanished
        self._drop = (interval.end, usual - flow)
        return Vanished(usual - flow, mass=-flow >= max(_MASS_REQUESTS, _MASS_RATIO * (run0 + wait0)))

"""Whether the requests that finish now stand for those that arrive.

A request that finishes at t after a life of T began at t − T. So lengths finish in the proportions in which they arrive
only if requests began at one rate all through the longest of these lives. When an overload begins, more begin than
before, and of those the short ones finish first; when a queue has drained, the last to finish are the long ones. In
between, what finishes is passed over: a mean over it would be off by a factor, and look like another traffic.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

from kvwatch.core.interval import Interval

_LIVES = 2.5
"""Mean lives that the longest requests live [1]. Choice: 96% of lognormal outputs with a coefficient of variation of
0.7 end sooner; those that do not are so few that they move a mean by a few percent."""
_POINTS = 200
"""Points at which the number of running requests is remembered [1]. Choice: 80 for each mean life."""
_DEVIATIONS = 4.2
"""Standard deviations of a Poisson number that the running requests may differ by within the lives [1]. Definition:
three of the difference of two such numbers."""
_MOVED_RATIO = 0.3
"""Share of the running requests by which they differ at least before the mix is doubted [1]. Choice: less moves the
mean of the finished by under a tenth."""
_LASTING_LIVES = 0.25
"""Mean lives for which requests wait before the engine counts as full [1]. Choice: a request that waits for the step
under way, or a burst that is served at once, fills nothing."""
_LASTING_SCRAPES = 4
"""Scrapes in a row that see a queue before it counts [1]. Choice: where lives are shorter than scrapes are apart, one
that waits for a step is seen twice in a row by chance."""
_LONGEST_LIVES = 10.0
"""Mean lives after which what finishes is taken all the same [1]. Choice: over ten lives the bias is below a tenth, and
traffic that never settles must be known too."""
_KNOWN_REQUESTS = 60.0
"""Finished requests, surely representative, below which nothing is passed over [requests]. Choice: as many as the
window of E[g] wants."""
NEWS = 0.02
"""Weight of a finished request in the mean output [1]. Choice: the mean is that of the last fifty."""


class Turnover:
    """Follows the requests that run through their lives. Bounded: 200 points."""

    def __init__(self) -> None:
        self._running: deque[tuple[float, float]] = deque(maxlen=_POINTS)
        self._begin_again()

    def begin_anew(self) -> None:
        """Who is inside now has nothing to do with who finished before."""
        self._running.clear()
        self._begin_again()

    def _begin_again(self) -> None:
        self._mean_output: float | None = None
        self._step_seconds: float | None = None
        self._known = 0.0
        self._queue: tuple[float, int] | None = None
        """Since when requests have waited [unix s], and how many scrapes in a row have seen it."""
        self._followed = False
        """Whether the requests that run have been followed through the longest lives."""
        self._unsettled_since: float | None = None
        self._unsettled_until = float("-inf")

    def update(self, interval: Interval) -> bool:
        """Take an interval; whether the lengths of the requests that finished in it are those of the traffic."""
        at, running = interval.end, interval.running[1]
        self._step_seconds = interval.step_seconds or self._step_seconds
        if running is None or self._step_seconds is None or self._mean_output is None:
            settled = True
        else:
            self._follow(at, running, waits=bool(interval.waiting[1]), life=self._mean_output * self._step_seconds)
            settled = self._settle(at, self._mean_output * self._step_seconds)
        if settled and interval.lengths_count:
            mean = interval.lengths_output_tokens / interval.lengths_count
            before = mean if self._mean_output is None else self._mean_output
            weight = 1 - (1 - NEWS) ** interval.lengths_count
            self._mean_output = before + weight * (mean - before)
            if self._followed and at >= self._unsettled_until:
                self._known += interval.lengths_count
        return settled

    def _follow(self, at: float, running: float, *, waits: bool, life: float) -> None:
        reach = _LIVES * life
        if not self._running or at - self._running[-1][0] >= reach / _POINTS:
            self._running.append((at, running))
        while self._running[0][0] < at - reach and len(self._running) > 1:
            self._running.popleft()
        since, scrapes = self._queue or (at, 0)
        self._queue = (since, scrapes + 1) if waits else None
        if waits and scrapes + 1 >= _LASTING_SCRAPES and at - since >= _LASTING_LIVES * life:
            # It has become full, and until then more began than finished. From then on one begins where one finishes;
            # what makes the number swing is eviction.
            self._unsettled_until = max(self._unsettled_until, since + reach)
        elif any(_has_moved(running, before) for _, before in self._running):
            self._unsettled_until = max(self._unsettled_until, at + life)
        self._followed = self._followed or at - self._running[0][0] >= (1 - 2 / _POINTS) * reach

    def _settle(self, at: float, life: float) -> bool:
        if at >= self._unsettled_until or self._known < _KNOWN_REQUESTS:
            self._unsettled_since = None
            return True
        if self._unsettled_since is None:
            self._unsettled_since = at
        return at - self._unsettled_since > _LONGEST_LIVES * life


def _has_moved(now: float, before: float) -> bool:
    most = max(now, before)
    return abs(now - before) > max(_DEVIATIONS * sqrt(most), _MOVED_RATIO * most)

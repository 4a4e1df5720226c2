"""Does a server show a new page, or the one of before? What passes metrics on makes a page less often than it is read.

Ray's agent, an OpenTelemetry collector and a Prometheus that is federated show what they had from the server last, for
as long as 10 s, 15 s or a minute. Read meanwhile, such a page says that an engine with requests inside makes no step,
and the next one has all steps at once. So a page that is the same to the last digit is left out while requests are
inside: an engine that works changes it with each step, and one that makes a long step loses nothing by it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from statistics import median

from kvwatch.constants import MINUTE_SECONDS
from kvwatch.core.interval import Interval
from kvwatch.facts import EngineSample

LONGEST_SECONDS = 2 * MINUTE_SECONDS
"""Longest time for which a page is taken for one that is made seldom [s]. Choice: collectors make one a minute; an
engine that hangs is found before."""
_KNOWN_PAGES = 4
"""Pages whose lifetimes are remembered, and from which on it is known how often they are made [pages]. Choice: a server
with a long step or two does not make all of four last."""
_LATE_RATIO = 1.5
"""Lifetime of a page over the usual one beyond which it is of now [1]. Choice: one that is made late by half."""
_CROWDED_RATIO = 1.5
"""Time that the steps of an interval took over the interval, beyond which it holds those of the page before as well
[1]. Choice: steps take 1 of it at most, but where several API servers count each."""


class Repeated:
    """Follows the pages about one engine, and how long each lasts."""

    def __init__(self) -> None:
        self._last: EngineSample | None = None
        self._since = self._at = float("-inf")
        self._lifetimes: deque[float] = deque(maxlen=_KNOWN_PAGES)
        self._after_idle = False

    @property
    def page_seconds(self) -> float | None:
        """How long a page lasts beyond the first time that it is read [s]; ``None`` where each is new."""
        if len(self._lifetimes) < _KNOWN_PAGES:
            return None
        return median(self._lifetimes) or None

    def update(self, at: float, sample: EngineSample) -> bool:
        """Take a sample; whether it is the one of before, and says nothing of the time since."""
        before, self._at = self._at, at
        if sample != self._last:
            if self._last is not None and inside(self._last):
                self._lifetimes.append(before - self._since)
            self._after_idle = self._last is not None and not inside(self._last) and before > self._since
            self._last, self._since = sample, at
            return False
        self._after_idle = False
        lasts = at - self._since
        if inside(sample):
            return lasts <= LONGEST_SECONDS
        usual = self.page_seconds
        return usual is not None and lasts <= _LATE_RATIO * usual

    def sound(self, interval: Interval) -> Interval:
        """The interval, without its steps where it begins at an idle page that was shown for longer than it was so.

        Nothing shows that an idle page is an old one, until the next has more steps than the time since then holds.
        """
        if not self._after_idle or not interval.steps or not interval.inter_tokens:
            return interval
        took = interval.steps * (interval.inter_token_seconds or 0.0) / interval.inter_tokens
        if took <= _CROWDED_RATIO * interval.seconds:
            return interval
        return replace(interval, steps=None, inter_tokens=None, inter_token_seconds=None)


def inside(sample: EngineSample) -> float:
    """Requests that run or wait, for whatever reason."""
    by_reason = (sample.waiting_capacity or 0.0) + (sample.waiting_deferred or 0.0)
    return (sample.running or 0.0) + max(sample.waiting or 0.0, by_reason)

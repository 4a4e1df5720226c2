"""Requests that wait although there is room for them: they wait for something else than capacity, whatever is said.

vLLM admits those that wait in their order at each step in which seats, memory and the token budget have room. So a
number of waiting requests that stays the same, while others come, run and finish beside it with room to spare, is no
queue: requests that nobody works on, or a gauge that counts what is not there.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import NamedTuple

from kvwatch.constants import MINUTE_SCRAPES, MINUTE_SECONDS
from kvwatch.core.interval import FULL_RATIO, Interval

STANDING_SCRAPES = 10
"""Scrapes that show it [scrapes]. Choice: a queue that is served changes with each request that comes or is admitted;
that it is the same number ten times by chance is one in thousands."""
STANDING_SECONDS = 20.0
"""Time over which they show it [s]. Choice: the longest steps take some seconds."""
_STANDING_RATIO = 0.7
"""Share of them with that very number [1]. Choice: a request that comes in front of the step that admits it is seen
waiting now and then, at a moderate load in less than a third of the scrapes."""
_SERVED_REQUESTS = 10.0
"""Requests that finished meanwhile [requests]. Choice: an engine that serves nobody has another fault."""
_SPREAD_REQUESTS = 3.0
"""Difference between the fewest and the most that ran [requests]. Choice: where seats are what is short, the number
that runs stands at them."""


class _Seen(NamedTuple):
    """A scrape: its time [unix s], those that wait and run, and who finished before it."""

    at: float
    waiting: float
    running: float
    finished: float


class PassedOver:
    """Follows the queue at scrapes beside which there was room. Bounded: a minute of scrapes, at most 120."""

    def __init__(self) -> None:
        self._with_room: deque[_Seen] = deque(maxlen=MINUTE_SCRAPES)
        self._number = 0.0
        self._left_out = 0.0
        """How many were left out of the last interval's queue."""

    def begin_anew(self) -> None:
        """Others are inside."""
        self._with_room.clear()
        self._number = self._left_out = 0.0

    def leave_out(self, interval: Interval) -> Interval:
        """Take an interval; the same without those that wait although there is room for them."""
        before, self._left_out = self._left_out, self.update(interval)
        if not before and not self._left_out:
            return interval
        (a, b), now = interval.waiting, self._left_out
        waiting = (a - min(before, a) if a is not None else None, b - min(now, b) if b is not None else None)
        return replace(interval, waiting=waiting, passed_over=now)

    def update(self, interval: Interval) -> float:
        """Take an interval; how many of those that wait are passed over [requests].

        While seats or memory are taken nothing shows: the number is as it was before.
        """
        waiting, running, usage = interval.waiting[1], interval.running[1], interval.kv_usage_ratio[1]
        if waiting is None or running is None or usage is None:
            return 0.0
        seats, seen = interval.settings.max_num_seqs, self._with_room
        if usage < FULL_RATIO and (seats is None or running < FULL_RATIO * seats):
            seen.append(_Seen(interval.end, waiting, running, interval.finished or 0.0))
        while len(seen) > STANDING_SCRAPES and seen[0].at < interval.end - MINUTE_SECONDS:
            seen.popleft()
        if len(seen) >= STANDING_SCRAPES and seen[-1].at - seen[0].at >= STANDING_SECONDS:
            self._number = self._standing()
        return min(self._number, waiting)

    def _standing(self) -> float:
        """The number that waits beside room again and again while others are served [requests]; 0 for none.

        One that has stood does not end because more wait than that.
        """
        scrapes = len(self._with_room)
        number, times = Counter(seen.waiting for seen in self._with_room).most_common(1)[0]
        if times < _STANDING_RATIO * scrapes:
            others = sum(seen.waiting >= self._number for seen in self._with_room)
            return self._number if others >= _STANDING_RATIO * scrapes else 0.0
        beside = [seen for seen in self._with_room if seen.waiting == number]
        running = [seen.running for seen in beside]
        serves = sum(seen.finished for seen in beside) >= _SERVED_REQUESTS
        return number if serves and max(running) - min(running) >= _SPREAD_REQUESTS else 0.0

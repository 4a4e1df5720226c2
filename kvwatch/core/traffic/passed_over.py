"""Requests that wait although there is room for them: they wait for something else than capacity, whatever is said.

vLLM admits those that wait in their order at each step in which seats, memory and the token budget have room. So a
number of waiting requests that stays the same, while others come, run and finish beside it with room to spare, is no
queue: requests that nobody works on, or a gauge that counts what is not there.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from kvwatch.constants import MINUTE_SECONDS
from kvwatch.core.interval import FULL_RATIO, Interval

_MOST_SCRAPES = 120
"""Scrapes that are kept [scrapes]. Choice: a minute, with one each half a second."""
_STANDING_SCRAPES = 10
"""Scrapes that show it [scrapes]. Choice: a queue that is served changes with each request that comes or is admitted;
that it is the same number ten times by chance is one in thousands."""
_STANDING_SECONDS = 20.0
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
    """A scrape: its time [unix s], those that wait and run, the share of memory in use, and who finished before it."""

    at: float
    waiting: float
    running: float
    usage: float
    finished: float


class PassedOver:
    """Follows the queue beside the room that there is. Bounded: a minute of scrapes, at most 120."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=_MOST_SCRAPES)

    def begin_anew(self) -> None:
        """Others are inside."""
        self._seen.clear()

    def update(self, interval: Interval) -> float:
        """Take an interval; how many of those that wait are passed over [requests]."""
        waiting, running, usage = interval.waiting[1], interval.running[1], interval.kv_usage_ratio[1]
        if waiting is None or running is None or usage is None:
            return 0.0
        self._seen.append(_Seen(interval.end, waiting, running, usage, interval.finished or 0.0))
        while self._seen[0].at < interval.end - MINUTE_SECONDS and len(self._seen) > _STANDING_SCRAPES:
            self._seen.popleft()
        if not waiting or len(self._seen) < _STANDING_SCRAPES or interval.end - self._seen[0].at < _STANDING_SECONDS:
            return 0.0
        number, times = Counter(seen.waiting for seen in self._seen).most_common(1)[0]
        stands = number > 0 and times >= _STANDING_RATIO * len(self._seen)
        return min(number, waiting) if stands and self._has_room(interval, number) else 0.0

    def _has_room(self, interval: Interval, number: float) -> bool:
        """Whether seats and memory had room all the time, and others were served while ``number`` waited."""
        beside = [seen for seen in self._seen if seen.waiting == number]
        running = [seen.running for seen in beside]
        seats = interval.settings.max_num_seqs
        seated = seats is not None and max(running) >= FULL_RATIO * seats
        full = max(seen.usage for seen in self._seen) >= FULL_RATIO
        serves = sum(seen.finished for seen in beside) >= _SERVED_REQUESTS
        return serves and not seated and not full and max(running) - min(running) >= _SPREAD_REQUESTS

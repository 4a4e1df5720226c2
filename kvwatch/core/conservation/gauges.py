"""Gauges that stand still, or move the other way, while those that are written with them move."""

from __future__ import annotations

from collections import deque

import numpy as np

from kvwatch.constants import MINUTE_SCRAPES
from kvwatch.core.conservation.contradiction import Contradiction
from kvwatch.facts import EngineSample

_STILL_SCRAPES = 10
"""Scrapes for which the memory in use is the same to the last digit before that can be a contradiction [scrapes].
Choice: one block more or less shows, and ten scrapes hold the ends of several requests."""
_STILL_SECONDS = 20.0
"""Time for which it is so [s]. Choice: the longest steps take some seconds, in which all gauges stand."""
_MOVED_RATIO = 1.5
"""Factor by which the requests that run have moved meanwhile [1]. Choice: those that are left would have to hold half
as much more each, to the block."""
_MOVED_REQUESTS = 3.0
"""Number beyond that factor [requests]. Choice: one or two that come and go at a light load may make up for each
other."""
_OPPOSED_SCRAPES = 30
"""Scrapes without a queue that show whether the memory in use follows the requests that run [scrapes]. Choice: at a
moderate load they hold the ends of tens of requests."""
_OPPOSED_SECONDS = 60.0
"""Time over which they do so [s]. Choice: several lives of a request."""
_OPPOSED_CORRELATION = -0.5
"""Correlation from which the share is that of the memory that is free [1]. Measured: recordings of real
servers have 0.84 at least in their minutes without a queue, embedded engines 0.67."""
_FOLLOWING_CORRELATION = 0.0
"""Correlation above which it is believed again [1]. Choice: far from either."""


class OpposedUsage:
    """Follows whether the share of memory in use falls while more requests run. Bounded: 120 scrapes."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=MINUTE_SCRAPES)
        self._opposed = False

    def update(self, at: float, sample: EngineSample) -> dict[str, Contradiction]:
        """Take a sample; the gauge of memory in use where it moves against the requests.

        With a queue it need not follow them: memory is full, and how many run depends on how long they are.
        """
        usage, running = sample.kv_usage_ratio, sample.running
        if usage is not None and running is not None and sample.waiting == 0:
            self._seen.append((at, usage, running))
            while len(self._seen) > _OPPOSED_SCRAPES and self._seen[1][0] <= at - _OPPOSED_SECONDS:
                self._seen.popleft()
            if len(self._seen) >= _OPPOSED_SCRAPES and at - self._seen[0][0] >= _OPPOSED_SECONDS:
                self._judge()
        return {"kv_usage_ratio": Contradiction("kv_usage_ratio", ("running",))} if self._opposed else {}

    def _judge(self) -> None:
        """Whether it is so now; where hardly anything moved it is as it was."""
        _, usages, counts = np.array(self._seen).T
        if counts.max() >= _MOVED_RATIO * counts.min() + _MOVED_REQUESTS and usages.std() > 0:
            limit = _FOLLOWING_CORRELATION if self._opposed else _OPPOSED_CORRELATION
            self._opposed = bool(np.corrcoef(usages, counts)[0, 1] <= limit)


class StandingUsage:
    """Follows how long the share of memory in use has been one number, and how many requests ran meanwhile."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self._value: float | None = None
        self._since = 0.0
        self._scrapes = 0
        self._least = self._most = 0.0

    def update(self, at: float, sample: EngineSample) -> dict[str, Contradiction]:
        """Take a sample; the gauge of memory in use where it cannot be one."""
        usage, running = sample.kv_usage_ratio, sample.running
        if usage is None or running is None:
            return {}
        if usage != self._value:
            self._value, self._since, self._scrapes = usage, at, 0
            self._least = self._most = running
        self._scrapes += 1
        self._least, self._most = min(self._least, running), max(self._most, running)
        long = self._scrapes >= _STILL_SCRAPES and at - self._since >= _STILL_SECONDS
        if long and self._most >= _MOVED_RATIO * self._least + _MOVED_REQUESTS:
            return {"kv_usage_ratio": Contradiction("kv_usage_ratio", ("running",))}
        return {}

"""Gauges that stand still while those that are written with them move."""

from __future__ import annotations

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

"""Scrapes at which requests waited although memory had room: what held them back was another limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from kvwatch.core.interval import MOST_KEPT_INTERVALS, Interval
from kvwatch.facts import Histogram

_ROOM_RATIO = 0.9
"""KV cache in use below which memory may have had room [1]. Choice: as an engine whose memory binds stays within some
blocks of the end; what is left has to hold the longest prompt besides."""
_KEPT_SECONDS = 600.0
"""How far back scrapes are remembered [s]. Choice: a queue that comes and goes shows its limit within some minutes."""
_LEAST_ROOM_RATIO = 0.8
"""Share of the scrapes with a queue at which memory must have had room [1]. Choice: where memory binds there is room
too in the step after a request has finished, which few scrapes see; beside seats that bind there is always."""
_LEAST_SCRAPES = 7
"""Scrapes with a queue and room from which on they show a limit [scrapes]. Choice: two minutes of scrapes a quarter of
a minute apart, from the first at which requests wait."""
_LEAST_SECONDS = 20.0
"""Time that they cover at least [s]. Choice: twenty scrapes a second apart; a batch that swings by one or two stands
at one number over as many with a chance of one in millions."""
_LEAST_FINISHED = 10.0
"""Requests that have left the batch meanwhile, and been replaced [requests]. Choice: where nothing finishes, every
batch stands."""


class Queued(NamedTuple):
    """One interval with requests waiting for capacity at both its ends, and room in memory at its end."""

    end: float
    """[unix s]"""
    seconds: float
    running: float
    """Requests in the batch after the last step: those that finished in it have left it [requests]."""
    finished: float
    steps: float
    generated_tokens: float
    computed_tokens: float | None
    """Prompt tokens that were computed, ``None`` where no metric tells them from those found in the cache."""
    may_be_deferred: bool
    """Whether what waited may have waited for something else than capacity: up to vLLM 0.19 no metric tells."""


class QueuedScrapes:
    """The last scrapes with a queue, and which of them had room in memory."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Queued | None]] = deque(maxlen=MOST_KEPT_INTERVALS)
        self._longest_prompt: float | None = None

    def update(self, interval: Interval) -> bool:
        """Take an interval; whether it adds to what :meth:`newest` gives."""
        self._longest_prompt = _longest(interval) or self._longest_prompt
        while self._kept and self._kept[0][0] < interval.end - _KEPT_SECONDS:
            self._kept.popleft()
        if not interval.goes_on or not all(interval.waiting):
            return False
        found = self._queued(interval)
        self._kept.append((interval.end, found))
        return found is not None

    @property
    def longest_prompt(self) -> float:
        """A bound on the prompts that have finished [tokens]."""
        return self._longest_prompt or 0.0

    def begin_anew(self) -> None:
        """Nothing that was seen says anything about what comes."""
        self._kept.clear()

    def newest(self) -> Sequence[Queued]:
        """The newest scrapes at which memory had room, as many as show a limit, oldest first.

        None where there are too few, or memory often had no room.
        """
        found: list[Queued] = []
        seconds = finished = 0.0
        for scrapes, (_, queued) in enumerate(reversed(self._kept), start=1):
            if queued is None:
                continue
            found.append(queued)
            seconds += queued.seconds
            finished += queued.finished
            if len(found) >= _LEAST_SCRAPES and seconds >= _LEAST_SECONDS and finished >= _LEAST_FINISHED:
                return found[::-1] if len(found) >= _LEAST_ROOM_RATIO * scrapes else ()
        return ()

    def _queued(self, interval: Interval) -> Queued | None:
        running, usage = interval.running[1], interval.kv_usage_ratio[1]
        if not running or usage is None or not interval.steps or interval.finished is None or interval.preemptions:
            return None
        if interval.generation_tokens is None or not self._has_room(interval, usage):
            return None
        return Queued(
            interval.end,
            interval.seconds,
            running,
            interval.finished,
            interval.steps,
            interval.generation_tokens,
            interval.prompt_tokens_computed,
            interval.sample.waiting_capacity is None,
        )

    def _has_room(self, interval: Interval, usage: float) -> bool:
        """Whether the longest prompt of the traffic would have fitted."""
        if not 0 <= usage < _ROOM_RATIO or self._longest_prompt is None:
            return False
        capacity = interval.kv_tokens
        return capacity is None or (1 - usage) * capacity >= self._longest_prompt + interval.block_tokens


def _longest(interval: Interval) -> float | None:
    """A bound on the prompts of all requests that have finished [tokens]."""
    prompts = interval.sample.request_prompt_tokens
    edge = _highest_edge(prompts) if prompts is not None else None
    longest = interval.settings.max_model_len
    if edge is None or longest is None:
        return edge if edge is not None and edge != float("inf") else longest
    return min(edge, longest)


def _highest_edge(histogram: Histogram) -> float | None:
    """Upper edge of the highest bucket that holds anything."""
    below = 0.0
    highest = None
    for edge, cumulative in zip(histogram.edges, histogram.cumulative, strict=True):
        if cumulative > below:
            highest = edge
        below = max(below, cumulative)
    return highest

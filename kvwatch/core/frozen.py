"""Which of a server's numbers stand: the same as before, although those that it writes together with them move?

vLLM's collector writes its numbers in groups, each by one call (``v1/metrics/loggers.py``, ``record``): who counts a
finished request has its lengths, who counts a token counts its step, and all gauges are of one step. A number that
stands while others of its group move is no longer written; it must not be read as "nothing happened".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kvwatch.facts import SGLANG, VLLM, EngineSample, Histogram

FROZEN_INTERVALS = 2
"""Intervals in which the others moved until a number that stands counts as frozen [intervals]. Choice: a scrape may
come between two writes, which is one."""
_KNOWN_INTERVALS = 20
"""Intervals in which requests finished that are watched before gauges are judged [intervals]. Choice: as many as show
that one in twenty is an exception."""
_SAME_RATIO = 0.05
"""Share of these in which all gauges may be what they were [1]. Choice: memory in use is shown to the block, so that it
is the same by chance in one of some hundred; where all requests hold as much as each other, it often is."""

GAUGES = ("running", "waiting", "waiting_capacity", "waiting_deferred", "kv_usage_ratio")
"""What the scheduler says of itself at the end of a step."""
QUEUES = ("waiting", "waiting_capacity", "waiting_deferred")
"""The queue and its two parts, which add up."""
_Numbers = tuple[float | None, ...]


def _numbers(found: Histogram | None) -> _Numbers:
    return (None, None) if found is None else (found.count, found.total)


_GROUPS: tuple[Mapping[str, Callable[[EngineSample], _Numbers]], ...] = (
    {
        "finished": lambda s: (s.finished,),
        "request_prompt_tokens": lambda s: _numbers(s.request_prompt_tokens),
        "request_generation_tokens": lambda s: _numbers(s.request_generation_tokens),
    },
    {"steps": lambda s: (s.steps,), "generation_tokens": lambda s: (s.generation_tokens,)},
    {"prompt_tokens": lambda s: (s.prompt_tokens,), "first_token_count": lambda s: (s.first_token_count,)},
)
"""Counters that a finished request moves, a token, and a first token: by field of the sample, the numbers in it."""

_KNOWN_GROUPS = {VLLM: len(_GROUPS), SGLANG: 1}
"""How many of them are written together, by kind of server [groups]. Definition: SGLang's front end counts a finished
request with its lengths, while its scheduler counts tokens and passes by itself."""


class Frozen:
    """Watches which fields of an engine's samples stand."""

    def __init__(self) -> None:
        self._last: EngineSample | None = None
        self._counters = tuple(_Counters() for _ in _GROUPS)
        self._gauges = _Gauges()
        self._queues_agreed = False
        """Whether the queue has ever been the sum of its parts."""

    def update(self, sample: EngineSample) -> dict[str, int]:
        """Take a sample; its fields that are not of now, and for how many intervals others have moved without them."""
        before, self._last = self._last, sample
        if before is None:
            return {}
        found: dict[str, int] = {}
        for counters, group in zip(self._counters, _GROUPS[: _KNOWN_GROUPS.get(sample.server, 0)], strict=False):
            moved = {name: _have_moved(read(before), read(sample)) for name, read in group.items()}
            found |= counters.update(moved)
        if sample.server != VLLM:
            return found
        if missed := self._gauges.update(before, sample):
            found |= dict.fromkeys(GAUGES, missed)
        if not self._compare_queues(sample):
            found |= dict.fromkeys(QUEUES, FROZEN_INTERVALS)
        return found

    def _compare_queues(self, now: EngineSample) -> bool:
        """Take the queue and its parts; whether it is their sum. One that never was is counted in another way."""
        if now.waiting is None or now.waiting_capacity is None or now.waiting_deferred is None:
            return True
        agrees = now.waiting == now.waiting_capacity + now.waiting_deferred
        self._queues_agreed = self._queues_agreed or agrees
        return agrees or not self._queues_agreed


class _Counters:
    """Counters that move together. One that has never moved is not waited for."""

    def __init__(self) -> None:
        self._missed: dict[str, int] = {}
        """By field that has moved, in how many intervals others have since."""

    def update(self, moved: Mapping[str, bool | None]) -> dict[str, int]:
        """Take which have moved, ``None`` for one that is not shown; those that stand, and for how long."""
        for name, has in moved.items():
            if has:
                self._missed[name] = 0
            elif has is not None and name in self._missed:
                self._missed[name] += any(moved.values())
        return {name: missed for name, missed in self._missed.items() if missed}


class _Gauges:
    """The gauges, which are hardly ever the same after a request has finished, unless all requests are alike."""

    def __init__(self) -> None:
        self._judged = self._same = self._missed = 0

    def update(self, before: EngineSample, now: EngineSample) -> int:
        """Take two samples in a row; in how many intervals requests finished and no gauge moved."""
        same = all(getattr(before, name) == getattr(now, name) for name in GAUGES)
        if not same:
            self._missed = 0
        if not _have_moved((before.finished,), (now.finished,)) or now.kv_usage_ratio is None:
            return self._missed
        if self._judged >= _KNOWN_INTERVALS and self._same <= _SAME_RATIO * self._judged:
            self._missed += same
        if not self._missed:
            self._judged, self._same = self._judged + 1, self._same + same
        return self._missed


def _have_moved(before: _Numbers, now: _Numbers) -> bool | None:
    """Whether all of these numbers have changed; ``None`` where one of them is not shown."""
    if None in before or None in now:
        return None
    return all(a != b for a, b in zip(before, now, strict=True))

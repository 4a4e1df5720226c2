"""Did a server's counters begin again between two samples, and are they running totals at all?"""

from __future__ import annotations

from collections import deque

from kvwatch.core.interval import CREATED_RESOLUTION_SECONDS
from kvwatch.facts import EngineSample

_WATCHED_SCRAPES = 20
"""Scrapes among which resets are counted [scrapes]. Choice: twenty of them are less than two processes in a row take
to start."""
_MOST_RESETS = 5
"""Scrapes among them that show a reset from which on the counters are no running totals [scrapes]. Choice: a server
that crashes at its start shows one or two, between scrapes that fail."""
_MOST_CREATED = 3
"""Scrapes in a row in which the counters have a new time of making and none of them fell, from which on that time is
not believed [scrapes]. Choice: a process that starts shows less than the one before it, but for rare cases."""


class Resets:
    """Follows the samples of one engine."""

    def __init__(self) -> None:
        self._resets: deque[bool] = deque(maxlen=_WATCHED_SCRAPES)
        self._created = 0
        """Scrapes in a row in which only the time at which counters were made has moved."""

    def update(self, before: EngineSample, now: EngineSample) -> bool:
        """Whether the counters began again between two samples; vLLM can do so without a process restart."""
        falls = _falls(before, now)
        self._created = self._created + 1 if _is_made_anew(before, now) and not falls else 0
        reset = falls or 0 < self._created < _MOST_CREATED
        self._resets.append(reset)
        return reset

    @property
    def counters_fall(self) -> bool:
        """Whether they begin again so often that they are no running totals of one server."""
        return sum(self._resets) >= _MOST_RESETS


def _is_made_anew(a: EngineSample, b: EngineSample) -> bool:
    if a.created_at is None or b.created_at is None:
        return False
    return b.created_at > a.created_at + CREATED_RESOLUTION_SECONDS


def _falls(a: EngineSample, b: EngineSample) -> bool:
    return any(
        x is not None and y is not None and y < x
        for x, y in (
            (a.finished, b.finished),
            (a.prompt_tokens, b.prompt_tokens),
            (a.generation_tokens, b.generation_tokens),
            (a.steps, b.steps),
            (a.first_token_count, b.first_token_count),
        )
    )

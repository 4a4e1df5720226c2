"""Did a server's counters begin again between two samples, and are they running totals at all?"""

from __future__ import annotations

from collections import deque

from kvwatch.core.cause import CREATED_RESOLUTION_SECONDS
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

_JUMP_RATIO = 0.5
"""Rise between two scrapes, over the total before the counters fell, that is no counting [1]. Choice: a process that
passes the total of the one before it rises by a small part of it at a time; of tiny totals it may be wrong, and then
begins again with next to nothing."""


class Resets:
    """Follows the samples of one engine."""

    def __init__(self) -> None:
        self._resets: deque[bool] = deque(maxlen=_WATCHED_SCRAPES)
        self._created = 0
        """Scrapes in a row in which only the time at which counters were made has moved."""
        self._fallen_from: EngineSample | None = None
        """The last sample before they fell, unless they say themselves that they were made anew."""

    def update(self, before: EngineSample, now: EngineSample) -> bool:
        """Whether the counters began again between two samples; vLLM can do so without a process restart.

        That they fell was wrong where all are back at what they were, and were made when they were, or, where nothing
        says so, rose by more than a process counts between two scrapes: it was not then, and nothing may rest on it.
        """
        falls = _falls(before, now)
        self._created = self._created + 1 if _is_made_anew(before, now) and not falls else 0
        back, total = False, self._fallen_from
        if falls and _is_made_anew(before, now):
            self._fallen_from = None  # another process, as it says itself
        elif falls and (total is None or not _falls(total, before)):
            self._fallen_from = before
        elif not falls and total is not None and not _falls(total, now):
            back = (total.created_at is not None and total.created_at == now.created_at) or _jumps(total, before, now)
            self._fallen_from = None
        reset = falls or 0 < self._created < _MOST_CREATED
        self._resets.append(reset)
        return reset or back

    @property
    def counters_fall(self) -> bool:
        """Whether they begin again so often that they are no running totals of one server."""
        return sum(self._resets) >= _MOST_RESETS


def _is_made_anew(a: EngineSample, b: EngineSample) -> bool:
    if a.created_at is None or b.created_at is None:
        return False
    return b.created_at > a.created_at + CREATED_RESOLUTION_SECONDS


def _falls(a: EngineSample, b: EngineSample) -> bool:
    return any(y < x for x, y in zip(_counts(a), _counts(b), strict=True) if x is not None and y is not None)


def _jumps(total: EngineSample, a: EngineSample, b: EngineSample) -> bool:
    """Whether a counter rises by so much of a total between two samples that no process has counted it meanwhile."""
    return any(
        t is not None and x is not None and y is not None and x < t and y - x >= _JUMP_RATIO * t
        for t, x, y in zip(_counts(total), _counts(a), _counts(b), strict=True)
    )


def _counts(sample: EngineSample) -> tuple[float | None, ...]:
    """Running totals that a process begins at 0."""
    return (
        sample.finished,
        sample.prompt_tokens,
        sample.generation_tokens,
        sample.steps,
        sample.first_token_count,
    )

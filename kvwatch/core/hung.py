"""Does an engine with requests inside still get on? A hung one answers its metrics for ever, with no arrivals.

vLLM 0.11 and 0.12 may leave their gauges as they were when all requests are cancelled at once: such an engine, which is
idle, shows the same numbers as a hung one, and is reported with both causes until the next request moves its counters.
"""

from __future__ import annotations

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.repeated import inside

_LONGEST_STILL_SECONDS = 60.0
"""How long an engine with requests inside may show no progress before it counts as hung [s]. Choice: no step takes a
minute; half could be a very long prefill on a CPU."""
_STILL_SCRAPES = 3
"""Scrapes that must all say so [scrapes]. Choice: where scrapes are rarer than a minute, one lost counter must not
page."""
_STILL_PAGES = 3.0
"""The same in pages that are shown again and again until the next one is made [pages]. Choice: two may be late."""


class Progress:
    """Watches whether any of the counters that work moves has moved."""

    def __init__(self) -> None:
        self._last: tuple[float | None, ...] | None = None
        self._since = float("-inf")
        self._scrapes = 0
        self._at = float("-inf")
        self._page_seconds = 0.0

    def update(self, interval: Interval) -> None:
        """Take an interval: what counts is the sample at its end."""
        at, sample = interval.end, interval.sample
        counters = (
            sample.steps,
            sample.generation_tokens,
            sample.prompt_tokens,
            sample.finished,
            sample.preemptions,
            sample.inter_token_count,
        )
        self._at = at
        if not inside(sample) or counters != self._last or all(c is None for c in counters):
            self._last, self._since, self._scrapes = counters, at, 0
        else:
            self._scrapes += 1

    def repeat(self, at: float, page_seconds: float | None) -> None:
        """The page is the one of before, as each is for so long where something makes them less often."""
        self._at = at
        self._scrapes += 1
        self._page_seconds = page_seconds or 0.0

    def begin_anew(self, cause: Cause) -> None:
        """Counters that start again have moved: nothing to forget."""

    def get(self, _now: float) -> bool:
        """Whether nothing has moved for a minute while requests were inside, for whatever reason they wait."""
        longest = max(_LONGEST_STILL_SECONDS, _STILL_PAGES * self._page_seconds)
        return self._scrapes >= _STILL_SCRAPES and self._at - self._since >= longest

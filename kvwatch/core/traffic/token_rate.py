"""How many tokens a second go in and come out: what users are billed by, and providers compare engines by."""

from __future__ import annotations

from collections import deque

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval

TOKEN_KINDS = ("prompt", "output")
"""Tokens of prompts that were taken in, those found in the prefix cache included, and tokens that were made."""
_LEAST_COVERED_RATIO = 0.5
"""Share of the window that must have been seen for a rate over it [1]. Choice: half, so that a scrape that is missed
takes no number away, and the first seconds of an engine are no rate."""
_MOST_COUNTED = 600
"""Intervals that are remembered [intervals]. Choice: memory; a minute at ten scrapes a second."""


class TokenRates:
    """Tokens per second of one engine over a window of its last intervals."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._intervals: deque[tuple[float, float, tuple[float | None, ...]]] = deque(maxlen=_MOST_COUNTED)
        """(end [unix s], length [s], tokens of each kind) of each."""

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        while self._intervals and self._intervals[0][0] <= interval.end - self._window:
            self._intervals.popleft()
        if interval.goes_on and interval.seconds > 0:
            tokens = (interval.prompt_tokens, interval.generation_tokens)
            self._intervals.append((interval.end, interval.seconds, tokens))

    def begin_anew(self, cause: Cause) -> None:
        """What a process made before a restart is another's."""
        if cause in (Cause.FIRST, Cause.RESTART):
            self._intervals.clear()

    def get(self, now: float) -> dict[str, float]:
        """Rates by kind [tokens/s]; a kind of which less than half the window is known is left out."""
        recent = [one for one in self._intervals if one[0] > now - self._window]
        found = {}
        for place, kind in enumerate(TOKEN_KINDS):
            counted = [(seconds, tokens[place]) for _, seconds, tokens in recent if tokens[place] is not None]
            covered = sum(seconds for seconds, _ in counted)
            if covered >= _LEAST_COVERED_RATIO * self._window:
                found[kind] = sum(tokens for _, tokens in counted if tokens is not None) / covered
        return found

"""Counts of requests and of tokens, summed up over the last ones of an engine and held against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvwatch.constants import MINUTE_SECONDS
from kvwatch.core.conservation.contradiction import Contradiction, held
from kvwatch.core.conservation.laws import (
    contradicted_finishes,
    contradicted_generation,
    contradicted_lengths,
    contradicted_prompts,
    contradicted_requests,
    contradicted_seconds,
    contradicted_starts,
)
from kvwatch.core.conservation.sums import Flow, Sums

_REQUESTS = 30.0
"""Finished requests that are summed up before anything is judged [requests]. Choice: with them kvwatch has no number
yet; a scrape that shows some of them in one place and not yet in the other moves no sum by a half."""
_STARTS = 100.0
"""The same where the lengths of their prompts are compared [requests]. Choice: the mean of a hundred lengths that
scatter twice as much as their mean is known to a fifth."""
_TOKENS = 500.0
"""The same for tokens [tokens]. Choice: some seconds of one request."""
_INTERVALS = 8
"""Intervals that are summed up at least [intervals]. Choice: a scrape that is torn is an eighth of them at most."""
_NAMES = frozenset(
    (
        "finished",
        "prompts",
        "outputs",
        "first_token_count",
        "inter_token_count",
        "generation_tokens",
        "prompt_tokens",
        "prompt_tokens_computed",
        "step_tokens",
        "spec_decode_drafts",
        "running_fall",
        "evicted_waiting",
        "prompt_lengths",
        "prompt_least",
        "prompt_most",
        "output_lengths",
        "output_least",
        "output_most",
        "inter_token_seconds_sum",
        "inter_token_least",
        "inter_token_most",
    )
)
"""What is summed up."""


class RequestsAndTokens:
    """The sums, and what contradicts what."""

    def __init__(self) -> None:
        self._windows = (
            _Window((contradicted_requests, contradicted_lengths), ("finished", "prompts", "outputs"), _REQUESTS),
            _Window(
                (contradicted_starts, contradicted_finishes), ("finished", "prompts", "first_token_count"), _STARTS
            ),
            _Window(
                (contradicted_generation, contradicted_prompts, contradicted_seconds),
                ("generation_tokens", "inter_token_count", "step_tokens"),
                _TOKENS,
            ),
        )

    def clear(self) -> None:
        """Forget all."""
        for window in self._windows:
            window.clear()

    @property
    def found(self) -> dict[str, Contradiction]:
        """What is contradicted, by field."""
        found: dict[str, Contradiction] = {}
        for window in self._windows:
            found |= window.found
        return found

    def update(self, flow: Flow) -> None:
        """Take an interval."""
        for window in self._windows:
            window.update(flow)


class _Window:
    """Sums over at least ``least`` of what the largest of some counters counts, and the laws about them."""

    def __init__(
        self, laws: Sequence[Callable[[Sums, float], Sequence[Contradiction]]], counters: Sequence[str], least: float
    ) -> None:
        self._laws, self._counters, self._least = laws, counters, least
        self._sums = Sums(_NAMES)
        self._still_seconds = 0.0
        self.found: dict[str, Contradiction] = {}

    def clear(self) -> None:
        """Forget all."""
        self._sums.clear()
        self.found = {}

    def update(self, flow: Flow) -> None:
        """Take an interval; where nothing has been counted for a minute, nothing is contradicted."""
        sums = self._sums
        self._still_seconds = 0.0 if any(flow.get(c) for c in self._counters) else self._still_seconds + flow["seconds"]
        if self._still_seconds:
            if self._still_seconds >= MINUTE_SECONDS:
                self.clear()
            return
        sums.add(flow)
        count = max(sums.known(*self._counters).values(), default=0.0)
        if count < self._least or sums.intervals < _INTERVALS:
            return
        self.found = held(self.found, lambda ratio: [c for law in self._laws for c in law(sums, ratio)])
        if count >= 2 * self._least and sums.intervals >= 2 * _INTERVALS:
            sums.clear()

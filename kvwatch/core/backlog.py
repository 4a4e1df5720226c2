"""The truth while it shows: with requests waiting for capacity, what completes is the service rate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from kvwatch.core.interval import Interval
from kvwatch.facts import EngineSample, Settings

_FULL_RATIO = 0.9
"""Of seats, memory or budget in use, to be full."""


@dataclass(frozen=True, slots=True)
class ObservedRate:
    """Completions per second during a backlog, and the number of requests that it rests on."""

    rate: float
    requests: float


class Backlog:
    """Service rate observed over a spell of uninterrupted waiting.

    The spell counts from ``settle_seconds`` after its start, when the batch is full and those that finish first no
    longer are only the short ones. Completions are counted as generated tokens over the mean output of the requests
    that finished meanwhile, which stays smooth where finishes come in bursts.
    """

    def __init__(self, window_seconds: float, min_seconds: float = 15.0, min_requests: float = 20.0) -> None:
        self._window = window_seconds
        self._min_seconds = min_seconds
        self._min_requests = min_requests
        self._since: float | None = None
        self._intervals: deque[Interval] = deque(maxlen=600)

    def update(self, interval: Interval) -> None:
        """Take an interval; one at whose ends nothing waits ends the spell."""
        before, after = interval.waiting
        if not before or not after or interval.generation_tokens is None:
            self.clear()
            return
        if self._since is None:
            self._since = interval.start
        self._intervals.append(interval)
        while self._intervals[0].end <= interval.end - self._window:
            self._intervals.popleft()

    @property
    def active(self) -> bool:
        """Whether requests have been waiting since the last interval."""
        return self._since is not None

    def clear(self) -> None:
        """End the spell."""
        self._since = None
        self._intervals.clear()

    def is_full(self, sample: EngineSample, settings: Settings, budget_tokens: int) -> bool:
        """Whether one of the limits is all but used up: memory, seats, or the tokens of a step in the spell so far.

        What waits beside an engine with room for it waits for something else: a LoRA slot, a grammar, a KV transfer.
        """
        seats = settings.max_num_seqs
        seated = seats is not None and (sample.running or 0.0) >= _FULL_RATIO * seats
        steps = sum(i.steps or 0.0 for i in self._intervals)
        tokens = sum((i.prompt_tokens_computed or 0.0) + (i.generation_tokens or 0.0) for i in self._intervals)
        loaded = bool(steps) and tokens >= _FULL_RATIO * budget_tokens * steps
        return seated or loaded or (sample.kv_usage_ratio or 0.0) >= _FULL_RATIO

    def get(self, settle_seconds: float) -> ObservedRate | None:
        """Observed μ; ``None`` unless the spell is long enough and enough requests finished in it."""
        if self._since is None:
            return None
        kept = [i for i in self._intervals if i.start >= self._since + settle_seconds]
        seconds = sum(i.seconds for i in kept)
        finished = sum(i.lengths_count for i in kept)
        output = sum(i.lengths_output_tokens for i in kept)
        if seconds < self._min_seconds or finished < self._min_requests or output <= 0:
            return None
        generated = sum(i.generation_tokens or 0.0 for i in kept)
        return ObservedRate(generated / (output / finished) / seconds, finished)

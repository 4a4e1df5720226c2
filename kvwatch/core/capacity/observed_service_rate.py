"""The truth while it shows: with requests waiting for capacity, what completes is the service rate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from kvwatch.core.cause import Cause
from kvwatch.core.interval import FULL_RATIO, MOST_KEPT_INTERVALS, Interval
from kvwatch.core.traffic.passed_over import STANDING_SCRAPES, STANDING_SECONDS
from kvwatch.facts import Settings
from kvwatch.stats.adjusted_range import mean_deviation

_LONG_BACKLOG_LIFETIMES = 4.0
"""Mean lifetimes of a backlog after which what completes is μ though no limit shows as reached [lifetimes]. Choice: the
batch has then been replaced four times and is that of a full engine; sooner it is still that of the load before."""
_LEAST_SECONDS = 15.0
"""Length of a backlog from which on its rate is reported [s]. Choice: completions come in bursts of seconds."""
_LEAST_REQUESTS = 20.0
"""Requests that must have finished in it [requests]. Choice: a rate of 20 is known to a fifth, about as well as the
model alone knows it; half would have μ follow single bursts."""
_FULL_SHARE = 0.75
"""Share of a backlog's time in which seats or memory are all but taken, of an engine that is full [1]. Choice: a queue
that is served keeps them taken but for what a wave of evictions sets free; an engine at seven tenths of its seats, to
which a gauge adds requests that are not there, has them taken a fifth of the time."""


@dataclass(frozen=True, slots=True)
class ObservedRate:
    """Completions per second during a backlog, and the number of requests that it rests on.

    ``wave_deviation`` is its relative standard deviation by the waves and bursts in which they came.
    """

    rate: float
    requests: float
    wave_deviation: float = 0.0


class _Served(NamedTuple):
    """What an interval of the backlog brought; times in unix seconds, lengths in tokens."""

    start: float
    end: float
    steps: float
    computed_tokens: float
    generated_tokens: float
    requests: float
    """That finished, and have the traffic's lengths."""
    output_tokens: float
    running: float
    """At its end."""
    kv_usage_ratio: float


class Backlog:
    """Service rate observed over a spell of uninterrupted waiting.

    The spell counts from a mean life after its start, when the batch is full. Completions are counted as generated
    tokens over the mean output, which stays smooth where finishes come in bursts: that of the requests that finished
    meanwhile, or of those before as long as it is mostly the short ones that finish.
    """

    def __init__(
        self, window_seconds: float, min_seconds: float = _LEAST_SECONDS, min_requests: float = _LEAST_REQUESTS
    ) -> None:
        self._window = window_seconds
        self._min_seconds = min_seconds
        self._min_requests = min_requests
        self._since: float | None = None
        self._scrapes, self._seconds = 0, 0.0
        """Intervals and length [s] of the spell."""
        self._served: deque[_Served] = deque(maxlen=MOST_KEPT_INTERVALS)
        self._told = False
        """Whether the server counts those that wait for capacity apart from the others."""

    def update(self, interval: Interval) -> None:
        """Take an interval; one at whose ends nothing waits ends the spell."""
        sample = interval.sample
        self._told = sample.waiting_capacity is not None
        if not interval.goes_on:
            return
        before, after = interval.waiting
        if not before or not after or interval.generation_tokens is None:
            self._end()
            return
        if self._since is None:
            self._since, self._scrapes = interval.start, 0
        self._scrapes += 1
        self._seconds = interval.end - self._since
        self._served.append(
            _Served(
                interval.start,
                interval.end,
                interval.steps or 0.0,
                interval.prompt_tokens_computed or 0.0,
                interval.generation_tokens,
                interval.lengths_count if interval.representative else 0.0,
                interval.lengths_output_tokens if interval.representative else 0.0,
                sample.running or 0.0,
                sample.kv_usage_ratio or 0.0,
            )
        )
        while self._served[0].end <= interval.end - self._window:
            self._served.popleft()

    def begin_anew(self, cause: Cause) -> None:
        """Who waits after a restart or a mass abort has not waited since before; what was served may be wrong too."""
        if cause.changes_requests or cause is Cause.REFUTED:
            self._end()

    def _end(self) -> None:
        self._since = None
        self._served.clear()

    @property
    def active(self) -> bool:
        """Whether requests have been waiting since the last interval."""
        return self._since is not None

    def is_full(self, settings: Settings, budget_tokens: int) -> bool:
        """Whether one of the limits is all but used up in the spell so far: memory, seats, or the tokens of its steps.

        What waits beside an engine with room for it waits for something else: a LoRA slot, a grammar, a KV transfer.
        One scrape says nothing: the number that runs swings, and touches the seats long before they are short.
        """
        seats = settings.max_num_seqs
        full = sum(
            s.end - s.start
            for s in self._served
            if s.kv_usage_ratio >= FULL_RATIO or (seats is not None and s.running >= FULL_RATIO * seats)
        )
        seconds = sum(s.end - s.start for s in self._served)
        steps = sum(s.steps for s in self._served)
        tokens = sum(s.computed_tokens + s.generated_tokens for s in self._served)
        loaded = bool(steps) and tokens >= FULL_RATIO * budget_tokens * steps
        return loaded or (bool(seconds) and full >= _FULL_SHARE * seconds)

    def rate(
        self, life_seconds: float, mean_output_tokens: float, settings: Settings, budget_tokens: int
    ) -> ObservedRate | None:
        """Observed μ, from one mean lifetime after the backlog began; ``None`` where it is not believed yet.

        ``mean_output_tokens`` is that of the traffic as it was known before.

        The batch of a short backlog is not yet that of a full engine, unless a limit shows that it is. Without the
        server's word for it, beside room in all limits, requests wait for something else than capacity; and with it,
        until it would have shown that they are passed over.
        """
        if self.is_full(settings, budget_tokens):
            return self._rate(life_seconds, mean_output_tokens)
        long = self._scrapes > STANDING_SCRAPES and self._seconds > STANDING_SECONDS
        believed = long and (self._told or settings.max_num_seqs is None)
        return self._rate(_LONG_BACKLOG_LIFETIMES * life_seconds, mean_output_tokens) if believed else None

    def _rate(self, settle_seconds: float, mean_output_tokens: float) -> ObservedRate | None:
        """``None`` unless the spell is long enough and enough requests were served in it."""
        if self._since is None:
            return None
        kept = [s for s in self._served if s.start >= self._since + settle_seconds]
        seconds = sum(s.end - s.start for s in kept)
        finished = sum(s.requests for s in kept)
        if finished >= self._min_requests:
            mean_output_tokens = sum(s.output_tokens for s in kept) / finished
        generated = sum(s.generated_tokens for s in kept)
        served = generated / mean_output_tokens if mean_output_tokens > 0 else 0.0
        if seconds < self._min_seconds or served < self._min_requests:
            return None
        waves = mean_deviation([s.generated_tokens for s in kept], [s.end - s.start for s in kept])
        return ObservedRate(served / seconds, served, waves)

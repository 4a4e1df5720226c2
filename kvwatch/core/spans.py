"""How far back each part of an engine looks: some time, or as many scrapes as it needs where these are rarer."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.eviction.preemptions import EVICTIONS_WINDOW_SECONDS
from kvwatch.core.options import CoreOptions
from kvwatch.core.traffic.start_log import LOG_LAG_SECONDS

_STEP_WINDOW_SECONDS = 60.0
"""Window of the mean step time [s]. Choice: a minute, that of the shortest λ, so that both are of the same traffic."""
_QUEUE_WINDOW_SECONDS = 120.0
"""Window of the queue's trend [s]. Choice: two minutes; half calls bursts a trend, double reports a growing queue a
minute later."""
_LATENCY_WINDOW_SECONDS = 60.0
"""Window of the latencies [s]. Choice: a minute, that of the shortest λ, so that both are of the same traffic."""
_TOKEN_WINDOW_SECONDS = 60.0
"""Window of the rates of tokens [s]. Choice: a minute, that of the shortest λ, so that both are of the same traffic."""
_WAVE_WINDOW_SECONDS = 300.0
"""Window in which waves are looked for [s]. Choice: the periods of waves are tens of seconds, and two and a half must
lie in it."""
_LEAST_LAG_SCRAPES = 3
"""The lag of a log in scrapes, where those are rare [scrapes]. Choice: until then the balance knows no better."""
_LEAST_DEMAND_SCRAPES = 8
"""Scrapes in the window of finished requests [scrapes]. Choice: twice the groups that second moments need at least."""
_LEAST_LATENCY_SCRAPES = 4
"""Scrapes in the window of the latencies [scrapes]. Choice: fewer would be one or two intervals."""
_LEAST_QUEUE_SCRAPES = 12
"""Scrapes in the window of the queue's trend [scrapes]. Choice: half as many again as a trend needs."""
_LEAST_STEP_SCRAPES = 10
"""Scrapes in the window of the mean step time [scrapes]. Choice: with them the trimmed mean cuts one at each end only
where more than half were busy."""
_LEAST_WAVE_SCRAPES = 100
"""Scrapes in the window in which waves are looked for [scrapes]. Choice: two and a half periods of as many points as
tell a crest from chance."""
_LEAST_EVICTION_SCRAPES = 4
"""Scrapes in the window over which evictions are counted [scrapes]. Choice: with one or two, a burst of evictions would
be all there is."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Windows of an engine's parts [s]; ``log_lag`` is how far a log of starts may lag."""

    demand: float
    step_times: float
    queue: float
    latency: float
    wave: float
    evictions: float
    tokens: float
    log_lag: float

    @classmethod
    def of(cls, options: CoreOptions) -> Spans:
        """Those that fit how often a target is scraped."""
        span = options.span_seconds
        return cls(
            demand=span(options.demand_window_seconds, _LEAST_DEMAND_SCRAPES),
            step_times=span(_STEP_WINDOW_SECONDS, _LEAST_STEP_SCRAPES),
            queue=span(_QUEUE_WINDOW_SECONDS, _LEAST_QUEUE_SCRAPES),
            latency=span(_LATENCY_WINDOW_SECONDS, _LEAST_LATENCY_SCRAPES),
            wave=span(_WAVE_WINDOW_SECONDS, _LEAST_WAVE_SCRAPES),
            tokens=span(_TOKEN_WINDOW_SECONDS, _LEAST_LATENCY_SCRAPES),
            evictions=span(EVICTIONS_WINDOW_SECONDS, _LEAST_EVICTION_SCRAPES),
            log_lag=span(LOG_LAG_SECONDS, _LEAST_LAG_SCRAPES),
        )

"""How large must the KV cache be for what runs in it, whatever the server says of it?

By Little's law the tokens that requests hold follow from their lengths and the rate at which they are served; the
server shows what share of its memory they are. Their quotient is M.

Prompts that share a prefix hold it once: M then lies between what the requests would hold without the tokens that the
cache had, and with all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from math import inf
from typing import NamedTuple

from kvwatch.constants import HOUR_SECONDS
from kvwatch.core.interval import MOST_KEPT_INTERVALS, Interval
from kvwatch.core.traffic.request_demand import MIN_REQUESTS, DemandEstimates


class _Use(NamedTuple):
    """What one interval, which ends at ``end`` [unix s], shows of the memory in use.

    ``used_steps`` is Σ over its steps of the share in use, ``hits`` the prompt tokens that the cache had.
    """

    end: float
    used_steps: float
    generated: float
    prompts: float
    hits: float | None


class KvInUse:
    """The share of memory that was in use over the last hour, and what was computed meanwhile."""

    def __init__(self) -> None:
        self._uses: deque[_Use] = deque(maxlen=MOST_KEPT_INTERVALS)
        self._hits_before: float | None = None
        self._held_apart = False

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._uses)

    def clear(self) -> None:
        """Forget what was in use: it was shown wrong."""
        self._uses.clear()

    def begin_anew(self) -> None:
        """Other requests are in memory than before."""
        self._uses.clear()
        self._hits_before = None

    def add(self, interval: Interval) -> None:
        """Take an interval; one that is not about the same requests as that before it says nothing."""
        if not interval.goes_on or not interval.representative:
            return
        hits, before_hits = interval.sample.prefix_cache_hits, self._hits_before
        self._hits_before = hits
        before, after = interval.kv_usage_ratio
        self._held_apart = bool(interval.sample.waiting_deferred)
        if before is None or after is None or not interval.step_seconds or interval.generation_tokens is None:
            return
        self._uses.append(
            _Use(
                interval.end,
                (before + after) / 2 * interval.seconds / interval.step_seconds,
                interval.generation_tokens,
                interval.prompt_tokens or 0.0,
                max(hits - before_hits, 0.0) if hits is not None and before_hits is not None else None,
            )
        )
        while self._uses[0].end < interval.end - HOUR_SECONDS:  # lengths reach no further back
            self._uses.popleft()

    def bounds(self, demand: DemandEstimates, unit_tokens: float) -> tuple[float, float] | None:
        """The smallest and the largest M that agree with what runs [tokens]; ``None`` while too little is known."""
        moments, lengths = demand.moments, _held_token_steps(demand)
        since = demand.since if demand.since is not None else inf
        # from the newest back: the deque holds an hour, the window of lengths mostly less
        uses = list(takewhile(lambda use: use.end >= since, reversed(self._uses)))[::-1]
        used_steps = sum(use.used_steps for use in uses)
        steps = demand.steps
        if moments is None or steps is None or not lengths or demand.requests < MIN_REQUESTS or used_steps <= 0:
            return None
        requests = sum(use.generated for use in uses) / (moments.mean_o * unit_tokens)
        cached = demand.cached_ratio if demand.cached_ratio is not None else _cached_ratio(uses)
        shared = cached * moments.mean_s * unit_tokens * steps
        least = max(lengths - shared, moments.mean_o * unit_tokens * steps / 2)
        if requests <= 0 or least <= 0:
            return None
        return min(least, lengths) * requests / used_steps, lengths * requests / used_steps

    def tokens_of_running(self, interval: Interval, demand: DemandEstimates) -> float:
        """What those that run hold by their lengths, shared prefixes left out [tokens]; 0 where it is not known."""
        moments, steps, running = demand.moments, demand.steps, interval.sample.running
        lengths = _held_token_steps(demand)
        if moments is None or not steps or not lengths or not running or demand.requests < MIN_REQUESTS:
            return 0.0
        cached = demand.cached_ratio if demand.cached_ratio is not None else _cached_ratio(self._uses)
        held = lengths / steps - cached * moments.mean_s * interval.unit_tokens
        return running * held

    def is_held_otherwise(self, demand: DemandEstimates, unit_tokens: float) -> bool:
        """Whether memory may be in use by others than those that run, so that M looks smaller than it is.

        A prefill server keeps what it has computed until it is fetched, a decode server receives what nobody runs yet.
        """
        moments = demand.moments
        return self._held_apart or moments is None or moments.mean_o * unit_tokens < 2


def _held_token_steps(demand: DemandEstimates) -> float | None:
    """E[g] by lengths alone, without what occupancy says of it."""
    return demand.by_method.get("joint", demand.by_method.get("moments"))


def _cached_ratio(uses: Sequence[_Use]) -> float:
    """The largest share of the prompts' tokens that the cache can have had; 1 where nothing tells."""
    hits, prompts = [use.hits for use in uses if use.hits is not None], sum(use.prompts for use in uses)
    return min(sum(hits) / prompts, 1.0) if hits and prompts else 1.0

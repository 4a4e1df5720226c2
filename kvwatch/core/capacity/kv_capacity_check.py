"""Does what runs in an engine fit the KV cache that the server shows?

By Little's law the tokens that requests hold follow from their lengths and the rate at which they are served; the
server shows what share of its memory they are. Their quotient is M, whatever the server says of it: block sizes of
hybrid models, of decode context parallelism and of several ranks were wrong in many versions of vLLM. A request that
finished was in memory whole, so M is no smaller than that.

Prompts that share a prefix hold it once: M then lies between what the requests would hold without the tokens that the
cache had, and with all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import exp, inf, log, sqrt
from typing import NamedTuple

from kvwatch.constants import HOUR_SECONDS, MOST_TOKENS
from kvwatch.core.interval import MOST_KEPT_INTERVALS, Cause, Ended, Interval
from kvwatch.core.traffic.population import Population
from kvwatch.core.traffic.request_demand import MIN_REQUESTS, DemandEstimates
from kvwatch.stats.decaying_max import DecayingMax

REFUTED_RATIO = 1.5
"""Factor between M as shown and as it follows from what runs, from which the shown one is refuted [1]. Measured:
bench/accuracy, where lengths and occupancy are within 12% of each other in four cases of five; faults of servers are
factors of two and more."""
_TRUSTED_RATIO = 1.25
"""Factor within which it is confirmed [1]. Choice: clearly below the other, so that noise does not change it."""
_GROSS_RATIO = 3.0
"""Factor from which it is refuted at once [1]. Choice: no burst and no change of traffic does as much."""
_LOOK_SECONDS = 10.0
"""Time between two looks [s]. Choice: E[g] costs a millisecond of CPU, and moves over a minute."""
_LOOKS = 3
"""Looks in a row that must refute an M that is not grossly off, or that confirm one [1]. Choice: half a minute, in
which most requests inside are replaced."""
_LOOKS_CONFIRMED = 30
"""The same where M was confirmed before [1]. Choice: five minutes; a label does not change while its server runs, and
when traffic changes, those that finish are not those inside for as long as the window of lengths."""
_NEWS = 0.2
"""Weight of a look in an M that is worked out [1]. Choice: the last minute of looks; each is known to a tenth."""
_UNSHOWN_REQUESTS = 60.0
"""Finished requests from which on M is worked out where none is shown [requests]. Choice: E[g] is then known to an
eighth."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is to be believed of an M.

    Attributes:
        shown: The M that the server shows and this is about [tokens]; ``None`` where it shows none.
        tokens: The M to be used in its place; ``None`` where it is not known.
        refuted: Whether what runs does not fit the shown one.
        impossible: Whether it is so small that the share in use need not be asked: more has been in it.
    """

    shown: float | None = None
    tokens: float | None = None
    refuted: bool = False
    impossible: bool = False


class _Use(NamedTuple):
    """What one interval, which ends at ``end`` [unix s], shows of the memory in use.

    ``used_steps`` is Σ over its steps of the share in use, ``hits`` the prompt tokens that the cache had.
    """

    end: float
    used_steps: float
    generated: float
    prompts: float
    hits: float | None


class KvCapacityCheck:
    """Holds the M that a server shows against what runs in the engine."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._uses: deque[_Use] = deque(maxlen=MOST_KEPT_INTERVALS)
        self._hits_before: float | None = None
        self._longest = DecayingMax(HOUR_SECONDS)
        self._looked_at = float("-inf")
        self._held_apart = False
        self._begin()
        self._belief = Belief()

    def _begin(self) -> None:
        self._doubts = self._confirms = 0
        self._confirmed = self._too_small = False

    def update_request(self, ended: Ended) -> None:
        """Take a request that ended: one that completed here was in memory whole."""
        if ended.record.completed and ended.share == 1:
            self._longest.update(ended.record.finish, ended.record.prompt_tokens + ended.record.completion_tokens)

    def update(self, interval: Interval) -> None:
        """Take an interval, after the population has taken it."""
        at = interval.end
        shown = interval.kv_capacity_shown
        if (shown.tokens if shown is not None else None) != self._belief.shown:
            self._belief = Belief(shown.tokens if shown is not None else None)
            self._begin()
        if interval.is_refuted and (self._uses or self._belief.tokens):
            # what was worked out from numbers that are refuted is as little to be believed
            self._uses.clear()
            self._belief = Belief(self._belief.shown)
            self._begin()
        self._add_use(interval)
        if interval.lengths_count:
            mean = (interval.lengths_prompt_tokens + interval.lengths_output_tokens) / interval.lengths_count
            self._longest.update(at, mean)
        if at - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = at
            self._look(interval)

    def _add_use(self, interval: Interval) -> None:
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

    def begin_anew(self, cause: Cause) -> None:
        """Another process has another cache, which may have the same wrong label; memory in use begins again."""
        if cause.changes_requests:
            self._uses.clear()
            self._hits_before = None
        if cause is Cause.RESTART:
            self._longest = DecayingMax(HOUR_SECONDS)
            self._begin()

    def get(self, _now: float) -> Belief:
        """What is to be believed."""
        return self._belief

    def _look(self, interval: Interval) -> None:
        shown = self._belief.shown
        exact = interval.kv_capacity_shown is not None and interval.kv_capacity_shown.exact
        demand = self._population.get(interval.end)
        bounds = self._bounds(demand, interval.unit_tokens)
        longest = self._longest.get(interval.end)
        too_long = exact and shown is not None and longest is not None and longest > shown
        if shown is None:
            if bounds is not None and demand.requests >= _UNSHOWN_REQUESTS:
                self._believe(bounds, refuted=False)
            return
        self._too_small = self._too_small or too_long or self._holds_more(shown, interval, demand)
        factor = _factor(shown, bounds) if bounds is not None else 1.0
        if factor < 1 and self._is_held_otherwise(demand, interval.unit_tokens):
            factor = 1.0
        apart = max(factor, 1 / factor)
        by_chance = apart <= demand.chance_ratio
        self._doubts = self._doubts + 1 if apart > REFUTED_RATIO and not by_chance else 0
        self._confirms = self._confirms + 1 if apart < _TRUSTED_RATIO and bounds is not None else 0
        self._confirmed = self._confirmed or self._confirms >= _LOOKS
        at_once = apart > _GROSS_RATIO and not by_chance and not self._confirmed
        refuted = too_long or at_once or self._doubts >= (_LOOKS_CONFIRMED if self._confirmed else _LOOKS)
        if refuted or (self._belief.refuted and not self._confirmed):
            self._believe(bounds, refuted=True)
            self._confirmed = False
        elif self._belief.refuted:
            self._belief = Belief(shown)

    def _holds_more(self, shown: float, interval: Interval, demand: DemandEstimates) -> bool:
        """Whether those that run hold more than this M by their lengths alone, shared prefixes left out."""
        moments, steps, running = demand.moments, demand.steps, interval.sample.running
        lengths = demand.by_method.get("joint", demand.by_method.get("moments"))
        if moments is None or not steps or not lengths or not running or demand.requests < MIN_REQUESTS:
            return False
        cached = demand.cached_ratio if demand.cached_ratio is not None else _cached_ratio(self._uses)
        held = lengths / steps - cached * moments.mean_s * interval.unit_tokens
        return running * held > REFUTED_RATIO * shown

    def _is_held_otherwise(self, demand: DemandEstimates, unit_tokens: float) -> bool:
        """Whether memory may be in use by others than those that run, so that M looks smaller than it is.

        A prefill server keeps what it has computed until it is fetched, a decode server receives what nobody runs yet.
        """
        moments = demand.moments
        return self._held_apart or moments is None or moments.mean_o * unit_tokens < 2

    def _bounds(self, demand: DemandEstimates, unit_tokens: float) -> tuple[float, float] | None:
        """The smallest and the largest M that agree with what runs [tokens]; ``None`` while too little is known."""
        moments, lengths = demand.moments, demand.by_method.get("joint", demand.by_method.get("moments"))
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

    def _believe(self, bounds: tuple[float, float] | None, *, refuted: bool) -> None:
        """Use the M that follows from what runs, where it is known well enough."""
        tokens = self._belief.tokens
        if bounds is not None and bounds[1] <= REFUTED_RATIO * bounds[0]:
            found = sqrt(bounds[0] * bounds[1])
            new = tokens is None or not 1 / REFUTED_RATIO < found / tokens < REFUTED_RATIO
            tokens = found if new or tokens is None else exp((1 - _NEWS) * log(tokens) + _NEWS * log(found))
        self._belief = Belief(self._belief.shown, tokens, refuted, refuted and self._too_small)

    def dump(self) -> dict[str, object]:
        """What was found, as plain numbers."""
        b = self._belief
        return {"shown": b.shown, "tokens": b.tokens, "refuted": b.refuted, "impossible": b.impossible}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        shown, tokens, refuted = state["shown"], state["tokens"], state["refuted"]
        for number in (shown, tokens):
            if number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int | float) or not 1 <= number <= MOST_TOKENS:
                raise ValueError(f"{number!r} is no size of a KV cache")
        impossible = state.get("impossible", False)  # older states do not have it
        if not isinstance(refuted, bool) or not isinstance(impossible, bool):
            raise TypeError("refuted and impossible must be true or false")
        self._too_small = impossible
        self._belief = Belief(shown, tokens, refuted, impossible)  # type: ignore[arg-type]


def _cached_ratio(uses: Sequence[_Use]) -> float:
    """The largest share of the prompts' tokens that the cache can have had; 1 where nothing tells."""
    hits, prompts = [use.hits for use in uses if use.hits is not None], sum(use.prompts for use in uses)
    return min(sum(hits) / prompts, 1.0) if hits and prompts else 1.0


def _factor(shown: float, bounds: tuple[float, float]) -> float:
    """How many times as large M must be at least, or, below 1, at most; 1 where the shown one agrees."""
    least, most = bounds
    return max(least / shown, 1.0) if shown <= most else most / shown

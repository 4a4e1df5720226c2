"""Does what runs in an engine fit the KV cache that the server shows?

What is in use says how large M must be (``kv_in_use.py``), whatever the server says of it: block sizes of hybrid
models, of decode context parallelism and of several ranks were wrong in many versions of vLLM. A request that finished
was in memory whole, so M is no smaller than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

from kvwatch.constants import HOUR_SECONDS, MOST_TOKENS
from kvwatch.core.capacity.kv_in_use import KvInUse
from kvwatch.core.cause import Cause
from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.population import Population
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


class KvCapacityCheck:
    """Holds the M that a server shows against what runs in the engine."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._in_use = KvInUse()
        self._longest = DecayingMax(HOUR_SECONDS)
        self._looked_at = float("-inf")
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
        if interval.is_refuted and (self._in_use or self._belief.tokens):
            # what was worked out from numbers that are refuted is as little to be believed
            self._in_use.clear()
            self._belief = Belief(self._belief.shown)
            self._begin()
        self._in_use.add(interval)
        if interval.lengths_count:
            mean = (interval.lengths_prompt_tokens + interval.lengths_output_tokens) / interval.lengths_count
            self._longest.update(at, mean)
        if at - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = at
            self._look(interval)

    def begin_anew(self, cause: Cause) -> None:
        """Another process has another cache, which may have the same wrong label; memory in use begins again."""
        if cause.changes_requests:
            self._in_use.begin_anew()
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
        bounds = self._in_use.bounds(demand, interval.unit_tokens)
        longest = self._longest.get(interval.end)
        too_long = exact and shown is not None and longest is not None and longest > shown
        if shown is None:
            if bounds is not None and demand.requests >= _UNSHOWN_REQUESTS:
                self._believe(bounds, refuted=False)
            return
        holds_more = self._in_use.tokens_of_running(interval, demand) > REFUTED_RATIO * shown
        self._too_small = self._too_small or too_long or holds_more
        factor = _factor(shown, bounds) if bounds is not None else 1.0
        if factor < 1 and self._in_use.is_held_otherwise(demand, interval.unit_tokens):
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


def _factor(shown: float, bounds: tuple[float, float]) -> float:
    """How many times as large M must be at least, or, below 1, at most; 1 where the shown one agrees."""
    least, most = bounds
    return max(least / shown, 1.0) if shown <= most else most / shown

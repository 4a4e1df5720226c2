"""Which requests come: what they ask for, and their mix of lengths, from the best source that there is."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from kvwatch.core.cause import Cause
from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.cache_hits import CacheHits
from kvwatch.core.traffic.idle_spells import IdleSpells
from kvwatch.core.traffic.joint_mix import joint_mix
from kvwatch.core.traffic.length_mix import MIX_REQUESTS, LengthMix
from kvwatch.core.traffic.lengths import LengthWindow
from kvwatch.core.traffic.mix import Mix
from kvwatch.core.traffic.request_demand import MIN_REQUESTS, DemandEstimates, LengthBounds, estimate
from kvwatch.core.traffic.request_log import RequestLog
from kvwatch.core.traffic.tenants import TenantUses
from kvwatch.facts import RequestRecord


class Population:
    """The requests of one engine's traffic, by its metrics and by a log where there is one."""

    def __init__(self, window_seconds: float, log_window_seconds: float, top_tenants: int) -> None:
        self.lengths = LengthWindow(window_seconds)
        self.length_mix = LengthMix(window_seconds)
        self.log = RequestLog(log_window_seconds, top_tenants)
        self._idle_spells = IdleSpells(window_seconds)
        self.cache_hits = CacheHits()
        self._last: Interval | None = None
        self._found: tuple[float, DemandEstimates] | None = None
        """E[g] as it was last asked for, and at which time [unix s]; until something is learnt it is the same."""
        self._parts = (self._idle_spells, self.lengths, self.length_mix, self.log, self.cache_hits)

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        self._last, self._found = interval, None
        for part in self._parts:
            part.update(interval)
        self.log.changed_at = max(self.log.changed_at, self.length_mix.cut_at)

    def begin_anew(self, cause: Cause) -> None:
        """Forget who is no fair sample of who comes."""
        self._found = None
        for part in self._parts:
            part.begin_anew(cause)

    def admit(self, record: RequestRecord, now: float) -> bool:
        """Let a request of a log count, if it does; see :meth:`RequestLog.admit`."""
        return self.log.admit(record, now)

    def update_request(self, ended: Ended) -> None:
        """Take a request that ended, and counts."""
        self._found = None
        self.log.update_request(ended)

    def configure(self, last: Interval) -> None:
        """The scheduler's settings are others, also for the interval that was the last."""
        self._last, self._found = last, None

    def get(self, now: float) -> DemandEstimates:
        """E[g] three ways [token·steps], on the newest interval's scale.

        Several ask at the same time: it is worked out once.
        """
        if self._found is None or self._found[0] != now:
            self._found = now, self._estimated(now)
        return self._found[1]

    def _estimated(self, now: float) -> DemandEstimates:
        last = self._last
        if last is None:
            return DemandEstimates({}, 0.0)
        empty_at = self._idle_spells.get(now)
        joint = self.log.sample(now, MIN_REQUESTS, empty_at)
        unit, (block, chunk) = last.unit_tokens, last.sizes_in_units
        by_log = joint.demand / unit**2 if joint is not None else None
        longest = inf if last.settings.max_model_len is None else last.settings.max_model_len / unit
        spans = self.lengths.spans(empty_at, MIN_REQUESTS)
        found = estimate(spans, block, chunk, by_log, LengthBounds(self.length_mix.buckets, longest))
        if unit == 1:
            return found
        return replace(found, by_method={method: g * unit for method, g in found.by_method.items()})

    def mix(self, now: float) -> Mix | None:
        """The mix of lengths over as long as it has not changed; ``None`` while too few requests are known.

        A log gives lengths in tokens and not how many steps they took, so it is no source under speculation.
        """
        last, mix = self._last, None
        if last is None:
            return None
        unit, longest = last.unit_tokens, last.settings.max_model_len
        if unit == 1:
            reach = (MIX_REQUESTS, self.log.changed_at)
            joint = self.log.sample(now, MIN_REQUESTS, self._idle_spells.get(now), reach)
            if joint is not None:
                mix = joint_mix(self.length_mix.demand(*last.sizes), joint, *last.sizes)
        if mix is None:
            mix = self.length_mix.mix(*last.sizes_in_units, longest / unit if longest is not None else None)
        return mix if mix is not None and mix.demand.requests >= MIN_REQUESTS else None

    def tenants(self, now: float) -> TenantUses | None:
        """Who used the memory over the window before ``now``."""
        return self.log.uses(now)

    def mean_output_tokens(self) -> float:
        """Mean length of the outputs that finished lately, in the unit that lengths are counted in; 0 without any."""
        spans = self.lengths.spans()
        finished = sum(s.count for s in spans)
        return sum(s.output_tokens for s in spans) / finished if finished else 0.0

"""Why is there no number? What an engine does not show comes before what it has not had the time to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvwatch.core.capacity.kv_capacity_check import Belief
from kvwatch.core.inputs import LATENCY, SERVICE, USAGE, is_gone
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.arrival_rate import ArrivalRate
from kvwatch.core.traffic.request_demand import MIN_REQUESTS
from kvwatch.estimate import Estimate, Reason
from kvwatch.facts import EngineSample

DEMAND = ("request_prompt_tokens", "request_generation_tokens", "generation_tokens")
"""What E[g] is made of."""
_WAITS = frozenset(
    {Reason.NO_BUSY_INTERVALS, Reason.TOO_FEW_REQUESTS, Reason.LAW_UNKNOWN, Reason.CAPACITY_UNKNOWN, Reason.DEPENDS}
)
"""Reasons that more traffic would end, if nothing else were wrong."""


@dataclass(frozen=True, slots=True)
class Absence:
    """What of an engine can never be known, at one moment.

    ``ages_seconds`` says how long ago each field of its samples that was ever there was shown and moving;
    ``active`` whether it has had any work; ``contradicted`` are the fields that others contradict.
    """

    ages_seconds: Mapping[str, float]
    active: bool
    generates_nothing: bool
    usage_out_of_range: bool
    belief: Belief
    contradicted: frozenset[str] = frozenset()
    counters_fall: bool = False

    @classmethod
    def of(cls, last: Interval, ages_seconds: Mapping[str, float], belief: Belief) -> Absence:
        """The absence that an engine's newest interval and the ages of its fields show."""
        sample = last.sample
        return cls(
            ages_seconds=ages_seconds,
            active=bool(sample.generation_tokens or sample.prompt_tokens or sample.running),
            generates_nothing=generates_nothing(sample),
            usage_out_of_range=last.usage_out_of_range,
            belief=belief,
            contradicted=frozenset(c.field for c in last.contradicted),
            counters_fall=last.counters_fall,
        )

    def gone(self, needed: tuple[str, ...], longest_seconds: float) -> Reason | None:
        """Why one of these fields, which was there before, is not to be used; ``None`` where all are of now."""
        if not self.contradicted.isdisjoint(needed):
            return Reason.METRIC_CONTRADICTED
        return Reason.METRIC_MISSING if is_gone(self.ages_seconds, needed, longest_seconds) else None

    def arrivals(self, rate: ArrivalRate) -> ArrivalRate:
        """λ, with the reason behind that of one without a number."""
        if self.counters_fall and rate.estimate.verdict in (Reason.RESTART, Reason.WARMING_UP):
            return ArrivalRate(Estimate(verdict=Reason.COUNTERS_FALL))
        return rate

    def reason(self, verdict: Reason, needed: tuple[str, ...]) -> Reason:
        """The reason of an estimate without a number that needs these fields: ``verdict``, or the one behind it."""
        if verdict not in _WAITS:
            return verdict
        if self.generates_nothing:
            return Reason.GENERATES_NOTHING
        if self.counters_fall:
            return Reason.COUNTERS_FALL
        if not self.contradicted.isdisjoint(needed):
            return Reason.METRIC_CONTRADICTED
        if self.active and not self.ages_seconds.keys() >= set(needed):
            return Reason.METRIC_MISSING
        return verdict

    def service_rate(self, verdict: Reason) -> Reason:
        """The reason why there is no μ."""
        found = self.reason(verdict, SERVICE)
        if found is Reason.CAPACITY_UNKNOWN and self.belief.refuted:
            return Reason.CAPACITY_REFUTED
        if found in (Reason.LAW_UNKNOWN, Reason.CAPACITY_UNKNOWN):
            if not self.contradicted.isdisjoint(USAGE + LATENCY):
                return Reason.METRIC_CONTRADICTED
            if self.usage_out_of_range:
                return Reason.KV_USAGE_OUT_OF_RANGE
        return self.reason(found, USAGE + LATENCY) if found is Reason.LAW_UNKNOWN else found


def generates_nothing(sample: EngineSample) -> bool:
    """Whether this is an engine that pools or embeds: requests finished in numbers, and not one token was generated."""
    finished = (sample.finished or 0.0) >= MIN_REQUESTS and bool(sample.prompt_tokens)
    return finished and sample.generation_tokens == 0 and not sample.inter_token_count

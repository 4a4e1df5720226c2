"""Why is there no number? What an engine does not show comes before what it has not had the time to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvwatch.core.capacity.kv_capacity_check import Belief
from kvwatch.core.inputs import SERVICE, USAGE
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.request_demand import MIN_REQUESTS
from kvwatch.estimate import Reason
from kvwatch.facts import EngineSample

DEMAND = ("request_prompt_tokens", "request_generation_tokens")
"""What E[g] is made of."""
_WAITS = frozenset(
    {Reason.NO_BUSY_INTERVALS, Reason.TOO_FEW_REQUESTS, Reason.LAW_UNKNOWN, Reason.CAPACITY_UNKNOWN, Reason.DEPENDS}
)
"""Reasons that more traffic would end, if nothing else were wrong."""


@dataclass(frozen=True, slots=True)
class Absence:
    """What of an engine can never be known, at one moment.

    ``shown`` are the fields of its samples that were ever there; ``active`` says whether it has had any work.
    """

    shown: frozenset[str]
    active: bool
    generates_nothing: bool
    usage_out_of_range: bool
    belief: Belief

    @classmethod
    def of(cls, last: Interval, ages_seconds: Mapping[str, float], belief: Belief) -> Absence:
        """The absence that an engine's newest interval and the ages of its fields show."""
        sample = last.sample
        return cls(
            shown=frozenset(ages_seconds),
            active=bool(sample.generation_tokens or sample.prompt_tokens or sample.running),
            generates_nothing=generates_nothing(sample),
            usage_out_of_range=last.usage_out_of_range,
            belief=belief,
        )

    def reason(self, verdict: Reason, needed: tuple[str, ...]) -> Reason:
        """The reason of an estimate without a number that needs these fields: ``verdict``, or the one behind it."""
        if verdict not in _WAITS:
            return verdict
        if self.generates_nothing:
            return Reason.GENERATES_NOTHING
        if self.active and not self.shown.issuperset(needed):
            return Reason.METRIC_MISSING
        return verdict

    def service_rate(self, verdict: Reason) -> Reason:
        """The reason why there is no μ."""
        found = self.reason(verdict, SERVICE)
        if found is Reason.CAPACITY_UNKNOWN and self.belief.refuted:
            return Reason.CAPACITY_REFUTED
        if found in (Reason.LAW_UNKNOWN, Reason.CAPACITY_UNKNOWN) and self.usage_out_of_range:
            return Reason.KV_USAGE_OUT_OF_RANGE
        return self.reason(found, USAGE) if found is Reason.LAW_UNKNOWN else found


def generates_nothing(sample: EngineSample) -> bool:
    """Whether this is an engine that pools or embeds: requests finished in numbers, and not one token was generated."""
    finished = (sample.finished or 0.0) >= MIN_REQUESTS and bool(sample.prompt_tokens)
    return finished and sample.generation_tokens == 0 and not sample.inter_token_count

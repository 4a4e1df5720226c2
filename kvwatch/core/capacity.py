"""μ of one engine and what it rests on: which E[g], which limits, which step time."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvwatch.core.engine import Estimates
from kvwatch.queueing.capacity import (
    KV,
    SEQS,
    TOKENS,
    Demand,
    Limits,
    binding,
    paper_service_rate,
    service_rates,
    stable_limit,
)

_SHARING_RATIO = 0.02
"""Share of cached prompt tokens above which lengths overstate the memory held, and occupancy is used."""
_FULL_RATIO = 0.8
"""Share of the binding resource in use from which the observed step time is that of full load."""
_MIN_REQUESTS = 20


@dataclass(frozen=True, slots=True)
class CapacityEstimate:
    """μ per limit [requests/s], the one that binds, and the E[g] that was used."""

    rates: dict[str, float] = field(default_factory=dict)
    limit: str | None = None
    method: str | None = None
    plain_rate: float | None = None
    stable_limit: float | None = None
    reason: str = "ok"

    @property
    def service_rate(self) -> float | None:
        """μ, the smallest over the limits."""
        return self.rates[self.limit] if self.limit is not None else None


def select_demand(e: Estimates) -> str | None:
    """Which E[g] feeds μ.

    With a queue, memory is full and evicted requests are computed again: occupancy counts that, lengths do not.
    Under prefix sharing occupancy counts shared blocks once. Otherwise lengths are the surer source.
    """
    methods = e.demand.by_method
    shared = (e.demand.cached_ratio or 0.0) > _SHARING_RATIO
    order = ("joint", "moments", "occupancy")
    if e.observed_service_rate is not None or shared:
        order = ("occupancy", "joint", "moments")
    return next((m for m in order if m in methods), None)


def estimate_capacity(e: Estimates) -> CapacityEstimate:
    """μ with the step time observed now."""
    method = select_demand(e)
    if e.demand.requests < _MIN_REQUESTS and "joint" not in e.demand.by_method:
        return CapacityEstimate(method=method, reason="too_few_requests")
    if method is None:
        return CapacityEstimate(reason="depends")
    if e.step_time is None:
        return CapacityEstimate(method=method, reason="no_busy_intervals")
    step = e.step_time.trimmed_mean
    demand = Demand(e.demand.by_method[method], e.demand.steps, e.demand.compute_tokens)
    limits = Limits(
        kv_tokens=e.capacity.tokens if e.capacity else None,
        seqs=e.settings.max_num_seqs,
        step_tokens=e.settings.max_num_batched_tokens,
    )
    rates = service_rates(demand, limits, {KV: step, SEQS: step, TOKENS: step})
    limit = binding(rates)
    lengths = e.demand.by_method.get("joint", e.demand.by_method.get("moments"))
    return CapacityEstimate(
        rates=rates,
        limit=limit,
        method=method,
        plain_rate=paper_service_rate(e.capacity.tokens, step, lengths) if e.capacity and lengths else None,
        stable_limit=_stable_limit(e, limit),
        reason=_reason(e, limit),
    )


def _stable_limit(e: Estimates, limit: str | None) -> float | None:
    if limit is None:
        return None
    if limit != KV:
        return 1.0
    if e.largest is None or e.capacity is None:
        return None
    return max(stable_limit(e.largest.tokens, e.capacity.tokens, limit), 0.0)


def _reason(e: Estimates, limit: str | None) -> str:
    """The gravest doubt about μ, or "ok"."""
    residual = e.demand.residual_ratio
    doubts = (
        ("capacity_unknown", e.capacity is None),
        ("seats_unknown", e.settings.max_num_seqs is None),
        ("hybrid_kv", e.capacity is not None and not e.capacity.exact),
        ("speculative_decoding", e.speculative),
        ("light_load", not _is_full(e, limit)),
        (
            "occupancy_disagrees",
            residual is not None
            and abs(residual) > 0.15
            and (e.demand.cached_ratio or 0.0) <= _SHARING_RATIO
            and e.observed_service_rate is None,
        ),
        ("budget_unknown", e.settings.max_num_batched_tokens is None),
    )
    return next((reason for reason, holds in doubts if holds), "ok")


def _is_full(e: Estimates, limit: str | None) -> bool:
    if e.observed_service_rate is not None:
        return True
    if limit == SEQS and e.settings.max_num_seqs and e.sample.running is not None:
        return e.sample.running >= _FULL_RATIO * e.settings.max_num_seqs
    return (e.sample.kv_usage_ratio or 0.0) >= _FULL_RATIO

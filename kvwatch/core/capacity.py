"""μ of one engine with its interval, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, hypot, log

from kvwatch.core.engine import Estimates
from kvwatch.core.full_engine import FullEngineInputs
from kvwatch.queueing.capacity import KV, SEQS, binding, paper_service_rate, stable_limit
from kvwatch.queueing.full_load import FullLoad
from kvwatch.stats.trend import Z90

_SHARING_RATIO = 0.02
"""Share of prompt tokens found in the cache above which lengths overstate the memory held."""
_DISAGREEMENT_RATIO = 0.15
_FARTHEST = 4.0
"""Extrapolation beyond so many times the longest step seen is not to be relied on."""
_MODEL_DEVIATION = 0.025
"""Relative sd of the embedded engine against a real one fed the same requests and law."""
_UNCORRECTED_DEVIATION = 0.15
"""The same for the closed form alone, which knows no evictions."""
_CURVATURE_DEVIATION = 0.06
"""Relative sd of the step time for each factor e of extrapolation: no law is quite straight."""
_OBSERVED_TRUST = 30.0
"""Requests observed under backlog that weigh as much as the model."""


@dataclass(frozen=True, slots=True)
class CapacityEstimate:
    """μ [requests/s] with a 90% interval, per limit, the one that binds, and the step time at full load [s].

    ``model_rate`` is what the model alone says, to be held against what is observed.
    """

    rates: dict[str, float] = field(default_factory=dict)
    limit: str | None = None
    lower: float | None = None
    upper: float | None = None
    model_rate: float | None = None
    step_seconds: float | None = None
    method: str | None = None
    plain_rate: float | None = None
    stable_limit: float | None = None
    reason: str = "ok"

    @property
    def service_rate(self) -> float | None:
        """μ, the smallest over the limits."""
        return self.rates[self.limit] if self.limit is not None else None


def estimate_capacity(e: Estimates) -> CapacityEstimate:
    """μ as the model has it, drawn towards what a backlog shows."""
    plain = _plain_rate(e)
    loads = e.full.closed_form() if e.full is not None else {}
    # the limit that is reached first, with the fewest requests running, binds
    limit = binding({name: load.running for name, load in loads.items()})
    if e.full is None or limit is None:
        return _observed_only(e, plain)
    corrected = e.correction is not None and e.correction.limit == limit
    factor = (e.correction.factor if corrected and e.correction is not None else 1.0) * e.calibration
    model_rate = loads[limit].rate * factor
    rate, deviation = _blend(e, model_rate, _deviation(e.full, loads[limit], corrected))
    rates = {name: max(load.rate, rate) for name, load in loads.items()} | {limit: rate}
    step = e.correction.saturation.mean_step_seconds if corrected and e.correction else loads[limit].step_seconds
    return CapacityEstimate(
        rates=rates,
        limit=limit,
        lower=rates[limit] * exp(-Z90 * deviation),
        upper=rates[limit] * exp(Z90 * deviation),
        model_rate=model_rate,
        step_seconds=step,
        method=_method(e),
        plain_rate=plain,
        stable_limit=_stable_limit(e, limit),
        reason=_reason(e, loads[limit]),
    )


def _method(e: Estimates) -> str:
    """Which E[g] fed μ: a log's where there is one; else what is held, which the moments only give a shape."""
    return next(m for m in ("joint", "occupancy", "moments") if m in e.demand.by_method or m == "moments")


def _blend(e: Estimates, model_rate: float, deviation: float) -> tuple[float, float]:
    """μ and its relative sd, the model's drawn towards the observed rate in proportion to what that rests on."""
    if e.observed is None:
        return model_rate, deviation
    weight = e.observed.requests / (e.observed.requests + _OBSERVED_TRUST)
    rate = exp((1 - weight) * log(model_rate) + weight * log(e.observed.rate))
    return rate, hypot((1 - weight) * deviation, weight * _observed_deviation(e.observed.requests))


def _observed_deviation(requests: float) -> float:
    """Relative sd of a rate counted over so many requests, with the drift that a full engine shows."""
    return hypot(0.8 / requests**0.5, 0.04)


def _observed_only(e: Estimates, plain: float | None) -> CapacityEstimate:
    """Without a step law yet: under backlog the observed rate, which is the truth itself, else nothing."""
    if e.observed is None:
        if e.step_time is None:
            reason = "no_busy_intervals"
        elif e.capacity is None:
            reason = "capacity_unknown"
        else:
            reason = "too_few_requests" if e.law_known else "law_unknown"
        return CapacityEstimate(plain_rate=plain, reason=reason)
    seats = e.settings.max_num_seqs
    limit = SEQS if seats and e.sample.running is not None and e.sample.running >= 0.95 * seats else KV
    half = Z90 * _observed_deviation(e.observed.requests)
    return CapacityEstimate(
        rates={limit: e.observed.rate},
        limit=limit,
        lower=e.observed.rate * exp(-half),
        upper=e.observed.rate * exp(half),
        plain_rate=plain,
        stable_limit=_stable_limit(e, limit),
    )


def _law_deviation(full: FullEngineInputs, load: FullLoad) -> float:
    """Relative sd of the step time at full load: of the fit, and of the law's straightness beyond what was seen."""
    return hypot(full.law.relative_deviation(load.composition), _CURVATURE_DEVIATION * extrapolation(full, load))


def extrapolation(full: FullEngineInputs, load: FullLoad) -> float:
    """Logarithm of how far beyond anything seen the full step's sequences and resident tokens are; 0 if within."""
    (n, _, k, _), (seen_n, _, seen_k) = load.composition, full.law.seen
    if seen_n <= 0 or seen_k <= 0:
        return 1.0
    return max(log(max(n / seen_n, k / seen_k)), 0.0)


def _deviation(full: FullEngineInputs, load: FullLoad, corrected: bool) -> float:
    """Relative sd of the model's μ."""
    model = _MODEL_DEVIATION if corrected else _UNCORRECTED_DEVIATION
    return hypot(hypot(_law_deviation(full, load), full.mix.deviation), model)


def _plain_rate(e: Estimates) -> float | None:
    """The paper's formula with today's step time, for comparison."""
    lengths = e.demand.by_method.get("joint", e.demand.by_method.get("moments"))
    if e.capacity is None or e.step_time is None or not lengths:
        return None
    return paper_service_rate(e.capacity.tokens, e.step_time.trimmed_mean, lengths)


def _stable_limit(e: Estimates, limit: str) -> float | None:
    if limit != KV:
        return 1.0
    if e.largest is None or e.capacity is None:
        return None
    return max(stable_limit(e.largest.tokens, e.capacity.tokens, limit), 0.0)


def _reason(e: Estimates, load: FullLoad) -> str:
    """The gravest doubt about μ, or "ok"."""
    residual = e.demand.residual_ratio
    shared = (e.demand.cached_ratio or 0.0) > _SHARING_RATIO
    apart = residual is not None and abs(residual) > _DISAGREEMENT_RATIO and not shared and e.observed is None
    far = e.full is not None and load.step_seconds > _FARTHEST * e.full.law.largest
    doubts = (
        ("seats_unknown", e.settings.max_num_seqs is None),
        ("hybrid_kv", e.capacity is not None and not e.capacity.exact),
        ("speculative_decoding", e.speculative),
        ("extrapolating", far),
        ("occupancy_disagrees", apart),
        ("budget_unknown", e.settings.max_num_batched_tokens is None),
    )
    return next((reason for reason, holds in doubts if holds), "ok")

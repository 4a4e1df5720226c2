"""μ: requests per second that one engine can sustain for its traffic, with its interval and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, hypot, log

from kvwatch.core.assumptions import Assumptions
from kvwatch.core.capacity.assumed_settings import Spread, capacity_spread, spread, wider
from kvwatch.core.capacity.correction import Correction
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.capacity.kv_capacity_check import REFUTED_RATIO
from kvwatch.core.capacity.model_deviation import model_deviation
from kvwatch.core.capacity.observed_service_rate import ObservedRate
from kvwatch.core.interval import FULL_RATIO, KvCapacity
from kvwatch.core.steps.step_seconds import StepTime
from kvwatch.core.traffic.cache_hits import HitsFall
from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.estimate import Estimate, Reason
from kvwatch.facts import Settings
from kvwatch.queueing.capacity import KV, SEQS, binding, paper_service_rate
from kvwatch.queueing.full_load import FullLoad
from kvwatch.stats.level_rates import Fall
from kvwatch.stats.normal import Z90

_DISAGREEMENT_RATIO = 0.15
"""Relative difference of E[g] by lengths and by occupancy from which on μ is doubted [1]. Measured: bench/accuracy,
where the two are within 3% of each other in half of the cases without shared prefixes, and within 12% in four of
five."""
_FARTHEST = 4.0
"""Step at full load over the longest step seen from which on μ is called extrapolated [1]. Choice: an engine at a
quarter of its load has seen a third of its full step; what is only known from less is no more than a guess."""
_OBSERVED_TRUST = 30.0
"""Requests observed under backlog that weigh as much as the model [requests]. Choice: a rate counted over 30 requests
is known to 15%, about as well as the model knows it at moderate load."""
_COUNT_DEVIATION = 0.8
"""Relative standard deviation of a rate counted over one request; over n it is less by √n [1]. Choice: a little less
than that of a Poisson stream, as a full engine's completions are paced by its steps."""
_DRIFT_DEVIATION = 0.04
"""Relative standard deviation of a full engine's rate however many requests are counted [1]. Choice: from one minute to
the next it drifts by some per cent, with the lengths that happen to be inside."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that μ is made of, at one time; ``full`` is what the engine would be at full load, as the model has it."""

    full: FullEngineInputs | None
    correction: Correction | None
    calibration: float
    observed: ObservedRate | None
    demand: DemandEstimates
    step_time: StepTime | None
    kv_capacity: KvCapacity | None
    settings: Settings
    running: float | None
    speculative: bool
    other_scheduler: bool
    law_known: bool
    hits_fall: HitsFall | None = None
    assumptions: Assumptions = Assumptions()  # noqa: RUF009 (frozen)
    unit_tokens: float = 1.0
    crowding: Fall | None = None


@dataclass(frozen=True, slots=True)
class ServiceRate:
    """μ [requests/s], the same per limit, the one that binds, and the step time at full load [s].

    ``model_rate`` is what the model alone says, to be held against what is observed; ``method`` names the E[g] that μ
    is computed from.
    """

    estimate: Estimate
    by_limit: dict[str, float] = field(default_factory=dict)
    limit: str | None = None
    model_rate: float | None = None
    step_seconds: float | None = None
    method: str | None = None


def service_rate(e: Evidence) -> ServiceRate:
    """μ as the model has it, drawn towards what a backlog shows."""
    loads = e.full.closed_form if e.full is not None else {}
    # the limit that is reached first, with the fewest requests running, binds
    limit = binding({name: load.running for name, load in loads.items()})
    if e.full is None or limit is None:
        return _observed_only(e)
    if e.observed is None and not 1 / REFUTED_RATIO < 1 + e.demand.unexplained_ratio < REFUTED_RATIO:
        return ServiceRate(Estimate(verdict=Reason.OCCUPANCY_DISAGREES))
    corrected = e.correction is not None and e.correction.limit == limit
    factor = (e.correction.factor if corrected and e.correction is not None else 1.0) * e.calibration
    model_rate = loads[limit].rate * factor
    deviation = model_deviation(e.full, loads[limit], corrected=corrected)
    if e.hits_fall is not None:
        deviation = hypot(deviation, e.hits_fall.deviation)
    assumed = spread(e.full, e.assumptions, e.unit_tokens)
    shown = e.kv_capacity.shown_tokens if e.kv_capacity is not None else None
    assumed = wider(assumed, capacity_spread(e.full, shown / e.unit_tokens if shown is not None else None))
    weight = _observed_weight(e, assumed)
    rate, deviation = _blend(e, model_rate, deviation, weight)
    rates = {name: max(load.rate, rate) for name, load in loads.items()} | {limit: rate}
    step = e.correction.saturation.mean_step_seconds if corrected and e.correction else loads[limit].step_seconds
    return ServiceRate(
        Estimate(
            rate,
            rate * exp(-Z90 * deviation) * assumed.lower ** (1 - weight),
            rate * exp(Z90 * deviation) * assumed.upper ** (1 - weight),
            _verdict(e, loads[limit], assumed),
        ),
        by_limit=rates,
        limit=limit,
        model_rate=model_rate,
        step_seconds=step,
        method=_method(e),
    )


def _method(e: Evidence) -> str:
    """Which E[g] fed μ: a log's where there is one; else what is held, which the moments only give a shape."""
    return next(m for m in ("joint", "occupancy", "moments") if m in e.demand.by_method or m == "moments")


def _blend(e: Evidence, model_rate: float, deviation: float, weight: float) -> tuple[float, float]:
    """μ and its relative sd, the model's drawn towards the observed rate by the ``weight`` of that."""
    if e.observed is None:
        return model_rate, deviation
    rate = exp((1 - weight) * log(model_rate) + weight * log(e.observed.rate))
    return rate, hypot((1 - weight) * deviation, weight * _observed_deviation(e.observed))


def _observed_weight(e: Evidence, assumed: Spread) -> float:
    """Share of the observed rate in μ, by what it rests on; all of it where the model's hangs on an assumption."""
    if e.observed is None:
        return 0.0
    return 1.0 if assumed.reason is not None else e.observed.requests / (e.observed.requests + _OBSERVED_TRUST)


def _observed_deviation(observed: ObservedRate) -> float:
    """Relative sd of an observed rate: of its count or its waves, with the drift that a full engine shows."""
    return hypot(max(_COUNT_DEVIATION / observed.requests**0.5, observed.wave_deviation), _DRIFT_DEVIATION)


def _observed_only(e: Evidence) -> ServiceRate:
    """Without a step law yet: under backlog the observed rate, which is the truth itself, else nothing."""
    if e.observed is None:
        if e.step_time is None:
            reason = Reason.NO_BUSY_INTERVALS
        elif e.kv_capacity is None:
            reason = Reason.CAPACITY_UNKNOWN
        else:
            reason = Reason.TOO_FEW_REQUESTS if e.law_known else Reason.LAW_UNKNOWN
        return ServiceRate(Estimate(verdict=reason))
    seats = e.settings.max_num_seqs
    limit = SEQS if seats and e.running is not None and e.running >= FULL_RATIO * seats else KV
    half = Z90 * _observed_deviation(e.observed)
    rate = e.observed.rate
    return ServiceRate(
        Estimate(rate, rate * exp(-half), rate * exp(half), Reason.OK), by_limit={limit: rate}, limit=limit
    )


def plain_service_rate(e: Evidence) -> float | None:
    """The paper's formula with the step time as it is now [requests/s], for comparison."""
    lengths = e.demand.by_method.get("joint", e.demand.by_method.get("moments"))
    if e.kv_capacity is None or e.step_time is None or not lengths:
        return None
    return paper_service_rate(e.kv_capacity.tokens, e.step_time.trimmed_mean, lengths)


def _verdict(e: Evidence, load: FullLoad, assumed: Spread) -> Reason:
    """The gravest doubt about μ, or that it stands."""
    apart = e.observed is None and abs(e.demand.unexplained_ratio) > _DISAGREEMENT_RATIO
    far = e.full is not None and load.step_seconds > _FARTHEST * e.full.law.largest
    doubts = (
        (Reason.OTHER_SCHEDULER, e.other_scheduler),
        (Reason.SEATS_UNKNOWN, assumed.reason is Reason.SEATS_UNKNOWN and e.observed is None),
        (Reason.CAPACITY_FROM_USAGE, e.kv_capacity is not None and e.kv_capacity.from_usage),
        (Reason.HYBRID_KV, e.kv_capacity is not None and not e.kv_capacity.exact),
        (Reason.SPECULATIVE_DECODING, e.speculative),
        (Reason.EXTRAPOLATING, far),
        (Reason.OCCUPANCY_DISAGREES, apart),
        (Reason.BUDGET_UNKNOWN, assumed.reason is Reason.BUDGET_UNKNOWN and e.observed is None),
        (Reason.CACHE_HITS_FALL, e.hits_fall is not None),
        (Reason.PREFILL_INTERVAL, (e.settings.prefill_schedule_interval or 1) > 1),
        (Reason.MODEL_UNKNOWN, e.full is not None and e.full.model_matters(load)),
    )
    return next((reason for reason, holds in doubts if holds), Reason.OK)

"""Estimates of one engine → the view that is exported."""

from __future__ import annotations

from math import exp, hypot, log

from kvwatch.core.advice import advice
from kvwatch.core.capacity import CapacityEstimate, estimate_capacity
from kvwatch.core.engine import MIN_REQUESTS, PRESCRIBE_REQUESTS, Estimates
from kvwatch.core.options import CoreOptions
from kvwatch.core.reasons import because, ok
from kvwatch.facts import EngineKey
from kvwatch.queueing.capacity import KV, replicas_required
from kvwatch.views import EngineView, Validity


def assemble(target: str, key: EngineKey, e: Estimates, options: CoreOptions) -> EngineView:
    """The view of one engine."""
    capacity = estimate_capacity(e)
    mu = capacity.service_rate
    rates = {w: a.value for w, a in e.arrivals.items() if a.value is not None}
    rho = {w: _utilization(value, mu) for w, value in rates.items()}
    utilization = {w: r for w, r in rho.items() if r is not None}
    window = reference_window(e)
    margin = None
    if window is not None and window in utilization and capacity.stable_limit is not None:
        margin = capacity.stable_limit - utilization[window]
    arrival = rates.get(window) if window is not None else None
    observed = e.observed.rate if e.observed else None
    model = capacity.model_rate
    tenants = e.tenants.tenants if e.tenants is not None else ()
    return EngineView(
        target=target,
        model_name=key.model_name,
        engine=key.engine,
        arrival_rate=rates,
        arrival_rate_lower={w: a.lower for w, a in e.arrivals.items() if a.lower is not None},
        arrival_rate_upper={w: a.upper for w, a in e.arrivals.items() if a.upper is not None},
        arrival_rate_slope=e.arrival_trend.slope if e.arrival_trend else None,
        arrival_rate_slope_lower=e.arrival_trend.lower if e.arrival_trend else None,
        arrival_rate_slope_upper=e.arrival_trend.upper if e.arrival_trend else None,
        service_rate=mu,
        service_rate_lower=capacity.lower,
        service_rate_upper=capacity.upper,
        service_rate_plain=capacity.plain_rate,
        service_rate_limit=capacity.rates,
        binding_limit={capacity.limit: 1.0} if capacity.limit is not None else {},
        utilization=utilization,
        utilization_lower=bounds(rates, rho, e, capacity, -1),
        utilization_upper=bounds(rates, rho, e, capacity, 1),
        stable_limit=capacity.stable_limit,
        stability_margin=margin,
        step_seconds=step_seconds(e, capacity),
        request_demand_token_steps=e.demand.by_method,
        demand_selected={capacity.method: 1.0} if capacity.method is not None else {},
        joint_moments_ratio=e.demand.joint_moments_ratio,
        arrival_selected={e.arrivals[window].source: 1.0} if window is not None else {},
        arrival_residual_ratio={w: a.residual_ratio for w, a in e.arrivals.items() if a.residual_ratio is not None},
        demand_share={t.label: t.demand_share for t in tenants},
        tenant_arrival_rate={t.label: t.arrival_rate for t in tenants},
        tenant_request_demand_token_steps={t.label: t.means[KV] for t in tenants if KV in t.means},
        tenant_service_rate=_tenant_rates(e, capacity),
        kv_capacity_tokens=e.capacity.tokens if e.capacity else None,
        kv_usage_ratio=e.sample.kv_usage_ratio,
        running_requests=e.sample.running,
        queue_length=e.sample.waiting,
        queue_slope=e.queue.slope if e.queue else None,
        queue_slope_lower=e.queue.lower if e.queue else None,
        queue_slope_upper=e.queue.upper if e.queue else None,
        time_to_saturation_seconds=time_to_saturation(e, capacity),
        observed_service_rate=observed,
        model_gap_ratio=abs(model - observed) / observed if model is not None and observed else None,
        occupancy_residual_ratio=e.demand.residual_ratio,
        **_congestion(e),
        advice=advice(e.congestion, e.prescription, e.settings.max_num_seqs),
        replicas_required=_replicas(arrival, mu, options.target_utilization),
        scale_up_seconds=options.scale_up_seconds,
        target_utilization=options.target_utilization,
        engine_age_seconds=e.at - e.since,
        estimate_valid=validity(e, capacity),
    )


def _tenant_rates(e: Estimates, capacity: CapacityEstimate) -> dict[str, float]:
    """μ by tenant, if all traffic were that tenant's [requests/s]."""
    if e.tenants is None or capacity.service_rate is None or capacity.limit is None:
        return {}
    return e.tenants.service_rates(capacity.service_rate, capacity.limit)


def _congestion(e: Estimates) -> dict[str, float | None]:
    """The fields on evictions: waves, what they cost, and the cap that would end them."""
    c, p = e.congestion, e.prescription
    return {
        "congestion_spectral_radius": c.stability.radius if c.stability else None,
        "congestion_growth_ratio": c.stability.growth if c.stability else None,
        "congestion_growth_ratio_lower": c.stability.growth_lower if c.stability else None,
        "congestion_growth_ratio_upper": c.stability.growth_upper if c.stability else None,
        "congestion_loss_ratio": c.loss_ratio,
        "congestion_period_steps": c.wave.period if c.wave else None,
        "congestion_synchronisation_ratio": c.synchronisation,
        "preemptions_per_request": c.preemptions_per_finished,
        "recomputed_tokens_per_request": c.recomputed_tokens_per_finished,
        "recommended_max_num_seqs": p.max_num_seqs if p else None,
        "recommended_gain_ratio": p.gain_ratio if p else None,
        "recommended_gain_ratio_lower": p.gain_lower if p else None,
    }


def reference_window(e: Estimates) -> str | None:
    """The longest window over which λ is known: that of the margin, the time to saturation and the replicas."""
    known = [w for w, a in e.arrivals.items() if a.value is not None]
    return known[-1] if known else None


def step_seconds(e: Estimates, capacity: CapacityEstimate) -> dict[str, float]:
    """b̄ now and at full load [s]."""
    seconds: dict[str, float] = {}
    if e.step_time is not None:
        seconds |= {"trimmed_mean": e.step_time.trimmed_mean, "median": e.step_time.median}
    if capacity.step_seconds is not None:
        seconds["saturated"] = capacity.step_seconds
    return seconds


def bounds(
    rates: dict[str, float], rho: dict[str, float | None], e: Estimates, capacity: CapacityEstimate, side: int
) -> dict[str, float]:
    """One end of ρ's 90% interval by window: λ's and μ's relative errors are independent, so they add in squares."""
    result: dict[str, float] = {}
    mu, lower, upper = capacity.service_rate, capacity.lower, capacity.upper
    for window, value in rho.items():
        arrivals = e.arrivals[window]
        if mu is None or lower is None or upper is None or arrivals.lower is None or arrivals.upper is None:
            continue
        if not value or not arrivals.lower:
            # no ratio to the estimate exists at 0: the rate's own bound over the μ that makes it widest
            result[window] = arrivals.lower / upper if side < 0 else arrivals.upper / lower
            continue
        of_rate = log((arrivals.upper if side > 0 else arrivals.lower) / rates[window])
        of_mu = log((upper if side < 0 else lower) / mu)
        result[window] = value * exp(side * hypot(of_rate, of_mu))
    return result


def _utilization(arrival_rate: float, service_rate: float | None) -> float | None:
    """ρ = λ/μ; 0 when nothing arrives, even while μ is unknown, so that an idle server can be scaled down."""
    if arrival_rate == 0:
        return 0.0
    return arrival_rate / service_rate if service_rate else None


def _replicas(arrival_rate: float | None, service_rate: float | None, target: float) -> float | None:
    if arrival_rate is None:
        return None
    if arrival_rate == 0:
        return 0.0
    return float(replicas_required(arrival_rate, service_rate, target)) if service_rate else None


def time_to_saturation(e: Estimates, capacity: CapacityEstimate) -> float | None:
    """Seconds until λ, on its present trend, meets μ(1 − δ); 0 once it has; ``None`` if it is not rising."""
    window = reference_window(e)
    if window is None or capacity.service_rate is None or capacity.stable_limit is None:
        return None
    limit = capacity.service_rate * capacity.stable_limit
    current = next((a.value for a in e.arrivals.values() if a.value is not None), None)
    sustained = e.arrivals[window].value
    if current is None or sustained is None:
        return None
    if sustained >= limit:
        return 0.0
    trend = e.arrival_trend
    if trend is None or not trend.significant or trend.lower <= 0:
        return None
    # a mean over a window is what λ was half a window ago
    current += trend.slope * e.shortest_window_seconds / 2
    return max(limit - current, 0.0) / trend.slope


def validity(e: Estimates, capacity: CapacityEstimate) -> dict[str, Validity]:
    """One verdict for each estimate."""
    verdicts: dict[str, Validity] = {}
    lambdas = {w: (ok() if a.reason == "ok" else because(a.reason)) for w, a in e.arrivals.items()}
    faulty = [w for w, v in lambdas.items() if not v.valid]
    verdicts["arrival_rate"] = (
        Validity(False, lambdas[faulty[0]].reason, f"window {', '.join(faulty)}: {lambdas[faulty[0]].words}")
        if faulty
        else ok()
    )
    verdicts |= {f"arrival_rate_{w}": v for w, v in lambdas.items()}
    verdicts["step_seconds"] = ok() if e.step_time else because("no_busy_intervals")
    if e.capacity is None:
        verdicts["kv_capacity_tokens"] = because("capacity_unknown")
    else:
        verdicts["kv_capacity_tokens"] = ok() if e.capacity.exact else because("hybrid_kv")
    verdicts["request_demand_token_steps"] = _demand_validity(e)
    verdicts["service_rate"] = ok() if capacity.reason == "ok" else because(capacity.reason)
    verdicts["utilization"] = _utilization_validity(e, verdicts["service_rate"])
    verdicts["stable_limit"] = _stable_limit_validity(e, capacity)
    verdicts["congestion"] = _congestion_validity(e)
    verdicts["recommendation"] = _recommendation_validity(e)
    verdicts["queue_slope"] = ok() if e.queue else because("warming_up")
    return verdicts


def _congestion_validity(e: Estimates) -> Validity:
    """Whether a missing loss or wave means that there is none."""
    c = e.congestion
    if c.stability is None:
        return because("depends")
    if c.preemptions_per_finished and c.loss_ratio is None:
        return because("depends" if e.law_known else "law_unknown")
    return because("scrapes_too_rare") if c.preemptions_per_finished and c.too_coarse else ok()


def _recommendation_validity(e: Estimates) -> Validity:
    """Whether a missing recommendation means that nothing is to be gained."""
    if e.settings.max_num_seqs is None:
        return because("seats_unknown")
    if e.speculative:
        return because("speculative_decoding")
    if e.correction is None or e.full is None:
        return because("depends")
    if e.full.mix.demand.requests < PRESCRIBE_REQUESTS:
        return because("too_few_requests")
    return because("gain_unsure") if e.prescription is not None and e.prescription.unsure else ok()


def _demand_validity(e: Estimates) -> Validity:
    enough = "joint" in e.demand.by_method or (e.demand.by_method and e.demand.requests >= MIN_REQUESTS)
    return ok() if enough else because("too_few_requests")


def _utilization_validity(e: Estimates, service_rate: Validity) -> Validity:
    window = reference_window(e)
    if window is None:
        first = next(iter(e.arrivals.values()))
        return because(first.reason)
    if e.arrivals[window].value == 0:
        return ok()
    return service_rate


def _stable_limit_validity(e: Estimates, capacity: CapacityEstimate) -> Validity:
    if capacity.limit is None:
        return because("depends")
    if capacity.limit != "kv":
        return ok()
    if e.largest is None:
        return because("delta_unknown")
    return because("delta_is_bound") if e.largest.is_bound else ok()

"""The answers about one engine → the view that is exported: each field is named once, beside who answers it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from kvwatch.core.absence import DEMAND, Absence
from kvwatch.core.capacity.kv_capacity import kv_capacity_tokens
from kvwatch.core.capacity.service_rate import ServiceRate, plain_service_rate, service_rate
from kvwatch.core.capacity.stable_limit import stable_limit
from kvwatch.core.capacity.time_to_saturation import time_to_saturation
from kvwatch.core.capacity.utilization import utilization
from kvwatch.core.conservation.words import sentences
from kvwatch.core.engine import EngineEstimator
from kvwatch.core.engine_signs import state_fields
from kvwatch.core.eviction.advice import advice
from kvwatch.core.eviction.recommended_max_num_seqs import prescribed, recommended_max_num_seqs
from kvwatch.core.eviction.wave import congestion, growth_ratio
from kvwatch.core.inputs import ARRIVALS, QUEUE, SERVICE, STEPS, TOKENS
from kvwatch.core.latency.latency_seconds import latency_residual_ratio, latency_seconds
from kvwatch.core.latency.queue_bound import queue_advice, queue_bound
from kvwatch.core.latency.slo import sized_utilization, slo_service_rate, slo_utilization
from kvwatch.core.options import CoreOptions
from kvwatch.core.settings.setting_views import setting_views
from kvwatch.core.states import one_of
from kvwatch.core.steps.step_seconds import step_seconds
from kvwatch.core.traffic.arrival_rate import SOURCES, ArrivalRate, arrival_rate, reference_window
from kvwatch.core.traffic.request_demand import METHODS, request_demand
from kvwatch.core.traffic.tenants import TenantUses
from kvwatch.estimate import UNKNOWN, Estimate, KeyedEstimate, Reason
from kvwatch.facts import EngineKey
from kvwatch.queueing.capacity import KV, LIMITS
from kvwatch.views import EngineView

_HELD_UP = ServiceRate(Estimate(verdict=Reason.QUEUE_STANDS))
"""μ of an engine whose queue stands although it should serve it."""


def engine_view(target: str, key: EngineKey, engine: EngineEstimator, options: CoreOptions) -> EngineView | None:
    """The view of one engine up to its newest sample; ``None`` before the first."""
    evidence = engine.capacity.get(engine.last_at)
    if evidence is None or engine.last is None:
        return None
    now, sample = engine.last.end, engine.last.sample
    belief = engine.kv_check.get(now)
    absence = Absence.of(engine.last, engine.inputs.get(now), belief)
    gone = partial(absence.gone, longest_seconds=options.stale_after_seconds)
    rates, trend = engine.arrivals.get(now), engine.arrivals.trend(now)
    rates = {w: absence.arrivals(rate) for w, rate in rates.items()}
    if (why := gone(ARRIVALS)) is not None:
        missing = ArrivalRate(Estimate(verdict=why))
        rates = {w: rate if rate.source == "start_log" else missing for w, rate in rates.items()}
        trend = None
    window = reference_window(rates)
    why = gone(SERVICE)
    mu = service_rate(evidence) if why is None else ServiceRate(Estimate(verdict=why))
    if mu.estimate.value is None and mu.estimate.verdict is not None:
        mu = ServiceRate(Estimate(verdict=absence.service_rate(mu.estimate.verdict)))
    standing = engine.standing.get(now)
    stands = standing.seconds(mu.estimate.value)
    if standing.is_held_up(mu.estimate.value):
        mu = _HELD_UP
    limit = stable_limit(mu.limit, engine.largest.get(now), evidence.settings.max_model_len, evidence.kv_capacity)
    rho = utilization(rates, mu.estimate)
    demand, uses = evidence.demand, engine.population.tenants(now)
    tenants = uses.tenants if uses is not None else ()
    observed = evidence.observed.rate if evidence.observed is not None else None
    c = congestion(
        engine.wave.get(now),
        engine.preemptions.get(now),
        engine.capacity.full_load.mix,
        evidence.correction,
        evidence.step_time,
    )
    p = prescribed(engine.prescriber.prescription, evidence)
    model = engine.latency_model
    predicted = latency_seconds(model.curve, rho, mu.estimate, wanted=model.wanted)
    slo_rates = slo_service_rate(model.curve, options.slo, mu.estimate)
    bound = queue_bound(model.curve, options.slo, mu.estimate, slo_rates)
    margin = None
    if window is not None and window in rho.value and limit.value is not None:
        margin = limit.value - rho.value[window]
    view = EngineView(
        target=target,
        model_name=key.model_name,
        engine=key.engine,
        arrival_rate=arrival_rate(rates),
        arrival_rate_slope=Estimate(trend.slope, trend.lower, trend.upper) if trend is not None else UNKNOWN,
        service_rate=mu.estimate,
        service_rate_plain=None if why is not None else plain_service_rate(evidence),
        service_rate_limit=mu.by_limit,
        binding_limit={mu.limit: 1.0} if mu.limit is not None else {},
        binding_limit_state=one_of(LIMITS, mu.limit),
        utilization=rho,
        stable_limit=limit,
        stability_margin=margin,
        step_seconds=KeyedEstimate(verdict=why)
        if (why := gone(STEPS)) is not None
        else _because(step_seconds(evidence.step_time, mu.step_seconds), absence, STEPS),
        request_demand_token_steps=_because(request_demand(demand), absence, DEMAND),
        demand_selected={mu.method: 1.0} if mu.method is not None else {},
        demand_selected_state=one_of(METHODS, mu.method),
        joint_moments_ratio=demand.joint_moments_ratio,
        arrival_selected={rates[window].source: 1.0} if window is not None else {},
        arrival_selected_state=one_of(SOURCES, rates[window].source if window is not None else None),
        arrival_residual_ratio={w: r.residual_ratio for w, r in rates.items() if r.residual_ratio is not None},
        demand_share={t.label: t.demand_share for t in tenants},
        tenant_arrival_rate={t.label: t.arrival_rate for t in tenants},
        tenant_request_demand_token_steps={t.label: t.means[KV] for t in tenants if KV in t.means},
        tenant_service_rate=_tenant_rates(uses, mu),
        kv_capacity_tokens=kv_capacity_tokens(evidence.kv_capacity, refuted=belief.refuted),
        kv_usage_ratio=sample.kv_usage_ratio,
        running_requests=sample.running,
        queue_length=sample.waiting,
        token_rate={kind: rate for kind, rate in engine.tokens.get(now).items() if gone(TOKENS[kind]) is None},
        queue_standing_seconds=stands,
        queue_slope=engine.queue.get(now) if (why := gone(QUEUE)) is None else Estimate(verdict=why),
        time_to_saturation_seconds=time_to_saturation(
            rates, trend, min(options.windows_seconds.values()), mu.estimate, limit
        ),
        observed_service_rate=observed,
        model_gap_ratio=abs(mu.model_rate - observed) / observed if mu.model_rate is not None and observed else None,
        occupancy_residual_ratio=demand.residual_ratio,
        congestion_spectral_radius=c.stability.radius if c.stability is not None else None,
        congestion_growth_ratio=growth_ratio(c, law_known=evidence.law_known),
        congestion_loss_ratio=c.loss_ratio,
        congestion_period_steps=c.wave.period if c.wave is not None else None,
        congestion_synchronisation_ratio=c.synchronisation,
        preemptions_per_request=c.preemptions_per_finished,
        recomputed_tokens_per_request=c.recomputed_tokens_per_finished,
        recommended_max_num_seqs=recommended_max_num_seqs(p, evidence),
        recommended_gain_ratio=Estimate(p.gain_ratio, p.gain_lower) if p is not None else UNKNOWN,
        latency_seconds=predicted,
        observed_latency_seconds=engine.latency.get(now),
        latency_residual_ratio=latency_residual_ratio(predicted, engine.latency.buckets()),
        slo_service_rate=slo_rates,
        slo_utilization=slo_utilization(rates[window].estimate if window is not None else None, slo_rates),
        recommended_max_num_queued_reqs=bound.requests if bound is not None else None,
        recommended_max_num_queued_tokens=bound.prompt_tokens if bound is not None else None,
        advice=(
            *sentences(engine.last.contradicted),
            *advice(c, p, evidence.settings.max_num_seqs),
            *queue_advice(bound),
        ),
        settings=setting_views(engine.settings.get(now)),
        scale_up_seconds=options.scale_up_seconds,
        target_utilization=sized_utilization(options.target_utilization, slo_rates, mu.estimate)
        if options.slo_sizes_replicas
        else options.target_utilization,
        engine_age_seconds=now - engine.since,
    )
    state, drain_seconds = state_fields(view)
    return replace(view, engine_state=state, backlog_drain_seconds=drain_seconds)


def _because(answer: KeyedEstimate, absence: Absence, needed: tuple[str, ...]) -> KeyedEstimate:
    """The answer, with the reason behind it where it has no number."""
    if answer.value or answer.verdict is None:
        return answer
    return replace(answer, verdict=absence.reason(answer.verdict, needed))


def _tenant_rates(uses: TenantUses | None, mu: ServiceRate) -> dict[str, float]:
    """μ by tenant, if all traffic were that tenant's [requests/s]."""
    if uses is None or mu.estimate.value is None or mu.limit is None:
        return {}
    return uses.service_rates(mu.estimate.value, mu.limit)

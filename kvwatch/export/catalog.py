"""Every exported metric once: here, and in the tables taken in here, ``kvwatch_`` names are spelled.

The collector, the JSON API, the generated page ``docs/metrics.md`` and the tests all read this table. Names
are whole, so that a search for one finds it here, but for those of the ends of an interval, ``_lower`` and ``_upper``,
which follow from the metric. A metric of scope ``engine`` is named as the field of :class:`kvwatch.views.EngineView`
that holds it, with the prefix ``kvwatch_``.
"""

from __future__ import annotations

from kvwatch.core.engine_state import EngineState
from kvwatch.core.traffic.arrival_rate import SOURCES
from kvwatch.core.traffic.request_demand import METHODS
from kvwatch.core.traffic.token_rate import TOKEN_KINDS
from kvwatch.export.catalog_congestion import CONGESTION_METRICS
from kvwatch.export.catalog_latency import LATENCY_METRICS
from kvwatch.export.catalog_model import MODEL_METRICS
from kvwatch.export.catalog_self import SELF_METRICS
from kvwatch.export.catalog_settings import SETTING_METRICS
from kvwatch.export.metric import Interval, Kind, Metric, Scope, with_bounds
from kvwatch.queueing.capacity import LIMITS

STATS = ("trimmed_mean", "median", "saturated")

_E, _M, _T, _P = Scope.ENGINE, Scope.MODEL, Scope.TARGET, Scope.PROCESS
_WINDOW = ("window",)
_LIMIT = ("limit",)
_TENANT = ("tenant",)
_RATE = "requests/s"

_SERVICE_RATE = Metric(
    "kvwatch_service_rate",
    _E,
    _RATE,
    "Requests per second that this engine can sustain for its traffic now (μ), the smallest over its limits.",
    estimate="service_rate",
    interval=Interval("the service rate"),
)

ENGINE_METRICS: tuple[Metric, ...] = (
    Metric(
        "kvwatch_engine_state",
        _E,
        "1",
        "1 for the state that the engine is in, 0 for each of the others.",
        extra_labels=("state",),
        values=tuple(state.value for state in EngineState),
    ),
    *with_bounds(
        Metric(
            "kvwatch_arrival_rate",
            _E,
            _RATE,
            "Requests that arrive per second (λ), from finished requests plus the change of running and waiting ones; "
            "counts the queue, so it holds in overload.",
            extra_labels=_WINDOW,
            estimate="arrival_rate",
            interval=Interval("the arrival rate"),
        ),
    ),
    _SERVICE_RATE,
    *with_bounds(
        Metric(
            "kvwatch_arrival_rate_slope",
            _E,
            "requests/s²",
            "Trend of the arrival rate over the longest window.",
            estimate="arrival_rate",
            interval=Interval("the arrival rate's trend", lower_above_0="traffic surely grows"),
        ),
    ),
    *_SERVICE_RATE.bounds(),
    Metric(
        "kvwatch_service_rate_plain",
        _E,
        _RATE,
        "Service rate by the closed formula with the step time observed now, for comparison only: "
        "too high while the engine is far from full.",
        estimate="service_rate",
    ),
    Metric(
        "kvwatch_service_rate_limit",
        _E,
        _RATE,
        "Service rate if this were the only limit: KV cache (kv), seats (seqs) or token budget of a step (tokens).",
        extra_labels=_LIMIT,
        values=LIMITS,
        estimate="service_rate",
    ),
    Metric(
        "kvwatch_binding_limit",
        _E,
        "1",
        "1 for the limit that gives the smallest service rate; the other limits have no series.",
        extra_labels=_LIMIT,
        values=LIMITS,
        estimate="service_rate",
        one_hot=True,
    ),
    Metric(
        "kvwatch_binding_limit_state",
        _E,
        "1",
        "The same as a StateSet: 0 for each of the other limits.",
        extra_labels=_LIMIT,
        values=LIMITS,
        estimate="service_rate",
    ),
    *with_bounds(
        Metric(
            "kvwatch_utilization",
            _E,
            "ratio",
            "Arrival rate over service rate (ρ), never clamped: above 1 the queue grows without end.",
            extra_labels=_WINDOW,
            estimate="utilization",
            interval=Interval("the utilization"),
        ),
    ),
    Metric(
        "kvwatch_stable_limit",
        _E,
        "ratio",
        "Utilization up to which the engine is surely stable (1 - δ, δ the largest request over the KV capacity).",
        estimate="stable_limit",
    ),
    Metric(
        "kvwatch_stability_margin",
        _E,
        "ratio",
        "Stable limit minus utilization: what is left; below 0 waiting times grow.",
        estimate="stable_limit",
    ),
    Metric(
        "kvwatch_step_seconds",
        _E,
        "s",
        "Time of one engine step (b): its trimmed mean and median now, and at full load (saturated).",
        extra_labels=("stat",),
        values=STATS,
        estimate="step_seconds",
    ),
    Metric(
        "kvwatch_request_demand_token_steps",
        _E,
        "token·steps",
        "KV tokens that a mean request holds, summed over the steps it lives (E[g]), by how it was estimated.",
        extra_labels=("method",),
        values=METHODS,
        estimate="request_demand_token_steps",
    ),
    Metric(
        "kvwatch_demand_selected",
        _E,
        "1",
        "1 for the demand estimate that the service rate is computed from; the other methods have no series.",
        extra_labels=("method",),
        values=METHODS,
        estimate="request_demand_token_steps",
        one_hot=True,
    ),
    Metric(
        "kvwatch_demand_selected_state",
        _E,
        "1",
        "The same as a StateSet: 0 for each of the other methods.",
        extra_labels=("method",),
        values=METHODS,
        estimate="request_demand_token_steps",
    ),
    Metric(
        "kvwatch_joint_moments_ratio",
        _E,
        "ratio",
        "Demand by the joint log over demand by moments, minus 1; far from 0, the log does not show the requests that "
        "this engine counts.",
        estimate="request_demand_token_steps",
    ),
    Metric(
        "kvwatch_arrival_selected",
        _E,
        "1",
        "1 for where the arrival rate of the longest known window comes from: the flow balance, first tokens where "
        "these are more, the server's log of starts, or the balance with requests that logs show as given up.",
        extra_labels=("source",),
        values=SOURCES,
        estimate="arrival_rate",
    ),
    Metric(
        "kvwatch_arrival_selected_state",
        _E,
        "1",
        "The same as a StateSet: 0 for each of the other sources.",
        extra_labels=("source",),
        values=SOURCES,
        estimate="arrival_rate",
    ),
    Metric(
        "kvwatch_arrival_residual_ratio",
        _E,
        "ratio",
        "Arrivals by the log of starts over those by the flow balance, minus 1: what clients gave up while they "
        "waited, which no metric shows.",
        extra_labels=_WINDOW,
        estimate="arrival_rate",
    ),
    Metric(
        "kvwatch_demand_share",
        _E,
        "ratio",
        "Share of the memory-work of the requests that ended recently, by tenant; the heaviest ones, and other for the "
        "rest, sum to 1. Only where a log or a trace names tenants.",
        extra_labels=_TENANT,
    ),
    Metric(
        "kvwatch_tenant_arrival_rate",
        _E,
        _RATE,
        "Requests that ended per second, by tenant, those included that failed.",
        extra_labels=_TENANT,
    ),
    Metric(
        "kvwatch_tenant_request_demand_token_steps",
        _E,
        "token·steps",
        "KV tokens that a mean request of the tenant holds, summed over the steps it lives (E[g]).",
        extra_labels=_TENANT,
    ),
    Metric(
        "kvwatch_tenant_service_rate",
        _E,
        _RATE,
        "Service rate to first order if all requests were like this tenant's: the limit that binds and the step at "
        "full load stay as they are.",
        extra_labels=_TENANT,
        estimate="service_rate",
    ),
    Metric(
        "kvwatch_kv_capacity_tokens",
        _E,
        "tokens",
        "Tokens that the KV cache of this engine can hold (M).",
        estimate="kv_capacity_tokens",
    ),
    *with_bounds(
        Metric("kvwatch_kv_usage_ratio", _E, "ratio", "Share of the KV cache in use, as vLLM reports it."),
        Metric("kvwatch_running_requests", _E, "requests", "Requests in the running batch, as vLLM reports it."),
        Metric("kvwatch_queue_length", _E, "requests", "Requests that wait, as vLLM reports it."),
        Metric(
            "kvwatch_token_rate",
            _E,
            "tokens/s",
            "Tokens per second over the last minute: of prompts taken in (prompt), those found in the prefix cache "
            "included, and made (output).",
            extra_labels=("kind",),
            values=TOKEN_KINDS,
        ),
        Metric(
            "kvwatch_queue_slope",
            _E,
            "requests/s",
            "Trend of the queue length; compare with arrival rate minus service rate.",
            estimate="queue_slope",
            interval=Interval("the queue's trend", lower_above_0="the queue surely grows"),
        ),
        Metric(
            "kvwatch_queue_standing_seconds",
            _E,
            "s",
            "How long requests have waited while the engine served none, or less than half of what it should, or the "
            "same number of deferred requests has waited; absent where the queue is served.",
        ),
    ),
    Metric(
        "kvwatch_time_to_saturation_seconds",
        _E,
        "s",
        "Time until the arrival rate, on a trend that is beyond chance and no step of the load, meets what the engine "
        "can sustain; 0 where it has, absent without such a trend.",
        estimate="utilization",
    ),
    Metric(
        "kvwatch_backlog_drain_seconds",
        _E,
        "s",
        "Time until the queue is empty if arrivals stay as they are; absent where nothing waits or it does not empty.",
        estimate="utilization",
    ),
    Metric(
        "kvwatch_observed_service_rate",
        _E,
        _RATE,
        "Requests finished per second while requests wait for capacity: what the engine really sustains.",
    ),
    Metric(
        "kvwatch_model_gap_ratio",
        _E,
        "ratio",
        "Distance between the observed service rate and what the model alone says, before it is drawn to it, over the "
        "observed one.",
    ),
    Metric(
        "kvwatch_occupancy_residual_ratio",
        _E,
        "ratio",
        "Demand by moments or joint log over demand by occupancy, minus 1; far from 0 without prefix sharing, "
        "the model does not fit.",
        estimate="request_demand_token_steps",
    ),
    *CONGESTION_METRICS,
    *LATENCY_METRICS,
    Metric(
        "kvwatch_scale_up_seconds",
        _E,
        "s",
        "How long a new replica takes until it serves, as configured (estimates.scale_up): the lead that alerts and "
        "autoscaling need.",
    ),
    Metric(
        "kvwatch_target_utilization",
        _E,
        "ratio",
        "Utilization to size replicas for: as configured (estimates.target_utilization), or lower where a latency "
        "target (slo) asks for it.",
    ),
    Metric(
        "kvwatch_engine_age_seconds",
        _E,
        "s",
        "Time from the engine's first sample, or from the first after its counters were reset, to its newest.",
    ),
)

VALIDITY = Metric(
    "kvwatch_estimate_valid",
    _E,
    "1",
    "1 where an estimate may be believed, 0 with the reason where not; one series per estimate.",
    extra_labels=("estimate", "reason"),
)

TARGET_METRICS: tuple[Metric, ...] = (
    Metric(
        "kvwatch_target_up",
        _T,
        "1",
        "1 while the target's last scrape succeeded and is fresh, and its engines are not all hung, else 0.",
    ),
    Metric("kvwatch_scrape_age_seconds", _T, "s", "Time since the last successful scrape of the target."),
    Metric(
        "kvwatch_log_lines_unattributed_total",
        _T,
        "lines",
        "Log lines and spans that name a model or an engine that the target does not have, or could be about several.",
        kind=Kind.COUNTER,
    ),
    Metric("kvwatch_scrape_duration_seconds", _T, "s", "How long the last successful scrape of the target took."),
    Metric(
        "kvwatch_estimates_age_seconds",
        _T,
        "s",
        "Time since the estimates of the target's engines were computed: 0 with few targets; many have their turn, one "
        "after another.",
    ),
)

CATALOG: tuple[Metric, ...] = (
    *ENGINE_METRICS,
    *MODEL_METRICS,
    VALIDITY,
    *SETTING_METRICS,
    *TARGET_METRICS,
    *SELF_METRICS,
)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in CATALOG}

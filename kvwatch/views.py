"""What the core says: frozen snapshots, ready to be exported.

A field of :class:`EngineView` is named as its metric is, without the ``kvwatch_`` prefix. It is an estimate with its
interval and verdict, a number, or a mapping from the value of the metric's one extra label to a number. ``None``, or a
missing key, means unknown and is never exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvwatch.estimate import UNKNOWN, UNKNOWN_BY_KEY, Estimate, Keyed, KeyedEstimate, Validity, validities
from kvwatch.facts import SettingSource

JUDGED: Mapping[str, str] = {
    "arrival_rate": "arrival_rate",
    "step_seconds": "step_seconds",
    "kv_capacity_tokens": "kv_capacity_tokens",
    "request_demand_token_steps": "request_demand_token_steps",
    "service_rate": "service_rate",
    "utilization": "utilization",
    "stable_limit": "stable_limit",
    "congestion": "congestion_growth_ratio",
    "recommendation": "recommended_max_num_seqs",
    "latency": "latency_seconds",
    "slo": "slo_service_rate",
    "queue_slope": "queue_slope",
}
"""The values of the label ``estimate`` of ``kvwatch_estimate_valid``, each with the field whose verdict it tells."""


@dataclass(frozen=True, slots=True)
class SettingView:
    """A setting of vLLM as the estimates use it.

    Attributes:
        value: ``None`` where nothing is known of it but that what is said is wrong.
        source: Where it is from.
        refuted: Other values, each with its source, that are contradicted.
        between: Of a default the lowest and the highest that it may be, by the device.
    """

    value: float | bool | None
    source: SettingSource
    refuted: tuple[tuple[int, SettingSource], ...] = ()
    between: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class EngineView:
    """All estimates for one engine at one time. Units are those of the metric catalogue."""

    target: str
    model_name: str
    engine: str
    engine_state: Keyed = field(default_factory=dict)
    arrival_rate: KeyedEstimate = UNKNOWN_BY_KEY
    arrival_rate_slope: Estimate = UNKNOWN
    service_rate: Estimate = UNKNOWN
    service_rate_plain: float | None = None
    service_rate_limit: Keyed = field(default_factory=dict)
    binding_limit: Keyed = field(default_factory=dict)
    binding_limit_state: Keyed = field(default_factory=dict)
    utilization: KeyedEstimate = UNKNOWN_BY_KEY
    stable_limit: Estimate = UNKNOWN
    stability_margin: float | None = None
    step_seconds: KeyedEstimate = UNKNOWN_BY_KEY
    request_demand_token_steps: KeyedEstimate = UNKNOWN_BY_KEY
    demand_selected: Keyed = field(default_factory=dict)
    demand_selected_state: Keyed = field(default_factory=dict)
    joint_moments_ratio: float | None = None
    arrival_selected: Keyed = field(default_factory=dict)
    arrival_selected_state: Keyed = field(default_factory=dict)
    arrival_residual_ratio: Keyed = field(default_factory=dict)
    demand_share: Keyed = field(default_factory=dict)
    tenant_arrival_rate: Keyed = field(default_factory=dict)
    tenant_request_demand_token_steps: Keyed = field(default_factory=dict)
    tenant_service_rate: Keyed = field(default_factory=dict)
    kv_capacity_tokens: Estimate = UNKNOWN
    kv_usage_ratio: float | None = None
    running_requests: float | None = None
    queue_length: float | None = None
    token_rate: Keyed = field(default_factory=dict)
    queue_slope: Estimate = UNKNOWN
    queue_standing_seconds: float | None = None
    time_to_saturation_seconds: float | None = None
    backlog_drain_seconds: float | None = None
    observed_service_rate: float | None = None
    model_gap_ratio: float | None = None
    occupancy_residual_ratio: float | None = None
    congestion_spectral_radius: float | None = None
    congestion_growth_ratio: Estimate = UNKNOWN
    congestion_loss_ratio: float | None = None
    congestion_period_steps: float | None = None
    congestion_synchronisation_ratio: float | None = None
    preemptions_per_request: float | None = None
    recomputed_tokens_per_request: float | None = None
    recommended_max_num_seqs: Estimate = UNKNOWN
    recommended_gain_ratio: Estimate = UNKNOWN
    latency_seconds: KeyedEstimate = UNKNOWN_BY_KEY
    """By kind (``wait``, ``ttft``, ``itl``) and quantile, as ``pair`` has it."""
    observed_latency_seconds: Keyed = field(default_factory=dict)
    """Over the last minute as vLLM's histograms have it; keys as above."""
    latency_residual_ratio: Keyed = field(default_factory=dict)
    slo_service_rate: KeyedEstimate = UNKNOWN_BY_KEY
    slo_utilization: KeyedEstimate = UNKNOWN_BY_KEY
    recommended_max_num_queued_reqs: float | None = None
    recommended_max_num_queued_tokens: float | None = None
    advice: tuple[str, ...] = ()
    """What evictions cost and what to set, how long a queue may be, and which metrics cannot be right, in sentences;
    only in JSON and on the page."""
    settings: Mapping[str, SettingView] = field(default_factory=dict)
    """vLLM's settings by their names, as far as anything is known of them; metrics of their own show them."""
    scale_up_seconds: float | None = None
    target_utilization: float | None = None
    engine_age_seconds: float | None = None

    @property
    def estimate_valid(self) -> dict[str, Validity]:
        """Which of the estimates may be believed, by the names in :data:`JUDGED`."""
        return {
            entry: validity
            for name, answer in JUDGED.items()
            for entry, validity in validities(name, getattr(self, answer)).items()
        }


@dataclass(frozen=True, slots=True)
class TargetView:
    """One scraped server: its health, and its engines while they are fresh."""

    target: str
    up: bool
    scrape_age_seconds: float | None
    scrape_duration_seconds: float | None
    engines: tuple[EngineView, ...] = ()
    problem: str = ""
    log_lines_unattributed: int = 0
    """Lines of logs and spans that could be about several engines, or are about none of these."""
    role: str = ""
    """``prefill`` or ``decode`` where these are apart."""
    hung: tuple[EngineView, ...] = ()
    """Engines that answer and do not get on: nothing is estimated of them, and their state is known."""
    withheld: tuple[str, ...] = ()
    """Model names of the engines whose estimates are withheld because they are stale."""
    unviewed: tuple[str, ...] = ()
    """Model names of the fresh engines whose first estimates have not had their turn to be made."""
    estimates_age_seconds: float | None = None
    """Time since the engines' estimates were put together; with many targets that is done in turn."""

    @property
    def shown(self) -> tuple[EngineView, ...]:
        """All engines whose state is known."""
        return self.engines + self.hung


@dataclass(frozen=True, slots=True)
class ModelView:
    """All engines of one model and one role together. Units are those of the metric catalogue."""

    model_name: str
    role: str = ""
    replicas_required: float | None = None
    replicas: float | None = None
    """Servers in sight: data-parallel engines of one server are one replica."""
    replicas_added: Keyed = field(default_factory=dict)
    backlog_replicas: float | None = None
    model_arrival_rate: float | None = None
    model_service_rate: float | None = None
    model_utilization: float | None = None
    model_imbalance_ratio: float | None = None
    model_engines: Keyed = field(default_factory=dict)
    model_binding_role: float | None = None
    model_recommended_engines: float | None = None
    mean_service_rate: float | None = None
    """Of one engine [requests/s]; not exported."""


@dataclass(frozen=True, slots=True)
class FleetView:
    """Everything that is exported at one time."""

    at: float
    targets: tuple[TargetView, ...] = ()
    models: tuple[ModelView, ...] = ()

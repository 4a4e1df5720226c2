"""What a user may choose about the estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from kvwatch.constants import MINUTE_SECONDS
from kvwatch.embedded.latency_curve import Slo

DEFAULT_WINDOWS_SECONDS: Mapping[str, float] = MappingProxyType({"1m": MINUTE_SECONDS, "5m": 5 * MINUTE_SECONDS})
"""Names and lengths of the windows of λ [s]. Choice: a minute follows a ramp, five are sure enough for sizing."""
DEFAULT_TRIM_RATIO = 0.05
"""Share of busy intervals that is cut at each end for the mean step time [1]. Choice: a pause of the host is one
interval in some; half lets two in a minute through, double begins to cut the steps that matter."""
DEFAULT_TARGET_UTILIZATION = 0.8
"""ρ at which a replica is to run [1]. Choice: leaves room for a burst of a quarter; nearer to 1 the queue's length goes
as 1/(1 − ρ)."""
DEFAULT_SCALE_UP_SECONDS = 10 * MINUTE_SECONDS
"""How long a new replica takes to serve [s]. Choice: a node, an image and the weights of a large model; who knows
better says so in the configuration."""
DEFAULT_DEMAND_WINDOW_SECONDS = 2 * MINUTE_SECONDS
"""How far back requests count for E[g] [s]. Choice: a hundred requests at the rates of interest; half is rough, double
lags behind a change of the traffic."""
DEFAULT_MODEL_MAX_AGE_SECONDS = 3 * MINUTE_SECONDS
"""How old a run of the embedded engine may get although nothing has moved [s]. Choice: it depends on the shape of the
lengths too, which the inputs that are watched do not show."""
DEFAULT_MODEL_LEAST_SECONDS = 30.0
"""Least time between two runs of the embedded engine for one engine [s]. Choice: a run costs a fraction of a second, so
that runs take about 1% of a core for each engine."""
DEFAULT_TOP_TENANTS = 20
"""Tenants that have series of their own [keys]. Choice: as many as a panel shows, and a Prometheus hardly notices."""
_STALE_SCRAPES = 3
"""Age of the last good scrape beyond which it is stale [scrapes]. Choice: two may fail in a row on a busy server."""


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """Options of the core, validated by the configuration.

    ``windows_seconds``: λ's windows, by the value of their label, shortest first.
    ``trim_ratio``: share of busy intervals cut at each end for b̄.
    ``target_utilization``: ρ at which a replica is to run; sizes ``replicas_required``.
    ``scale_up_seconds``: how long a new replica takes to serve; passed on to those who alert or scale.
    ``scrape_interval_seconds``: a target whose last good scrape is older than three of these is stale.
    ``demand_window_seconds``: how far back requests count for E[g]; reaches further while they are few.
    ``top_tenants``: how many tenants have series of their own; the rest are one.
    ``whole_fleet``: false where other processes watch a part of the targets, so that no sum here is a model's.
    ``model_least_seconds``: least time between two runs of the embedded engine, however much has moved.
    ``seeks_seats``: whether the ``max_num_seqs`` that would serve most is searched for, which costs the most by far.
    ``predicts_latency``: whether latency is predicted for the load of now, which costs some seconds of CPU at a time.
    ``slo``: what 95% of the requests shall not exceed; the load that meets it is worked out where there is any.
    ``slo_sizes_replicas``: whether ``replicas_required`` keeps to that load where it is below the target utilization.
    ``model_max_age_seconds``: how old a run of the embedded engine may get although nothing has moved.
    """

    windows_seconds: Mapping[str, float] = field(default_factory=lambda: DEFAULT_WINDOWS_SECONDS)
    trim_ratio: float = DEFAULT_TRIM_RATIO
    target_utilization: float = DEFAULT_TARGET_UTILIZATION
    scale_up_seconds: float = DEFAULT_SCALE_UP_SECONDS
    scrape_interval_seconds: float = 1.0
    demand_window_seconds: float = DEFAULT_DEMAND_WINDOW_SECONDS
    model_max_age_seconds: float = DEFAULT_MODEL_MAX_AGE_SECONDS
    model_least_seconds: float = DEFAULT_MODEL_LEAST_SECONDS
    seeks_seats: bool = True
    top_tenants: int = DEFAULT_TOP_TENANTS
    whole_fleet: bool = True
    predicts_latency: bool = False
    slo: Slo = Slo()  # noqa: RUF009 (frozen)
    slo_sizes_replicas: bool = True

    def span_seconds(self, seconds: float, intervals: int) -> float:
        """A window of ``seconds``, or of as many scrape intervals where these are longer."""
        return max(seconds, intervals * self.scrape_interval_seconds)

    @property
    def stale_after_seconds(self) -> float:
        """Age of the last good scrape beyond which estimates are withheld."""
        return _STALE_SCRAPES * self.scrape_interval_seconds

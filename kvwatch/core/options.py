"""What a user may choose about the estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

DEFAULT_WINDOWS_SECONDS: Mapping[str, float] = MappingProxyType({"1m": 60.0, "5m": 300.0})


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
    ``model_max_age_seconds``: how old a run of the embedded engine may get although nothing has moved.
    """

    windows_seconds: Mapping[str, float] = field(default_factory=lambda: DEFAULT_WINDOWS_SECONDS)
    trim_ratio: float = 0.05
    target_utilization: float = 0.8
    scale_up_seconds: float = 600.0
    scrape_interval_seconds: float = 1.0
    demand_window_seconds: float = 120.0
    model_max_age_seconds: float = 180.0
    top_tenants: int = 20
    whole_fleet: bool = True

    def span_seconds(self, seconds: float, intervals: int) -> float:
        """A window of ``seconds``, or of as many scrape intervals where these are longer."""
        return max(seconds, intervals * self.scrape_interval_seconds)

    @property
    def stale_after_seconds(self) -> float:
        """Age of the last good scrape beyond which estimates are withheld."""
        return 3 * self.scrape_interval_seconds

"""How long until λ, on its present trend, meets what the engine can sustain."""

from __future__ import annotations

from collections.abc import Mapping

from kvwatch.core.traffic.arrival_rate import ArrivalRate, reference_window
from kvwatch.estimate import Estimate
from kvwatch.stats.trend import Trend


def time_to_saturation(
    rates: Mapping[str, ArrivalRate],
    trend: Trend | None,
    shortest_window_seconds: float,
    service_rate: Estimate,
    stable_limit: Estimate,
) -> float | None:
    """Seconds until λ, on its present trend, meets μ(1 − δ); 0 once it has; ``None`` if it is not rising."""
    window = reference_window(rates)
    if window is None or service_rate.value is None or stable_limit.value is None:
        return None
    limit = service_rate.value * stable_limit.value
    current = next((r.estimate.value for r in rates.values() if r.estimate.value is not None), None)
    sustained = rates[window].estimate.value
    if current is None or sustained is None:
        return None
    if sustained >= limit:
        return 0.0
    if trend is None or not trend.significant or trend.lower <= 0:
        return None
    # a mean over a window is what λ was half a window ago
    current += trend.slope * shortest_window_seconds / 2
    return max(limit - current, 0.0) / trend.slope

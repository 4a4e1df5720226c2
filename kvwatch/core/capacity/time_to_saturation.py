"""How long until λ, on its present trend, meets what the engine can sustain."""

from __future__ import annotations

from collections.abc import Mapping

from kvwatch.core.engine_state import is_no_accident
from kvwatch.core.signs import limit_to_go_by
from kvwatch.core.traffic.arrival_rate import ArrivalRate
from kvwatch.estimate import Estimate, Reason
from kvwatch.stats.trend import Trend


def time_to_saturation(
    rates: Mapping[str, ArrivalRate],
    trend: Trend | None,
    shortest_window_seconds: float,
    service_rate: Estimate,
    stable_limit: Estimate,
) -> float | None:
    """Seconds until λ, on a trend that is no accident, meets its limit [s]; ``None`` without such a trend.

    0 where λ is there: surely over the shortest window, or over all of several. The limit is that of the engine state.
    """
    known = [rate.estimate for rate in rates.values() if rate.estimate.value is not None]
    if not known or service_rate.value is None or stable_limit.value is None:
        return None
    limit = service_rate.value * _limit_ratio(stable_limit)
    over = [estimate.value >= limit for estimate in known if estimate.value is not None]
    if (known[0].lower or 0.0) >= limit or (len(over) > 1 and all(over)):
        return 0.0
    if trend is None or not trend.significant or not is_no_accident(trend.slope, trend.lower):
        return None
    # a mean over a window is what λ was half a window ago
    current = (known[0].value or 0.0) + trend.slope * shortest_window_seconds / 2
    return max(limit - current, 0.0) / trend.slope


def _limit_ratio(stable_limit: Estimate) -> float:
    """ρ that counts as full: 1 − δ, but 1 where δ is only a bound, and 0.85 at least."""
    if stable_limit.value is None or stable_limit.verdict not in (None, Reason.OK):
        return 1.0
    return limit_to_go_by(stable_limit.value)

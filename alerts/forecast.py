"""When does ρ meet its limit on each trend, and is that soon?"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.numbers import MOST_GROWTH
from alerts.promql import LIMIT, RHO_1M, RHO_5M, SCALE_UP, SERVICE_RATE, by_model, first_of
from alerts.rule import Recording
from alerts.trends import SLOPES, STEEPEST

FROM_RATIO = 0.7
"""ρ over its limit from which a trend counts [1]. Choice: below it a trend has far to go, and few go on for so long."""
FROM_RATIO_YOUNG = 0.85
"""The same of the one for an engine's first minutes [1]. Choice: how bursty arrivals are is not known then."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a trend leads to.

    Attributes:
        trend: Its key in :data:`alerts.trends.SLOPES`.
        name: The operation in the name of its time to saturation.
        now: ρ now, over a window that is short against the trend.
        trusted: How far ahead the trend is trusted although a replica takes less, s.
    """

    trend: str
    name: str
    now: str = RHO_1M
    trusted: int = 0

    @property
    def series(self) -> str:
        """Its time to saturation, s."""
        return f"model:kvwatch_time_to_saturation_seconds:{self.name}"

    @property
    def recording(self) -> Recording:
        """The rule that records it."""
        return Recording(
            self.series,
            f"clamp_min({LIMIT} - {self.now}, 0) * {SERVICE_RATE} / {SLOPES[self.trend]}",
            "Time until ρ meets its limit on each trend." if self is SURGE else "",
        )

    @property
    def soon(self) -> str:
        """The time where it is shorter than a new replica takes, or than the trend is trusted."""
        ahead = f"clamp_min({SCALE_UP}, {self.trusted})" if self.trusted else SCALE_UP
        return f"{self.series} < {ahead}"


SURGE = Forecast("10m", "surge10m")
YOUNG = Forecast("3m", "surge3m")
LASTING = (
    Forecast("15m", "trend15m"),
    Forecast("30m", "trend30m", RHO_5M, 900),
    Forecast("1h", "trend1h", RHO_5M, 1800),
    Forecast("2h", "trend2h", RHO_5M, 1800),
)
"""A trend that has lasted for long is trusted to go on for longer. Choice: half of its window, half an hour at most."""
FORECASTS = (SURGE, YOUNG, *LASTING)
_SOON = "\n            or ".join(each.soon for each in (SURGE, *LASTING))

RECORDINGS = (
    *(each.recording for each in FORECASTS),
    Recording(
        "model:kvwatch_time_to_saturation_seconds:min",
        by_model("min", first_of({each.trend: each.series for each in FORECASTS}, "trend")),
        "The soonest, for people: alerts and dashboards show it.",
    ),
    Recording(
        "model:kvwatch_time_to_saturation_seconds:early",
        f"""
        (
          (
            {_SOON}
          )
          and {RHO_1M} > {FROM_RATIO} * {LIMIT}
        )
        or ({YOUNG.soon} and {RHO_1M} > {FROM_RATIO_YOUNG} * {LIMIT})
        """,
        "One of those on which the early page begins: the limit is met sooner than a new replica serves, from a ρ on "
        "that is not far from it. A trend that has lasted for long is trusted to go on for longer.",
    ),
    Recording(
        "model:kvwatch_utilization:growth",
        f"""
        {STEEPEST.name} * {SCALE_UP} / {SERVICE_RATE} < {MOST_GROWTH - 1:g} * {RHO_1M}
        or {MOST_GROWTH - 1:g} * {RHO_1M} and {STEEPEST.name}
        or {RHO_1M} * 0
        """,
        f"What the steepest trend adds to ρ by the time that a new replica serves, at most to {MOST_GROWTH:g} times ρ.",
    ),
)

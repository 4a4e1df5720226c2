"""When does ρ meet its limit on each trend, is that soon, and how many replicas does the load need by then?"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.numbers import ROUNDING
from alerts.promql import by_model, first_of
from alerts.rule import Recording
from alerts.trends import REGRESSIONS, SLOPES, STEEPEST

LIMIT = "model:kvwatch_stable_limit:avg"
SCALE_UP = "model:kvwatch_scale_up_seconds:max"
SERVICE_RATE = "model:kvwatch_service_rate:sum"
RHO_1M = "model:kvwatch_utilization:ratio1m"
RHO_5M = "model:kvwatch_utilization:ratio5m"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a trend leads to.

    Attributes:
        trend: Its key in :data:`alerts.trends.SLOPES`.
        name: The operation in the name of its time to saturation.
        now: ρ now, over a window that is short against the trend.
        trusted: How far ahead the trend is trusted although a replica takes less, s.
        from_ratio: ρ over its limit from which it counts.
    """

    trend: str
    name: str
    now: str = RHO_1M
    trusted: int = 0
    from_ratio: float = 0.7

    @property
    def series(self) -> str:
        """Its time to saturation, s."""
        return f"model:kvwatch_time_to_saturation_seconds:{self.name}"

    @property
    def recording(self) -> Recording:
        """The rule that records it."""
        return Recording(
            self.series,
            f"""
            clamp_min({LIMIT} - {self.now}, 0)
            * {SERVICE_RATE} / {SLOPES[self.trend]}
            """,
            "Time until ρ meets its limit on each trend." if self is FORECASTS[0] else "",
        )

    @property
    def soon(self) -> str:
        """The time where it is shorter than a new replica takes, or than the trend is trusted."""
        ahead = f"clamp_min({SCALE_UP}, {self.trusted})" if self.trusted else SCALE_UP
        return f"{self.series} < {ahead}"


FORECASTS = (
    Forecast("10m", "surge10m"),
    Forecast("3m", "surge3m", from_ratio=0.85),
    Forecast("15m", "trend15m"),
    Forecast("30m", "trend30m", RHO_5M, 900),
    Forecast("1h", "trend1h", RHO_5M, 1800),
    Forecast("2h", "trend2h", RHO_5M, 1800),
)
_YOUNG = FORECASTS[1]
_USUAL = [each for each in FORECASTS if each is not _YOUNG]
assert [each.trend for each in FORECASTS[2:]] == [each.window for each in REGRESSIONS]  # noqa: S101

RECORDINGS = (
    *(each.recording for each in FORECASTS),
    Recording(
        "model:kvwatch_time_to_saturation_seconds:min",
        by_model("min", first_of({each.trend: each.series for each in FORECASTS}, "trend")),
        "The soonest, for people: alerts and dashboards show it.",
    ),
    STEEPEST,
    Recording(
        "model:kvwatch_replicas_required:ahead1m",
        f"""
        max by (cluster, namespace, model_name, role) (
          label_replace(
            ceil(
              model:kvwatch_target_up:count / model:kvwatch_target_utilization:max
              * (
                {RHO_1M}
                + (
                  model:kvwatch_arrival_rate:deriv * {SCALE_UP} / {SERVICE_RATE}
                  < {RHO_1M}
                  or {RHO_1M} and model:kvwatch_arrival_rate:deriv
                  or {RHO_1M} * 0
                )
              )
              - {ROUNDING}
            ),
            "load", "ahead", "", ""
          )
          or label_replace(model:kvwatch_replicas_required:ceil5m, "load", "now", "", "")
        )
        """,
    ),
    Recording(
        "model:kvwatch_time_to_saturation_seconds:early",
        f"""
        (
          (
            {" or ".join(each.soon for each in _USUAL)}
          )
          and {RHO_1M} > {_USUAL[0].from_ratio} * {LIMIT}
        )
        or (
          {_YOUNG.soon}
          and {RHO_1M} > {_YOUNG.from_ratio} * {LIMIT}
        )
        """,
        "One of those on which the early page begins: the limit is met sooner than a new replica serves, from a ρ on "
        "that is not far from it. A trend that has lasted for long is trusted to go on for longer.",
    ),
    Recording(
        "model:kvwatch_utilization_lower:avg15m",
        """
        avg_over_time(model:kvwatch_utilization_lower:ratio5m[15m])
        and model:kvwatch_utilization_lower:ratio5m offset 10m
        """,
        "What is so for a quarter of an hour is so: the lower bound, with the noise of λ averaged out.",
    ),
)

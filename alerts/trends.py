"""How fast does what arrives rise? Six trends of λ, from two minutes to two hours, each only where it is sure."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.numbers import INTERVAL_DEVIATIONS, LONG_WINDOW_SECONDS
from alerts.promql import by_model, first_of, long, short
from alerts.rule import Recording

STAYS = 0.95
"""Share of a model's engines that must have been there throughout a trend. Choice: one of twenty may restart."""
SURE_DEVIATIONS = 4.0
"""Standard errors above 0 from which a trend over a quarter of an hour or more is one. Choice: bench/lead_time."""
NEWEST_SHARE = 0.3
"""Share of its slope that the newest part of a trend must have. Choice: a step that is over has none of it."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A trend as the slope of a regression.

    Attributes:
        window: Its length, as PromQL has it.
        seconds: The same.
        newest: The part that must rise too.
        known_since: How far back λ must be known.
    """

    window: str
    seconds: int
    newest: str
    known_since: str


REGRESSIONS = (
    Regression("15m", 900, "5m", "13m"),
    Regression("30m", 1800, "15m", "28m"),
    Regression("1h", 3600, "30m", "55m"),
    Regression("2h", 7200, "1h", "110m"),
)
SLOPES = {
    "10m": "model:kvwatch_arrival_rate:surge10m",
    "3m": "model:kvwatch_arrival_rate:surge3m",
    **{each.window: f"model:kvwatch_arrival_rate:deriv{each.window}" for each in REGRESSIONS},
}
"""Every trend, in requests/s², by the time that it looks back."""

RATE = "model:kvwatch_arrival_rate:sum1m"
WIDTH = f"{long('kvwatch_arrival_rate_upper')} - {long('kvwatch_arrival_rate_lower')}"
"""That of λ's 90% interval."""
VARIANCE = by_model("sum", f"(({WIDTH}) / {INTERVAL_DEVIATIONS}) ^ 2")
"""That of a model's λ over the long window, (requests/s)²."""


def _stays(counted: str, window: str) -> str:
    """While engines neither come nor go."""
    series = f"model:kvwatch_arrival_rate:{counted}[{window}]"
    return f"min_over_time({series})\n            >= {STAYS} * max_over_time({series})"


def _regression(trend: Regression) -> Recording:
    window = trend.window
    return Recording(
        SLOPES[window],
        f"""
        deriv({RATE}[{window}])
        > {SURE_DEVIATIONS:g} * sqrt(
          12 * model:kvwatch_arrival_rate:dispersion1h * model:kvwatch_arrival_rate:sum5m / {trend.seconds} ^ 3
        )
        and deriv({RATE}[{trend.newest}]) > {NEWEST_SHARE} * deriv({RATE}[{window}])
        and {_stays("count10m", window)}
        and {RATE} offset {trend.known_since}
        """,
        "A quarter of an hour to two hours; the newest part must agree, or what is seen is a step that is over."
        if trend is REGRESSIONS[0]
        else "",
    )


def _leap(back: str, seconds: int, deviations: float) -> str:
    """The last minute against an earlier one, over the time between them."""
    then = f"{RATE} offset {back}"
    return f"""(
              {RATE} - {then}
              > {deviations} * sqrt(({RATE} + {then}) / 60)
            ) / {seconds}"""


RECORDINGS = (
    Recording(
        "model:kvwatch_arrival_rate:dispersion5m",
        f"""
        {LONG_WINDOW_SECONDS} * {VARIANCE}
        / (model:kvwatch_arrival_rate:sum5m > 0)
        """,
        f"How much burstier than Poisson the arrivals are, from the width of λ's interval: a 90% interval is "
        f"{INTERVAL_DEVIATIONS} standard errors wide. An hour's mean of it, since five minutes show it only roughly.",
    ),
    Recording("model:kvwatch_arrival_rate:dispersion1h", "avg_over_time(model:kvwatch_arrival_rate:dispersion5m[1h])"),
    Recording("model:kvwatch_arrival_rate:count1m", by_model("count", short("kvwatch_arrival_rate"))),
    Recording(
        SLOPES["10m"],
        f"""
        (
          ({RATE} + {RATE} offset 1m) / 2
          - model:kvwatch_arrival_rate:sum5m offset 5m
          > 5 * sqrt(
            model:kvwatch_arrival_rate:dispersion1h * model:kvwatch_arrival_rate:sum5m offset 5m * (1 / 120 + 1 / 300)
          )
          and {_stays("count1m", "10m")}
        ) / 390
        """,
        "Six trends of λ in requests/s², each there only where it is beyond what chance does to steady traffic, and "
        "only while engines neither come nor go. λ over T seconds has the standard error sqrt(dispersion · λ / T); the "
        "slope of a regression over W seconds has that of W seconds times sqrt(12) / W. "
        "A surge: the last 2 minutes against 5 to 10 minutes ago, whose middles are 390 s apart.",
    ),
    Recording(
        SLOPES["3m"],
        f"""
        (
            {_leap("90s", 90, 4.2)}
            or {_leap("2m", 120, 4.5)}
        )
        and {_stays("count1m", "3m")}
        unless model:kvwatch_arrival_rate:sum5m offset 5m
        """,
        "The same where ten minutes are not known yet: the last minute against the one that ended 90 s before it, or 2 "
        "minutes. How bursty arrivals are is not known then either, so it counts only at a high ρ.",
    ),
    Recording(
        "model:kvwatch_arrival_rate:count10m",
        "max_over_time(model:kvwatch_arrival_rate:count1m[10m])",
        "One that is out of sight for as long as a restart takes, as it crashes or a scrape fails, bends a long trend "
        "by little, for the others get its load. It must not end it: with many engines one of them is always out of "
        "sight.",
    ),
    *map(_regression, REGRESSIONS),
)
STEEPEST = Recording(
    "model:kvwatch_arrival_rate:deriv",
    by_model("max", first_of(SLOPES, "trend")),
    "What the alerts ask for: replicas for the load by the time they serve, which is the steepest trend carried on for "
    "as long as that takes, at most to twice the load of now; never fewer than the load of now needs.",
)

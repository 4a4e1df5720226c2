"""How fast does what arrives rise? Six trends of λ, from two minutes to two hours, each only where it is sure.

A trend is there only where it is beyond what chance does to steady traffic, and only while engines neither come nor go.
λ over T seconds has the standard error sqrt(dispersion · λ / T); the slope of a regression over W seconds has that of W
seconds times sqrt(12) / W.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.numbers import LONG_WINDOW_SECONDS
from alerts.promql import by_model, first_of
from alerts.rule import Recording

STAYS = 0.95
"""Share of a model's engines that must have been there throughout a trend [1]. Choice: one of twenty may restart."""
SURGE_DEVIATIONS = 4.75
"""Standard errors above 0 from which a surge is one [sd]. Choice: asked for every 15 s, chance has many tries."""
SURE_DEVIATIONS = 4.0
"""The same of a regression, whose tries overlap more [sd]. Choice: false pages, bench/lead_time."""
NEWEST_SHARE = 0.3
"""Share of its slope that the newest part of a trend must have [1]. Choice: a step that is over has none of it."""
NEWEST_WEIGHTS = (3, 2, 1)
"""Weights of the last minute, the one before it and the one before that in what arrives now [1]. Choice: a ramp shows
most in its newest part, and three minutes hold enough arrivals."""
NEWEST_SECONDS = round(60 * sum(NEWEST_WEIGHTS) ** 2 / sum(weight * weight for weight in NEWEST_WEIGHTS))
"""How long a window without weights would be as noisy [s]. Definition."""
NEWEST_AGE_SECONDS = round(
    sum(weight * (30 + 60 * back) for back, weight in enumerate(NEWEST_WEIGHTS)) / sum(NEWEST_WEIGHTS)
)
"""How old they are in the mean [s]. Definition."""
BEFORE_SECONDS = 900
"""The quarter of an hour before the last five minutes [s]. Definition."""
SURGE_SECONDS = 450 - NEWEST_AGE_SECONDS
"""From the middle of 5 to 10 minutes ago to the mean age of what arrives now [s]. Definition."""

RATE = "model:kvwatch_arrival_rate:sum1m"
RATE_5M = "model:kvwatch_arrival_rate:sum5m"
DISPERSION = "model:kvwatch_arrival_rate:dispersion1h"
VARIANCE = "model:kvwatch_arrival_rate:variance1m"
NEWEST = "model:kvwatch_arrival_rate:newest3m"
BEFORE = "model:kvwatch_arrival_rate:before15m"
RISE = "model:kvwatch_arrival_rate:rise10m"


@dataclass(frozen=True, slots=True)
class Step:
    """The last minute against an earlier one, as PromQL and in s, and the standard errors that make it sure."""

    back: str
    seconds: int
    deviations: float


STEPS = (Step("90s", 90, 5.2), Step("2m", 120, 5.5))
"""Where ten minutes are not known yet. Choice: the shorter is the earlier, and counts at a high ρ only. These are 4.2
and 4.5 standard errors of arrivals half as bursty again as Poisson ones: a minute does not show that they are."""


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


def _stays(count: str, window: str) -> str:
    """While engines neither come nor go."""
    series = f"model:kvwatch_arrival_rate:{count}[{window}]"
    return f"min_over_time({series}) >= {STAYS} * max_over_time({series})"


def _step(step: Step) -> str:
    then = f"{RATE} offset {step.back}"
    noise = f"sqrt({VARIANCE} + {VARIANCE} offset {step.back})"
    return f"({RATE} - {then} > {step.deviations} * {noise}) / {step.seconds}"


def _weighted_minutes() -> str:
    """The sum of the newest minutes, each with its weight."""
    minutes = (f"{RATE} offset {back}m" if back else RATE for back in range(len(NEWEST_WEIGHTS)))
    return " + ".join(f"{weight} * {minute}" for weight, minute in zip(NEWEST_WEIGHTS, minutes, strict=True))


def _chance(before: str, seconds: int) -> str:
    """What the newest minutes are more than ``before``, a mean over so many seconds, by chance at most."""
    return f"{SURGE_DEVIATIONS:g} * sqrt({DISPERSION} * {before} * (1 / {NEWEST_SECONDS} + 1 / {seconds}))"


def _regression(trend: Regression) -> Recording:
    window = trend.window
    return Recording(
        SLOPES[window],
        f"""
        deriv({RATE}[{window}])
          > {SURE_DEVIATIONS:g} * sqrt(12 * {DISPERSION} * {RATE_5M} / {trend.seconds} ^ 3)
        and deriv({RATE}[{trend.newest}]) > {NEWEST_SHARE} * deriv({RATE}[{window}])
        and {_stays("count10m", window)}
        and {RATE} offset {trend.known_since}
        """,
        "A quarter of an hour to two hours; the newest part must agree, or what is seen is a step that is over."
        if trend is REGRESSIONS[0]
        else "",
    )


NOISE = (
    Recording(
        "model:kvwatch_arrival_rate:dispersion5m",
        f"{LONG_WINDOW_SECONDS} * model:kvwatch_arrival_rate:variance5m / ({RATE_5M} > 0)",
        "How much burstier than Poisson the arrivals are.",
    ),
    Recording(
        DISPERSION,
        "avg_over_time(model:kvwatch_arrival_rate:dispersion5m[1h])",
        "An hour's mean of it, since five minutes show it only roughly.",
    ),
)
COUNTS = (
    Recording(
        "model:kvwatch_arrival_rate:count10m",
        "max_over_time(model:kvwatch_arrival_rate:count1m[10m])",
        "An engine that is out of sight for as long as a restart takes, or whose scrape fails once, bends a long trend "
        "by little, for the others get its load. It must not end it: with many engines one is always out of sight.",
    ),
)
SURGES = (
    Recording(
        NEWEST,
        f"({_weighted_minutes()}) / {sum(NEWEST_WEIGHTS)}",
        "λ of the last three minutes, in which the newest counts most: a surge shows there first.",
    ),
    Recording(
        BEFORE,
        f"""
        avg_over_time({RATE}[14m55s] offset 5m)
        and {RATE} offset 19m
        and {_stays("count1m", "20m")}
        """,
        "λ of the quarter of an hour before the last five minutes, where it is known all along.",
    ),
    Recording(
        RISE,
        f"{NEWEST} - {RATE_5M} offset 5m > 0",
        "By how much that is more than 5 to 10 minutes ago, where it is.",
    ),
    Recording(
        SLOPES["10m"],
        f"""
        (
          {RISE}
          and (
            ({NEWEST} - {BEFORE} > {_chance(BEFORE, BEFORE_SECONDS)}
              and {RISE} > {NEWEST_SHARE} * ({NEWEST} - {BEFORE}))
            or ({RISE} > {_chance(f"{RATE_5M} offset 5m", LONG_WINDOW_SECONDS)}
              unless {BEFORE})
          )
          and {_stays("count1m", "10m")}
        ) / {SURGE_SECONDS}
        """,
        "Trends of λ in requests/s², each there only where it is beyond what chance does to steady traffic, and only "
        "while engines neither come nor go. A surge: the last three minutes against the quarter of an hour before, or "
        "against 5 to 10 minutes ago where no more is known; a step that is over is none. Its slope is that since 5 to "
        f"10 minutes ago, whose middle is {SURGE_SECONDS} s back.",
    ),
    Recording(
        SLOPES["3m"],
        f"""
        (
          {_step(STEPS[0])}
          or {_step(STEPS[1])}
        )
        and {_stays("count1m", "3m")}
        unless {RATE_5M} offset 5m
        """,
        "The same where ten minutes are not known yet: the last minute against the one that ended 90 s before it, or 2 "
        "minutes. How bursty arrivals are is only roughly known then, so it counts only at a high ρ.",
    ),
)
STEEPEST = Recording("model:kvwatch_arrival_rate:deriv", by_model("max", first_of(SLOPES, "trend")), "The steepest.")
RECORDINGS = (*NOISE, *COUNTS, *SURGES, *map(_regression, REGRESSIONS), STEEPEST)

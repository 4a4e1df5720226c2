"""How many replicas does the traffic need? The number for autoscalers, which rises at once and falls late."""

from __future__ import annotations

from alerts.numbers import (
    BAND_DEVIATIONS,
    BAND_RATIO,
    HOLD,
    LONG_WINDOW,
    MOST_GROWTH,
    ROUNDING,
    WIDEST_BAND_RATIO,
)
from alerts.promql import MODEL, RHO_1M, SCALE_UP, SERVICE_RATE, TARGET, WATCHER, short
from alerts.rule import Recording

REPLICAS_AT_1 = "model:kvwatch_target_up:count / model:kvwatch_target_utilization:max"
"""Replicas that ρ = 1 of the present ones needs."""

NEED = (
    Recording(
        "model:kvwatch_arrival_rate:avg5m",
        "avg_over_time(model:kvwatch_arrival_rate:sum1m[5m])",
        "λ over five minutes, right also while replicas come and go: a minute after one came its λ and that of the "
        "others add up again, while the means over five minutes take five to make room for it.",
    ),
    Recording(
        "model:kvwatch_replicas_required:ratio5m",
        """
        model:kvwatch_arrival_rate:avg5m
        / (
          model:kvwatch_service_rate:avg * model:kvwatch_engines:count / model:kvwatch_target_up:count
          * model:kvwatch_target_utilization:max
        )
        or model:kvwatch_arrival_rate:avg5m == 0
        """,
        "Servers that keep ρ at the target, before rounding.",
    ),
    Recording(
        "model:kvwatch_replicas_required:least",
        f"""
        sum by {MODEL} (
          kvwatch_running_requests + kvwatch_queue_length
          or kvwatch_queue_length
        ) > bool 0
        """,
        "1 while a request is inside, else 0: a long one outlives the λ that it came with.",
    ),
    Recording(
        "model:kvwatch_replicas_required:full",
        f"""
        model:kvwatch_queue_length:sum >= 1
        unless model:kvwatch_queue_length:sum
          < sum by {MODEL} (kvwatch_running_requests)
        """,
        "There while as many wait as run: what waits is no smaller a need for having arrived long ago.",
    ),
    Recording(
        "model:kvwatch_replicas_required:ceil5m",
        f"""
        ceil(model:kvwatch_replicas_required:ratio5m - {ROUNDING}) > model:kvwatch_replicas_required:least
        or (model:kvwatch_replicas_required:least and model:kvwatch_replicas_required:ratio5m)
        or ceil(model:kvwatch_replicas_required:ratio5m - {ROUNDING}) + 0
        """,
        "The sum with 0 makes 0 of -0.",
    ),
    Recording(
        "model:kvwatch_arrival_rate:band5m",
        f"""
        clamp(
          {BAND_DEVIATIONS:g} * sqrt(model:kvwatch_arrival_rate:variance5m) / (model:kvwatch_arrival_rate:sum5m > 0),
          {BAND_RATIO}, {WIDEST_BAND_RATIO}
        )
        """,
        "By how much of itself λ could be higher: three standard errors, a tenth at least and half at most.",
    ),
    Recording(
        "model:kvwatch_replicas_required:spare5m",
        f"""
        ceil(
          (
            model:kvwatch_replicas_required:ratio5m * (1 + model:kvwatch_arrival_rate:band5m)
            or {1 + BAND_RATIO} * model:kvwatch_replicas_required:ratio5m
          ) - {ROUNDING}
        ) > model:kvwatch_replicas_required:ceil5m
        or model:kvwatch_replicas_required:ceil5m
        """,
        "The same with that to spare.",
    ),
)
AHEAD = (
    Recording(
        "model:kvwatch_utilization:growth",
        f"""
        model:kvwatch_arrival_rate:deriv * {SCALE_UP} / {SERVICE_RATE} < {MOST_GROWTH - 1:g} * {RHO_1M}
        or {MOST_GROWTH - 1:g} * {RHO_1M} and model:kvwatch_arrival_rate:deriv
        or {RHO_1M} * 0
        """,
        f"What the steepest trend adds to ρ by the time that a new replica serves, at most to {MOST_GROWTH:g} times ρ.",
    ),
    Recording(
        "model:kvwatch_replicas_required:trend1m",
        f"""
        ceil(
          {REPLICAS_AT_1}
          * ({RHO_1M} + model:kvwatch_utilization:growth) - {ROUNDING}
        )
        """,
        "Replicas for the load by the time that they serve.",
    ),
    Recording(
        "model:kvwatch_replicas_required:ahead1m",
        """
        model:kvwatch_replicas_required:trend1m > model:kvwatch_replicas_required:ceil5m
        or model:kvwatch_replicas_required:ceil5m
        or model:kvwatch_replicas_required:trend1m
        """,
        "What the pages ask for: the same, but never fewer than the load of now needs.",
    ),
    Recording(
        "model:kvwatch_replicas_required:missing",
        "clamp_min(model:kvwatch_replicas_required:ahead1m - model:kvwatch_target_up:count, 1)",
        "How many that is more than there are: one at least, since a page asks for it.",
    ),
)
UNKNOWN = (
    Recording(
        "engine:kvwatch_queue_length:gone",
        "last_over_time(kvwatch_queue_length[15m]) unless kvwatch_queue_length",
        "Engines that were there in the last quarter of an hour and are out of sight, with the queue that each had.",
    ),
    Recording(
        "model:kvwatch_engines:unknown",
        f"""
        count by {MODEL} (
          kvwatch_queue_length unless ignoring (window) {short("kvwatch_arrival_rate")}
          or engine:kvwatch_queue_length:gone and on {TARGET} kvwatch_target_up
          or engine:kvwatch_queue_length:gone and on {WATCHER} up == 0
        )
        """,
        "Engines that may have traffic of which nothing is known: those without a λ, and those out of sight while "
        "their server is still watched, or kvwatch does not answer Prometheus.",
    ),
)
HELD = (
    Recording(
        "model:kvwatch_replicas_required:last",
        f"last_over_time(model:kvwatch_replicas_required:hold5m[{HOLD}])",
        "The number for autoscalers as it was.",
    ),
    Recording(
        "model:kvwatch_replicas_required:fall5m",
        f"""
        max_over_time(model:kvwatch_replicas_required:spare5m[{LONG_WINDOW}]) < model:kvwatch_replicas_required:last
        and model:kvwatch_replicas_required:ceil5m
        and last_over_time(model:kvwatch_replicas_required:ceil5m[1m] offset 4m)
        unless last_over_time(model:kvwatch_engines:unknown[{LONG_WINDOW}])
        unless last_over_time(model:kvwatch_replicas_required:full[{LONG_WINDOW}])
        """,
        "What it falls to, where less has been enough, with that much to spare, for five minutes in which every engine "
        "was known and fewer waited than ran.",
    ),
    Recording(
        "model:kvwatch_replicas_required:first",
        f"""
        model:kvwatch_replicas_required:ceil5m
        and last_over_time(model:kvwatch_replicas_required:ceil5m[1m] offset 6m)
        unless (
          last_over_time(model:kvwatch_engines:unknown[{LONG_WINDOW}])
          unless last_over_time(model:kvwatch_replicas_required:ceil5m[1m] offset 14m)
        )
        """,
        "What it begins with, where there is none to go on from: after six minutes of data, in which every engine is "
        "known, or a quarter of an hour. A Prometheus that has just started sees some engines before the others.",
    ),
    Recording(
        "model:kvwatch_replicas_required:hold5m",
        f"""
        model:kvwatch_replicas_required:ceil5m >= model:kvwatch_replicas_required:last
        or model:kvwatch_replicas_required:fall5m
        or model:kvwatch_replicas_required:last and last_over_time(model:kvwatch_replicas_required:ceil5m[{HOLD}])
        or model:kvwatch_replicas_required:first
        """,
        "The number for autoscalers: it rises at once, falls late, and is gone ten minutes after the last data.",
    ),
)
RECORDINGS = NEED + AHEAD + UNKNOWN + HELD

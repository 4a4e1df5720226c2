"""How many replicas does the traffic need? The number for autoscalers, which rises at once and falls late.

The very numbers of :mod:`kvwatch.core.pool`, rule by rule: where several kvwatch have a part of a model each, only
Prometheus can add them up. Where one kvwatch sees the whole model, its own number is taken.
"""

from __future__ import annotations

from alerts.load import SIZING_REASONS
from alerts.numbers import (
    FIRST,
    FIRST_WITHIN,
    HALF_SHARE,
    HALF_WINDOW,
    KNOWN_SINCE,
    LONG_WINDOW_SECONDS,
    MAJORITY_RATIO,
    MEAN_AGE_SECONDS,
    MEAN_WINDOW,
    MEMORY_SECONDS,
    MEMORY_WINDOW,
    MOST_GROWTH,
    ROUNDING,
    SURGE_DEVIATIONS,
    TREND_DEVIATIONS,
    TREND_STAYS,
    UNREADABLE,
)
from alerts.promql import MODEL, SCALE_UP, TARGET, WATCHER, by_model, by_reason, short
from alerts.rule import Recording

RATE = "model:kvwatch_arrival_rate:sum1m"
MEAN = "model:kvwatch_arrival_rate:avg5m"
TREND = "model:kvwatch_arrival_rate:deriv10m"
SURGE_RATE = "model:kvwatch_arrival_rate:surge1m"
PLANNED = "model:kvwatch_arrival_rate:planned"
CAPACITY = "model:kvwatch_service_rate:replica"
TARGET_UTILIZATION = "model:kvwatch_target_utilization:avg"
QUEUE = "model:kvwatch_queue_length:sum"
BACKLOG = "model:kvwatch_backlog_replicas:sum"
NUMBER = "model:kvwatch_replicas_required"
WATCHERS = "model:kvwatch_build_info:count10m"
"""Processes that have added up all engines that they saw of a model, in the last ten minutes; shards do not."""
AT_TARGET = "model:kvwatch_service_rate:replica_at_target"
IDLE = f"{NUMBER}:idle"
AHEAD = "model:kvwatch_arrival_rate:ahead"


def _whole(rate: str, more: str = "") -> str:
    """Replicas for a λ, rounded up; 0 for an idle model. The sum with 0 makes 0 of -0."""
    return f"clamp_min(ceil({rate} / {AT_TARGET}{more} - {ROUNDING}), 0) + 0\nor {IDLE}"


def _higher(one: str, other: str) -> str:
    """The higher of two, where both are there; else the second."""
    return f"{one} > {other}\nor {other}"


LOAD = (
    Recording(
        MEAN,
        f"avg_over_time({RATE}[{MEAN_WINDOW}])",
        "λ over five minutes, right also while replicas come and go: a minute after one came its λ and that of the "
        "others add up again, while the means over five minutes take five to make room for it. Windows here end half "
        "an interval before a round time, so that they hold the same samples in each version of Prometheus.",
    ),
    Recording(
        SURGE_RATE,
        f"""
        {RATE} - {SURGE_DEVIATIONS:g} * sqrt(model:kvwatch_arrival_rate:variance1m) > {MEAN}
        or ({MEAN} and {RATE})
        """,
        "The same, or what λ surely is over the last minute where that is more.",
    ),
    Recording(
        TREND,
        f"""
        deriv({RATE}[{MEMORY_WINDOW}])
          > {TREND_DEVIATIONS} * sqrt(
              12 * {LONG_WINDOW_SECONDS} * model:kvwatch_arrival_rate:variance5m / {MEMORY_SECONDS:g} ^ 3
            )
        and deriv({RATE}[{MEAN_WINDOW}]) > {HALF_SHARE} * deriv({RATE}[{MEMORY_WINDOW}])
        and deriv({RATE}[{MEAN_WINDOW}] offset {HALF_WINDOW}) > {HALF_SHARE} * deriv({RATE}[{MEMORY_WINDOW}])
        and min_over_time(model:kvwatch_arrival_rate:count1m[{MEMORY_WINDOW}])
          >= {TREND_STAYS} * max_over_time(model:kvwatch_arrival_rate:count1m[{MEMORY_WINDOW}])
        and {RATE} offset {KNOWN_SINCE}
        """,
        "How fast λ rises, where that is no accident, goes on in both halves of ten minutes (a step of the load is in "
        "one only), and engines neither come nor go.",
    ),
    Recording(
        AHEAD,
        f"{MEAN} + {TREND} * ({MEAN_AGE_SECONDS:g} + {SCALE_UP})",
        "λ on that trend, when a replica that is asked for now serves.",
    ),
    Recording(
        PLANNED,
        f"""
        {AHEAD} > {SURGE_RATE} < {MOST_GROWTH:g} * {MEAN}
        or ({MOST_GROWTH:g} * {MEAN} > {SURGE_RATE} and {AHEAD} >= {MOST_GROWTH:g} * {MEAN})
        or {SURGE_RATE}
        """,
        f"The highest of them, the trend at most {MOST_GROWTH:g} times what λ is.",
    ),
)
NEED = (
    Recording(
        "engine:kvwatch_utilization:sure",
        f"""
        kvwatch_estimate_valid{{estimate="utilization", reason=~"{SIZING_REASONS}"}}
        and ignoring (estimate, reason)
          kvwatch_estimate_valid{{estimate="arrival_rate_1m", reason=~"{SIZING_REASONS}"}}
        """,
        "Engines whose ρ and λ may size a fleet, whether or not there is a doubt. docs/alerts.md has the table.",
    ),
    Recording(
        CAPACITY,
        f"""
        {by_model("avg", "kvwatch_service_rate and ignoring (estimate, reason) engine:kvwatch_utilization:sure")}
        * model:kvwatch_engines:count / model:kvwatch_target_up:count
        """,
        "What a replica like the mean one serves, with as many engines as a server has.",
    ),
    Recording(AT_TARGET, f"{CAPACITY} * {TARGET_UTILIZATION}", "The same at the utilization that it is sized for."),
    Recording(
        IDLE,
        f"{MEAN} == 0 and {RATE} and {QUEUE} == 0 unless {CAPACITY}",
        "0 for a model without traffic whose μ was never learnt.",
    ),
    Recording(
        BACKLOG,
        f"{QUEUE} / ({CAPACITY} * {SCALE_UP})\nor {IDLE}",
        "Replicas that serve what waits in the time that one takes to start.",
    ),
    Recording(
        f"{NUMBER}:least",
        f"""
        sum by {MODEL} (
          kvwatch_running_requests + kvwatch_queue_length
          or kvwatch_queue_length
        ) > bool 0
        """,
        "1 while a request is inside, else 0: a long one outlives the λ that it came with.",
    ),
    Recording(f"{NUMBER}:load5m", _whole(f"({MEAN} and {RATE})"), "⌈λ/(μ·target)⌉: what keeps ρ at the target."),
    Recording(f"{NUMBER}:surge1m", _whole(SURGE_RATE), "The same for what λ surely is over the last minute."),
    Recording(f"{NUMBER}:trend", _whole(PLANNED), "And for λ when a replica that is asked for now serves."),
    Recording(
        f"{NUMBER}:backlog",
        _whole(PLANNED, f" + {BACKLOG}"),
        "And for what waits.",
    ),
    Recording(
        f"{NUMBER}:total",
        _higher(f"{NUMBER}:least", f"{NUMBER}:backlog"),
        "All of it: what the load needs now.",
    ),
)
UNKNOWN = (
    Recording(
        "engine:kvwatch_queue_length:gone",
        f"""
        (last_over_time(kvwatch_queue_length[{UNREADABLE}]) unless kvwatch_queue_length)
          and on {TARGET} kvwatch_target_up == 0
        or (last_over_time(kvwatch_queue_length[{UNREADABLE}]) unless kvwatch_queue_length)
          and on {WATCHER} up == 0
        or (last_over_time(kvwatch_queue_length[{MEMORY_WINDOW}]) unless kvwatch_queue_length)
          and on {TARGET} kvwatch_target_up
        """,
        "Engines out of sight that may have traffic, with the queue that each had: for an hour while their server does "
        "not answer kvwatch, or kvwatch not Prometheus; for ten minutes where the server answers without them.",
    ),
    Recording("model:kvwatch_engines:gone", by_model("count", "engine:kvwatch_queue_length:gone")),
    Recording(
        "model:kvwatch_arrival_rate:gone",
        f"""
        sum by {MODEL} (
          (
            last_over_time({short("kvwatch_arrival_rate")}[{UNREADABLE}])
            unless {short("kvwatch_arrival_rate")}
          )
          and ignoring (window) (kvwatch_queue_length or engine:kvwatch_queue_length:gone)
        )
        """,
        "The last λ of engines that have none now, in sight or not.",
    ),
    Recording(
        f"{NUMBER}:with_missing",
        f"""
        (
          {_whole(f"({PLANNED} + model:kvwatch_arrival_rate:gone)", f" + {BACKLOG}")}
        ) > {NUMBER}:total
        or {NUMBER}:total
        """,
        "What the load would need if they had it still: the number does not fall below that.",
    ),
    Recording(
        f"{NUMBER}:valid",
        f"""
        {NUMBER}:total
        and {by_model("count", "engine:kvwatch_utilization:sure")}
          >= {MAJORITY_RATIO} * (
            model:kvwatch_engines:count + model:kvwatch_engines:gone
            or model:kvwatch_engines:count
          )
        """,
        "What the load needs now, where half of the engines or more may be believed.",
    ),
)
HELD = (
    Recording(
        f"{NUMBER}:last",
        f"last_over_time({NUMBER}:hold5m[{MEMORY_WINDOW}])",
        "The number for autoscalers as it was.",
    ),
    Recording(
        f"{NUMBER}:enough5m",
        _higher(f"{NUMBER}:with_missing", f"max_over_time({NUMBER}:total[{MEAN_WINDOW}])"),
        "What has been enough for five minutes, and for what is missing.",
    ),
    Recording(
        WATCHERS,
        by_model("count", f'last_over_time(kvwatch_model_engines{{state="serving"}}[{MEMORY_WINDOW}])'),
        "How many kvwatch have added up engines of the model in the last ten minutes.",
    ),
    Recording(
        f"{NUMBER}:own",
        f"""
        {by_model("max", "kvwatch_replicas_required")}
        and {WATCHERS} == 1
        """,
        "The number of a kvwatch that sees all engines of the model, and has been the only one for ten minutes.",
    ),
    Recording(
        f"{NUMBER}:hold5m",
        f"""
        {NUMBER}:own
        or (
          (
            {NUMBER}:total >= {NUMBER}:last
            or ({NUMBER}:enough5m < {NUMBER}:last and {NUMBER}:valid)
            or ({NUMBER}:last
              and last_over_time({NUMBER}:valid[{MEMORY_WINDOW}]))
            or ({NUMBER}:valid
              and last_over_time({NUMBER}:valid[{FIRST_WITHIN}] offset {FIRST}))
          )
          unless {WATCHERS} == 1
        )
        """,
        "The number for autoscalers: it rises at once, falls when less has been enough for five minutes, stands while "
        "less than half of the engines may be believed, and is gone ten minutes later.",
    ),
)
REASONS = (
    Recording(
        f"{NUMBER}:held",
        f"clamp_min({NUMBER}:hold5m - {NUMBER}:total, 0)",
        "By how much the number is held above what the load needs now.",
    ),
    Recording(
        f"{NUMBER}:held_missing",
        f"""
        ({NUMBER}:with_missing - {NUMBER}:total < {NUMBER}:held and {NUMBER}:valid)
        or {NUMBER}:held
        """,
        "How much of that is for engines that are not known now: all of it while half of the engines are not.",
    ),
    Recording(
        "model:kvwatch_replicas_added:reason",
        f"""
        ({by_reason("kvwatch_replicas_added")} and on {MODEL} {NUMBER}:own)
        or (
          (
            label_replace({NUMBER}:surge1m - {NUMBER}:load5m, "reason", "surge", "", "")
            or label_replace({NUMBER}:trend - {NUMBER}:surge1m, "reason", "trend", "", "")
            or label_replace({NUMBER}:total - {NUMBER}:trend, "reason", "backlog", "", "")
            or label_replace({NUMBER}:held_missing, "reason", "missing_engines", "", "")
            or label_replace({NUMBER}:held - {NUMBER}:held_missing, "reason", "recent_load", "", "")
          )
          and on {MODEL} {NUMBER}:hold5m
          unless on {MODEL} {NUMBER}:own
        )
        """,
        "What makes the number higher than the load alone, in replicas by reason.",
    ),
    Recording(
        f"{NUMBER}:missing",
        f"{NUMBER}:hold5m - model:kvwatch_target_up:count > 0",
        "How many that is more than there are; absent where there are enough.",
    ),
)
RECORDINGS = LOAD + NEED + UNKNOWN + HELD + REASONS

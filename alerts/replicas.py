"""How many replicas does the traffic need? The number for autoscalers, which rises at once and falls late."""

from __future__ import annotations

from alerts.numbers import BAND_DEVIATIONS, BAND_RATIO, ROUNDING, WIDEST_BAND_RATIO
from alerts.promql import MODEL, TARGET, WATCHER, short
from alerts.rule import Recording
from alerts.trends import VARIANCE

RECORDINGS = (
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
        "model:kvwatch_replicas_required:spare5m",
        f"""
        ceil(
          (
            model:kvwatch_replicas_required:ratio5m
            * (
              1 + clamp(
                {BAND_DEVIATIONS:g} * sqrt({VARIANCE}) / (model:kvwatch_arrival_rate:sum5m > 0),
                {BAND_RATIO}, {WIDEST_BAND_RATIO}
              )
            )
            or {1 + BAND_RATIO} * model:kvwatch_replicas_required:ratio5m
          ) - {ROUNDING}
        ) > model:kvwatch_replicas_required:ceil5m
        or model:kvwatch_replicas_required:ceil5m
        """,
        "The same with a tenth to spare, or three standard errors of λ (a 90% interval is 3.29 of them wide), at most "
        "half.",
    ),
    Recording(
        "model:kvwatch_engines:unknown",
        f"""
        count by {MODEL} (
          kvwatch_queue_length unless ignoring (window) {short("kvwatch_arrival_rate")}
          or (
            last_over_time(kvwatch_queue_length[15m])
            unless kvwatch_queue_length
            and on {TARGET} kvwatch_target_up
          )
          or (
            last_over_time(kvwatch_queue_length[15m])
            unless kvwatch_queue_length
            and on {WATCHER} up == 0
          )
        )
        """,
        "Engines that may have traffic of which nothing is known: those without a λ, and those that were there in the "
        "last quarter of an hour and are out of sight while their server is still watched, or kvwatch does not answer "
        "Prometheus.",
    ),
    Recording(
        "model:kvwatch_replicas_required:hold5m",
        """
        (
          model:kvwatch_replicas_required:ceil5m
          >= last_over_time(model:kvwatch_replicas_required:hold5m[10m])
        )
        or (
          max_over_time(model:kvwatch_replicas_required:spare5m[5m])
          < last_over_time(model:kvwatch_replicas_required:hold5m[10m])
          and model:kvwatch_replicas_required:ceil5m
          and last_over_time(model:kvwatch_replicas_required:ceil5m[1m] offset 4m)
          unless last_over_time(model:kvwatch_engines:unknown[5m])
          unless last_over_time(model:kvwatch_replicas_required:full[5m])
        )
        or (
          last_over_time(model:kvwatch_replicas_required:hold5m[10m])
          and last_over_time(model:kvwatch_replicas_required:ceil5m[10m])
        )
        or (
          model:kvwatch_replicas_required:ceil5m
          and last_over_time(model:kvwatch_replicas_required:ceil5m[1m] offset 6m)
          unless (
            last_over_time(model:kvwatch_engines:unknown[5m])
            unless last_over_time(model:kvwatch_replicas_required:ceil5m[1m] offset 14m)
          )
        )
        """,
        "The number for autoscalers. It rises at once, and falls when less has been enough, with that much to spare, "
        "for five minutes in which every engine was known and fewer waited than ran; it is gone ten minutes after the "
        "last data. Where there is none to go on from, the first one waits until there have been data for six minutes "
        "and every engine is known, or for a quarter of an hour: a Prometheus that has just started sees some of the "
        "engines before the others.",
    ),
)

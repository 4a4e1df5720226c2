"""How loaded is each model? λ, μ and ρ over its engines, the limit of ρ, the queue."""

from __future__ import annotations

from alerts.numbers import INTERVAL_DEVIATIONS, LOWEST_LIMIT
from alerts.promql import MODEL, by_model, long, short, weighted
from alerts.rule import Recording
from kvwatch.estimate import Reason

_OF_OTHER_ESTIMATES = {
    Reason.ABORT_BIASED,
    Reason.START_LOG_STOPPED,
    Reason.START_LOG_INCOMPLETE,
    Reason.DELTA_IS_BOUND,
}
PAGING_REASONS = "|".join(reason for reason in Reason if reason.pages and reason not in _OF_OTHER_ESTIMATES)
"""Reasons with which ρ is exported and may page, as a regular expression: those of λ or δ are no reason of ρ's."""
SIZING_REASONS = "|".join(reason for reason in Reason if reason.sizes)
"""Reasons with which λ or ρ may size a fleet, likewise."""
WIDTH_1M = f"{short('kvwatch_arrival_rate_upper')} - {short('kvwatch_arrival_rate_lower')}"
WIDTH_5M = f"{long('kvwatch_arrival_rate_upper')} - {long('kvwatch_arrival_rate_lower')}"
"""That of the 90% interval of an engine's λ over either window, requests/s."""

RATES = (
    Recording("model:kvwatch_arrival_rate:sum1m", by_model("sum", short("kvwatch_arrival_rate"))),
    Recording("model:kvwatch_arrival_rate:sum5m", by_model("sum", long("kvwatch_arrival_rate"))),
    Recording(
        "model:kvwatch_arrival_rate:variance1m",
        by_model("sum", f"(({WIDTH_1M}) / {INTERVAL_DEVIATIONS}) ^ 2"),
        f"Square of λ's standard error: a 90% interval is {INTERVAL_DEVIATIONS} of these wide.",
    ),
    Recording("model:kvwatch_arrival_rate:variance5m", by_model("sum", f"(({WIDTH_5M}) / {INTERVAL_DEVIATIONS}) ^ 2")),
    Recording("model:kvwatch_arrival_rate:count1m", by_model("count", short("kvwatch_arrival_rate"))),
    Recording("model:kvwatch_service_rate:sum", by_model("sum", "kvwatch_service_rate")),
    Recording("model:kvwatch_service_rate:avg", by_model("avg", "kvwatch_service_rate")),
)
UTILIZATIONS = (
    Recording(
        "model:kvwatch_utilization:ratio1m",
        weighted(short("kvwatch_utilization")),
        "ρ of the engines whose μ is known, weighted by it: their λ over their μ.",
    ),
    Recording("model:kvwatch_utilization:ratio5m", weighted(long("kvwatch_utilization"))),
    Recording(
        "model:kvwatch_utilization_lower:ratio1m",
        weighted(short("kvwatch_utilization_lower")),
        "The errors of a model's engines are mostly shared (one hardware, one law), so they are averaged, not reduced.",
    ),
    Recording("model:kvwatch_utilization_lower:ratio5m", weighted(long("kvwatch_utilization_lower"))),
    Recording("model:kvwatch_utilization_upper:ratio5m", weighted(long("kvwatch_utilization_upper"))),
)
LIMITS = (
    Recording(
        "model:kvwatch_stable_limit:avg",
        f"""
        clamp_min(
          avg by {MODEL} (
            (kvwatch_stable_limit
              and ignoring (estimate, reason) (kvwatch_estimate_valid{{estimate="stable_limit"}} == 1))
            or (kvwatch_service_rate >= bool 0)
          ),
          {LOWEST_LIMIT}
        )
        """,
        "1 − δ where δ is known from requests; a δ that is only a bucket's edge is far too large, and 1 is used "
        "instead. δ is that of the largest request of the last hour or two: a single one must not bring the limit "
        f"down to a load that is served without a queue, so it is {LOWEST_LIMIT} at least.",
    ),
    Recording(
        "model:kvwatch_stability_margin:ratio5m",
        "model:kvwatch_stable_limit:avg - model:kvwatch_utilization:ratio5m",
    ),
    Recording("model:kvwatch_target_utilization:avg", by_model("avg", "kvwatch_target_utilization")),
    Recording("model:kvwatch_scale_up_seconds:max", by_model("max", "kvwatch_scale_up_seconds")),
)
QUEUES = (
    Recording("model:kvwatch_queue_length:sum", by_model("sum", "kvwatch_queue_length")),
    Recording("model:kvwatch_queue_slope:sum", by_model("sum", "kvwatch_queue_slope")),
    Recording("model:kvwatch_queue_slope_lower:sum", by_model("sum", "kvwatch_queue_slope_lower")),
)
TRUST = (
    Recording(
        "model:kvwatch_utilization:imbalance5m",
        f"""
        {by_model("max", long("kvwatch_utilization"))}
        / (model:kvwatch_utilization:ratio5m > 0)
        """,
        "Hottest engine over the mean one: a sum hides it.",
    ),
    Recording(
        "model:kvwatch_estimate_valid:avg",
        f"""
        avg by {MODEL} (
          (kvwatch_estimate_valid{{estimate="utilization", reason=~"{PAGING_REASONS}"}} >= bool 0)
          or kvwatch_estimate_valid{{estimate="utilization"}}
        )
        """,
        "Share of engines whose ρ may page: without a doubt, or with one that only widens its interval, or lets it "
        "err to the late side. docs/alerts.md has the table.",
    ),
)
YOUNG = Recording(
    "model:kvwatch_engines:young",
    by_model("count", f"{short('kvwatch_utilization')} unless ignoring (window) {long('kvwatch_utilization')}"),
    "Engines of which ρ is known over a minute and not yet over five.",
)
RECORDINGS = RATES + UTILIZATIONS + LIMITS + QUEUES + TRUST + (YOUNG,)

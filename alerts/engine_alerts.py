"""Alerts about one engine: its queue, its evictions, the estimate itself, its share of the load."""

from __future__ import annotations

from alerts.load import PAGING_REASONS
from alerts.numbers import BUSY_UTILIZATION, EVICTION_LOSS_RATIO, HOT_RATIO, MODEL_GAP_RATIO, QUEUE_REQUESTS
from alerts.promql import MODEL, long
from alerts.rollout import UNLESS_EXCUSED
from alerts.rule import CRITICAL, ENGINE_DASHBOARD, WARNING, Alert
from alerts.words import text
from kvwatch.estimate import Reason

NO_TICKET_REASONS = f"{PAGING_REASONS}|{Reason.GENERATES_NOTHING}"
"""Reasons that make no ticket: pages may rest on the number all the same, or there will never be one."""

QUEUE_GROWING = Alert(
    "KvwatchQueueGrowing",
    f"""
    kvwatch_queue_length > {QUEUE_REQUESTS}
    and kvwatch_queue_slope_lower > 0
    unless kvwatch_queue_length <= kvwatch_queue_length offset 5m
    unless ignoring (window) (
      {long("kvwatch_utilization")} >= 0.9
      and on {MODEL} (
        min_over_time(model:kvwatch_utilization:ratio5m[1m]) > 1
        and min_over_time(model:kvwatch_queue_slope_lower:sum[1m]) > 0
      )
    )
    """,
    CRITICAL,
    hold="5m",
    keep_firing="5m",
    summary=text("<engine>: the queue grows although the model is not overloaded"),
    description=text(
        """
        <engine>: <whole value> requests wait, <engine queue slope> every second,
        while ρ is <engine ρ> (λ <engine λ> requests/s, μ <engine μ> requests/s).
        Either this engine gets more than its share, or the estimate is wrong,
        or something else than capacity holds the requests up.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
)
CONGESTION = Alert(
    "KvwatchCongestionCycle",
    f"avg_over_time(kvwatch_congestion_loss_ratio[5m]) > {EVICTION_LOSS_RATIO}",
    WARNING,
    hold="5m",
    keep_firing="15m",
    summary=text("<engine>: throughput is lost to evictions"),
    description=text(
        """
        <engine> loses <loss> of its throughput to requests that are evicted and computed again
        (a wave grows by a factor of <wave growth> in a mean lifetime).
        <recommendation>
        ρ is <engine ρ>, λ <engine λ> requests/s, μ <engine μ> requests/s.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
)
MODEL_GAP = Alert(
    "KvwatchModelGap",
    f"min_over_time(kvwatch_model_gap_ratio[5m]) > {MODEL_GAP_RATIO}",
    WARNING,
    hold="10m",
    keep_firing="15m",
    summary=text("<engine>: the service rate is not what kvwatch predicts"),
    description=text(
        """
        <engine> has a backlog and serves <engine serves> requests/s; the model alone is off by <gap>.
        kvwatch corrects itself while the backlog lasts (μ <engine μ> requests/s now),
        but its earlier warnings for this engine were off by as much.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
)
INVALID = Alert(
    "KvwatchEstimateInvalid",
    f"""
    max without (reason) (
      kvwatch_estimate_valid{{estimate="utilization", reason!~"{NO_TICKET_REASONS}"}}
    ) == 0
    and ignoring (estimate, window) {long("kvwatch_arrival_rate")} > 0
    {UNLESS_EXCUSED}
    """,
    WARNING,
    hold="30m",
    keep_firing="5m",
    summary=text("<engine>: the utilization cannot be relied on"),
    description=text(
        """
        <engine> has had no sure utilization for 30 minutes; alerts about its load may stay silent.
        Reason: <reason>(docs/metrics.md says what each means).
        """
    ),
    dashboard=ENGINE_DASHBOARD,
)
HOT = Alert(
    "KvwatchHotReplica",
    f"""
    {long("kvwatch_utilization")}
    and {long("kvwatch_utilization_lower")}
      > on {MODEL} group_left () {HOT_RATIO} * model:kvwatch_utilization:ratio5m
    and ignoring (window) {long("kvwatch_utilization")} > {BUSY_UTILIZATION}
    and on {MODEL} model:kvwatch_engines:count > 1
    unless on {MODEL}
      ALERTS{{alertname=~"KvwatchOverloaded|KvwatchSaturated", alertstate="firing"}}
    unless on (cluster, namespace, model_name, target, engine, instance)
      ALERTS{{alertname="KvwatchQueueGrowing", alertstate="firing"}}
    {UNLESS_EXCUSED}
    """,
    WARNING,
    hold="10m",
    keep_firing="10m",
    summary=text("<engine> carries far more than the others"),
    description=text(
        """
        <engine> is at ρ <value> while the model as a whole is at <ρ 5m> over <engines> engines:
        the load balancer does not spread the load.
        λ here <engine λ> requests/s, μ <engine μ> requests/s.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
    why="What ends while Alertmanager inhibits it is never told to have ended, so the rule itself asks for the pages "
    "that say it all.",
)

"""Alerts about one engine: its queue, its evictions, the estimate itself, its share of the load."""

from __future__ import annotations

from alerts.load import PAGING_REASONS
from alerts.numbers import BUSY_UTILIZATION, EVICTION_LOSS_RATIO, HOT_RATIO, MODEL_GAP_RATIO, QUEUE_REQUESTS
from alerts.promql import MODEL, UNLESS_EXCUSED, long
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
    unless kvwatch_queue_standing_seconds
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
    summary=text("<the engine>: its users wait longer every minute, though <model> as a whole is not overloaded"),
    description=text(
        """
        Users whose requests land on <engine> wait longer every minute; those of other engines do not.
        To do: send it less, and restart it if its queue grows on.
        At <at>: <whole value> requests wait<engine a minute>. Over the last minute <engine λ> requests/s
        arrive and <engine μ> can be served, a load of <engine load>.
        Either this engine gets more than its share, or the estimate is wrong,
        or something else than capacity holds the requests up.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
)
QUEUE_STANDS = Alert(
    "KvwatchQueueStands",
    "kvwatch_queue_standing_seconds > 60",
    CRITICAL,
    hold="2m",
    keep_firing="5m",
    summary=text("<the engine>: its users wait and are not served, though its load is not the reason"),
    description=text(
        """
        Users whose requests wait at <engine> get no answer, and more replicas do not help them.
        To do: look at its log and its device, and restart it if nothing moves.
        At <at>: <engine queue> requests wait. For <duration> the engine has served less than half of what it should, or
        none of those that are deferred: one endless request in the last of the memory, a device that throttles,
        or a KV transfer that never comes.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
    why="Arrivals alone call such an engine idle: nobody who waits is counted twice.",
)
HUNG = Alert(
    "KvwatchEngineHung",
    'kvwatch_engine_state{state="hung"} == 1',
    CRITICAL,
    hold="1m",
    keep_firing="2m",
    summary=text("<the engine> hangs: its users get no answer"),
    description=text(
        """
        Users of <engine> get no answer: it shows requests inside and has not moved a counter for 2 minutes.
        To do: send it one request. If no answer comes, take it out of the balancer and restart it. If one does, it
        was only idle: vLLM 0.11 and 0.12 go on showing requests that were all cancelled at once. The alert ends as
        soon as a counter moves.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
)
CONGESTION = Alert(
    "KvwatchCongestionCycle",
    f"""
    avg_over_time(kvwatch_congestion_loss_ratio[5m]) > {EVICTION_LOSS_RATIO}
    and kvwatch_congestion_loss_ratio > {EVICTION_LOSS_RATIO}
    """,
    WARNING,
    hold="2m",
    keep_firing="15m",
    summary=text("<the engine> throws away <loss> of its work: <set seats>"),
    description=text(
        """
        Users of <engine> see long pauses between tokens, and wait longer than they need to:
        <loss> of its work is thrown away when memory runs out, and done again.
        To do: <recommendation>
        At <at>, over the last minute: <engine λ> requests/s arrive and <engine μ> can be served,
        a load of <engine load>; <engine queue> wait.
        A wave of evictions grows by a factor of <wave growth> in a mean lifetime.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
)
SLO_AT_RISK = Alert(
    "KvwatchSloAtRisk",
    "min_over_time(kvwatch_slo_utilization_lower[5m]) > 1 and kvwatch_slo_utilization_lower > 1",
    WARNING,
    hold="2m",
    keep_firing="10m",
    summary=text("<the engine>: more arrives than its latency target ({{ $labels.slo }}) allows"),
    description=text(
        """
        Users of <engine> wait longer than the latency target ({{ $labels.slo }}) allows,
        more than one in twenty of them, or will if this lasts. To do: add a replica, or send it less.
        At <at>: over the last minute <engine λ> requests/s arrive, <engine within target> keep to the target,
        and <engine μ> can be served at all. <engine queue> requests wait.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
    why="Only where a latency target is configured (slo), and only where the load is surely above what keeps to it.",
)
MODEL_GAP = Alert(
    "KvwatchModelGap",
    f"min_over_time(kvwatch_model_gap_ratio[5m]) > {MODEL_GAP_RATIO}",
    WARNING,
    hold="10m",
    keep_firing="15m",
    summary=text("<the engine>: what it serves is not what kvwatch predicts"),
    description=text(
        """
        Users notice nothing of this; nothing is to be done tonight.
        The early warnings for <engine> came too late or for nothing:
        at <at> it has a backlog and serves <engine serves> requests/s, while the model alone is off by <gap>.
        kvwatch corrects itself while the backlog lasts (<engine μ> requests/s now).
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
    summary=text("<the engine>: an overload may come without a page, for its load is not known"),
    description=text(
        """
        Users of <engine> may come to wait without a page: its load has not been known for 30 minutes.
        To do: what the runbook says for the reason, which is: <reason>.
        At <at>, over the last minute: <engine λ> requests/s arrive, <engine queue> wait.
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
    summary=text("<the engine> carries far more than the others: see to the balancer"),
    description=text(
        """
        Users whose requests land on <engine> will wait while others do not: it carries far more than its share.
        To do: see why the load balancer sends it more, or send it less.
        At <at>, over five minutes: a load of <percent value> here and <load 5m> of the model as a whole,
        which has <engines> engines.
        """
    ),
    dashboard=ENGINE_DASHBOARD,
    why="What ends while Alertmanager inhibits it is never reported as ended, so the rule itself asks for the pages "
    "that say it all.",
)

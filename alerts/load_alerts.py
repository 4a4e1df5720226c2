"""Pages about a model's load: it will be saturated, it is, it gets more than it can serve."""

from __future__ import annotations

from alerts.close import LOWER_1M, LOWER_5M, LOWER_15M
from alerts.numbers import PAGING_SHARE
from alerts.promql import LIMIT, RHO_1M, RHO_5M
from alerts.rollout import UNLESS_EXCUSED
from alerts.rule import CRITICAL, FLEET_OF_MODEL, Alert
from alerts.words import text

BEYOND = 1.05
"""From here on over its limit, ρ's lower bound over five minutes is enough [1]. Choice: λ of 3/s is known to 3%."""
SURE = f"model:kvwatch_estimate_valid:avg >= {PAGING_SHARE}"
REST = """μ <μ> requests/s, bound by<binding>.
    Time to saturation: <time to saturation>.
    Replicas: <replicas>, to add: <replicas to add> (for the load by the time they serve)."""
"""What all three end with."""

APPROACHING = Alert(
    "KvwatchSaturationApproaching",
    f"""
    {RHO_1M}
    and (model:kvwatch_time_to_saturation_seconds:early or model:kvwatch_utilization_lower:close)
    and {SURE}
    {UNLESS_EXCUSED}
    """,
    CRITICAL,
    keep_firing="10m",
    summary=text(
        "<model><role> <at the limit?>has reached the limit of what it can sustain, and its load rises"
        "<or soon?>saturates sooner than a replica can be added"
        "<or close>is close to the limit of what it can sustain<end>"
    ),
    description=text(
        f"""
    <at the limit?><model> has reached what it can sustain, and its load rises.
    <or soon?>At its present trend <model> reaches what it can sustain before a new replica serves.
    <or close><model> is surely close to what it can sustain, or beyond it, and has been for <since>.<end>
    ρ is <ρ over both>, against a limit of <limit>: λ <λ> requests/s,
    {REST}
    """
    ),
    dashboard=FLEET_OF_MODEL,
)
SATURATED = Alert(
    "KvwatchSaturated",
    f"""
    {RHO_5M}
    and {RHO_5M} >= {LIMIT}
    and {RHO_1M} >= {LIMIT}
    and ({LOWER_5M} >= {BEYOND} * {LIMIT} or {LOWER_15M} >= {LIMIT})
    and {SURE}
    """,
    CRITICAL,
    hold="1m",
    keep_firing="10m",
    summary=text("<model><role> is at the limit of what it can sustain"),
    description=text(
        f"""
    As much arrives at <model> as it can sustain, or more: waiting times grow.
    ρ over 5 minutes is <ρ 5m> against a limit of <limit>: λ <λ 5m> requests/s,
    {REST}
    """
    ),
    dashboard=FLEET_OF_MODEL,
)
OVERLOADED = Alert(
    "KvwatchOverloaded",
    f"""
    (
      {RHO_5M} > 1
      or (
        {LOWER_1M} > 1
        and model:kvwatch_queue_length:sum > model:kvwatch_queue_length:sum offset 1m
        and model:kvwatch_engines:young
      )
    )
    and model:kvwatch_queue_slope_lower:sum > 0
    """,
    CRITICAL,
    hold="1m",
    keep_firing="5m",
    summary=text("<model><role> gets more than it can serve, and its queue grows"),
    description=text(
        f"""
    More arrives at <model> than it can serve. <queue> requests wait, <queue slope> every second.
    ρ is <ρ over both>, against a limit of <limit>: λ <λ> requests/s,
    {REST}
    """
    ),
    dashboard=FLEET_OF_MODEL,
)
ALERTS = (APPROACHING, SATURATED, OVERLOADED)

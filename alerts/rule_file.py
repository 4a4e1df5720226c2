"""The rule file: which rules there are, in groups whose order is that of their evaluation."""

from __future__ import annotations

from alerts import (
    advice,
    close,
    engine_alerts,
    fleet,
    forecast,
    load,
    load_alerts,
    out_of_sight,
    replicas,
    replicas_alerts,
    rollout,
    stages,
    trends,
    watcher_alerts,
)
from alerts.rule import Group

GROUPS = (
    Group(
        "kvwatch-models.rules",
        (
            *load.RECORDINGS,
            *rollout.RECORDINGS,
            *replicas.RECORDINGS,
            *out_of_sight.RECORDINGS,
            *watcher_alerts.RECORDINGS,
        ),
    ),
    Group("kvwatch-trends.rules", (*trends.RECORDINGS, *forecast.RECORDINGS, *close.RECORDINGS)),
    Group("kvwatch-fleet.rules", fleet.RECORDINGS),
    Group(
        "kvwatch.alerts",
        (
            *advice.RECORDINGS,
            *stages.RECORDINGS,
            *load_alerts.ALERTS,
            engine_alerts.QUEUE_GROWING,
            engine_alerts.QUEUE_STANDS,
            engine_alerts.HUNG,
            *out_of_sight.ALERTS,
            engine_alerts.SLO_AT_RISK,
            engine_alerts.CONGESTION,
            engine_alerts.MODEL_GAP,
            engine_alerts.INVALID,
            *replicas_alerts.ALERTS,
            engine_alerts.HOT,
            *watcher_alerts.ALERTS,
            *rollout.ALERTS,
        ),
    ),
)
"""Groups are evaluated beside each other, the rules of one in order."""

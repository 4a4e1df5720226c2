"""A ticket about the number for autoscalers: it was held at its last valid value, and then went."""

from __future__ import annotations

from alerts.numbers import MEMORY_SECONDS, duration
from alerts.promql import MODEL, UNLESS_EXCUSED
from alerts.replicas import NUMBER
from alerts.rule import FLEET_OF_MODEL, WARNING, Alert
from alerts.words import text
from kvwatch.constants import MINUTE_SECONDS

REMEMBERED = "6h"
"""How long a number that is gone is missed [PromQL]. Choice: a shift; a model that was never sized makes no ticket."""

UNKNOWN = Alert(
    "KvwatchReplicasUnknown",
    f"""
    last_over_time({NUMBER}:hold5m[{REMEMBERED}])
    unless {NUMBER}:hold5m
    and on {MODEL} model:kvwatch_engines:count
    {UNLESS_EXCUSED}
    """,
    WARNING,
    hold=duration(10 * MINUTE_SECONDS),
    keep_firing="5m",
    summary=text("<model><role>: kvwatch no longer says how many replicas it takes"),
    description=text(
        f"""
        Users of <model> may come to wait: an autoscaler that follows kvwatch leaves the replicas as they are.
        To do: set their number by hand, and see why the engines cannot be believed; the runbook says how.
        The last number was <whole value>. For {MEMORY_SECONDS / MINUTE_SECONDS:.0f} minutes it was held, while of less
        than half of the engines a load was known; by <at> it had been gone for 10 more.
        """
    ),
    dashboard=FLEET_OF_MODEL,
    why="A number that nothing supports any more must not go on to size a fleet, and must not go unnoticed.",
)
ALERTS = (UNKNOWN,)

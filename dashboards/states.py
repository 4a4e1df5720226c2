"""The state of an engine as one number, and the words and colour that a panel shows for it."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.style import CALM, DANGER, MUTED, WORRY


@dataclass(frozen=True, slots=True)
class State:
    """One state of an engine.

    Attributes:
        code: Its number; the worst of several engines is the highest.
        name: Two or three words, for a table.
        sentence: What it means for who is on call, short enough to be large.
        color: Green, orange, red, or grey where nothing is known.
    """

    code: int
    name: str
    sentence: str
    color: str


UNKNOWN = State(0, "unknown", "Unknown so far", MUTED)
IDLE = State(1, "idle", "Idle: nothing arrives", CALM)
FINE = State(2, "fine", "Fine: well below limit", CALM)
NEAR = State(3, "nearing limit", "Nearing its limit: act soon", WORRY)
QUEUES = State(4, "queue grows", "Queue grows below the limit", WORRY)
FULL = State(5, "at its limit", "At its limit", DANGER)
EVICTS = State(6, "evicting", "Evicting: work is lost", DANGER)
OVERLOADED = State(7, "overloaded", "Overloaded: queue grows", DANGER)
COLLAPSES = State(8, "overl., evicting", "Overloaded and evicting", DANGER)

STATES = (UNKNOWN, IDLE, FINE, NEAR, QUEUES, FULL, EVICTS, OVERLOADED, COLLAPSES)

NEAR_RATIO = 0.8
"""Share of its limit from which an engine is near it: the default utilization to size replicas for."""

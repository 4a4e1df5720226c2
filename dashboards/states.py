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
        sentence: What it means for who is on call, in one line.
        color: Green, orange, red, or grey where nothing is known.
    """

    code: int
    name: str
    sentence: str
    color: str


UNKNOWN = State(0, "unknown", "Unknown: not enough seen yet", MUTED)
IDLE = State(1, "idle", "Idle: nothing arrives", CALM)
FINE = State(2, "fine", "Fine: well below its limit", CALM)
NEAR = State(3, "near its limit", "Near its limit: add capacity now", WORRY)
QUEUES = State(4, "queue grows early", "Queue grows below the limit: look into it", WORRY)
FULL = State(5, "at its limit", "At its limit: waiting times grow", DANGER)
EVICTS = State(6, "evicting", "Evicting: work is lost and done again", DANGER)
OVERLOADED = State(7, "overloaded", "Overloaded: the queue grows without end", DANGER)
COLLAPSES = State(8, "overloaded, evicting", "Overloaded, and evictions waste work", DANGER)
DOWN = State(9, "down", "Down: kvwatch cannot read this server", DANGER)

STATES = (UNKNOWN, IDLE, FINE, NEAR, QUEUES, FULL, EVICTS, OVERLOADED, COLLAPSES, DOWN)

NEAR_RATIO = 0.8
"""Share of its limit from which an engine is near it: the default utilization to size replicas for."""
EVICTION_LOSS_RATIO = 0.05
"""Share of the throughput lost to eviction from which it is worth a word."""

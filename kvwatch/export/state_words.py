"""The states of an engine in words: a name for a table, a sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kvwatch.core.engine_state import EngineState

STATE_NAMES: Mapping[EngineState, str] = MappingProxyType(
    {
        EngineState.IDLE: "Idle",
        EngineState.WARMING_UP: "Warming up",
        EngineState.FINE: "Fine",
        EngineState.APPROACHING: "Near its limit",
        EngineState.SATURATED: "At its limit",
        EngineState.OVERLOADED: "Overloaded",
        EngineState.EVICTING: "Evicting",
        EngineState.DRAINING: "Queue draining",
        EngineState.STANDING: "Queue stuck",
        EngineState.HUNG: "Hung",
        EngineState.UNKNOWN: "Unknown",
    }
)
"""A word or three for each state, for a table."""

STATE_WORDS: Mapping[EngineState, str] = MappingProxyType(
    {
        EngineState.IDLE: "Nothing arrives.",
        EngineState.WARMING_UP: "Not enough has been seen yet to say how much it can serve.",
        EngineState.FINE: "It serves all that arrives, with room to spare.",
        EngineState.APPROACHING: "It comes near its limit: act before requests wait.",
        EngineState.SATURATED: "It is at its limit: nothing more fits.",
        EngineState.OVERLOADED: "More arrives than it can serve: the queue grows.",
        EngineState.EVICTING: "Memory runs out: requests are thrown out half done and begin again.",
        EngineState.DRAINING: "Requests still wait, but less arrives than it serves: the queue empties by itself.",
        EngineState.STANDING: "Requests wait, and the queue neither grows nor empties.",
        EngineState.HUNG: "Requests are inside, and nothing has moved for a minute or more: it hangs, or vLLM 0.11 or "
        "0.12 still shows requests that were cancelled.",
        EngineState.UNKNOWN: "How much it can serve is not known, and more traffic will not show it.",
    }
)
"""What each state means, in a sentence."""

REPLICA_REASON_WORDS = {
    "surge": "for the surge of the last minute",
    "trend": "for the trend of the load",
    "backlog": "for what waits",
    "missing_engines": "for engines that are out of sight",
    "recent_load": "for the load of minutes ago",
}
"""What makes replicas required more than the load alone needs, by the reasons of ``kvwatch_replicas_added``."""

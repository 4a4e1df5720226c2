"""The state of an engine as one number, and the words and colour that a panel shows for it.

The states are those that kvwatch itself exports (``kvwatch_engine_state``) and shows on its page: a dashboard that
judged by numbers of its own would show red beside green.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.style import CALM, DANGER, MUTED, WORRY
from kvwatch.core.engine_state import SEVERITY, EngineState
from kvwatch.export.state_words import STATE_NAMES


@dataclass(frozen=True, slots=True)
class State:
    """One state of an engine.

    Attributes:
        code: Its number; the worst of several engines is the highest.
        label: The value of the label ``state``.
        name: Two or three words, for a table.
        sentence: What it means for who is on call, short enough to be large.
        color: Green, orange, red, or grey where nothing is known.
    """

    code: int
    label: str
    name: str
    sentence: str
    color: str


_LOOKS = {
    EngineState.IDLE: ("Idle: nothing arrives", CALM),
    EngineState.FINE: ("Fine: room to spare", CALM),
    EngineState.WARMING_UP: ("Warming up", MUTED),
    EngineState.UNKNOWN: ("Not known", MUTED),
    EngineState.DRAINING: ("Queue draining: it recovers by itself", WORRY),
    EngineState.STANDING: ("Queue stuck: it does not empty", WORRY),
    EngineState.APPROACHING: ("Near its limit: act soon", WORRY),
    EngineState.SATURATED: ("At its limit", DANGER),
    EngineState.EVICTING: ("Evicting: work is lost", DANGER),
    EngineState.OVERLOADED: ("Overloaded: queue grows", DANGER),
    EngineState.HUNG: ("Hung: users get no answer", DANGER),
}
STATES = tuple(State(code, state.value, STATE_NAMES[state], *_LOOKS[state]) for code, state in enumerate(SEVERITY))
"""From what can be left alone to what needs somebody now, as on kvwatch's page."""

"""What happens to an engine and what to do about it, in sentences with the numbers that matter."""

from __future__ import annotations

from kvwatch.core.engine_state import EngineState
from kvwatch.export.state_words import REPLICA_REASON_WORDS, STATE_WORDS
from kvwatch.export.summary import FULL_STATES, Summary
from kvwatch.export.words import rate


def sentence(summary: Summary) -> str:
    """What is happening, in plain words."""
    return _SENTENCES.get(summary.state, _plain)(summary)


def action(summary: Summary) -> str | None:
    """What to do; ``None`` where nothing has to be done.

    The cheaper mend comes first: a flag that is to be set, then replicas, and whether the first is enough.
    """
    if summary.state is EngineState.HUNG:
        return "Send it a request by hand, and restart it if no answer comes."
    if summary.state is EngineState.STANDING and summary.standing_seconds is not None:
        return "Look at the log and the device of this engine: more replicas do not help those that wait."
    if summary.state is EngineState.DRAINING:
        return "Nothing: it recovers by itself."
    more = _replicas(summary) if summary.state in FULL_STATES else None
    if summary.seats is not None and summary.gain is not None:
        flag = f"Set --max-num-seqs {summary.seats:.0f} to serve about {summary.gain:.0%} more."
        if more is None or _suffices(summary, summary.gain):
            return flag
        return f"{flag} Not enough alone: {more[0].lower()}{more[1:]}"
    return more


def round_time(seconds: float) -> str:
    """A time as people say it: seconds up to two minutes, then minutes, then hours."""
    if seconds < 120:
        return f"{max(5 * round(seconds / 5), 5)} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _about(seconds: float) -> str:
    return f"about {round_time(seconds)}" if seconds >= 5 else "some seconds"


def _plain(summary: Summary) -> str:
    return STATE_WORDS[summary.state]


def _warming_up(summary: Summary) -> str:
    if summary.seconds_to_rate:
        running = f"{summary.running:.0f} requests run. " if summary.running is not None else ""
        return f"{running}How many arrive is known in {_about(summary.seconds_to_rate)}."
    arrives = f"{rate(summary.arrival_rate)} requests/s arrive. " if summary.arrival_rate else ""
    return f"{arrives}{STATE_WORDS[summary.state]}"


def _fine(summary: Summary) -> str:
    if summary.room is None or summary.service_rate is None:
        return STATE_WORDS[summary.state]
    return f"Room for {rate(summary.room)} more requests/s."


def _approaching(summary: Summary) -> str:
    room = summary.room
    left = f"room for {rate(room)} more requests/s" if room is not None and room > 0 else "no room is left"
    if summary.seconds_to_limit:
        return f"Full in {_about(summary.seconds_to_limit)} at this trend: {left}."
    return f"Near its limit: {left}."


def _overloaded(summary: Summary) -> str:
    if summary.arrival_rate is None or summary.service_rate is None:
        return STATE_WORDS[summary.state]
    waiting = f"; {summary.waiting:,.0f} wait" if summary.waiting else ""
    if summary.arrival_rate <= summary.service_rate:
        return f"The queue grows{waiting}."
    too_much = rate(summary.arrival_rate - summary.service_rate)
    return f"{rate(summary.arrival_rate)} requests/s arrive, {too_much} more than it can serve{waiting}."


def _evicting(summary: Summary) -> str:
    lost = f" {summary.loss:.0%} of the throughput is lost." if summary.loss else ""
    return STATE_WORDS[summary.state] + lost


def _draining(summary: Summary) -> str:
    if summary.waiting is None or summary.drain_seconds is None:
        return STATE_WORDS[summary.state]
    return f"{summary.waiting:,.0f} wait, and less arrives than it serves: empty in {_about(summary.drain_seconds)}."


def _standing(summary: Summary) -> str:
    waiting = f"{summary.waiting:,.0f} wait" if summary.waiting is not None else "Requests wait"
    if summary.standing_seconds is not None:
        return f"{waiting} for {_about(summary.standing_seconds)}, and the engine does not serve them as it should."
    return f"{waiting}; the queue neither grows nor empties."


def _unknown(summary: Summary) -> str:
    return f"How much it can serve is not known: {summary.why}." if summary.why else STATE_WORDS[summary.state]


_SENTENCES = {
    EngineState.WARMING_UP: _warming_up,
    EngineState.FINE: _fine,
    EngineState.APPROACHING: _approaching,
    EngineState.OVERLOADED: _overloaded,
    EngineState.EVICTING: _evicting,
    EngineState.DRAINING: _draining,
    EngineState.STANDING: _standing,
    EngineState.UNKNOWN: _unknown,
}


def _replicas(summary: Summary) -> str | None:
    """How many replicas to run, or that those there are should share better."""
    required, serving = summary.replicas_required, summary.replicas_serving or 1.0
    if required is None:
        return None
    if required > serving:
        reasons = [f"{n:.0f} of them {REPLICA_REASON_WORDS[key]}" for key, n in summary.replicas_added.items() if n]
        because = f" ({', '.join(reasons)})" if reasons else ""
        return f"Run {required:.0f} replicas instead of {serving:.0f}{because}."
    if serving > 1:
        return f"Send it less: the model's {serving:.0f} replicas together have room."
    if summary.seconds_to_limit is not None:
        return "Run one more replica, or be ready to."
    return None


def _suffices(summary: Summary, gain: float) -> bool:
    """Whether a service rate that is higher by ``gain`` serves what arrives."""
    if summary.arrival_rate is None or summary.service_rate is None:
        return True
    return summary.arrival_rate < summary.limit * summary.service_rate * (1 + gain)

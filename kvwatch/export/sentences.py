"""What happens to an engine and what to do about it, in sentences with the numbers that matter."""

from __future__ import annotations

from kvwatch.core.engine_state import EngineState
from kvwatch.export.state_words import REPLICA_REASON_WORDS, STATE_WORDS
from kvwatch.export.summary import FULL_STATES, Summary
from kvwatch.export.words import rate

HOT_RATIO = 1.25
"""ρ of an engine over its model's from which it gets more than its share [1]. Choice: what a balancer's chance alone
seldom does; the alert on a hot replica goes by the same."""


def sentence(summary: Summary) -> str:
    """What is happening, in plain words."""
    return _SENTENCES.get(summary.state, _plain)(summary)


def action(summary: Summary) -> str | None:
    """What to do; ``None`` where nothing has to be done.

    The cheaper mend comes first: a flag that is to be set, then replicas, and whether the first is enough. The alerts
    say the same in the same order (``alerts/load_slots.py``).
    """
    if summary.state is EngineState.STANDING and summary.standing_seconds is not None:
        return "Look at the log and the device of this engine: more replicas do not help those that wait."
    if summary.state in _SIMPLE_ACTIONS:
        return _SIMPLE_ACTIONS[summary.state]
    if summary.state is EngineState.UNKNOWN and not summary.beyond_scope and summary.arrival_rate != 0:
        return "Look the reason up in the runbook KvwatchEstimateInvalid: until then no page warns of an overload here."
    more = _replicas(summary) if summary.state in FULL_STATES else None
    if summary.seats is not None and summary.gain is not None:
        flag = f"Restart it with --max-num-seqs {summary.seats:.0f} to serve about {summary.gain:.0%} more."
        if more is None or _suffices(summary, summary.gain):
            return flag
        return f"{flag} Not enough alone: {more[0].lower()}{more[1:]}"
    return _less(summary) if summary.state is EngineState.EVICTING else more


def why_so_many(summary: Summary) -> str:
    """What makes the replicas required more than the load itself needs, in brackets to be added to their number."""
    reasons = [f"{n:.0f} of them {REPLICA_REASON_WORDS[key]}" for key, n in summary.replicas_added.items() if n]
    return f" ({', '.join(reasons)})" if reasons else ""


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
    left = _about(summary.drain_seconds)
    return f"{summary.waiting:,.0f} still wait, but less arrives than it serves: the queue is empty in {left}."


def _standing(summary: Summary) -> str:
    waiting = f"{summary.waiting:,.0f}" if summary.waiting is not None else "Requests"
    if summary.standing_seconds is not None:
        waited = f"{waiting} have waited for {_about(summary.standing_seconds)}"
        return f"{waited}, and the engine does not serve them as it should."
    return f"{waiting} wait; the queue neither grows nor empties."


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


_SIMPLE_ACTIONS = {
    EngineState.HUNG: "Send it one request. If no answer comes, restart it; if one does, it was only idle.",
    EngineState.DRAINING: "Nothing: it recovers by itself.",
}
"""What to do where no number matters."""


def _replicas(summary: Summary) -> str:
    """How many replicas to run, or that those there are should share better."""
    required, there = summary.replicas_required, summary.replicas or 1.0
    if required is None:
        return "Add replicas; until they serve, take off load that can wait."
    if required > there:
        return f"Run {required:.0f} replicas instead of {there:.0f}{why_so_many(summary)}."
    if there > 1 and (summary.seconds_to_limit is None or _is_hot(summary)):
        return f"Send it less: the model's {there:.0f} replicas together have room."
    return "Start one more replica (an autoscaler would not do so yet)."


def _less(summary: Summary) -> str:
    """What helps an engine that evicts, where no other number of seats does."""
    required, there = summary.replicas_required, summary.replicas
    if required is not None and there is not None and required > there:
        return f"Run {required:.0f} replicas instead of {there:.0f}, or give it more KV memory."
    return "Send it less, or give it more KV memory."


def _is_hot(summary: Summary) -> bool:
    """Whether it carries far more than its model's mean engine; a trend that all share asks for more of them."""
    mean = summary.model_load
    return summary.load is not None and mean is not None and summary.load > HOT_RATIO * mean


def _suffices(summary: Summary, gain: float) -> bool:
    """Whether a service rate that is higher by ``gain`` serves what arrives."""
    if summary.arrival_rate is None or summary.service_rate is None:
        return True
    return summary.arrival_rate < summary.limit * summary.service_rate * (1 + gain)

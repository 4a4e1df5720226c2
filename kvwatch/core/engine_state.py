"""How is this engine? One word from idle to hung, the same on the page, in the metrics, the alerts and the terminal.

The word follows from what a view says at one moment and from nothing else, so that whoever reads the same numbers
finds the same state. A load passes a level when the end of its 90% interval does: chance alone changes no state.
"""

from __future__ import annotations

from enum import StrEnum

from kvwatch.core.signs import Load, Signs
from kvwatch.stats.normal import Z90


class EngineState(StrEnum):
    """The states in the order in which they are exported."""

    IDLE = "idle"
    WARMING_UP = "warming_up"
    FINE = "fine"
    APPROACHING = "approaching"
    SATURATED = "saturated"
    OVERLOADED = "overloaded"
    EVICTING = "evicting"
    DRAINING = "draining"
    STANDING = "standing"
    HUNG = "hung"
    UNKNOWN = "unknown"


SEVERITY: tuple[EngineState, ...] = (
    EngineState.IDLE,
    EngineState.FINE,
    EngineState.WARMING_UP,
    EngineState.UNKNOWN,
    EngineState.DRAINING,
    EngineState.STANDING,
    EngineState.APPROACHING,
    EngineState.SATURATED,
    EngineState.EVICTING,
    EngineState.OVERLOADED,
    EngineState.HUNG,
)
"""From what can be left alone to what needs somebody now."""

EVICTION_LOSS_RATIO = 0.05
"""Share of the throughput lost to eviction from which it is a state of its own [1]. Choice: below it the loss is
within what a service rate is known to."""
WAITING_SECONDS = 10.0
"""A queue that the engine serves in less than this is none [s]. Choice: some scrapes long; Poisson arrivals at a load
of 0.9 make a queue of a second or two again and again."""
TREND_DEVIATIONS = 4.0
"""Standard errors by which a slope is above 0 where its trend is no accident [1]. Choice: the trend is looked at all
day long, and with two an engine would have one by chance some times a day; the alerts ask for as much."""
_STILL_RATIO = 0.5
"""Share of μ − λ, at which a queue should fall, below which it stands [1]. Choice: as far as μ may be off while
requests wait; the queue's trend is known to some per cent over two minutes."""
HALF_LOAD_RATIO = 0.5
"""Share of the limit below which a trend warns of nothing, and memory is not full [1]. Choice: at half a load the
distance to the limit is as long as the way so far, longer than a trend can be carried."""


def is_no_accident(slope: float, lower: float) -> bool:
    """Whether a trend with this slope and lower end of its 90% interval is more than chance makes of steady traffic."""
    return slope > 0 and slope >= TREND_DEVIATIONS * (slope - lower) / Z90


def engine_state(signs: Signs) -> EngineState:
    """The state that the signs show: the gravest first, and a queue that empties before what it leaves behind."""
    if signs.hung:
        return EngineState.HUNG
    load = signs.load
    if load is None:
        return _without_load(signs)
    waits = (signs.queue_seconds or 0.0) >= WAITING_SECONDS
    tests = (
        (_is_overloaded(signs, load), EngineState.OVERLOADED),
        (signs.stands, EngineState.STANDING),
        (waits and load.upper < 1.0 and not _is_still(signs), EngineState.DRAINING),
        (_is_evicting(signs, load), EngineState.EVICTING),
        (_is_saturated(signs, load), EngineState.SATURATED),
        (waits, EngineState.STANDING),
        (_approaches(signs, load), EngineState.APPROACHING),
        (load.value > 0 or bool(signs.running), EngineState.FINE),
    )
    return next((state for holds, state in tests if holds), EngineState.IDLE)


def backlog_drain_seconds(signs: Signs) -> float | None:
    """Time until the queue is empty at μ − λ [s]; ``None`` where nothing waits or it does not surely empty."""
    load, waiting = signs.load, signs.waiting
    if load is None or not waiting or signs.service_rate is None or signs.arrival_rate is None or load.upper >= 1.0:
        return None
    if signs.stands or _is_still(signs):
        return None
    return waiting / (signs.service_rate - signs.arrival_rate)


def _without_load(signs: Signs) -> EngineState:
    """The state while ρ is unknown: what the queue shows, and whether it is only a matter of time."""
    if signs.waiting and (signs.queue_slope_lower or 0.0) > 0:
        return EngineState.OVERLOADED
    if signs.stands:
        return EngineState.STANDING
    return EngineState.WARMING_UP if signs.learning else EngineState.UNKNOWN


def _is_overloaded(signs: Signs, load: Load) -> bool:
    """Surely more arrives than is served: by the rates, or by a queue that grows although no overload has just ended.

    The queue's trend looks back over minutes and still rises while the queue drains. It counts where the load has not
    fallen since: near the limit, or as low for as long as the longest window.
    """
    if load.lower > 1.0:
        return True
    grows = bool(signs.waiting) and (signs.queue_slope_lower or 0.0) > 0
    fell = load.upper < 1.0 and (signs.sustained is None or signs.sustained.upper >= 1.0)
    return grows and (signs.queue_seconds or 0.0) >= WAITING_SECONDS and not fell


def _is_still(signs: Signs) -> bool:
    """Whether the queue surely falls at less than half the rate that the rates promise, and has had the time to fall.

    Its trend looks back over minutes: while it begins to drain, the trend is still that of before.
    """
    if signs.queue_slope_lower is None or signs.service_rate is None or signs.arrival_rate is None:
        return False
    promised = signs.service_rate - signs.arrival_rate
    long_ago = signs.sustained is not None and signs.sustained.upper < 1.0
    return long_ago and signs.queue_slope_lower > -_STILL_RATIO * promised


def _is_evicting(signs: Signs, load: Load) -> bool:
    """Work is lost now; at half a load memory is not full, and what a minute has lost is left of an overload before."""
    return (signs.loss_ratio or 0.0) > EVICTION_LOSS_RATIO and load.upper >= HALF_LOAD_RATIO * signs.limit


def _is_saturated(signs: Signs, load: Load) -> bool:
    """At the limit: surely, or by both windows."""
    sustained = signs.sustained.value if signs.sustained is not None else 0.0
    return load.lower >= signs.limit or min(load.value, sustained) >= signs.limit


def _approaches(signs: Signs, load: Load) -> bool:
    """Surely above what a replica is sized for, or on a way to the limit that is shorter than a new replica takes."""
    if load.lower >= signs.target_utilization * signs.limit:
        return True
    if signs.seconds_to_limit is None or load.value < HALF_LOAD_RATIO * signs.limit:
        return False
    return signs.seconds_to_limit <= signs.scale_up_seconds

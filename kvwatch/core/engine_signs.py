"""What of an engine's view its state follows from."""

from __future__ import annotations

from kvwatch.core.engine_state import EngineState, backlog_drain_seconds, engine_state, is_no_accident
from kvwatch.core.signs import Load, Signs
from kvwatch.core.states import one_of
from kvwatch.estimate import Estimate, Reason
from kvwatch.views import EngineView

LEARNING_REASONS = frozenset(
    {
        Reason.WARMING_UP,
        Reason.RESTART,
        Reason.ABORTS,
        Reason.NO_BUSY_INTERVALS,
        Reason.TOO_FEW_REQUESTS,
        Reason.LAW_UNKNOWN,
        Reason.DELTA_UNKNOWN,
    }
)
"""Reasons that end by themselves as traffic goes on."""


def signs_of(view: EngineView) -> Signs:
    """The signs in a view of an engine that answers."""
    rho, limit = view.utilization, view.stable_limit
    loads = {
        window: Load(value, rho.lower[window], rho.upper[window])
        for window, value in rho.value.items()
        if window in rho.lower and window in rho.upper
    }
    missing = {answer.verdict for answer in (view.arrival_rate, view.service_rate) if not answer.value}
    shortest, longest = next(iter(loads), None), next(reversed(loads), None)
    return Signs(
        running=view.running_requests,
        waiting=view.queue_length,
        load=loads[shortest] if shortest is not None else None,
        sustained=loads[longest] if longest is not None and longest != shortest else None,
        stable_limit=limit.value if limit.verdict in (None, Reason.OK) else None,
        service_rate=view.service_rate.value,
        arrival_rate=view.arrival_rate.value.get(shortest) if shortest is not None else None,
        queue_slope_lower=view.queue_slope.lower,
        stands=view.queue_standing_seconds is not None,
        loss_ratio=view.congestion_loss_ratio,
        seconds_to_limit=view.time_to_saturation_seconds if _rises(view.arrival_rate_slope) else None,
        scale_up_seconds=view.scale_up_seconds or 0.0,
        target_utilization=view.target_utilization or 1.0,
        learning=missing <= LEARNING_REASONS | {None},
    )


def _rises(trend: Estimate) -> bool:
    return trend.value is not None and trend.lower is not None and is_no_accident(trend.value, trend.lower)


def state_fields(view: EngineView) -> tuple[dict[str, float], float | None]:
    """The view's ``engine_state``, in which one state is 1 and the others 0, and its ``backlog_drain_seconds``."""
    signs = signs_of(view)
    return one_state(engine_state(signs)), backlog_drain_seconds(signs)


def one_state(state: EngineState) -> dict[str, float]:
    """A state set: 1 for the state that is, 0 for each other."""
    return one_of((other.value for other in EngineState), state.value)

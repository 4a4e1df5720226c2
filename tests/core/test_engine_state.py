"""The state of an engine: which signs make which state, and that no two answers contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.core.engine_signs import one_state, signs_of
from kvwatch.core.engine_state import (
    SEVERITY,
    WAITING_SECONDS,
    EngineState,
    backlog_drain_seconds,
    engine_state,
    is_no_accident,
)
from kvwatch.core.signs import LOWEST_LIMIT_RATIO, Load, Signs
from kvwatch.estimate import Estimate, Reason
from kvwatch.export.state_words import STATE_WORDS
from kvwatch.stats.normal import Z90
from kvwatch.views import EngineView

MU = 10.0
FINE = Signs(
    running=5.0,
    waiting=0.0,
    load=Load(0.5, 0.45, 0.55),
    sustained=Load(0.5, 0.47, 0.53),
    stable_limit=0.95,
    service_rate=MU,
    arrival_rate=5.0,
    queue_slope_lower=0.0,
    loss_ratio=0.0,
    scale_up_seconds=600.0,
    target_utilization=0.8,
)


def at_load(rho: float, waiting: float = 0.0, half_width: float = 0.05) -> Signs:
    """An engine that has been at this load for minutes."""
    load = Load(rho, rho - half_width, rho + half_width)
    return replace(FINE, load=load, sustained=load, arrival_rate=rho * MU, waiting=waiting)


@pytest.mark.parametrize(
    ("signs", "state"),
    [
        (replace(at_load(0.0, half_width=0.0), running=0.0), EngineState.IDLE),
        (FINE, EngineState.FINE),
        (at_load(0.9), EngineState.APPROACHING),
        (at_load(1.0), EngineState.SATURATED),
        (at_load(1.2), EngineState.OVERLOADED),
        (replace(FINE, loss_ratio=0.2), EngineState.EVICTING),
        (replace(at_load(0.3, waiting=200.0), queue_slope_lower=-8.0), EngineState.DRAINING),
        (replace(at_load(0.3, waiting=200.0), queue_slope_lower=-1.0), EngineState.STANDING),
        (replace(FINE, stands=True), EngineState.STANDING),
        (Signs(running=1.0, waiting=14.0, stands=True), EngineState.STANDING),
        (at_load(0.92, waiting=200.0, half_width=0.1), EngineState.STANDING),
        (replace(FINE, hung=True), EngineState.HUNG),
        (Signs(running=3.0, waiting=0.0, learning=True), EngineState.WARMING_UP),
        (Signs(running=3.0, waiting=0.0), EngineState.UNKNOWN),
    ],
    ids=lambda value: value.value if isinstance(value, EngineState) else "",
)
def test_each_state_has_signs_that_make_it(signs: Signs, state: EngineState) -> None:
    """An example for each state."""
    assert engine_state(signs) is state


def test_every_state_has_a_sentence_and_a_severity() -> None:
    """No state without words, none twice in the order."""
    assert set(STATE_WORDS) == set(EngineState)
    assert sorted(SEVERITY) == sorted(EngineState)


def test_what_drains_is_not_called_evicting_or_overloaded() -> None:
    """An hour's incident after its last arrival: 200 wait, memory is full and evicts, and ρ of five minutes is 1.29."""
    after = replace(
        at_load(0.0, waiting=200.0, half_width=0.0),
        sustained=Load(1.29, 1.2, 1.4),
        loss_ratio=0.3,
        queue_slope_lower=0.4,
    )
    assert engine_state(after) is EngineState.DRAINING
    assert backlog_drain_seconds(after) == pytest.approx(20.0)


def test_what_an_overload_leaves_behind_is_no_eviction() -> None:
    """Nothing arrives and the last five requests of the queue start: what a minute ago was evicted is over."""
    nearly_over = replace(at_load(0.0, waiting=5.0, half_width=0.0), loss_ratio=0.3)
    assert engine_state(nearly_over) is EngineState.FINE
    assert engine_state(replace(FINE, loss_ratio=0.3)) is EngineState.EVICTING


def test_one_window_alone_must_be_sure_of_the_limit() -> None:
    """In an engine's first minutes ρ of one minute touches 1 by chance, known to a fifth."""
    early = replace(at_load(1.0, half_width=0.2), sustained=None)
    assert engine_state(early) is not EngineState.SATURATED
    assert engine_state(replace(early, sustained=Load(1.0, 0.9, 1.1))) is EngineState.SATURATED


def test_a_queue_that_still_grows_long_after_the_load_fell_is_an_overload() -> None:
    """ρ says there is room and the queue says there is none: what is seen counts more than what is computed."""
    assert engine_state(replace(at_load(0.7, waiting=200.0), queue_slope_lower=0.5)) is EngineState.OVERLOADED


def test_a_request_that_waits_for_a_moment_changes_nothing() -> None:
    """A queue of less than ten seconds' work is what Poisson arrivals do to a healthy engine."""
    short = at_load(0.5, waiting=0.9 * WAITING_SECONDS * MU)
    assert engine_state(short) is EngineState.FINE
    longer = replace(short, waiting=1.1 * WAITING_SECONDS * MU, queue_slope_lower=-6.0)
    assert engine_state(longer) is EngineState.DRAINING


def test_a_wide_interval_across_a_level_passes_none() -> None:
    """ρ of 1.1 known to ±0.4 is no sure overload; of 1.1 known to ±0.05 it is one."""
    assert engine_state(replace(at_load(1.1, half_width=0.4), sustained=FINE.sustained)) is EngineState.FINE
    assert engine_state(at_load(1.1)) is EngineState.OVERLOADED


def test_a_trend_warns_only_within_the_time_a_replica_takes_and_from_half_a_load_on() -> None:
    """Full in ten minutes is worth a word where a replica takes ten; at a quarter of the load it is not."""
    soon = replace(FINE, seconds_to_limit=599.0)
    assert engine_state(soon) is EngineState.APPROACHING
    assert engine_state(replace(soon, seconds_to_limit=601.0)) is EngineState.FINE
    assert engine_state(replace(at_load(0.25), seconds_to_limit=60.0)) is EngineState.FINE


def test_a_trend_that_chance_makes_of_steady_traffic_warns_of_nothing() -> None:
    """Four standard errors: the alerts ask for as much. A 90% interval that just leaves out 0 is 1.64 of them."""
    assert is_no_accident(4.1, 4.1 - Z90)
    assert not is_no_accident(3.9, 3.9 - Z90)
    assert not is_no_accident(-4.0, -5.0)
    rising = EngineView(
        "a:1",
        "m",
        "0",
        arrival_rate_slope=Estimate(0.01, 0.008, 0.012),
        time_to_saturation_seconds=300.0,
    )
    assert signs_of(rising).seconds_to_limit == 300.0
    assert signs_of(replace(rising, arrival_rate_slope=Estimate(0.01, 0.002, 0.018))).seconds_to_limit is None


def test_one_large_request_does_not_make_an_engine_full() -> None:
    """A stable limit of 0.4, as one request of half the memory makes it, counts as 0.85."""
    assert Signs(stable_limit=0.4).limit == LOWEST_LIMIT_RATIO
    assert engine_state(replace(FINE, stable_limit=0.4)) is EngineState.FINE


def test_the_drain_is_absent_where_nothing_drains() -> None:
    """No queue, an overload, or a load that may be one."""
    assert backlog_drain_seconds(FINE) is None
    assert backlog_drain_seconds(at_load(1.2, waiting=50.0)) is None
    assert backlog_drain_seconds(at_load(0.98, waiting=50.0)) is None
    assert backlog_drain_seconds(Signs(waiting=50.0)) is None


bounded = st.floats(0, 3).flatmap(
    lambda rho: st.floats(0, 0.5).map(lambda half: Load(rho, max(rho * (1 - half), 0.0), rho * (1 + half)))
)


@given(
    signs=st.builds(
        Signs,
        running=st.none() | st.floats(0, 500),
        waiting=st.none() | st.floats(0, 5000),
        load=st.none() | bounded,
        sustained=st.none() | bounded,
        stable_limit=st.none() | st.floats(0, 1),
        service_rate=st.none() | st.floats(0.01, 100),
        arrival_rate=st.none() | st.floats(0, 300),
        queue_slope_lower=st.none() | st.floats(-10, 10),
        loss_ratio=st.none() | st.floats(0, 1),
        seconds_to_limit=st.none() | st.floats(0, 1e5),
        learning=st.booleans(),
    )
)
def test_any_signs_make_one_state_without_contradiction(signs: Signs) -> None:
    """Whatever is known: never overloaded below a load that is surely room, never fine or idle above one."""
    state = engine_state(signs)
    assert sum(one_state(state).values()) == 1
    if signs.load is not None and signs.load.lower > 1:
        assert state is EngineState.OVERLOADED
    if state in (EngineState.FINE, EngineState.IDLE):
        assert signs.load is not None
        assert signs.load.lower < signs.limit
        assert (signs.queue_seconds or 0.0) < WAITING_SECONDS


def test_a_view_without_estimates_is_warming_up_and_one_without_metrics_is_unknown() -> None:
    """What comes with time is told from what never comes."""
    early = EngineView("a:1", "m", "0", running_requests=1.0)
    waits = replace(early, service_rate=Estimate(verdict=Reason.LAW_UNKNOWN))
    never = replace(early, service_rate=Estimate(verdict=Reason.CAPACITY_UNKNOWN))
    assert engine_state(signs_of(waits)) is EngineState.WARMING_UP
    assert engine_state(signs_of(never)) is EngineState.UNKNOWN


def test_a_stable_limit_that_is_only_a_bound_is_not_gone_by() -> None:
    """A bucket's edge makes δ far too large."""
    view = EngineView("a:1", "m", "0", stable_limit=Estimate(0.9, verdict=Reason.OK))
    doubted = replace(view, stable_limit=Estimate(0.9, verdict=Reason.DELTA_IS_BOUND))
    assert signs_of(view).limit == 0.9
    assert signs_of(doubted).limit == 1.0


def test_a_queue_drains_at_the_rate_that_what_still_arrives_leaves() -> None:
    """Ten a second are served and three arrive: seventy that wait are gone in ten seconds."""
    draining = replace(at_load(0.3, waiting=70.0), queue_slope_lower=-7.0)
    assert backlog_drain_seconds(draining) == pytest.approx(10.0)
    assert backlog_drain_seconds(replace(draining, queue_slope_lower=-3.4)) is None

"""With async scheduling a step is composed while the one before begins to run, as vLLM does on GPUs."""

from __future__ import annotations

import pytest

from kvwatch.embedded.engine import Engine
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Arrival

STEP_SECONDS = 0.25
SETTINGS = SchedulerSettings(num_blocks=100, max_num_seqs=8, max_num_batched_tokens=64, max_model_len=400)


def engine(*, async_scheduling: bool) -> Engine:
    """One request that decodes from 0 on, and one that comes within its fourth step."""
    arrivals = [Arrival(0.0, RequestShape(10, 40)), Arrival(3.4 * STEP_SECONDS, RequestShape(10, 5))]
    clock = StepClock(StepLaw(STEP_SECONDS))
    return Engine(SETTINGS, clock, arrivals, async_scheduling=async_scheduling)


def test_a_prefill_holds_the_step_before_it_too() -> None:
    """Composed already is the step that begins after the arrival: first token, and prefill time, a step later."""
    sync, asynchronous = (engine(async_scheduling=a) for a in (False, True))
    times = {}
    for name, running in (("sync", sync), ("async", asynchronous)):
        running.advance(100.0)
        _, second = sorted(running.take_ended(), key=lambda request: request.arrival)
        assert second.first_token is not None
        assert second.first_scheduled is not None
        times[name] = (second.first_token, second.first_token - second.first_scheduled)
    assert times["sync"] == pytest.approx((5 * STEP_SECONDS, STEP_SECONDS))
    assert times["async"] == pytest.approx((6 * STEP_SECONDS, 2 * STEP_SECONDS))


def test_an_idle_engine_composes_a_step_when_a_request_comes() -> None:
    """There is no step before it to wait for."""
    running = engine(async_scheduling=True)
    running.advance(STEP_SECONDS)
    assert running.counters.running == 1
    assert running.counters.time_to_first_token.total == pytest.approx(STEP_SECONDS)


def test_whoever_comes_as_the_last_request_ends_is_served_at_once() -> None:
    """No step follows one in which all requests end, so the next is composed when a request is there."""
    arrivals = [Arrival(0.0, RequestShape(10, 2)), Arrival(1.5 * STEP_SECONDS, RequestShape(10, 1))]
    running = Engine(SETTINGS, StepClock(StepLaw(STEP_SECONDS)), arrivals, async_scheduling=True)
    running.advance(100.0)
    _, second = sorted(running.take_ended(), key=lambda request: request.arrival)
    assert second.first_token == pytest.approx(3 * STEP_SECONDS)


def test_as_many_steps_are_made_either_way() -> None:
    """What is composed early delays requests by a step, and takes no step more for it."""
    sync, asynchronous = (engine(async_scheduling=a) for a in (False, True))
    for running in (sync, asynchronous):
        running.advance(100.0)
    assert sync.scheduler.steps == asynchronous.scheduler.steps == 40

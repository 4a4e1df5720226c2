"""What is known is held against what is seen after a restart, and waiting against the room that is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kvwatch.facts import EngineSample
from tests.core.synthetic import START, TARGET, Ask, SyntheticEngine, Watch, poisson

LATER = START + 400.0
Lengths = Callable[[np.random.Generator], tuple[int, int]]


def _short(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(20, 100)), int(rng.integers(10, 60))


def _long(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(20, 100)), int(rng.integers(200, 400))


def _later(rate: float, lengths: Lengths) -> list[Ask]:
    return poisson(rate, 800, lengths=lengths, start=LATER)


def _engine(asks: list[Ask], step_seconds: float = 0.02) -> SyntheticEngine:
    return SyntheticEngine(asks, step_seconds=step_seconds, now=LATER)


def _state_of(engine: SyntheticEngine) -> list[dict[str, object]]:
    """What is saved after five minutes of watching an engine."""
    watch = Watch(engine)
    watch.run(300)
    state: list[dict[str, object]] = json.loads(json.dumps(watch.fleet.dump()[TARGET]))
    return state


def _watch(engine: SyntheticEngine, state: list[dict[str, object]]) -> Watch:
    watch = Watch(engine)
    watch.fleet.restore(TARGET, state)
    return watch


@pytest.mark.parametrize(("before", "now"), [(0.04, 0.02), (0.03, 0.02)])
def test_a_law_learnt_on_slower_hardware_is_given_up_within_a_minute(before: float, now: float) -> None:
    """A pod has moved to another kind of node while kvwatch was down: its state file tells the old one's steps."""
    state = _state_of(SyntheticEngine(poisson(20, 400), step_seconds=before))
    asks = poisson(20, 800, start=LATER)
    without = Watch(_engine(asks, now)).run(180)
    told = _watch(_engine(asks, now), state).run(60)
    assert told.step_seconds.value["saturated"] == pytest.approx(without.step_seconds.value["saturated"], rel=0.2)
    assert told.service_rate.value == pytest.approx(without.service_rate.value, rel=0.2)


@pytest.mark.parametrize(("before", "now"), [(0.02, 0.03), (0.01, 0.03), (0.02, 0.04)])
def test_after_a_move_to_slower_hardware_the_service_rate_errs_downwards(before: float, now: float) -> None:
    """More requests run at once there: steps at a load not seen before make the law steeper than it is, for minutes.

    The interval holds the truth after two of them, not always after one.
    """
    state = _state_of(SyntheticEngine(poisson(20, 400), step_seconds=before))
    asks = poisson(20, 800, start=LATER)
    truth = Watch(_engine(asks, now)).run(600).service_rate.value
    told = _watch(_engine(asks, now), state).run(120)
    assert truth is not None and told.service_rate.value is not None
    assert told.service_rate.lower is not None and told.service_rate.upper is not None
    assert 0.6 * truth < told.service_rate.value < 1.1 * truth
    assert told.service_rate.lower < truth < told.service_rate.upper


def test_a_law_is_doubted_when_the_server_itself_starts_anew() -> None:
    """Only the server was changed: the new process makes steps of a third of the time."""
    engine = SyntheticEngine(poisson(20, 900), step_seconds=0.03)
    watch = Watch(engine)
    slow = watch.run(400)
    engine.restart()
    engine.step_seconds = 0.01
    fast = watch.run(60)
    assert fast.step_seconds.value["saturated"] < 0.6 * slow.step_seconds.value["saturated"]


def test_lengths_of_other_traffic_are_given_up() -> None:
    """While kvwatch was down chats gave way to long answers: what was restored does not dilute them for long."""
    state = _state_of(SyntheticEngine(poisson(5, 400, lengths=_short)))
    fresh = Watch(_engine(_later(1, _long))).run(400)
    told = _watch(_engine(_later(1, _long)), state).run(240)
    assert told.service_rate.value is not None and fresh.service_rate.value is not None
    assert told.service_rate.value == pytest.approx(fresh.service_rate.value, rel=0.3)


def test_waiting_beside_room_in_all_limits_is_no_overload() -> None:
    """An older server does not say why requests wait: four that wait for a LoRA slot do not make the rate the limit."""

    def show(sample: EngineSample) -> EngineSample:
        return replace(sample, waiting=4.0, waiting_capacity=None, waiting_deferred=None)

    clean = Watch(SyntheticEngine(poisson(3, 700))).run(600)
    view = Watch(SyntheticEngine(poisson(3, 700)), show=show).run(600)
    assert view.observed_service_rate is None
    assert view.service_rate.value is not None and clean.service_rate.value is not None
    assert view.service_rate.value == pytest.approx(clean.service_rate.value, rel=0.1)

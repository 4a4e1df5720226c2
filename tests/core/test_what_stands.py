"""An engine in which requests stand is not idle, however few arrive: it hangs or its queue stands, and it says so.

The faults are those of public reports: transfers that never come, one endless request in the last of the memory, a
device that throttles, gauges that a mass cancel leaves behind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from kvwatch.estimate import Reason
from kvwatch.facts import EngineSample
from kvwatch.views import EngineView, TargetView
from tests.core.synthetic import SEATS_KNOWN, START, TARGET, Ask, SyntheticEngine, Watch, poisson

BEFORE = 200.0
"""Seconds of healthy traffic before each fault."""


def target_of(watch: Watch) -> TargetView:
    """The one target as it is exported now."""
    (target,) = watch.fleet.view(watch.at).targets
    return target


def state_of(view: EngineView) -> str:
    """The one state that the view says."""
    (state,) = (state for state, value in view.engine_state.items() if value)
    return state


def healthy() -> Watch:
    """An engine after some minutes at a moderate load, of which nothing more arrives."""
    watch = Watch(SyntheticEngine(poisson(10, BEFORE - 20)))
    view = watch.run(BEFORE)
    assert view.service_rate.value is not None
    assert state_of(view) in ("fine", "idle")
    return watch


@pytest.mark.parametrize(
    "waiting",
    [
        {"waiting": 6.0, "waiting_capacity": 0.0, "waiting_deferred": 6.0},
        {"waiting": 6.0, "waiting_capacity": 6.0, "waiting_deferred": 0.0},
        {"waiting": 6.0, "waiting_capacity": None, "waiting_deferred": None},
        {"waiting": None, "waiting_capacity": 0.0, "waiting_deferred": 6.0},
        {"waiting": 0.0, "waiting_capacity": 0.0, "waiting_deferred": 0.0, "running": 3.0},
    ],
    ids=["deferred", "capacity", "old", "by_reason_only", "running"],
)
def test_requests_that_do_not_move_for_a_minute_hang_whatever_they_wait_for(waiting: dict[str, float | None]) -> None:
    """A decode pool whose transfers never come is out of service: it is no engine without load."""
    watch = healthy()
    stuck = replace(watch.engine.sample(), **{"running": 0.0, "kv_usage_ratio": 0.0} | waiting)  # type: ignore[arg-type]
    watch.show = lambda _: stuck
    for _ in watch.seconds(65):
        pass
    target = target_of(watch)
    assert not target.up
    assert not target.engines
    (hung,) = target.hung
    assert state_of(hung) == "hung"
    assert "hangs" in target.problem
    assert "cancelled" in target.problem, "gauges that are stale look the same, and must be named too"


def test_deferred_requests_that_pile_up_beside_a_standing_engine_hang_too() -> None:
    """The queue grows while nothing else moves: arrivals are no progress."""
    watch, begun = healthy(), START + BEFORE
    still = watch.engine.sample()

    def show(_: EngineSample) -> EngineSample:
        stuck = 1.0 + (watch.at - begun) // 20
        return replace(still, running=0.0, waiting=stuck, waiting_capacity=0.0, waiting_deferred=stuck)

    watch.show = show
    for _ in watch.seconds(70):
        pass
    assert not target_of(watch).up


def test_gauges_left_by_a_mass_cancel_recover_with_the_first_request() -> None:
    """Nobody can tell them from a hang; the first counter that moves can."""
    engine = SyntheticEngine(poisson(10, 100) + poisson(1, 200, seed=2, start=START + 300))
    watch = Watch(engine)
    watch.run(100)
    frozen = engine.sample()
    engine.abort()
    stale = {"running": frozen.running, "waiting": frozen.waiting, "kv_usage_ratio": frozen.kv_usage_ratio}
    watch.show = lambda sample: replace(sample, **stale)  # type: ignore[arg-type]
    for _ in watch.seconds(190):
        pass
    assert not target_of(watch).up
    watch.show = lambda sample: sample
    for _ in watch.seconds(30):
        pass
    target = target_of(watch)
    assert target.up
    assert not target.hung


@dataclass(frozen=True)
class HeldUp:
    """An engine with ``seats`` endless requests, others behind them, and more that come at ``rate`` [requests/s]."""

    step_seconds: float
    seats: int
    waiting: int
    rate: float = 0.0
    seen_after: float = 90.0


def crawling(held: HeldUp) -> Watch:
    """A healthy engine that is held up from now on."""
    watch = healthy()
    engine = watch.engine
    engine.abort()
    engine.seats, engine.step_seconds = held.seats, held.step_seconds
    endless = [Ask(watch.at, 400, 10**6) for _ in range(held.seats)]
    behind = [Ask(watch.at + 0.1, 100, 80) for _ in range(held.waiting)]
    later = [Ask(watch.at + 1 + i / held.rate, 100, 80) for i in range(int(900 * held.rate))] if held.rate else []
    engine.coming.extend([*endless, *behind, *later])
    return watch


@pytest.mark.long
@pytest.mark.parametrize(
    "held",
    [HeldUp(0.185, 1, 14), HeldUp(0.02, 1, 14), HeldUp(2.0, 8, 3), HeldUp(0.5, 1, 5, rate=0.02, seen_after=150)],
    ids=["crawl", "endless", "throttled", "trickle"],
)
@pytest.mark.parametrize("told", [True, False], ids=["by_reason", "old"])
def test_a_queue_behind_requests_that_never_end_stands(held: HeldUp, told: bool) -> None:
    """One runs for an hour while others wait: seen within minutes, and for as long as it lasts.

    The windows of lengths run empty after two minutes; from then on three mean lives without a finish must show it.
    """
    watch = crawling(held)
    if told:
        watch.show = lambda s: replace(s, waiting_capacity=s.waiting, waiting_deferred=0.0)
    begun = watch.at
    for at in watch.seconds(900):
        if at - begun < held.seen_after or (at - begun) % 60:
            continue
        view = watch.view()
        assert state_of(view) in ("standing", "overloaded")
        assert view.utilization.verdict is Reason.QUEUE_STANDS
        assert not view.utilization.value, "no ρ is right while nobody is served"
        assert view.service_rate.value is None
        assert view.queue_standing_seconds == pytest.approx(at - begun, abs=5)
    assert held.rate or state_of(watch.view()) == "standing"


def test_a_queue_that_was_held_up_is_served_again_and_says_so() -> None:
    """The endless request is cancelled: ρ is back once the queue is gone."""
    watch = crawling(HeldUp(0.02, 1, 14))
    watch.run(300)
    watch.engine.abort(running=1, waiting=0)
    watch.engine.seats = None
    watch.engine.coming.extend(poisson(10, 200, seed=3, start=watch.at))
    view = watch.run(120)
    assert view.queue_standing_seconds is None
    assert view.utilization.value


def test_an_overload_is_no_standing_queue() -> None:
    """What waits is served as fast as the engine can: the queue grows, and ρ says by how much."""
    watch = Watch(SyntheticEngine(poisson(20, 400), seats=12), settings=replace(SEATS_KNOWN, max_num_seqs=12))
    for at in watch.seconds(300):
        if at > START + 90:
            assert watch.view().queue_standing_seconds is None
    assert state_of(watch.view()) == "overloaded"


def _long_prompts(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(10_000, 20_000)), int(rng.integers(2, 6))


def test_prompts_that_hold_back_decoding_are_no_standing_queue() -> None:
    """A burst of long prompts: hardly a token is generated, and every request is served in its turn."""
    chats = poisson(6, 200)
    prompts = poisson(3, 120, seed=4, lengths=_long_prompts, start=START + 200)
    watch = Watch(SyntheticEngine([*chats, *prompts], seats=10), settings=replace(SEATS_KNOWN, max_num_seqs=10))
    for _ in watch.seconds(320):
        assert watch.view().queue_standing_seconds is None


def test_a_queue_that_drains_is_no_standing_one() -> None:
    """Hundreds wait after a burst, nothing arrives: it drains, and says when it is done."""
    asks = poisson(8, 200) + [Ask(START + 200, 100, 80) for _ in range(1500)]
    watch = Watch(SyntheticEngine(asks, seats=16), settings=replace(SEATS_KNOWN, max_num_seqs=16))
    view = watch.run(290)
    assert view.queue_length
    assert state_of(view) == "draining"
    assert view.queue_standing_seconds is None
    assert view.backlog_drain_seconds is not None


def test_deferred_requests_whose_number_never_changes_are_parked() -> None:
    """Others are served beside them; those fourteen are not."""
    watch = Watch(SyntheticEngine(poisson(10, 900)))
    watch.show = lambda s: replace(s, waiting=14.0, waiting_capacity=0.0, waiting_deferred=14.0)
    assert watch.run(200).queue_standing_seconds is None
    view = watch.run(150)
    assert state_of(view) == "standing"
    assert view.queue_standing_seconds == pytest.approx(350, abs=5)
    assert view.utilization.verdict is Reason.OK, "those beside them are served as ever"


def test_deferred_requests_that_come_and_go_are_not_parked() -> None:
    """A LoRA slot that they wait for is theirs in seconds."""
    watch = Watch(SyntheticEngine(poisson(10, 900)))

    def show(sample: EngineSample) -> EngineSample:
        deferred = 3.0 + int(watch.at) % 7
        return replace(sample, waiting=deferred, waiting_capacity=0.0, waiting_deferred=deferred)

    watch.show = show
    view = watch.run(400)
    assert view.queue_standing_seconds is None
    assert state_of(view) == "fine"


def test_an_engine_that_sleeps_with_a_queue_is_asleep() -> None:
    """Its requests wait for somebody to wake it: that has a reason of its own."""
    watch = crawling(HeldUp(0.02, 1, 14))
    watch.show = lambda s: replace(s, asleep=True)
    assert watch.run(120).queue_standing_seconds is None


def test_the_pool_of_an_engine_that_stands_is_not_scaled_down() -> None:
    """What is asked for while nobody is served is what was asked for before."""
    watch = crawling(HeldUp(0.185, 1, 14))
    before = watch.fleet.view(watch.at).models[0].replicas_required
    watch.run(240)
    (model,) = watch.fleet.view(watch.at).models
    assert model.replicas_required is None or before is None or model.replicas_required >= before
    assert TARGET in {t.target for t in watch.fleet.view(watch.at).targets}

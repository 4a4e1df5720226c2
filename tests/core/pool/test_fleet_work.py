"""The number of replicas does not forget the work that is inside, nor take a hung engine for an idle one."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.core.pool.replicas_required import Need, Sizing
from kvwatch.estimate import KeyedEstimate, Reason
from kvwatch.views import TargetView
from tests.core.pool.test_fleet_model import OPTIONS, Replica, one, steady
from tests.core.synthetic import SyntheticEngine, Watch, poisson


def _inside(replica: Replica, now: float, running: float, waiting: float) -> TargetView:
    """The replica's target with so many requests inside."""
    target = replica.view(now)
    (engine,) = target.engines
    return replace(target, engines=(replace(engine, running_requests=running, queue_length=waiting),))


def test_while_anything_runs_one_replica_is_needed() -> None:
    """Half an hour after the last arrival long answers are still being written."""
    replicas = steady(2, 0.0)
    for running, needed in ((18.0, 1.0), (0.0, 0.0)):
        model = FleetModel(OPTIONS)
        assert one(model, 0.0, [_inside(r, 0.0, running, 0.0) for r in replicas]).replicas_required == needed


def test_a_queue_keeps_the_number_until_it_is_worked_off() -> None:
    """A burst that has ended: λ is 0 after five minutes, and nine hundred requests still wait."""
    model, numbers = FleetModel(OPTIONS), []
    replicas = steady(4, 3.0)
    for replica in replicas:
        replica.changes.append((300.0, 0.0))
    for now in range(0, 3000, 10):
        waiting = 900.0 if now < 2000 else 0.0
        view = one(model, float(now), [_inside(r, float(now), 16.0 if waiting else 0.0, waiting) for r in replicas])
        numbers.append(view.replicas_required)
    assert set(numbers[: 2000 // 10]) == {3.0}
    assert numbers[-1] == 0.0


def test_an_engine_whose_arrivals_cannot_be_counted_just_now_does_not_lower_the_number() -> None:
    """Clients of two of four engines give up in a mass: λ is unknown there, and has not fallen."""
    model, replicas = FleetModel(OPTIONS), steady(4, 3.0)
    gone = KeyedEstimate(verdict=Reason.ABORTS)
    for now in range(0, 900, 10):
        views = [r.view(float(now)) for r in replicas]
        if now >= 300:
            for i in range(2):
                (engine,) = views[i].engines
                silent = replace(engine, arrival_rate=gone, utilization=KeyedEstimate())
                views[i] = replace(views[i], engines=(silent,))
        required = one(model, float(now), views).replicas_required
        assert required == 3.0 if now < 300 + 240 else required in {3.0, None}


def test_one_replica_that_never_gets_ready_does_not_keep_the_first_number_away() -> None:
    """After the hold the number is what those need that are known, and it may rise."""
    sizing = Sizing(hold_seconds=300, calm_seconds=300)
    assert sizing.update(0, Need(4.2, 0.0), complete=False) is None
    assert sizing.update(299, Need(4.2, 0.0), complete=False) is None
    assert sizing.update(301, Need(4.2, 0.0), complete=False) == 5
    assert sizing.update(400, Need(6.1, 0.0), complete=False) == 7


def test_an_engine_on_which_nothing_moves_is_withheld() -> None:
    """A hung engine answers with the same page for ever: no arrivals, requests inside. It is not idle."""
    watch = Watch(SyntheticEngine(poisson(20, 900)))
    watch.run(200)
    hung = watch.engine.sample()
    assert hung.running
    watch.show = lambda _sample: hung
    for _ in watch.seconds(59):
        pass
    assert watch.fleet.view(watch.at).targets[0].engines
    for _ in watch.seconds(10):
        pass
    (target,) = watch.fleet.view(watch.at).targets
    assert target.engines == ()
    assert not target.up
    assert target.withheld == ("m",)
    assert "no counter has moved" in target.problem
    (shown,) = target.hung
    assert shown.engine_state["hung"] == 1
    assert shown.running_requests is None
    watch.show = lambda sample: sample
    assert watch.run(5).running_requests


def test_an_idle_engine_is_not_taken_for_a_hung_one() -> None:
    """With nothing inside nothing has to move."""
    watch = Watch(SyntheticEngine(poisson(5, 30)))
    watch.run(60)
    for _ in watch.seconds(600):
        assert watch.fleet.view(watch.at).targets[0].engines

"""The number of replicas does not forget the work that is inside, nor take a hung engine for an idle one."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.estimate import KeyedEstimate, Reason
from kvwatch.views import TargetView
from tests.core.pool.test_fleet_model import OPTIONS, STEP, Replica, one, steady
from tests.core.synthetic import SyntheticEngine, Watch, poisson


def _inside(replica: Replica, now: float, running: float, waiting: float) -> TargetView:
    """The replica's target with so many requests inside."""
    target = replica.view(now)
    (engine,) = target.engines
    return replace(target, engines=(replace(engine, running_requests=running, queue_length=waiting),))


def test_a_queue_has_a_need_of_its_own_until_it_is_worked_off() -> None:
    """A burst that has ended: λ is 0, and 1,800 requests wait, for which 1.5 replicas of 5/s take four minutes."""
    model, replicas, found = FleetModel(OPTIONS), steady(4, 3.0), {}
    for replica in replicas:
        replica.changes.append((300.0, 0.0))
    for now in range(0, 3000, STEP):
        waiting = 450.0 if 300 <= now < 2000 else 0.0
        found[now] = one(
            model, float(now), [_inside(r, float(now), 16.0 if waiting else 0.0, waiting) for r in replicas]
        )
    assert found[285].replicas_required == 3.0
    assert found[285].backlog_replicas == 0.0
    assert found[1500].backlog_replicas == 1800 / (5 * 240)
    assert found[1500].replicas_required == 2.0
    assert found[1500].replicas_added["backlog"] == 2.0
    assert found[2985].replicas_required == 0.0


def test_an_engine_whose_arrivals_cannot_be_counted_just_now_does_not_lower_the_number() -> None:
    """Clients of two of four engines give up in a mass: λ is unknown there, and has not fallen."""
    model, replicas = FleetModel(OPTIONS), steady(4, 3.0)
    gone = KeyedEstimate(verdict=Reason.ABORTS)
    for now in range(0, 900, STEP):
        views = [r.view(float(now)) for r in replicas]
        if now >= 300:
            for i in range(2):
                (engine,) = views[i].engines
                silent = replace(engine, arrival_rate=gone, utilization=KeyedEstimate())
                views[i] = replace(views[i], engines=(silent,))
        required = one(model, float(now), views).replicas_required
        assert required == 3.0 if now >= 60 else required is None


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

"""What kvwatch's two metrics make an autoscaler do: down to one or none when idle, never down for want of data."""

from __future__ import annotations

from math import inf

import pytest

from bench.autoscaling.hpa import Behavior, Hpa, Rules, pods_metric
from bench.autoscaling.policies import USUAL, Policy, Seen
from bench.autoscaling.scenarios import KV_BOUND, SEATS_BOUND, Scenario
from bench.autoscaling.simulate import Run, full_rate

BUSY, BUSY_LOAD = 540.0, 1.9
IDLE_AFTERWARDS = Scenario("busy, then idle", ((BUSY, BUSY_LOAD, BUSY_LOAD), (9000.0, 0.0, 0.0)), KV_BOUND, 3)
BUSY_THROUGHOUT = Scenario("busy", ((9000.0, BUSY_LOAD, BUSY_LOAD),), KV_BOUND, 3)


def _run(scenario: Scenario, signal: str, until: float, minimum: int = 1, down_seconds: float = 300.0) -> Run:
    run = Run(scenario, Policy(signal, USUAL[signal], down_seconds, minimum))
    _on(run, 0.0, until)
    return run


def _on(run: Run, start: float, until: float) -> None:
    for tick in range(int(start / 5) + 1, int(until / 5) + 1):
        run.tick(tick * 5.0)


def _wanted_by_utilization(run: Run, now: float) -> int | None:
    pods = run.deployment.statuses(now)
    return pods_metric(pods, run.seen.utilization, USUAL["utilization"], run.deployment.replicas)


def test_an_idle_fleet_shrinks_to_one_replica_or_with_keda_to_none() -> None:
    """Ten minutes after the last request both metrics want none, which the HPA makes one; KEDA goes on to none."""
    run = _run(IDLE_AFTERWARDS, "keda required", BUSY + 600.0, minimum=0)
    assert run.deployment.replicas > 1
    assert _wanted_by_utilization(run, BUSY + 600.0) == 0
    _on(run, BUSY + 600.0, BUSY + 1500.0)
    assert run.deployment.replicas == 0
    assert Hpa(1, 9, Behavior(down=Rules(0.0, Behavior().down.policies))).sync(0.0, 3, [0]) == 1


def test_a_watcher_that_falls_silent_never_scales_down() -> None:
    """It scrapes nothing any more, then the traffic ends: both metrics vanish, and the replicas stay for an hour."""
    run = _run(IDLE_AFTERWARDS, "required", BUSY)
    before = run.deployment.replicas
    assert run.watcher is not None
    run.watcher.scrape = lambda now, pods: None  # type: ignore[method-assign]
    _on(run, BUSY, BUSY + 3600.0)
    assert run.seen.utilization == {}
    assert run.seen.required is None
    assert _wanted_by_utilization(run, BUSY + 3600.0) is None
    assert run.deployment.replicas == before > 1


def test_an_engine_that_cannot_be_scraped_never_scales_down() -> None:
    """Two of three engines answer: what the third one does is unknown, and it is not taken for idle."""
    run = _run(BUSY_THROUGHOUT, "required", BUSY)
    before = run.deployment.replicas
    assert run.watcher is not None
    run.watcher.unreachable.add(run.deployment.pods[0].name)
    for start in range(int(BUSY), int(BUSY) + 600, 60):
        _on(run, start, start + 60.0)
        assert run.deployment.replicas >= before
        wanted = _wanted_by_utilization(run, start + 60.0)
        assert wanted is not None
        assert wanted >= before
    assert len(run.seen.utilization) < run.deployment.replicas


@pytest.mark.parametrize("signal", ["utilization", "required"])
def test_replicas_that_start_are_not_asked_for_again_and_take_no_other_away(signal: str) -> None:
    """While the replicas for a step of load start for five minutes, their number neither runs away nor falls."""
    run = _run(
        Scenario("step up", ((600.0, 1.2, 1.2), (30.0, 1.2, 2.6), (9000.0, 2.6, 2.6)), SEATS_BOUND, 2), signal, 600.0
    )
    before = sum(p.serves for p in run.deployment.pods)
    replicas: list[int] = []
    for start in range(600, 900, 15):
        for pod in run.deployment.pods:
            if pod.engine is None:
                pod.ready_at = inf
        _on(run, start, start + 15.0)
        replicas.append(run.deployment.replicas)
    assert replicas == sorted(replicas)
    assert sum(p.serves for p in run.deployment.pods) == before
    # 2.6/0.8 is 4; twice the need is what kvwatch follows a trend to at most
    assert 4 <= replicas[-1] <= 7
    for pod in run.deployment.pods:
        pod.ready_at = min(pod.ready_at, 900.0)
    _on(run, 900.0, 1020.0)
    assert sum(p.serves for p in run.deployment.pods) >= 4


def test_replicas_that_never_start_do_not_count_for_ever() -> None:
    """They hang while they load the model: when the load falls, the fleet shrinks all the same."""
    course = ((600.0, 1.2, 1.2), (30.0, 1.2, 2.6), (300.0, 2.6, 2.6), (9000.0, 0.4, 0.4))
    run = _run(Scenario("hang", course, SEATS_BOUND, 2), "required", 600.0, down_seconds=0.0)
    most = 0
    for start in range(600, 1800, 15):
        for pod in run.deployment.pods:
            if pod.engine is None:
                pod.ready_at = inf
        _on(run, start, start + 15.0)
        most = max(most, run.deployment.replicas)
    assert most >= 4
    assert run.deployment.replicas == 1


def test_new_replicas_without_a_service_rate_hide_no_need() -> None:
    """Right after a start the model requires what its λ requires, over the μ of the replicas that have one."""
    run = _run(BUSY_THROUGHOUT, "required", 600.0)
    known = run.seen.required
    assert known is not None
    run.deployment.scale(600.0, 6)
    for pod in run.deployment.pods:
        if pod.engine is None:
            pod.running_at, pod.ready_at = 600.0, 615.0
    for start in range(600, 765, 15):
        _on(run, start, start + 15.0)
        assert run.seen.required == known


def test_outcomes_count_requests_after_the_warm_up_once() -> None:
    """Requests served, waiting in an engine and held at the gateway add up to those that came."""
    scenario = Scenario("short", ((900.0, 0.5, 0.5), (300.0, 2.0, 2.0)), KV_BOUND, 1)
    run = Run(scenario, Policy("waiting", 10.0))
    outcome = run.run()
    assert run.seen != Seen()
    assert outcome.requests == pytest.approx(300 * 2.0 * full_rate(KV_BOUND), rel=0.12)  # Poisson: 770 ± 28
    assert 0.3 < outcome.late / outcome.requests <= 1
    assert outcome.gpu_hours >= 300 / 3600

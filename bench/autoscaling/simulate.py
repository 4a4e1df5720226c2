"""One policy in one scenario, in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from time import process_time

from bench.accuracy.saturated import keep_full
from bench.accuracy.workloads import Drawn
from bench.autoscaling.cluster import Balancer, Deployment
from bench.autoscaling.hpa import SYNC_SECONDS
from bench.autoscaling.policies import Autoscaler, Policy, Seen
from bench.autoscaling.scenarios import WARM_UP_SECONDS, Scenario
from bench.autoscaling.watcher import SCRAPE_SECONDS, Watcher, stored
from bench.lead_time.engines import engine as engine_of
from kvwatch.embedded.request import Request
from kvwatch.embedded.workload import Arrival, Segment, arrivals

LATE_SECONDS = 2.0
"""A request that has not been scheduled for the first time after so long is late."""
TICK_SECONDS = 5.0
_STORED_AT, _SYNC_AT = 5.0, 10.0
"""Phases of Prometheus and of the HPA in their common 15 s: what is acted on is five seconds old."""
_SATURATED_REQUESTS = 3000


@cache
def full_rate(engine_index: int) -> float:
    """What one replica serves when it is kept full [requests/s]."""
    return keep_full(engine_of(engine_index), finished=_SATURATED_REQUESTS).rate


@dataclass(slots=True)
class Outcome:
    """What came of it; all but the timelines after the warm-up.

    Attributes:
        requests: That came.
        late: Of those, how many waited longer than 2 s for their first step.
        gpu_hours: That pods held, starting and draining ones included.
        changes: (time [s], replicas before, replicas after).
        timeline: Every minute (time [s], replicas wanted, pods that serve, late requests that came since).
        cpu_seconds: That the simulation took.
    """

    requests: int = 0
    late: int = 0
    gpu_hours: float = 0.0
    changes: list[tuple[float, int, int]] = field(default_factory=list)
    timeline: list[tuple[float, int, int, int]] = field(default_factory=list)
    cpu_seconds: float = 0.0


class Run:
    """The state of one run; tests step it and look into it."""

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        self._scenario = scenario
        engine = scenario.engine
        seed = random.Random(scenario.name).getrandbits(24) + scenario.seed
        rate = full_rate(scenario.engine_index)
        self.deployment = Deployment(engine, scenario.replicas, seed)
        self.watcher = Watcher(engine, policy.target_utilization) if policy.watched else None
        self.outcome = Outcome()
        self.seen = Seen()
        self._autoscaler = Autoscaler(policy)
        self._balancer = Balancer(scenario.balancer, seed)
        course = [Segment(seconds, a * rate, b * rate) for seconds, a, b in scenario.course]
        self._stream = arrivals(course, Drawn(engine.pool), seed=seed, burstiness=engine.burstiness)
        self._next: Arrival | None = next(self._stream, None)
        self._held: list[Arrival] = []
        self._sent: list[tuple[float, Request]] = []
        self._unsettled: list[tuple[float, Request]] = []
        self._late_since = 0

    def run(self) -> Outcome:
        """To the scenario's end."""
        started = process_time()
        for tick in range(1, int(self._scenario.seconds / TICK_SECONDS) + 1):
            self.tick(tick * TICK_SECONDS)
        end = self._scenario.seconds
        self._settle(end)
        for at, _ in [*self._unsettled, *((a.at, None) for a in self._held)]:
            self._count(at, end - at)
        self.outcome.gpu_hours = self.deployment.gpu_seconds(WARM_UP_SECONDS, end) / 3600
        self.outcome.cpu_seconds = process_time() - started
        return self.outcome

    def tick(self, now: float) -> None:
        """Five seconds: requests, pods, scrapes, and the autoscaler when it is its turn."""
        self._dispatch(now)
        self.deployment.advance(now)
        if self.watcher is not None and now % SCRAPE_SECONDS == 0:
            self.watcher.scrape(now, self.deployment.pods)
            if now % 60 == 0:
                self.watcher.refresh(now)
        if now % SYNC_SECONDS == _STORED_AT:
            self.seen = stored(now, self.deployment.pods, self.watcher)
        if now % SYNC_SECONDS == _SYNC_AT and now >= WARM_UP_SECONDS / 2:
            self._scale(now)
        if now % 60 == 0:
            self._settle(now)
            serving = sum(p.serves for p in self.deployment.pods)
            self.outcome.timeline.append((now, self.deployment.replicas, serving, self._late_since))
            self._late_since = 0

    def _dispatch(self, now: float) -> None:
        """Send what has come; what found no pod waits at the gateway."""
        due, self._held = self._held, []
        while self._next is not None and self._next.at <= now:
            due.append(self._next)
            self._next = next(self._stream, None)
        for arrival in due:
            request = self._balancer.send(arrival.at, arrival.shape, self.deployment.pods)
            if request is None:
                self._held.append(arrival)
            else:
                self._unsettled.append((arrival.at, request))

    def _settle(self, now: float) -> None:
        """Count the requests that have had their first step."""
        waiting = []
        for at, request in self._unsettled:
            if request.first_scheduled is None:
                waiting.append((at, request))
            else:
                self._count(at, request.first_scheduled - at)
        self._unsettled = waiting

    def _count(self, at: float, waited: float) -> None:
        if at < WARM_UP_SECONDS:
            return
        self.outcome.requests += 1
        if waited > LATE_SECONDS:
            self.outcome.late += 1
            self._late_since += 1

    def _scale(self, now: float) -> None:
        before = self.deployment.replicas
        after = self._autoscaler.sync(now, before, self.deployment.statuses(now), self.seen)
        if after != before:
            self.deployment.scale(now, after)
            if now >= WARM_UP_SECONDS:
                self.outcome.changes.append((now, before, after))


def simulate(scenario: Scenario, policy: Policy) -> Outcome:
    """Run a policy through a scenario."""
    return Run(scenario, policy).run()

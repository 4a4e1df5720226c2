"""Pods from pending to gone, as a Deployment's controller makes and unmakes them, and the balancer before them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from bench.accuracy.engines import TrueEngine
from bench.autoscaling.hpa import PodStatus
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.request import Request
from kvwatch.embedded.settings import RequestShape

COLD_START_SECONDS = (120.0, 480.0)
_PENDING_SHARE = 0.3
"""Of a cold start: scheduling and pulling the image. The rest is loading the model, with the containers running."""


@dataclass(slots=True, eq=False)
class Pod:
    """One replica. Times in seconds; a pod holds its GPU from its creation until it is gone."""

    name: str
    created: float
    running_at: float
    ready_at: float
    engine: Engine | None = None
    deleting: bool = False
    gone_at: float | None = None
    requests: list[Request] = field(default_factory=list)
    """Not finished when last looked at."""

    def status(self, now: float) -> PodStatus:
        """What the API server shows."""
        return PodStatus(self.name, now < self.running_at, self.engine is not None, self.deleting)

    @property
    def serves(self) -> bool:
        """Whether new requests may go to it."""
        return self.engine is not None and not self.deleting

    @property
    def load(self) -> int:
        """Requests that the balancer has sent and not seen answered."""
        return len(self.requests)

    def look(self) -> None:
        """Forget the requests that have ended."""
        if self.engine is not None and self.engine.ended:
            ended = {id(r) for r in self.engine.take_ended()}
            self.requests = [r for r in self.requests if id(r) not in ended]


class Deployment:
    """The pods of one Deployment; ``seed`` decides how long each start takes, the same in the order of creation."""

    def __init__(self, engine: TrueEngine, replicas: int, seed: int) -> None:
        self._engine = engine
        self._seed = seed
        self._numbers: Iterator[int] = count()
        self._source = random.Random(seed)
        self.pods: list[Pod] = []
        self.gone: list[Pod] = []
        self.replicas = 0
        self.scale(0.0, replicas)
        for pod in self.pods:
            pod.running_at = pod.ready_at = 0.0
        self.advance(0.0)

    def scale(self, now: float, replicas: int) -> None:
        """Create pods, or begin to delete some: those not ready first, the youngest first, as a ReplicaSet does."""
        self.replicas = replicas
        alive = [p for p in self.pods if not p.deleting]
        for _ in range(replicas - len(alive)):
            number = next(self._numbers)
            seconds = self._source.uniform(*COLD_START_SECONDS)
            self.pods.append(Pod(f"vllm-{number}:8000", now, now + _PENDING_SHARE * seconds, now + seconds))
        alive.sort(key=lambda p: (p.engine is not None, -p.ready_at, -p.created))
        for pod in alive[: max(len(alive) - replicas, 0)]:
            pod.deleting = True

    def advance(self, now: float) -> None:
        """Let engines run to ``now``, pods become ready, and drained ones go."""
        for pod in self.pods:
            if pod.engine is None and pod.ready_at <= now and not pod.deleting:
                clock = self._engine.clock(self._seed + int(pod.name.split("-")[1].split(":")[0]))
                pod.engine = Engine(self._engine.settings, clock, start=now)
            elif pod.engine is not None:
                pod.engine.advance(now)
                pod.look()
            if pod.deleting and not pod.requests:
                pod.gone_at = now
        self.gone += [p for p in self.pods if p.gone_at is not None]
        self.pods = [p for p in self.pods if p.gone_at is None]

    def statuses(self, now: float) -> list[PodStatus]:
        """All pods as the API server shows them."""
        return [p.status(now) for p in self.pods]

    def gpu_seconds(self, start: float, end: float) -> float:
        """Time that pods held a GPU between ``start`` and ``end``."""
        return sum(
            max(min(p.gone_at if p.gone_at is not None else end, end) - max(p.created, start), 0.0)
            for p in (*self.pods, *self.gone)
        )


class Balancer:
    """Gives each request a pod: the less loaded of two at random ("least"), or in turn ("turns")."""

    def __init__(self, kind: str, seed: int) -> None:
        self._kind = kind
        self._source = random.Random(seed)
        self._turn = 0

    def send(self, at: float, shape: RequestShape, pods: Sequence[Pod]) -> Request | None:
        """Submit a request that comes at ``at``; ``None`` if there is no pod for it."""
        ready = [p for p in pods if p.serves]
        if not ready:
            return None
        if self._kind == "turns":
            self._turn += 1
            pod = ready[self._turn % len(ready)]
        else:
            pod = min(self._source.sample(ready, min(2, len(ready))), key=lambda p: p.load)
        assert pod.engine is not None
        pod.engine.advance(max(at, pod.engine.now))
        pod.look()
        request = pod.engine.submit(shape)
        pod.requests.append(request)
        return request

"""Latency over the load: what requests wait, and see of the steps, from a quiet engine to an almost full one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvwatch.embedded.open_loop import open_loop
from kvwatch.planning.engine import PlannedEngine

LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.98)
"""Loads λ/μ at which latency is worked out [1]. Choice: closer where it bends."""
SHARES = (0.5, 0.95, 0.99)
"""Shares of the requests that a latency is told for [1]. Choice: the median, and those of targets."""
_REQUESTS = 800
"""Requests that are measured at a load, where they are not too dear [requests]. Choice: the 95th percentile then rests
on forty."""
_TURNOVERS = 6
"""Times that a batch is served over while measured, at least [1]. Choice: its filling then is a small part."""
_MOST_STEPS = 30_000
"""Longest run at one load [steps]. Choice: a second of CPU."""
_SEED = 20261130
"""Seed of arrivals and order [1]. Choice: any; the same at every load, so that the curve is smooth."""


@dataclass(frozen=True, slots=True)
class Point:
    """What requests see at one load: ``rate`` [requests/s], and for each of :data:`SHARES` the latency [s]."""

    load: float
    rate: float
    wait_seconds: tuple[float, ...]
    first_token_seconds: tuple[float, ...]
    between_seconds: tuple[float, ...]
    mean_running: float


@dataclass(frozen=True, slots=True)
class Slo:
    """What 95% of the requests shall not exceed [s]; ``None`` for what is not asked."""

    wait_seconds: float | None = None
    first_token_seconds: float | None = None
    between_seconds: float | None = None

    def __bool__(self) -> bool:
        return any(bound is not None for bound in (self.wait_seconds, self.first_token_seconds, self.between_seconds))

    def met(self, point: Point) -> bool:
        """Whether a point keeps to it."""
        asked = (
            (self.wait_seconds, point.wait_seconds),
            (self.first_token_seconds, point.first_token_seconds),
            (self.between_seconds, point.between_seconds),
        )
        place = SHARES.index(0.95)
        return all(bound is None or seen[place] <= bound for bound, seen in asked)


def point(engine: PlannedEngine, service_rate: float, load: float, burstiness: float) -> Point:
    """Latency at one load of an engine that sustains ``service_rate`` [requests/s]."""
    model_rate = service_rate / engine.factor
    running = max(load * engine.settings.max_num_seqs, 1.0)
    fit = _MOST_STEPS * running / engine.life_steps
    requests = int(max(min(max(_REQUESTS, _TURNOVERS * running), fit), 100))
    seen = open_loop(
        engine.pool,
        engine.settings,
        engine.law,
        load * model_rate,
        requests=requests,
        burstiness=burstiness,
        seed=_SEED,
    )
    return Point(
        load,
        load * service_rate,
        _each(seen.wait),
        _each(seen.first_token),
        _each(seen.between),
        seen.mean_running,
    )


def _each(quantile: Callable[[float], float]) -> tuple[float, ...]:
    return tuple(quantile(share) for share in SHARES)


def curve(
    engine: PlannedEngine,
    service_rate: float,
    burstiness: float,
    loads: Sequence[float] = LOADS,
    progress: Callable[[], None] = lambda: None,
) -> list[Point]:
    """Latency at each load; ``progress`` is called after each."""
    points = []
    for load in loads:
        points.append(point(engine, service_rate, load, burstiness))
        progress()
    return points


def highest_load(points: Sequence[Point], slo: Slo) -> float:
    """The highest of the loads up to which all keep to ``slo``; 0 where not even the first does."""
    reached = 0.0
    for one in points:
        if not slo.met(one):
            break
        reached = one.load
    return reached

"""Latency over the load: what requests wait, and see of the steps, from a quiet engine to an almost full one.

One engine is run under a steady load, at several loads, and what its run happened to see of arrivals is replaced by
what the coarse engine sees in the long run. Runs get longer towards full: how long the queue takes to forget how long
it was goes as 1/(1 − ρ)².
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from typing import TYPE_CHECKING

import numpy as np

from kvwatch.embedded.coarse_engine import CoarseEngine
from kvwatch.embedded.full_means import mean_life
from kvwatch.embedded.luck import as_in_the_long_run, long_run
from kvwatch.embedded.open_loop import Array, StepSeconds, open_loop

if TYPE_CHECKING:
    from kvwatch.embedded.saturation import Saturation
    from kvwatch.embedded.settings import RequestShape, SchedulerSettings

LOADS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Loads λ/μ at which latency is worked out [1]. Choice: closer where it bends."""
SHARES = (0.5, 0.95, 0.99)
"""Shares of the requests that a latency is given for [1]. Choice: the median, and those of targets."""
KINDS = ("wait", "ttft", "itl")
"""In the queue, until the first token, and from one token to the next."""
TARGET_SHARE = 0.95
"""The share that targets are set for [1]. Choice: a fifth of the requests that a hundredth needs to be known."""
_REQUESTS = 2000
"""Requests that are measured at a low load [requests]. Measured: bench/latency; with a fifth of them prompts of several
lengths leave the 95th percentile open by a third."""
_FORGETTING = 50.0
"""Requests of a run, times (1 − ρ)² [requests]. Choice: it then sees some long queues, and what they add to those of
the coarse engine; their number does not matter."""
_TURNOVERS = 6
"""Times that a batch is served over while measured, at least [1]. Choice: its filling then is a small part."""
_MOST_STEPS = 200_000
"""Longest run at one load [steps]. Choice: a second of CPU."""
_LEAST_REQUESTS = 100
"""Requests of a run that would be longer [requests]. Choice: enough to see what they add to coarse waits."""
_SEED = 20261130
"""Seed of arrivals and order [1]. Choice: any; the same at every load, so that the curve is smooth."""
_SHORTEST_SECONDS = 1e-4
"""Latency that counts as none [s]. Choice: a step takes longer on any hardware."""


@dataclass(frozen=True, slots=True)
class Point:
    """What requests see at one load λ/μ: for each of :data:`SHARES` the latency [s], and how many run at once.

    ``between_seconds`` is empty where no output has a second token.
    """

    load: float
    wait_seconds: tuple[float, ...]
    first_token_seconds: tuple[float, ...]
    between_seconds: tuple[float, ...]
    mean_running: float

    def seconds(self, kind: str, share: float) -> float | None:
        """The latency of one of :data:`KINDS` that this share of the requests does not exceed; ``None`` without any."""
        values = {"wait": self.wait_seconds, "ttft": self.first_token_seconds, "itl": self.between_seconds}[kind]
        return values[SHARES.index(share)] if values else None


@dataclass(frozen=True, slots=True)
class Slo:
    """What 95% of the requests shall not exceed [s]; ``None`` for what is not asked."""

    wait_seconds: float | None = None
    first_token_seconds: float | None = None
    between_seconds: float | None = None

    def __bool__(self) -> bool:
        return bool(self.targets)

    @property
    def targets(self) -> dict[str, float]:
        """What is asked, by kind [s]."""
        asked = {"wait": self.wait_seconds, "ttft": self.first_token_seconds, "itl": self.between_seconds}
        return {kind: bound for kind, bound in asked.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine and its traffic: requests, settings, step law, and the engine kept full, whose rate is the model's μ.

    ``burstiness`` is the coefficient of variation of the times between arrivals; with ``async_scheduling`` a step is
    composed while the one before begins to run.
    """

    pool: Sequence[RequestShape]
    settings: SchedulerSettings
    law: StepSeconds
    full: Saturation
    burstiness: float = 1.0
    async_scheduling: bool = False


def latency_at(engine: Loaded, load: float, running: float = 1.0) -> Point:
    """Latency at one load; ``running`` is how many requests run at once there at least, as a lower load has shown.

    Raises:
        ValueError: A request could never run, or none is served.
    """
    rate = load * engine.full.throughput_rps
    steps = mean_life(engine.pool, None, engine.settings).steps
    running = max(running, rate * steps * engine.law.step_seconds(1.0, 0.0, 0.0, 0.0))
    fit = max(_MOST_STEPS * running / steps, _LEAST_REQUESTS)
    coarse = CoarseEngine(engine.pool, engine.settings, engine.law, engine.full)
    seen = open_loop(
        engine.pool,
        engine.settings,
        engine.law,
        rate,
        requests=int(min(max(_REQUESTS, _FORGETTING / (1 - load) ** 2, _TURNOVERS * running), fit)),
        burstiness=engine.burstiness,
        seed=_SEED,
        async_scheduling=engine.async_scheduling,
        coarse=coarse,
    )
    waits = long_run(coarse, rate, load, engine.burstiness)

    def each(latency: Array) -> tuple[float, ...]:
        return tuple(np.quantile(as_in_the_long_run(waits, seen.coarse_seconds, latency), SHARES).tolist())

    between = tuple(seen.between(share) for share in SHARES) if len(seen.between_seconds) else ()
    return Point(load, each(seen.wait_seconds), each(seen.first_token_seconds), between, seen.mean_running)


def latency_curve(
    engine: Loaded, loads: Sequence[float] = LOADS, progress: Callable[[], None] = lambda: None
) -> list[Point]:
    """Latency at each load, from the lowest on.

    ``progress`` is called after each. Raises as :func:`latency_at`.
    """
    points: list[Point] = []
    for load in sorted(loads):
        points.append(latency_at(engine, load, points[-1].mean_running if points else 1.0))
        progress()
    return points


def latency_between(points: Sequence[Point], kind: str, share: float, load: float) -> float | None:
    """A latency at a load [s]; ``None`` beyond the highest of the points, and the lowest one's below them all.

    Between two points it goes as a power of 1 − ρ, as waiting does near full. It never falls as the load rises: where
    a higher load has shown a shorter latency, chance did.
    """
    rising = _rising(points, kind, share)
    if not rising or load > points[-1].load:
        return None
    if load <= rising[0][0]:
        return rising[0][1]
    (low, before), (high, after) = next(pair for pair in pairwise(rising) if load <= pair[1][0])
    way = log((1 - low) / (1 - load)) / log((1 - low) / (1 - high))
    return exp(log(before) + way * (log(after) - log(before)))


def highest_load(points: Sequence[Point], kind: str, seconds: float, share: float = TARGET_SHARE) -> float:
    """The highest load at which a latency is no longer than ``seconds``; 0 where it is at the lowest of the points.

    Where even the highest of the points keeps to it, that one's; so too where there is no such latency.
    """
    rising = _rising(points, kind, share)
    if not rising:
        return points[-1].load
    if rising[0][1] > seconds:
        return 0.0
    for (low, before), (high, after) in pairwise(rising):
        if after > seconds:
            way = log(max(seconds, before) / before) / log(after / before)
            return float(1 - (1 - low) * ((1 - high) / (1 - low)) ** way)
    return rising[-1][0]


def highest_for(points: Sequence[Point], slo: Slo) -> float:
    """The highest load that keeps to all targets; 1 where there is none."""
    return min((highest_load(points, kind, bound) for kind, bound in slo.targets.items()), default=1.0)


def _rising(points: Sequence[Point], kind: str, share: float) -> list[tuple[float, float]]:
    """(load, latency) from the lowest load on, none below the ones before; empty without such latencies."""
    found: list[tuple[float, float]] = []
    for point in points:
        latency = point.seconds(kind, share)
        if latency is None:
            return []
        seconds = max(latency, _SHORTEST_SECONDS)
        found.append((point.load, max(seconds, found[-1][1]) if found else seconds))
    return found

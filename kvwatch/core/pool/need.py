"""How many replicas do the traffic, what waits and a sure trend need? The parts, before anything is held.

Everything here is a sum over engines of what each exports, or follows from such sums, so that Prometheus finds the same
from the series of many kvwatch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from kvwatch.constants import TINY
from kvwatch.core.pool.evaluation import MEAN_AGE_SECONDS

SURGE_DEVIATIONS = 3.0
"""Standard errors that λ over a minute must be above its mean over five to count in its place [sd]. Choice: a step of
the load is followed within a minute, and chance adds a replica in one evaluation of a thousand."""
MOST_GROWTH = 2.0
"""Largest λ planned for, over λ now [1]. Choice: a trend that doubles the load before a replica serves is either over
by then or asks for the next step anyway."""


@dataclass(frozen=True, slots=True)
class Flow:
    """λ of a pool.

    Attributes:
        mean: Over five minutes [requests/s], which is that of ``mean_age`` s ago.
        surge: What it surely is over the last minute [requests/s].
        trend: How fast it rises where that is no accident [requests/s²].
    """

    mean: float
    surge: float
    trend: float | None = None
    mean_age: float = MEAN_AGE_SECONDS


@dataclass(frozen=True, slots=True)
class Replica:
    """What one replica is: its μ [requests/s], the load it is sized for [ratio], and how long it takes to start [s]."""

    service_rate: float
    target_utilization: float
    scale_up_seconds: float

    def for_rate(self, rate: float) -> float:
        """Replicas that keep ρ at the target under a λ [replicas, not rounded]."""
        return rate / (self.service_rate * self.target_utilization)

    def for_backlog(self, waiting: float) -> float:
        """Replicas that serve what waits, and nothing else, in the time that one takes to start [replicas]."""
        return waiting / (self.service_rate * self.scale_up_seconds)


@dataclass(frozen=True, slots=True)
class Need:
    """Whole replicas, each number with what the ones before it are for.

    Attributes:
        load: For λ as a mean over five minutes: ⌈λ/(μ·target)⌉.
        surge: For what λ surely is over the last minute, where that is more.
        trend: For λ when a replica that is asked for now serves.
        total: With what waits, and 1 at least while a request is inside.
        missing: With what engines had that are not known now.
        backlog: What waits, alone [replicas, not rounded].
    """

    load: int
    surge: int
    trend: int
    total: int
    missing: int
    backlog: float


def need(flow: Flow, replica: Replica | None, *, waiting: float, inside: float, missing_rate: float) -> Need | None:
    """The need of a pool; ``None`` where requests come or wait and what a replica serves is not known.

    ``waiting`` and ``inside``: requests that wait, and all that are in the engines; ``missing_rate``: what engines had
    whose λ is not known now [requests/s].
    """
    if replica is None:
        if flow.mean > 0 or waiting > 0:
            return None
        least = 1 if inside else 0
        return Need(0, 0, 0, least, least, 0.0)
    rate = flow.mean
    surge = max(rate, flow.surge)
    ahead = flow.mean_age + replica.scale_up_seconds
    planned = max(surge, min(rate + (flow.trend or 0.0) * ahead, MOST_GROWTH * rate))
    backlog = replica.for_backlog(waiting)
    least = 1 if inside else 0
    return Need(
        load=whole(replica.for_rate(rate)),
        surge=whole(replica.for_rate(surge)),
        trend=whole(replica.for_rate(planned)),
        total=max(whole(replica.for_rate(planned) + backlog), least),
        missing=max(whole(replica.for_rate(planned + missing_rate) + backlog), least),
        backlog=backlog,
    )


def whole(replicas: float) -> int:
    """Rounded up, but for an error of arithmetic."""
    return max(ceil(replicas - TINY), 0)

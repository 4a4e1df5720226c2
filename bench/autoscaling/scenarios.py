"""Traffic over hours, in multiples of what one replica can serve, and the engines that serve it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi

from bench.accuracy.engines import TrueEngine
from bench.lead_time.engines import engine

WARM_UP_SECONDS = 900.0
"""Not scored; the autoscaler acts from the middle of it."""
KV_BOUND, SEATS_BOUND = 1, 2
"""Numbers of the engines: one that memory fills, and one that ``max_num_seqs`` fills long before."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A course of load: (seconds, load at the start, load at the end), the load being λ over one replica's μ.

    ``steady`` says that a change of direction has no reason; ``replicas`` is how many run at first.
    """

    name: str
    course: tuple[tuple[float, float, float], ...]
    engine_index: int
    replicas: int
    balancer: str = "least"
    steady: bool = False
    seed: int = 1

    @property
    def seconds(self) -> float:
        """Its length."""
        return sum(s for s, _, _ in self.course)

    @property
    def engine(self) -> TrueEngine:
        """The replica's engine."""
        return engine(self.engine_index)


def _day(hours: float, low: float, high: float, pieces: int = 24) -> tuple[tuple[float, float, float], ...]:
    """A day's wave from its trough, pressed into some hours."""
    loads = [low + (high - low) * (1 - cos(2 * pi * i / pieces)) / 2 for i in range(pieces + 1)]
    return tuple((hours * 3600 / pieces, a, b) for a, b in pairwise(loads))


def _bursts(base: float, top: float, times: int) -> tuple[tuple[float, float, float], ...]:
    return ((900.0, base, base), (60.0, base, top), (600.0, top, top), (60.0, top, base)) * times


ALL = (
    Scenario("day", ((900.0, 0.6, 0.6), *_day(3.0, 0.6, 4.4)), KV_BOUND, 1),
    Scenario("ramp", ((1200.0, 1.3, 1.3), (1200.0, 1.3, 4.0), (1200.0, 4.0, 4.0), (900.0, 4.0, 0.5), (900.0, 0.5, 0.5)),
             SEATS_BOUND, 2),
    Scenario("step", ((1200.0, 1.8, 1.8), (60.0, 1.8, 3.6), (1800.0, 3.6, 3.6), (900.0, 0.0, 0.0)), KV_BOUND, 3),
    Scenario("bursts", (*_bursts(1.7, 3.0, 2), (600.0, 1.7, 1.7)), SEATS_BOUND, 3, balancer="turns"),
    Scenario("steady", ((4500.0, 2.6, 2.6),), KV_BOUND, 4, steady=True),
    Scenario("steady, seats bind", ((3600.0, 2.2, 2.2),), SEATS_BOUND, 3, balancer="turns", steady=True),
)  # fmt: skip


def quick() -> tuple[Scenario, ...]:
    """Two short ones that a test can afford."""
    return (
        Scenario(
            "short ramp", ((900.0, 0.6, 0.6), (600.0, 0.6, 1.6), (900.0, 1.6, 1.6), (900.0, 0.0, 0.0)), KV_BOUND, 1
        ),
        Scenario("short steady", ((1500.0, 1.4, 1.4),), SEATS_BOUND, 2, steady=True),
    )

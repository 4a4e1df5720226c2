"""λ of a pool: a mean that replicas that come and go leave alone, and a trend that a step of the load is not."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from kvwatch.core.pool.arrivals import PoolArrivals
from kvwatch.core.pool.evaluation import EVALUATION_SECONDS, MEAN_SECONDS, MEMORY_SECONDS, Times

STEP = int(EVALUATION_SECONDS)


def fed(rate: Callable[[float], float], end: int, engines: int = 4) -> PoolArrivals:
    """A quarter of an hour of it, up to ``end`` [s]."""
    pool = PoolArrivals(Times())
    for now in range(end - 900, end + 1, STEP):
        pool.update(float(now), rate(now), engines)
    return pool


def test_the_mean_and_the_slope_are_those_of_the_samples_in_their_windows() -> None:
    """At any time, as numpy has them over what was taken in the last five and ten minutes."""
    source, pool = random.Random(3), PoolArrivals(Times())
    taken: list[tuple[float, float]] = []
    for place in range(200):
        now, rate = 15.0 * place, 4.0 + 0.01 * place + source.gauss(0, 0.0005)
        pool.update(now, rate, 4)
        taken.append((now, rate))
        recent = [r for at, r in taken if now - at <= MEAN_SECONDS]
        assert pool.mean(now) == pytest.approx(np.mean(recent))
        trend = pool.trend(now, 1e-6)
        if now >= 600:
            points = np.array([(at, r) for at, r in taken if now - at <= MEMORY_SECONDS])
            assert trend == pytest.approx(np.polyfit(points[:, 0], points[:, 1], 1)[0])
        elif now < 570:
            assert trend is None


def test_a_ramp_is_a_trend_and_a_step_is_none() -> None:
    """A ramp of an hour has its slope; a step of the load, however high and whenever it came, has none."""
    assert fed(lambda now: 5 + now / 300, 0).trend(0.0, 5.0) == pytest.approx(1 / 300)
    for ago in range(0, 900, STEP):
        pool = fed(lambda now, ago=ago: 5 + 10 * min(max((now + ago) / 60, 0.0), 1.0), 0)
        assert pool.trend(0.0, 5.0) is None or 210 < ago < 360  # a minute's means of a step halfway are in both halves


def test_what_chance_does_to_steady_traffic_is_no_trend() -> None:
    """Of a thousand times ten minutes of Poisson arrivals none has one."""
    found = 0
    for seed in range(1000):
        source = np.random.default_rng(seed)
        counts = source.poisson(5.0 * 15, 64)
        pool = PoolArrivals(Times())
        for place in range(4, 64):
            pool.update(15.0 * place, counts[place - 4 : place].sum() / 60, 4)
        found += pool.trend(15.0 * 63, 5.0) is not None
    assert found == 0


@pytest.mark.parametrize(("before", "after", "trend"), [(20, 20, True), (20, 19, True), (20, 18, False), (4, 5, False)])
def test_while_engines_come_or_go_there_is_no_trend(before: int, after: int, *, trend: bool) -> None:
    """Their share of the load moves to or from the others; one of twenty does not matter."""
    pool = PoolArrivals(Times())
    for now in range(-900, 1, STEP):
        pool.update(float(now), 5 + now / 300, before if now < -300 else after)
    assert (pool.trend(0.0, 5.0) is not None) == trend


def test_it_remembers_a_quarter_of_an_hour() -> None:
    """Whatever goes on for a day."""
    pool = PoolArrivals(Times())
    for now in range(0, 86_400, STEP):
        pool.update(float(now), 3.0, 4)
    assert len(pool._samples) <= 870 / STEP + 1

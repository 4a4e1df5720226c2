"""Latency over the load, against queueing theory, and what is read off a curve."""

from __future__ import annotations

from itertools import pairwise
from math import log
from random import Random

import numpy as np
import pytest

from kvwatch.embedded.coarse_engine import CoarseEngine
from kvwatch.embedded.latency_curve import (
    LOADS,
    SHARES,
    Loaded,
    Point,
    Slo,
    highest_for,
    highest_load,
    latency_at,
    latency_between,
    latency_curve,
)
from kvwatch.embedded.luck import as_in_the_long_run, long_run
from kvwatch.embedded.open_loop import open_loop, weighted_quantile
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings

STEP_SECONDS = 0.02
ONE_SEAT = SchedulerSettings.from_capacity(1_000_000, max_num_seqs=1, max_num_batched_tokens=8192)


class Steady:
    """Every step takes as long."""

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of a step."""
        return STEP_SECONDS

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """The same in the mean."""
        return STEP_SECONDS


def one_seat(shapes: list[RequestShape]) -> Loaded:
    """An engine that serves one request after another."""
    return Loaded(shapes, ONE_SEAT, Steady(), saturate(shapes, ONE_SEAT, Steady(), steps=20_000))


def exponential() -> list[RequestShape]:
    """Requests whose service times are all but exponential, of 20 steps in the mean."""
    source = Random(4)
    return [RequestShape(16, max(round(source.expovariate(1 / 20)), 1)) for _ in range(4000)]


@pytest.mark.parametrize("load", [0.7, 0.9])
def test_one_seat_and_exponential_service_is_the_queue_m_m_1(load: float) -> None:
    """Of which ρ·exp(−(1 − ρ)·t/service) wait longer than t. Within 15%: a run's own error is a tenth."""
    engine = one_seat(exponential())
    point = latency_at(engine, load)
    service = 1 / engine.full.throughput_rps
    expected = service / (1 - load) * log(load / 0.05)
    assert point.seconds("wait", 0.95) == pytest.approx(expected, rel=0.15)
    assert point.seconds("itl", 0.95) == STEP_SECONDS


def test_runs_with_luck_taken_out_hardly_differ() -> None:
    """Half a dozen runs with arrivals of their own: what they would say by themselves scatters five times as much."""
    shapes = [RequestShape(16, 20)]
    engine = one_seat(shapes)
    coarse = CoarseEngine(shapes, ONE_SEAT, Steady(), engine.full)
    rate = 0.9 * engine.full.throughput_rps
    waits = long_run(coarse, rate, 0.9, 1.0)
    plain, mended = [], []
    for seed in range(6):
        seen = open_loop(shapes, ONE_SEAT, Steady(), rate, requests=1000, seed=seed, coarse=coarse)
        plain.append(seen.wait(0.95))
        mended.append(float(np.quantile(as_in_the_long_run(waits, seen.coarse_seconds, seen.wait_seconds), 0.95)))
    assert np.std(mended) < 0.2 * np.std(plain)


def test_a_weighted_quantile_counts_a_value_as_often_as_it_weighs() -> None:
    """Three of a value are as three values."""
    values = np.array([3.0, 1.0, 2.0])
    assert [weighted_quantile(values, np.array([1.0, 3.0, 1.0]), share) for share in (0.5, 0.7, 1.0)] == [1.0, 2.0, 3.0]


def test_a_load_whose_run_would_be_too_long_has_the_wait_of_the_queue_m_d_1() -> None:
    """Outputs of two thousand tokens, one at a time: only the coarse engine sees the queue of 90% of the load.

    The 95th percentile of that queue is 14.1 service times (exact, by Crommelin's formula); 14% is twice its error.
    """
    engine = one_seat([RequestShape(16, 2_000)])
    point = latency_at(engine, 0.9)
    assert point.wait_seconds[SHARES.index(0.95)] * engine.full.throughput_rps == pytest.approx(14.13, rel=0.14)


def test_async_scheduling_lets_the_first_token_come_a_step_later_where_there_is_a_batch() -> None:
    """What arrives while a step runs waits for the next one, which is composed already."""
    shapes = [RequestShape(16, 100)]
    settings = SchedulerSettings.from_capacity(1_000_000, max_num_seqs=64, max_num_batched_tokens=8192)
    waits = [
        float(
            open_loop(
                shapes, settings, Steady(), 10.0, requests=1000, seed=1, async_scheduling=later
            ).first_token_seconds.mean()
        )
        for later in (False, True)
    ]
    assert waits[1] - waits[0] == pytest.approx(STEP_SECONDS, rel=0.1)


def curve(*waits: float) -> list[Point]:
    """A curve with these waits, the same at each quantile, at loads of 0.5, 0.75, 0.9 and 0.95."""
    loads = (0.5, 0.75, 0.9, 0.95)
    return [
        Point(load, (wait,) * 3, (wait + 1.0,) * 3, (0.1,) * 3, 10.0) for load, wait in zip(loads, waits, strict=False)
    ]


def test_between_two_points_latency_goes_with_the_room_that_is_left() -> None:
    """At half the room of a point whose wait doubles when the room halves: twice."""
    points = curve(1.0, 2.0, 5.0, 10.0)
    assert latency_between(points, "wait", 0.95, 0.8) == pytest.approx(2.5)
    assert latency_between(points, "ttft", 0.95, 0.2) == 2.0
    assert latency_between(points, "wait", 0.95, 0.96) is None


def test_a_curve_does_not_fall_by_chance() -> None:
    """A point below the one before is taken for it."""
    points = curve(1.0, 3.0, 2.0, 4.0)
    assert latency_between(points, "wait", 0.5, 0.9) == pytest.approx(3.0)
    assert highest_load(points, "wait", 3.0) == pytest.approx(0.9)


@pytest.mark.parametrize("load", [0.55, 0.75, 0.82, 0.94])
def test_the_highest_load_that_keeps_to_a_latency_is_where_it_is_reached(load: float) -> None:
    """One is the other's inverse."""
    points = curve(1.0, 2.0, 5.0, 10.0)
    seconds = latency_between(points, "wait", 0.95, load)
    assert seconds is not None
    assert highest_load(points, "wait", seconds) == pytest.approx(load)


def test_targets_out_of_reach_allow_no_load_and_easy_ones_all_that_is_known() -> None:
    """The hardest of several decides, and none allows all."""
    points = curve(1.0, 2.0, 5.0, 10.0)
    assert highest_load(points, "wait", 0.5) == 0.0
    assert highest_load(points, "wait", 60.0) == 0.95
    assert highest_for(points, Slo()) == 1.0
    assert highest_for(points, Slo(wait_seconds=5.0, first_token_seconds=3.0)) == pytest.approx(0.75)
    assert highest_for(points, Slo(between_seconds=0.05)) == 0.0


def test_outputs_of_one_token_have_no_time_between_two() -> None:
    """It is absent, not 0, and a target for it is kept to at any load that is known."""
    points = latency_curve(one_seat([RequestShape(16, 1)]), LOADS[:3])
    assert all(point.seconds("itl", 0.95) is None for point in points)
    assert latency_between(points, "itl", 0.95, 0.4) is None
    assert highest_load(points, "itl", 0.1) == LOADS[2]


def test_a_curve_has_a_point_for_each_load_from_the_lowest_on() -> None:
    """And tells of each that it is done."""
    told: list[int] = []
    engine = one_seat([RequestShape(16, 5)])
    points = latency_curve(engine, LOADS[:3], lambda: told.append(1))
    assert [point.load for point in points] == list(LOADS[:3])
    assert len(told) == 3
    high = SHARES.index(0.95)
    assert all(a.wait_seconds[high] <= b.wait_seconds[high] for a, b in pairwise(points))

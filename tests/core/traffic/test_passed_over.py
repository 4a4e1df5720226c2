"""Requests that wait, always as many, beside room for them are no queue of the load; a real queue is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.interval import Interval
from kvwatch.core.traffic.passed_over import PassedOver
from kvwatch.facts import EngineSample
from tests.core.synthetic import KEY, SEATS_KNOWN, START, SyntheticEngine, Watch, poisson


def three_more(sample: EngineSample) -> EngineSample:
    """A gauge that counts three requests which are not there."""
    waiting = (sample.waiting or 0.0) + 3
    return replace(sample, waiting=waiting, waiting_capacity=waiting, waiting_deferred=0.0)


def test_what_is_served_beside_them_is_not_the_service_rate() -> None:
    """μ is that of the same engine without them, and so is λ; after five minutes they are seen to stand."""
    clean = Watch(SyntheticEngine(poisson(5, 500))).run(400)
    watch = Watch(SyntheticEngine(poisson(5, 500)), show=three_more)
    dirty = watch.run(400)
    assert clean.service_rate.value is not None
    assert dirty.service_rate.value == pytest.approx(clean.service_rate.value, rel=0.05)
    assert dirty.arrival_rate.value["1m"] == clean.arrival_rate.value["1m"]
    assert dirty.observed_service_rate is None
    assert dirty.queue_length == three_more(watch.engine.sample()).waiting, "what the server shows is shown"


def interval(second: int, waiting: float, running: float, usage: float = 0.3, finished: float = 5.0) -> Interval:
    """One second of an engine that serves, with these gauges at its end."""
    return Interval(
        start=START + second,
        end=START + second + 1,
        sample=EngineSample(KEY),
        settings=SEATS_KNOWN,
        waiting=(waiting, waiting),
        running=(running, running),
        kv_usage_ratio=(usage, usage),
        finished=finished,
    )


def after(waiting: list[float], running: list[float], usage: float = 0.3, finished: float = 5.0) -> float:
    """How many are passed over after these scrapes."""
    found, passed = PassedOver(), 0.0
    for second, (w, r) in enumerate(zip(waiting, running, strict=True)):
        passed = found.update(interval(second, w, r, usage, finished))
    return passed


MOVES = [float(20 + n % 8) for n in range(60)]


def test_the_number_that_stands_is_passed_over_and_the_rest_is_not() -> None:
    """Three stand; one more that comes is a queue of its own."""
    assert after([3.0] * 60, MOVES) == 3
    assert after([3.0] * 50 + [4.0] * 10, MOVES) == 3


def test_what_may_be_a_queue_is_one() -> None:
    """Full memory, full seats, a number that moves, an engine that serves nobody, or one whose batch stands."""
    assert after([3.0] * 60, MOVES, usage=0.95) == 0
    assert after([3.0] * 60, [250.0 + n % 6 for n in range(60)]) == 0
    assert after([float(n % 5) for n in range(60)], MOVES) == 0
    assert after([3.0] * 60, MOVES, finished=0.0) == 0
    assert after([3.0] * 60, [37.0] * 60) == 0
    assert after([0.0] * 60, MOVES) == 0


def test_what_was_served_before_the_queue_stood_says_nothing_about_it() -> None:
    """An engine that served well and now crawls has a queue; the minute before is still remembered."""
    found, passed = PassedOver(), 0.0
    for second in range(70):
        crawls = second >= 20
        now = interval(second, 14.0, 1.0, finished=0.0) if crawls else interval(second, 0.0, MOVES[second])
        passed = max(passed, found.update(now))
    assert passed == 0

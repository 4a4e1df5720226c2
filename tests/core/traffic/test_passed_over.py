"""Requests that wait, always as many, beside room for them are no queue of the load; a real queue is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.interval import Interval
from kvwatch.core.traffic.passed_over import PassedOver
from kvwatch.facts import EngineSample, Settings
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


SEATS = Settings(max_num_seqs=12, max_num_batched_tokens=2048, max_model_len=4096, source="config")
SEATED = 12 / (0.02 * 79.5)
"""What twelve seats serve of requests of 79.5 tokens in steps of 20 ms [requests/s]."""


@pytest.mark.long
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("load", [0.5, 0.7, 0.9])
def test_an_engine_that_touches_its_seats_has_no_queue_of_requests_that_are_not_there(load: float, told: bool) -> None:
    """At no moment is what arrives taken for what it serves, with or without the reason for which they wait."""
    show = three_more if told else lambda sample: replace(sample, waiting=(sample.waiting or 0.0) + 3)
    watch = Watch(SyntheticEngine(poisson(load * SEATED, 240), seats=12), settings=SEATS, show=show)
    for _ in watch.seconds(240):
        view = watch.view()
        valid = view.estimate_valid.get("service_rate")
        if view.service_rate.value is not None and valid is not None and valid.valid:
            assert view.service_rate.value == pytest.approx(SEATED, rel=0.2)
    assert view.service_rate.value is not None


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


def test_while_seats_are_taken_the_number_is_as_it_was() -> None:
    """What waits beside them then is a queue and those that were passed over before."""
    found = PassedOver()
    for second, running in enumerate(MOVES):
        found.update(interval(second, 3.0, running))
    assert [found.update(interval(60 + n, 9.0, 256.0)) for n in range(90)] == [3.0] * 90
    assert found.update(interval(150, 1.0, 256.0)) == 1.0
    found.begin_anew()
    assert found.update(interval(151, 9.0, 256.0)) == 0.0


def test_scrapes_at_which_seats_are_taken_do_not_hide_the_others() -> None:
    """An engine at nine tenths of its seats: every third scrape has them taken, with one more that waits."""
    waiting = [4.0 if n % 3 == 0 else 3.0 for n in range(60)]
    running = [250.0 if n % 3 == 0 else MOVES[n] for n in range(60)]
    assert after(waiting, running) == 3


def test_a_number_that_has_stood_ends_where_fewer_wait_and_not_where_more_do() -> None:
    """A burst beside room does not make a queue of those that stood before it; their end is seen."""
    found = PassedOver()
    for second in range(180):
        waiting = 3.0 if second < 60 else 3.0 + second % 9 if second < 120 else float(second % 3)
        passed = found.update(interval(second, waiting, MOVES[second % 60]))
        if 60 <= second < 120:
            assert passed == 3
    assert passed == 0

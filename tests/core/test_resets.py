"""When counters began again, when the time at which they were made is not believed, and when they are no totals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from kvwatch.core.resets import Resets
from kvwatch.estimate import Reason
from kvwatch.facts import EngineSample
from tests.core.synthetic import SyntheticEngine, Watch, poisson

SAMPLE = SyntheticEngine([]).sample()


def shown(steps: float, created_at: float = 0.0) -> EngineSample:
    """A sample with so many steps, of counters that were made then."""
    return replace(SAMPLE, steps=steps, created_at=created_at)


def test_counters_that_fall_or_are_made_anew_have_begun_again() -> None:
    """Either is enough: the first scrape after a start may show more than the last one before it."""
    assert Resets().update(shown(10), shown(9))
    assert Resets().update(shown(10), shown(11, created_at=1))
    assert not Resets().update(shown(10), shown(11))


def test_counters_that_are_back_where_they_were_have_not_counted_that_between_two_scrapes() -> None:
    """They were shown too low for a while, all of them or a page of before: what they rise by then happened earlier."""
    for low, high in ((0, 5100), (4900, 5001)):
        resets = Resets()
        assert resets.update(shown(5000), shown(low))
        assert not resets.update(shown(low), shown(low))
        assert resets.update(shown(low), shown(high))
        assert not resets.update(shown(high), shown(high + 100))


def test_what_they_fell_from_is_the_highest_that_was_shown() -> None:
    """Pages of different age take turns."""
    resets = Resets()
    found = [resets.update(shown(a), shown(b)) for a, b in ((5000, 4900), (4900, 4950), (4950, 4920), (4920, 5010))]
    assert found == [True, False, True, True]


def test_a_new_process_that_has_grown_past_the_one_before_it_goes_on() -> None:
    """It says when its counters were made; where nothing does, it gets there scrape by scrape."""
    for made in (1.0, None):
        resets = Resets()
        assert resets.update(shown(50), replace(shown(0), created_at=made))
        counts = (0, 20, 40, 60, 120)
        samples = [replace(shown(steps), created_at=made) for steps in counts]
        assert not any(resets.update(a, b) for a, b in pairwise(samples))
    unknown = [replace(shown(steps), created_at=None) for steps in (5000, 0, 0, 5100)]
    resets = Resets()
    assert [resets.update(a, b) for a, b in pairwise(unknown)] == [True, False, True]


def test_a_time_that_moves_at_each_scrape_is_not_believed_from_the_third_on() -> None:
    """No process can be new each second and have counted more than the one before it."""
    resets = Resets()
    found = [resets.update(shown(10 + n, n), shown(11 + n, n + 1)) for n in range(6)]
    assert found == [True, True, False, False, False, False]
    assert not resets.counters_fall
    assert not resets.update(shown(20, 9), shown(21, 9))
    assert resets.update(shown(21, 9), shown(22, 10)), "it stood still, so it counts again"


def test_counters_that_fall_again_and_again_are_no_totals() -> None:
    """Five times in twenty scrapes; a server that crashes once or twice is no such case."""
    resets = Resets()
    for fall in range(5):
        assert not resets.counters_fall, fall
        for before, now in ((1, 2), (2, 3), (3, 1)):
            resets.update(shown(before), shown(now))
    assert resets.counters_fall
    for _ in range(20):
        resets.update(shown(1), shown(2))
    assert not resets.counters_fall


def test_several_servers_behind_one_address_are_named() -> None:
    """Scrapes go to one and the other: nothing can be counted, and the reason says why."""
    near, far = SyntheticEngine(poisson(10, 300)), SyntheticEngine(poisson(3, 300, seed=2))
    watch = Watch(near)

    def show(sample: EngineSample) -> EngineSample:
        far.advance(watch.at)
        return far.sample() if int(watch.at) % 2 else sample

    watch.show = show
    view = watch.run(120)
    assert view.arrival_rate.verdict is Reason.COUNTERS_FALL
    assert view.service_rate.verdict is Reason.COUNTERS_FALL
    assert view.service_rate.value is None


def test_a_time_of_making_that_moves_costs_no_number() -> None:
    """What rewrites the metrics may stamp them: λ and μ are those of the same engine without that."""
    watch = Watch(SyntheticEngine(poisson(10, 300)))
    watch.show = lambda sample: replace(sample, created_at=watch.at)
    stamped, plain = watch.run(200), Watch(SyntheticEngine(poisson(10, 300))).run(200)
    assert stamped.arrival_rate.value["1m"] == plain.arrival_rate.value["1m"]
    assert stamped.service_rate.value == pytest.approx(plain.service_rate.value, rel=0.02)

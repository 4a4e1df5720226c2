"""Evictions for each finished request, and over which time they are counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.eviction.preemptions import Preemptions, costs
from kvwatch.core.interval import Interval
from tests.core.capacity.evidence import correction
from tests.core.synthetic import START, SyntheticEngine

SAMPLE = SyntheticEngine([]).sample()


def fed(*seconds: tuple[float | None, float | None], window: float = 60.0) -> Preemptions:
    """After seconds with so many evictions and finished requests each, from START on."""
    watch = Preemptions(window)
    for number, (preemptions, finished) in enumerate(seconds):
        watch.update(interval(number, preemptions, finished))
    return watch


def interval(number: int, preemptions: float | None, finished: float | None, cause: Cause | None = None) -> Interval:
    """A second, which ends at START + number."""
    at = START + number
    return Interval(start=at - 1, end=at, sample=SAMPLE, cause=cause, preemptions=preemptions, finished=finished)


def test_evictions_are_counted_over_the_last_minute() -> None:
    """What ended sixty seconds ago or more does not count."""
    watch = fed(*[(9.0, 1.0)] * 60, *[(1.0, 2.0)] * 60)
    assert watch.get(START + 119).per_finished() == pytest.approx(0.5)
    assert watch.get(START + 118.5).per_finished() == pytest.approx((60 * 1 + 9) / (60 * 2 + 1))


def test_where_requests_live_longer_they_are_counted_over_a_lifetime() -> None:
    """Who lives for two minutes is evicted by what happened in them."""
    watch = fed(*[(3.0, 1.0)] * 60, *[(1.0, 1.0)] * 60)
    assert watch.get(START + 119).per_finished(120.0) == pytest.approx(2.0)
    assert watch.get(START + 119).per_finished(30.0) == pytest.approx(1.0)


def test_nothing_is_older_than_a_quarter_of_an_hour() -> None:
    """However long requests live."""
    watch = fed(*[(9.0, 1.0)] * 100, *[(0.0, 1.0)] * 900)
    assert watch.get(START + 999).per_finished(5000.0) == 0.0


def test_no_evictions_are_zero_no_intervals_unknown_and_evictions_without_an_end_are_not_told() -> None:
    """A ratio to nothing finished would be no number."""
    assert fed().get(START).per_finished() is None
    assert fed((0.0, 0.0)).get(START).per_finished() == 0.0
    assert fed((2.0, 0.0)).get(START).per_finished() is None
    assert fed((None, 1.0), (1.0, None)).get(START + 1).per_finished() is None


@pytest.mark.parametrize("cause", list(Cause))
def test_those_evicted_before_a_break_are_gone(cause: Cause) -> None:
    """But where only the unit of lengths is another, they are the same requests."""
    watch = fed(*[(1.0, 1.0)] * 5)
    watch.begin_anew(cause)
    watch.update(interval(5, 9.0, 1.0, cause))
    assert watch.get(START + 5).per_finished() == (pytest.approx(14 / 6) if not cause.changes_requests else None)


def test_an_eviction_costs_what_the_embedded_engine_shows() -> None:
    """1.6 requests finish a step (80 tokens of 50 each), and 48 of 240 computed tokens are computed again.

    That is 30 tokens a request; with half an eviction for each, 60 an eviction, and 10% of throughput is 20% for one.
    """
    found = correction(0.9)
    run = replace(found.saturation, preemptions_per_finished=0.5, recomputed_token_ratio=0.2)
    assert costs(replace(found, saturation=run)) == pytest.approx((60.0, 0.2))
    assert costs(replace(found, saturation=run, factor=1.1)) == pytest.approx((60.0, 0.0))
    assert costs(found) is None
    assert costs(replace(found, saturation=replace(run, preemptions_per_finished=None))) is None
    assert costs(replace(found, saturation=replace(run, generated_tokens_per_step=0.0))) is None

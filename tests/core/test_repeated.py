"""A page that is made less often than it is read says nothing in between, and all that it should when it is new."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.core.repeated import Repeated
from kvwatch.facts import EngineKey, EngineSample, Scrape
from kvwatch.views import EngineView
from tests.core.synthetic import SEATS_KNOWN, START, TARGET, SyntheticEngine, poisson

BUSY = EngineSample(EngineKey("m", "0"), running=3.0, waiting=0.0, steps=100.0, generation_tokens=300.0)
IDLE = replace(BUSY, running=0.0)
RATE, STEP_SECONDS, SECONDS = 4.0, 0.02, 480


def watched(page_seconds: int, rate: float, scrape_seconds: int = 1) -> EngineView:
    """What kvwatch says after eight minutes of a page that is made each ``page_seconds``."""
    engine = SyntheticEngine(poisson(rate, SECONDS), step_seconds=STEP_SECONDS)
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    sample = engine.sample()
    for second in range(1, SECONDS):
        engine.advance(START + second)
        if not second % page_seconds:
            sample = engine.sample()
        if second % scrape_seconds:
            continue
        fleet.observe(TARGET, Scrape(START + second, (sample,)))
        if second % 30 == 29 and scrape_seconds == 1:
            # just before the next page it is neither stale nor hung
            assert fleet.view(START + second).targets[0].engines
    return fleet.view(START + second - second % scrape_seconds).targets[0].engines[0]


@pytest.mark.parametrize("rate", [0.5, RATE])
@pytest.mark.parametrize("page_seconds", [10, 15, 30])
def test_a_page_that_lasts_is_read_as_if_it_were_scraped_as_seldom(page_seconds: int, rate: float) -> None:
    """Ray's agent makes one each 10 s, a Prometheus each 15 or 30 s; an idle engine's pages are held as well.

    Read as if each page were of the moment, the engine would seem to make all steps of a page within a second. The
    difference is that of the last page, which may have been made since.
    """
    often, seldom = watched(page_seconds, rate), watched(page_seconds, rate, page_seconds)
    assert often.service_rate.verdict is seldom.service_rate.verdict
    assert often.service_rate.value == pytest.approx(seldom.service_rate.value, rel=0.08)


@pytest.mark.parametrize("page_seconds", [10, 15, 30])
def test_arrivals_are_counted_as_often_as_a_page_is_made(page_seconds: int) -> None:
    """Over five minutes, good to the requests at the ends of the window: a page more or less at each."""
    rates = watched(page_seconds, RATE).arrival_rate.value
    assert rates["5m"] == pytest.approx(RATE, rel=2 * page_seconds / 300 + 0.05)


def test_a_page_is_the_one_of_before_while_nothing_in_it_has_changed() -> None:
    """With requests inside it can be no page of now, for two minutes at most; an idle engine's can."""
    busy, idle = Repeated(), Repeated()
    assert [busy.update(float(s), BUSY) for s in range(0, 130, 10)] == [False] + 12 * [True]
    assert not busy.update(130.0, BUSY)
    assert not any(idle.update(float(s), IDLE) for s in range(100))


def test_an_idle_page_is_one_of_before_where_pages_are_known_to_last() -> None:
    """For as long as they last, and half as long again: then the engine is idle."""
    repeated = Repeated()
    for second in range(50):
        repeated.update(float(second), replace(BUSY, steps=second // 10))
    assert repeated.page_seconds == 9.0
    assert [repeated.update(50.0 + s, IDLE) for s in range(20)] == [False] + 13 * [True] + 6 * [False]


def test_an_engine_whose_pages_all_differ_is_read_as_before() -> None:
    """A step longer than the time between two scrapes is no sign of anything."""
    repeated = Repeated()
    for second in range(40):
        repeated.update(float(second), replace(BUSY, steps=second - second % 5 // 4))
    assert repeated.page_seconds is None


@pytest.mark.parametrize(("page_seconds", "seconds"), [(1, 60.0), (10, 60.0), (60, 177.0)])
def test_an_engine_hangs_after_three_pages_that_are_the_same(page_seconds: int, seconds: float) -> None:
    """After a minute at least; until then the page may be late."""
    engine = SyntheticEngine(poisson(RATE, 600), step_seconds=STEP_SECONDS)
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    sample, since = engine.sample(), 0
    for second in range(1, 800):
        engine.advance(START + min(second, 600))
        if not second % page_seconds and second <= 600:
            sample, since = engine.sample(), second
        fleet.observe(TARGET, Scrape(START + second, (replace(sample, running=4.0),)))
        if second < 600:
            continue
        if fleet.view(START + second).targets[0].hung:
            assert second - since >= seconds
            return
        assert second - since <= seconds + 2

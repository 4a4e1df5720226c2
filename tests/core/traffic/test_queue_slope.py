"""The trend of the queue: the median of the slopes between all its points, over the window and no longer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from statistics import median

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.queue_slope import QueueTrend
from kvwatch.estimate import Reason
from kvwatch.facts import EngineKey, EngineSample

SAMPLE = EngineSample(EngineKey("m", "0"))
BEGIN = 1e9
"""When the tests' times begin [unix s]."""


def trend(queue: Mapping[float, float | None], window: float = 60.0) -> QueueTrend:
    """After scrapes that found so many waiting, by the seconds since the beginning."""
    found = QueueTrend(window)
    for at, waiting in queue.items():
        found.update(Interval(start=BEGIN + at - 1, end=BEGIN + at, sample=SAMPLE, waiting=(99.0, waiting)))
    return found


QUEUE = {0.0: 40.0, 8.0: 3.0, 16.0: 9.0, 24.0: 4.0, 32.0: 16.0, 40.0: 11.0, 48.0: 25.0, 54.0: 22.0, 60.0: 33.0}
"""A queue that grows by about half a request a second, but for its first point, which is far above the others."""


def median_slope(queue: Mapping[float, float]) -> float:
    """The median over all pairs of points of how fast the queue grew between them [requests/s]."""
    return median((y - x) / (t - s) for (s, x), (t, y) in combinations(sorted(queue.items()), 2))


def test_the_slope_is_the_median_of_those_between_all_points() -> None:
    """With its interval about it; what waited at the beginning of an interval does not count twice."""
    found = trend(QUEUE).get(BEGIN + 60)
    assert found.value == pytest.approx(median_slope(QUEUE))
    assert found.verdict is Reason.OK
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < 0.3 < found.upper


def test_a_point_as_old_as_the_window_still_counts_and_an_older_one_does_not() -> None:
    """At a minute the first point does; half a second later only the others are left."""
    kept = {at: waiting for at, waiting in QUEUE.items() if at}
    assert median_slope(kept) > 1.2 * median_slope(QUEUE)
    assert trend({-0.5: 40.0} | kept).get(BEGIN + 60).value == pytest.approx(median_slope(kept))


@pytest.mark.parametrize(("last", "known"), [(29.0, False), (30.0, True)])
def test_half_of_the_window_must_be_seen(last: float, known: bool) -> None:
    """However many points there are by then."""
    found = trend({float(at): at / 2 for at in (*range(10), last)}).get(BEGIN + last)
    assert (found.value is not None) is known
    assert found.verdict is (Reason.OK if known else Reason.WARMING_UP)


def test_nothing_is_known_before_a_scrape_nor_of_a_queue_that_no_metric_shows_nor_of_seven_points() -> None:
    """No number, and what it waits for."""
    hidden = dict.fromkeys(map(float, range(61)))
    for nothing in (trend({}), trend(hidden), trend({10.0 * i: float(i) for i in range(7)})):
        assert (nothing.get(BEGIN + 60).value, nothing.get(BEGIN + 60).verdict) == (None, Reason.WARMING_UP)


def test_scrapes_that_follow_each_other_faster_than_sixty_in_a_window_count_once() -> None:
    """A second apart in a window of a minute: what is scraped between whole seconds leaves no point."""
    whole = {float(at): at / 2 for at in range(61)}
    between = {at + 0.5: 1000.0 for at in whole}
    both = dict(sorted((whole | between).items()))
    assert trend(both).get(BEGIN + 60).value == pytest.approx(0.5)


@pytest.mark.parametrize("cause", list(Cause))
def test_what_emptied_the_queue_at_once_ends_its_trend(cause: Cause) -> None:
    """A restart or a mass abort; whatever leaves the requests as they are leaves the trend."""
    found = trend({float(at): at / 2 for at in range(61)})
    found.begin_anew(cause)
    assert (found.get(BEGIN + 60).value is None) is cause.changes_requests

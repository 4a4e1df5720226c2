"""The bench of coarse scrapes: what is published is what was measured, and what is thinned out is what it says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.coarse.cases import INTERVALS, Thinned
from bench.coarse.measure import Measured, cost
from bench.coarse.report import PAGE, page
from kvwatch.backtest.coarse import costs_of, measured
from kvwatch.backtest.coverage import Coverage

RAMP = Path(__file__).parents[1] / "data" / "recordings" / "ramp11"


def test_the_page_is_of_the_results_that_ship() -> None:
    """The numbers that a report gives and those that are published are the same."""
    assert PAGE.read_text(encoding="utf-8") == page()
    assert [found.interval_seconds for found in measured()] == [float(every) for every in INTERVALS[1:]]


def test_a_recording_is_thinned_to_every_nth_scrape() -> None:
    """Their times are so far apart."""
    times = [scrape.at for scrape in Thinned(RAMP, 15).scrapes(Path("unused"))]
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) > 14
    assert max(gaps) < 17  # a recorded scrape may come a second late


def test_the_cost_is_what_is_lost_against_the_finest() -> None:
    """Half the time judged, μ a tenth lower, a page half a minute later; of two ramps one is too late for it."""

    def case(every: int, judged: float, rate: float, page_at: float | None) -> Measured:
        return Measured("c", float(every), judged, np.array([rate, np.nan, rate]), page_at, 1000.0)

    first = {1: case(1, 0.8, 10.0, 400.0), 30: case(30, 0.4, 9.0, 430.0)}
    second = {1: case(1, 0.8, 10.0, 980.0), 30: case(30, 0.4, 9.0, 1010.0)}
    late_anyway = {1: case(1, 0.8, 10.0, 1200.0), 30: case(30, 0.4, 9.0, None)}
    found = cost([first, second, late_anyway], 30, 1)
    assert found.judged_ratio == 0.5
    assert found.service_rate_error == pytest.approx(0.1)
    assert found.page_delay_seconds == 30.0
    assert found.missed_ratio == 0.5


def test_a_report_names_the_cost_of_the_intervals_that_it_has() -> None:
    """Of each server's interval the nearest that was measured; scrapes of a second cost nothing."""
    known = measured()
    servers = [Coverage("a", 1.0), Coverage("b", 14.9), Coverage("c", 15.1), Coverage("d", 55.0)]
    assert [found.interval_seconds for found in costs_of(servers, known)] == [15.0, 60.0]
    assert costs_of(servers[:1], known) == ()

"""What a server's histograms show of a phase, and what a prediction is held against."""

from __future__ import annotations

from math import inf

import pytest

from bench.latency_real.__main__ import Compared, in_range
from bench.latency_real.observed import quantile_of_phase
from kvwatch.facts import EngineKey, EngineSample, Histogram, Scrape

EDGES = (0.1, 0.2, 0.4, inf)


def _scrape(at: float, *cumulative: float) -> Scrape:
    seen = Histogram(EDGES, cumulative, 0.0, cumulative[-1])
    return Scrape(at, (EngineSample(EngineKey("m", "0"), first_token_seconds=seen),))


def test_a_quantile_is_of_what_the_phase_added_and_lies_in_its_bucket() -> None:
    """Of a hundred requests in the phase ninety-five took less than 0.35 s: 80 up to 0.2, 20 between 0.2 and 0.4."""
    scrapes = [_scrape(0, 900, 900, 900, 900), _scrape(10, 940, 980, 1000, 1000), _scrape(20, 940, 980, 1000, 5000)]
    seen = quantile_of_phase(scrapes, "first_token_seconds", 0.95, 0, 10)
    assert seen is not None
    assert (seen.low, seen.high, seen.requests) == (0.2, 0.4, 100)
    assert seen.seconds == pytest.approx(0.35)


def test_what_lies_beyond_the_last_edge_has_no_quantile() -> None:
    """Nothing says how long it took."""
    assert (
        quantile_of_phase([_scrape(0, 0, 0, 0, 0), _scrape(9, 1, 1, 1, 9)], "first_token_seconds", 0.95, 0, 9) is None
    )
    assert (
        quantile_of_phase([_scrape(0, 0, 0, 0, 0), _scrape(9, 0, 0, 0, 0)], "first_token_seconds", 0.95, 0, 9) is None
    )
    assert quantile_of_phase([_scrape(0, 0, 0, 0, 0)], "first_token_seconds", 0.95, 0, 9) is None


def _compared(utilization: float | None, lower: float | None, upper: float | None) -> Compared:
    return Compared(
        recording="r", load=0.5, utilization=utilization, phase_seconds=60, kind="ttft", requests=100, observed=0.3,
        low=0.2, high=0.4, predicted=lower, lower=lower, upper=upper, reason="ok", target_rate=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lower", "upper", "covered"),
    [
        (0.3, 0.5, True),
        (0.1, 0.21, True),
        (0.1, 0.19, False),
        (0.41, None, False),
        (0.1, None, True),
        (None, None, False),
    ],
)
def test_an_interval_covers_where_it_meets_the_bucket(lower: float | None, upper: float | None, covered: bool) -> None:
    """One without an upper end reaches any latency; none at all covers nothing."""
    assert _compared(0.5, lower, upper).covered is covered


def test_the_goal_is_for_the_middle_of_the_load() -> None:
    """Lighter and heavier loads, and those that nobody knows, do not count."""
    found = [_compared(rho, 0.1, 1.0) for rho in (0.29, 0.3, 0.85, 0.86, None)]
    assert [c.utilization for c in in_range(found, "ttft")] == [0.3, 0.85]

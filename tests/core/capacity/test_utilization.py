"""ρ, the time until it meets its limit, and the intervals, worked out by hand."""

from __future__ import annotations

from math import exp, hypot, log

import pytest

from kvwatch.core.capacity.time_to_saturation import time_to_saturation
from kvwatch.core.capacity.utilization import utilization
from kvwatch.core.traffic.arrival_rate import ArrivalRate
from kvwatch.estimate import Estimate, Reason
from kvwatch.stats.trend import Trend

MU = Estimate(10.0, 8.0, 13.0, Reason.OK)
UNKNOWN = ArrivalRate(Estimate(verdict=Reason.WARMING_UP))


def rate(value: float, lower: float, upper: float) -> ArrivalRate:
    """λ with its interval."""
    return ArrivalRate(Estimate(value, lower, upper, Reason.OK))


def test_utilization_is_arrivals_over_the_service_rate_and_never_clamped() -> None:
    """Relative errors of both add in squares; ρ is low where λ is low and μ high."""
    found = utilization({"1m": rate(5.0, 4.0, 6.5), "5m": rate(15.0, 14.0, 16.0)}, MU)
    assert found.value == {"1m": 0.5, "5m": 1.5}
    assert found.lower["1m"] == pytest.approx(0.5 * exp(-hypot(log(5 / 4), log(13 / 10))))
    assert found.upper["1m"] == pytest.approx(0.5 * exp(hypot(log(6.5 / 5), log(10 / 8))))
    assert found.verdict is Reason.OK


def test_an_idle_engine_has_utilization_zero_and_a_bound_on_it() -> None:
    """Also while μ is unknown, so that it can be scaled down."""
    found = utilization({"1m": rate(0.0, 0.0, 0.1)}, MU)
    assert (found.value["1m"], found.lower["1m"], found.upper["1m"]) == (0.0, 0.0, 0.1 / 8)
    unknown = utilization({"1m": rate(0.0, 0.0, 0.1)}, Estimate(verdict=Reason.LAW_UNKNOWN))
    assert unknown.value == {"1m": 0.0}
    assert "1m" not in unknown.upper
    assert unknown.verdict is Reason.OK


def test_few_arrivals_whose_rate_may_be_zero_have_their_own_bounds_over_those_of_the_service_rate() -> None:
    """No ratio to the estimate exists at 0."""
    found = utilization({"1m": rate(0.2, 0.0, 0.5)}, MU)
    assert (found.lower["1m"], found.upper["1m"]) == (0.0, 0.5 / 8)


def test_unknown_arrivals_or_service_rate_are_an_unknown_utilization_with_its_reason() -> None:
    """The verdict is that of the longest window that is known, and the service rate's own."""
    found = utilization({"1m": rate(5.0, 4.0, 6.0), "5m": UNKNOWN}, Estimate(10.0, None, None, Reason.SEATS_UNKNOWN))
    assert found.value == {"1m": 0.5}
    assert not found.lower
    assert found.verdict is Reason.SEATS_UNKNOWN
    assert utilization({"1m": UNKNOWN, "5m": UNKNOWN}, MU).verdict is Reason.WARMING_UP
    assert not utilization({"1m": rate(5.0, 4.0, 6.0)}, Estimate(verdict=Reason.LAW_UNKNOWN)).value


RATES = {"1m": rate(6.0, 5.0, 7.0), "5m": rate(5.0, 4.5, 5.5)}
LIMIT = Estimate(0.9, verdict=Reason.OK)
RISING = Trend(0.01, 0.008, 0.012, significant=True)


def until(trend: Trend | None = RISING, rates: dict[str, ArrivalRate] = RATES, limit: Estimate = LIMIT) -> float | None:
    """Time to saturation with a shortest window of a minute."""
    return time_to_saturation(rates, trend, 60.0, MU, limit)


def test_the_time_is_what_is_left_over_the_slope() -> None:
    """λ over a minute was 6/s half a minute ago, so it is 6.3/s; 2.7/s are left to 9/s, at 0.01/s each second."""
    assert until() == pytest.approx(270)
    assert until(limit=Estimate(0.3, verdict=Reason.OK)) == pytest.approx(220)  # one large request is no limit of 30%
    assert until(limit=Estimate(0.3, verdict=Reason.DELTA_IS_BOUND)) == pytest.approx(370)


def test_nothing_rises_without_a_sure_trend() -> None:
    """Unknown, not significant, perhaps falling, or no more than chance makes of steady traffic now and then."""
    assert until(None) is None
    assert until(Trend(0.01, 0.005, 0.015, significant=False)) is None
    assert until(Trend(0.01, 0.0, 0.02, significant=True)) is None
    assert until(Trend(0.01, 0.005, 0.015, significant=True)) is None


def test_a_limit_that_is_met_surely_or_over_all_windows_is_met_now() -> None:
    """With or without a trend; what has been over for long, or may be over by chance, does not count."""
    assert until(None, {"1m": rate(9.5, 8.0, 11.0), "5m": rate(9.0, 8.0, 10.0)}) == 0.0
    assert until(None, {"1m": rate(9.5, 9.0, 10.0), "5m": rate(5.0, 4.0, 6.0)}) == 0.0
    assert until(None, {"1m": rate(9.5, 8.0, 11.0), "5m": rate(5.0, 4.0, 6.0)}) is None
    assert until(None, {"1m": rate(9.5, 8.0, 11.0), "5m": UNKNOWN}) is None
    assert until(None, {"1m": rate(1.0, 1.0, 1.0), "5m": rate(9.0, 8.0, 10.0)}) is None


def test_without_arrivals_service_rate_or_limit_there_is_no_time() -> None:
    """Unknown stays unknown."""
    assert until(rates={"1m": UNKNOWN}) is None
    assert until(limit=Estimate()) is None
    assert time_to_saturation(RATES, RISING, 60.0, Estimate(), LIMIT) is None

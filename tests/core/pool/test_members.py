"""What the engines in sight come to: sums of their rates, how unsure these are, and what a mean replica serves."""

from __future__ import annotations

import pytest

from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.members import INTERVAL_DEVIATIONS, Members
from kvwatch.estimate import Estimate, KeyedEstimate, Reason
from kvwatch.views import EngineView

OPTIONS = CoreOptions(target_utilization=0.8)


def engine(target: str = "a", **changes: object) -> EngineView:
    """An engine at 2 requests/s of the 5 that it sustains, the last minute known to 0.3, the last five to 0.1."""
    rates = {"1m": Estimate(2.0, 1.7, 2.3, Reason.OK), "5m": Estimate(2.0, 1.9, 2.1, Reason.OK)}
    known = {
        "arrival_rate": KeyedEstimate.of(rates),
        "service_rate": Estimate(5.0, verdict=Reason.OK),
        "utilization": KeyedEstimate({"1m": 0.4}, verdict=Reason.OK),
        "queue_length": 3.0,
        "running_requests": 7.0,
    }
    return EngineView(target, "m", "0", **(known | changes))  # type: ignore[arg-type]


def members(*engines: EngineView) -> Members:
    """Engines whose targets answer."""
    return Members(engines, {e.target: True for e in engines}, OPTIONS)


def test_the_variance_of_a_sum_is_the_sum_of_the_variances() -> None:
    """A 90% interval spans 3.29 deviations: 0.6 of the last minute, 0.2 of the last five, of each of two engines."""
    two = members(engine("a"), engine("b"))
    assert INTERVAL_DEVIATIONS == 3.29
    assert two.rate_variance == pytest.approx(2 * (0.6 / 3.29) ** 2)
    # a count of 300 s has 300² times the variance of its rate, a second's a 300th of that
    assert two.count_variance == pytest.approx(2 * (0.2 / 3.29) ** 2 * 300)


@pytest.mark.parametrize("end", [{"lower": 1.7}, {"upper": 2.3}, {}])
def test_an_engine_whose_interval_has_no_second_end_adds_no_variance(end: dict[str, float]) -> None:
    """How unsure it is nobody knows; the others still count."""
    open_ = engine("b", arrival_rate=KeyedEstimate.of({"1m": Estimate(2.0, **end, verdict=Reason.OK)}))
    assert members(engine("a"), open_).rate_variance == pytest.approx((0.6 / 3.29) ** 2)


def test_requests_add_up() -> None:
    """Those that wait, and those that wait or run; an engine of which they are not known adds none."""
    known = members(engine("a"), engine("b"), engine("c", queue_length=None, running_requests=None))
    assert (known.waiting, known.inside) == (6.0, 20.0)


def test_a_mean_replica_serves_what_a_mean_engine_does_times_the_engines_of_a_server() -> None:
    """Two servers of two engines each, of 5 and 7 requests/s."""
    fast = {"service_rate": Estimate(7.0, verdict=Reason.OK)}
    replica = members(engine("a"), engine("a"), engine("b", **fast), engine("b", **fast)).replica
    assert replica is not None
    assert replica.service_rate == pytest.approx(12.0)
    assert replica.target_utilization == 0.8


def test_a_latency_target_lowers_the_load_that_a_replica_is_sized_for() -> None:
    """To the mean of what its engines are sized for."""
    lowered = members(engine("a", target_utilization=0.5), engine("b", target_utilization=0.7)).replica
    assert lowered is not None
    assert lowered.target_utilization == pytest.approx(0.6)


@pytest.mark.parametrize(
    "doubt",
    [
        {"utilization": KeyedEstimate({"1m": 0.4}, verdict=Reason.WARMING_UP)},
        {"arrival_rate": KeyedEstimate.of({"1m": Estimate(verdict=Reason.RESTART)})},
        {"arrival_rate": KeyedEstimate()},
        {"service_rate": Estimate(verdict=Reason.OK)},
    ],
)
def test_what_may_not_be_believed_sizes_no_replica(doubt: dict[str, object]) -> None:
    """Neither λ nor ρ without a number, and no μ that is unknown."""
    assert members(engine("a", **doubt)).replica is None
    beside = members(engine("a", **doubt), engine("b")).replica
    assert beside is not None
    assert beside.service_rate == pytest.approx(5.0)

"""Events by time, in any order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.stats.binned_count import BinnedCount

TIMES = st.lists(st.integers(0, 3000), min_size=1, max_size=200)


@settings(deadline=None)
@given(TIMES, st.integers(0, 30), st.integers(0, 30))
def test_a_span_of_whole_bins_holds_the_events_in_it_whatever_their_order(times: list[int], a: int, b: int) -> None:
    """Of all events that are no older than the horizon before the newest."""
    count = BinnedCount(horizon_seconds=300.0, bins=30)
    for tenth in times:
        count.add(tenth / 10)
    newest = max(times) / 10
    start, end = sorted((newest // 10 * 10 - 10 * a, newest // 10 * 10 - 10 * b + 10))
    kept = sum(start <= t / 10 < end and t / 10 >= newest // 10 * 10 - 300 for t in times)
    assert count.total(start, end) == pytest.approx(kept)


def test_a_bin_that_lies_in_a_span_in_part_counts_in_part() -> None:
    """Events are taken to be spread evenly over their bin."""
    count = BinnedCount(horizon_seconds=100.0, bins=10)
    count.add(5.0, 4)
    assert count.total(0.0, 2.5) == pytest.approx(1.0)
    assert count.total(2.5, 100.0) == pytest.approx(3.0)


def test_a_jump_of_time_by_years_costs_no_memory_and_no_time() -> None:
    """Old bins go at once, and a span of years is clipped to what is kept."""
    count = BinnedCount(horizon_seconds=100.0, bins=10)
    for year in range(50):
        count.add(year * 3e7)
    assert len(count.dump()["bins"]) == 1  # type: ignore[arg-type]
    assert count.total(0.0, 1e12) == 1


@pytest.mark.parametrize("bins", [3, [[0, float("nan")]], [[0, -1]], [[0]], [[n, 1] for n in range(20)]])
def test_a_damaged_state_is_refused(bins: object) -> None:
    """With one of the errors that a state may raise."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        BinnedCount(horizon_seconds=100.0, bins=10).restore({"width": 10.0, "bins": bins})


def test_events_before_the_horizon_are_forgotten() -> None:
    """Ten bins of ten seconds and the one that is filling: what lies 110 seconds back is gone, 100 seconds is not."""
    count = BinnedCount(horizon_seconds=100.0, bins=10)
    for second in range(0, 1000, 5):
        count.add(float(second))
        assert len(count.dump()["bins"]) <= 11  # type: ignore[arg-type]
    assert count.total(0.0, 1000.0) == 22
    count.add(880.0)
    assert count.total(0.0, 1000.0) == 22
    count.add(890.0)
    assert count.total(0.0, 1000.0) == 23

"""What the decaying maximum may forget, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.stats.decaying_max import DecayingMax

PERIOD = 100
events = st.lists(st.tuples(st.integers(0, 130), st.integers(-20, 20)), min_size=1, max_size=60)


@given(events, st.integers(0, 250))
def test_nothing_is_forgotten_within_a_period_and_everything_after_two(
    gaps_and_values: list[tuple[int, int]], silence: int
) -> None:
    """After every prefix and after a silence: at least the batch maximum of one period, at most that of two."""
    largest = DecayingMax(PERIOD)
    at = 1_700_000_000
    seen: list[tuple[int, int]] = []
    queries = []
    for gap, value in gaps_and_values:
        at += gap
        seen.append((at, value))
        largest.update(at, value)
        queries.append((at, largest.get(at)))
        check(seen, at, queries[-1][1])
    check(seen, at + silence, largest.get(at + silence))


def check(seen: list[tuple[int, int]], now: int, got: float | None) -> None:
    """``got`` lies between the maxima over one period and over two."""
    recent = [v for t, v in seen if now - t < PERIOD]
    old = [v for t, v in seen if now - t < 2 * PERIOD]
    if recent:
        assert got is not None
        assert got >= max(recent)
    if not old:
        assert got is None
    if got is not None:
        assert got in old
        assert got <= max(old)


def test_before_the_first_value_there_is_none() -> None:
    """Nothing seen is unknown."""
    assert DecayingMax(10.0).get(5.0) is None


@pytest.mark.parametrize("age", [0.0, 50.0, 99.9])
def test_a_value_outlives_smaller_ones(age: float) -> None:
    """Smaller values that come later do not replace it."""
    largest = DecayingMax(100.0)
    largest.update(70.0, 9.0)
    for step in range(int(age) + 1):
        largest.update(70.0 + step, 1.0)
    assert largest.get(70.0 + age) == 9.0

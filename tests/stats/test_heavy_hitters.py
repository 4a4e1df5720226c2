"""The heaviest keys of a stream: bounds of Misra and Gries, exact totals, bounded size."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.stats.heavy_hitters import HeavyHitters

STREAM = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), max_size=400)


@settings(deadline=None)
@given(STREAM, st.integers(1, 8))
def test_no_key_is_overstated_and_none_understated_beyond_the_bound(stream: list[tuple[int, int]], m: int) -> None:
    """For every key, kept or not: truth − total/(m + 1) ≤ what is told ≤ truth; and there are never more than 2m."""
    hitters = HeavyHitters(m, 2)
    truth: dict[str, float] = defaultdict(float)
    for key, weight in stream:
        hitters.add(str(key), (weight, 1))
        truth[str(key)] += weight
        told = {k: v[0] for k, v in hitters.items()}
        assert len(told) <= 2 * m
        assert hitters.error <= sum(truth.values()) / (m + 1) + 1e-9
        for k, weight_of_k in truth.items():
            assert weight_of_k - hitters.error - 1e-9 <= told.get(k, 0.0) <= weight_of_k
    assert hitters.total == [sum(truth.values()), len(stream)]


@settings(deadline=None)
@given(STREAM, STREAM)
def test_a_restored_state_goes_on_as_the_one_that_was_dumped(
    before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    """Also what decides who is evicted next."""
    one, other = HeavyHitters(4, 2), HeavyHitters(4, 2)
    for key, weight in before:
        one.add(str(key), (weight, 1))
    other.restore(one.dump())
    for key, weight in after:
        one.add(str(key), (weight, 1))
        other.add(str(key), (weight, 1))
    assert dict(one.items()) == dict(other.items())
    assert (one.total, one.error) == (other.total, other.error)


@pytest.mark.parametrize(
    "damage",
    [
        {"keys": 3},
        {"keys": [["a", 1.0]]},
        {"keys": [[1, 1.0, 1.0, 1.0]]},
        {"keys": [["a", float("nan"), 1.0, 1.0]]},
        {"keys": [["a", -1.0, 1.0, 1.0]]},
        {"keys": [[str(n), 1.0, 1.0, 1.0] for n in range(9)]},
        {"total": [1.0]},
        {"error": float("inf")},
    ],
)
def test_a_damaged_state_is_refused(damage: dict[str, object]) -> None:
    """With one of the three errors that a state may raise."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        HeavyHitters(4, 2).restore({"keys": [], "total": [0.0, 0.0], "error": 0.0, **damage})

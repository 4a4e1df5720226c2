"""A quantile of a histogram: as PromQL has it, and within the bucket that the true one is in."""

from __future__ import annotations

from bisect import bisect_left
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.stats.bucket_quantile import bucket_quantile

EDGES = (0.1, 0.5, 1.0, 5.0, inf)


def counted(values: list[float]) -> list[float]:
    """Cumulative counts of the buckets."""
    return [float(sum(value <= edge for value in values)) for edge in EDGES]


def test_it_interpolates_within_the_bucket() -> None:
    """Ten from 0.1 to 0.5: the median is in the middle of the bucket."""
    assert bucket_quantile(0.5, EDGES, [0.0] * 5, [0, 10, 10, 10, 10]) == pytest.approx(0.3)


def test_only_what_came_between_counts() -> None:
    """A thousand quick ones of yesterday are not felt today."""
    assert bucket_quantile(0.5, EDGES, [1000.0] * 5, [1000, 1000, 1000, 1010, 1010]) == pytest.approx(3.0)


def test_beyond_the_last_edge_it_is_that_edge() -> None:
    """A lower bound, as in PromQL."""
    assert bucket_quantile(0.95, EDGES, [0.0] * 5, [0, 0, 0, 0, 7]) == 5.0


@pytest.mark.parametrize("after", [[0, 0, 0, 0, 0], [5, 3, 4, 5, 5], [-1, -1, -1, -1, -1]])
def test_nothing_and_nonsense_have_no_quantile(after: list[float]) -> None:
    """No observation, counts that are not cumulative, and counters that fell."""
    assert bucket_quantile(0.5, EDGES, [0.0] * 5, after) is None


@given(st.lists(st.floats(0.001, 4.9), min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_it_is_in_the_bucket_of_the_true_quantile(values: list[float], quantile: float) -> None:
    """The most that buckets can tell."""
    found = bucket_quantile(quantile, EDGES, [0.0] * 5, counted(values))
    true = sorted(values)[ceil(quantile * len(values)) - 1]
    place = bisect_left(EDGES, true)
    assert found is not None
    assert (EDGES[place - 1] if place else 0.0) - 1e-9 <= found <= EDGES[place] + 1e-9

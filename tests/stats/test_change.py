"""A change of the mean is found, in the right place, and seldom where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.stats.change import ChangeDetector, change_point


@given(st.integers(1, 60), st.integers(3, 60), st.sampled_from([-5.0, -0.1, 0.2, 40.0]))
def test_a_jump_without_noise_is_found_where_it_is(before: int, after: int, jump: float) -> None:
    """The index of the first value after it, as long as three or more came after."""
    assert change_point([7.0] * before + [7.0 + jump] * after) == before


@given(st.lists(st.floats(-100, 100, allow_nan=False), min_size=4, max_size=40))
def test_the_place_is_that_of_the_split_that_explains_most(values: list[float]) -> None:
    """Against all splits with three values or more after: the largest sum of squares between the two means."""
    x = np.array(values)
    places = range(1, len(x) - 2)
    between = [n * (len(x) - n) / len(x) * (x[:n].mean() - x[n:].mean()) ** 2 for n in places]
    found = change_point(values)
    assert found in places
    assert between[found - 1] == pytest.approx(max(between), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_of_three_values_or_fewer_all_are_of_one_mean(count: int) -> None:
    """The last one alone, an outlier or not, would else be the likeliest place."""
    assert change_point([1.0, 9.0, 9.0][:count]) == 0


def test_the_detector_finds_a_change_soon_and_seldom_one_that_is_none() -> None:
    """Five standard deviations within ten values; in ten thousand values of one mean less than one in a thousand."""
    rng = np.random.default_rng(4)
    assert sum(map(ChangeDetector().update, rng.normal(50, 10, 10_000))) < 10
    for seed in range(20):
        detector, rng = ChangeDetector(), np.random.default_rng(seed)
        assert not any(map(detector.update, rng.normal(50, 10, 60)))
        found = [n for n, value in enumerate(rng.normal(100, 10, 40)) if detector.update(value)]
        assert found
        assert found[0] < 10

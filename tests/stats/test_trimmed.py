"""Trimmed ratios and weighted medians against scipy and the plain definition."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from kvwatch.stats.trimmed import trimmed_ratio, weighted_median

values = st.floats(0.001, 1000, allow_subnormal=False)
trims = st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.49])


@given(st.lists(values, min_size=1, max_size=80), trims)
def test_with_equal_weights_it_is_the_trimmed_mean(ratios: list[float], trim: float) -> None:
    """After every prefix, with all denominators 1, the answer is scipy's trimmed mean."""
    for n in range(1, len(ratios) + 1):
        assert trimmed_ratio(ratios[:n], [1.0] * n, trim) == pytest.approx(trim_mean(ratios[:n], trim))


@given(st.lists(st.tuples(values, values), min_size=1, max_size=60))
def test_without_trimming_it_is_the_ratio_of_the_sums(pairs: list[tuple[float, float]]) -> None:
    """Intervals count by what they stand on, not one each."""
    num, den = zip(*pairs, strict=True)
    assert trimmed_ratio(num, den, 0.0) == pytest.approx(sum(num) / sum(den))


@given(st.lists(st.tuples(values, values), min_size=1, max_size=60), trims)
def test_whole_intervals_are_cut_by_their_own_ratio(pairs: list[tuple[float, float]], trim: float) -> None:
    """The kept intervals are those in the middle of the order of ratios."""
    pairs.sort(key=lambda p: p[0] / p[1])
    cut = int(trim * len(pairs))
    kept = pairs[cut : len(pairs) - cut]
    num, den = zip(*reversed(pairs), strict=True)
    lowest, highest = kept[0][0] / kept[0][1], kept[-1][0] / kept[-1][1]
    got = trimmed_ratio(num, den, trim)
    assert got is not None
    assert lowest * (1 - 1e-9) <= got <= highest * (1 + 1e-9)
    if len({p[0] / p[1] for p in pairs}) == len(pairs):
        assert got == pytest.approx(sum(p[0] for p in kept) / sum(p[1] for p in kept))


def test_outliers_at_both_ends_do_not_count() -> None:
    """One stall of a minute in twenty intervals leaves the step time where it was."""
    seconds = [0.02] * 18 + [60.0, 1e-6]
    assert trimmed_ratio(seconds, [1.0] * 20, 0.05) == pytest.approx(0.02)


def test_no_intervals_have_no_ratio() -> None:
    """Nothing observed is unknown, not 0."""
    assert trimmed_ratio([], [], 0.05) is None
    assert weighted_median([], []) is None


@pytest.mark.parametrize("trim", [-0.01, 0.5, 1.0, float("nan")])
def test_a_trim_that_would_leave_nothing_is_refused(trim: float) -> None:
    """The message names the range and the value."""
    with pytest.raises(ValueError, match=r"\[0, 0\.5\), not"):
        trimmed_ratio([1.0], [1.0], trim)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), min_size=1, max_size=60))
def test_weighted_median_is_the_lower_median_of_repeated_values(pairs: list[tuple[int, int]]) -> None:
    """After every prefix, whole weights count as repetitions of their value."""
    for n in range(1, len(pairs) + 1):
        repeated = sorted(v for v, w in pairs[:n] for _ in range(w))
        expected = repeated[(len(repeated) - 1) // 2]
        assert weighted_median([float(v) for v, _ in pairs[:n]], [float(w) for _, w in pairs[:n]]) == expected


@given(st.lists(st.tuples(values, values), min_size=1, max_size=40))
def test_half_of_the_weight_lies_on_either_side_of_the_median(pairs: list[tuple[float, float]]) -> None:
    """The median is the first value at which half of the weight is reached."""
    val, weight = np.array(pairs).T
    got = weighted_median(list(val), list(weight))
    reached = dict(zip(sorted(val), accumulate(weight[np.argsort(val)]), strict=True))
    assert reached[got] >= weight.sum() / 2 * (1 - 1e-9)
    assert weight[val < got].sum() <= weight.sum() / 2 * (1 + 1e-9)

"""A made-up pool of requests has the moments and the shapes that it was made of."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.queueing.length_mix import (
    POOL_SIZE,
    BucketCounts,
    LengthLaws,
    accumulate,
    bucket_variance,
    covariance_limits,
    synthesize,
)
from kvwatch.stats.group_moments import PairMoments

EDGES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, inf)


def moments(mean: tuple[float, float], deviation: tuple[float, float], correlation: float = 0.0) -> PairMoments:
    """Moments of prompts and outputs."""
    cov = correlation * deviation[0] * deviation[1]
    return PairMoments(1000, 100, *mean, deviation[0] ** 2, deviation[1] ** 2, cov)


def histogram(lengths: np.ndarray[tuple[int], np.dtype[np.float64]]) -> BucketCounts:
    """Counts of lengths as vLLM's histogram has them: a bucket holds what is at most its edge."""
    return BucketCounts(EDGES, tuple(np.histogram(lengths, (-inf, *EDGES))[0].astype(float)))


@pytest.mark.parametrize("correlation", [-0.9, -0.5, 0.0, 0.3, 0.9])
def test_a_pool_has_the_means_variances_and_correlation_that_were_asked_for(correlation: float) -> None:
    """Whole tokens round a mean by half a token at most, and a correlation by less than the couplings' steps.

    Exponential marginals cannot be as much opposed as normal ones: there the most that they can is made.
    """
    asked = moments((300.0, 120.0), (90.0, 40.0), correlation)
    s, o = synthesize(asked, LengthLaws(np.linspace(0, 1, POOL_SIZE), np.linspace(0, 1, POOL_SIZE), 4096))
    assert len(s) == len(o) == POOL_SIZE
    assert s.mean() == pytest.approx(300, abs=0.5)
    assert o.mean() == pytest.approx(120, abs=0.5)
    assert s.std() == pytest.approx(90, rel=0.02)
    assert o.std() == pytest.approx(40, rel=0.02)
    assert np.corrcoef(s, o)[0, 1] == pytest.approx(correlation, abs=0.02)


def test_a_covariance_that_no_lengths_can_have_is_cut_off() -> None:
    """Moments of few groups may show a correlation of 2: the pool is then as correlated as is ever made, not more."""
    wild, most = (
        synthesize(moments((300.0, 120.0), (90.0, 40.0), r), LengthLaws.of(None, None, 4096.0)) for r in (2.0, 0.95)
    )
    assert np.array_equal(wild[0], most[0])
    assert np.array_equal(wild[1], most[1])


def test_lengths_are_whole_at_least_one_and_no_longer_than_the_model_allows() -> None:
    """Also where mean and variance would want others."""
    s, o = synthesize(moments((400.0, 3.0), (900.0, 8.0)), LengthLaws.of(None, None, 1000.0))
    for lengths in (s, o):
        assert np.array_equal(lengths, np.rint(lengths))
        assert lengths.min() >= 1
        assert lengths.max() <= 1000
    assert o.min() == 1
    assert s.max() == 1000


def test_all_alike_is_all_alike() -> None:
    """Without variance there is one length, whatever the shape."""
    s, o = synthesize(moments((64.0, 192.0), (0.0, 0.0)), LengthLaws.of(None, None, 4096.0))
    assert set(s) == {64}
    assert set(o) == {192}


def test_the_shape_is_the_histograms() -> None:
    """Two kinds of prompts stay two: none lies between 60 and 900, a third of them beyond."""
    lengths = np.repeat([40.0, 950.0], [200, 100])
    asked = moments((float(lengths.mean()), 100.0), (float(lengths.std()), 1.0))
    s, _ = synthesize(asked, LengthLaws.of(histogram(lengths), None, 4096.0))
    assert np.mean(s > 400) == pytest.approx(1 / 3, abs=1 / POOL_SIZE)
    assert not np.any((s > 100) & (s < 600))


@given(st.lists(st.integers(0, 50), min_size=len(EDGES), max_size=len(EDGES)), st.sampled_from([1500.0, 2500.0, 1e6]))
def test_the_variance_of_buckets_is_that_of_lengths_spread_evenly_in_them(counts: list[int], longest: float) -> None:
    """Against a mixture of uniform laws; the last bucket ends at two and a half times its beginning, or the longest."""
    found = bucket_variance(BucketCounts(EDGES, tuple(map(float, counts))), longest)
    if not sum(counts):
        assert found is None
        return
    assert found is not None
    edges = np.array([0.0, *EDGES[:-1], min(longest, 2500.0)])
    share = np.array(counts) / sum(counts)
    middle, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    mean = share @ middle
    expected = share @ ((middle - mean) ** 2 + width**2 / 12)
    assert found == pytest.approx(float(expected), rel=1e-9, abs=1e-6)


def test_the_variance_of_buckets_without_a_finite_edge_is_that_of_lengths_up_to_one() -> None:
    """Nothing is known of them but that they are at least a token."""
    assert bucket_variance(BucketCounts((inf,), (7.0,)), 4096.0) == pytest.approx(1 / 12)
    assert bucket_variance(None, 4096.0) is None


def test_a_model_that_is_shorter_than_the_last_edge_does_not_turn_the_edges_round() -> None:
    """The bucket beyond it is then empty of width, and its lengths lie at the edge."""
    counts = BucketCounts((100.0, inf), (0.0, 1.0))
    assert bucket_variance(counts, 50.0) == pytest.approx(0.0)
    assert sqrt(bucket_variance(counts, 200.0) or 0.0) == pytest.approx(100 / sqrt(12))


def test_counts_add_up_with_the_old_ones_weighing_less() -> None:
    """Half of what there was and all that is new; buckets with other edges are others."""
    first = accumulate(None, [1.0, 2.0], [10.0, inf], 0.5)
    assert first == BucketCounts((10.0, inf), (1.0, 2.0))
    assert accumulate(first, [3.0, 4.0], [10.0, inf], 0.5) == BucketCounts((10.0, inf), (3.5, 5.0))
    assert accumulate(first, [3.0, 4.0], [20.0, inf], 0.5) == BucketCounts((20.0, inf), (3.0, 4.0))


def test_the_same_moments_give_the_same_pool() -> None:
    """A view must not change when nothing has."""
    laws = LengthLaws.of(histogram(np.linspace(1, 800, 500)), None, 4096.0)
    asked = moments((300.0, 120.0), (90.0, 40.0), 0.4)
    for one, other in zip(synthesize(asked, laws), synthesize(asked, laws), strict=True):
        assert np.array_equal(one, other)


def test_lengths_that_are_cut_keep_the_variance_that_was_asked_for() -> None:
    """Of 200 lognormal traffics in a histogram's buckets to a twentieth, in 99 of 100.

    Moving lengths back to 1 and to the longest takes variance from them: one round leaves 17% of it, two leave 10%.
    """
    off = []
    for seed in range(200):
        source = np.random.default_rng(seed)
        lengths = np.exp(source.uniform(3, 7) + source.uniform(0.3, 1.4) * source.normal(size=2000))
        lengths = np.clip(np.rint(lengths), 1, 8191)
        asked = moments((300.0, float(lengths.mean())), (90.0, float(lengths.std())))
        _, made = synthesize(asked, LengthLaws.of(None, histogram(lengths), 8192.0))
        off.append(abs(made.var() / lengths.var() - 1))
    assert float(np.quantile(off, 0.99)) < 0.05


@pytest.mark.parametrize("deviation", [(30.0, 20.0), (200.0, 150.0)])
def test_no_order_of_the_lengths_has_a_covariance_beyond_the_limits(deviation: tuple[float, float]) -> None:
    """A thousand orders at random lie between them, and the two extreme ones reach them."""
    laws = LengthLaws.of(
        BucketCounts(EDGES, (0, 0, 0, 0, 0, 5, 30, 20, 5, 1, 0)),
        BucketCounts(EDGES, (0, 0, 0, 5, 9, 9, 9, 5, 2, 0, 0)),
        inf,
    )
    shown = moments((200.0, 120.0), deviation)
    least, largest = covariance_limits(shown, laws)
    s, o = (np.sort(x) for x in synthesize(shown, laws))
    draw = np.random.default_rng(7)
    orders = [np.cov(s, draw.permutation(o), bias=True)[0, 1] for _ in range(1000)]
    assert least < min(orders)
    assert max(orders) < largest
    assert np.cov(s, o[::-1], bias=True)[0, 1] == pytest.approx(least, rel=0.02)
    assert np.cov(s, o, bias=True)[0, 1] == pytest.approx(largest, rel=0.02)

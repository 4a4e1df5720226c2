"""Lengths that fill the buckets as they fill and hold the memory that is held."""

from __future__ import annotations

from math import inf

import pytest

from kvwatch.core.traffic.matched_lengths import _moved, matched_lengths, unclustered
from kvwatch.queueing.length_mix import BucketCounts
from kvwatch.stats.group_moments import PairMoments

MOMENTS = PairMoments(1000, 100, 150.0, 100.0, 1600.0, 900.0, 300.0)
SIZES = (16, 2048)
EVEN = 100.0**2 / 12
"""Variance of lengths that lie evenly between 100 and 200 [tokens²]."""
BUCKETS = BucketCounts((100.0, 200.0, inf), (0.0, 50.0, 0.0))


def test_variances_within_a_quarter_of_what_the_buckets_show_stay_as_they_are() -> None:
    """Buckets are coarse; and where nothing is counted nothing is known."""
    wide = PairMoments(1000, 100, 150.0, 150.0, 1.24 * EVEN, 1.24 * EVEN, 300.0)
    assert unclustered(wide, (BUCKETS, BUCKETS), inf) == wide
    wider = PairMoments(1000, 100, 150.0, 150.0, 9 * EVEN, 9 * EVEN, 300.0)
    assert unclustered(wider, (None, None), inf) == wider


def test_requests_that_come_in_bursts_of_a_kind_vary_no_more_than_their_buckets_allow() -> None:
    """Five times the variance is cut to a quarter above; the covariance with it, by the root of one variance's cut."""
    bursts = PairMoments(1000, 100, 150.0, 150.0, 5 * EVEN, EVEN, 300.0)
    found = unclustered(bursts, (BUCKETS, BUCKETS), inf)
    assert found.var_s == pytest.approx(1.25 * EVEN)
    assert found.var_o == EVEN
    assert found.cov == pytest.approx(300.0 * 0.25**0.5)


@pytest.mark.parametrize(
    ("missing", "cov", "var_o"),
    [
        (500.0, 800.0, 900.0),
        (-500.0, -200.0, 900.0),
        (1000.0, 1080.0, 900.0 + 2 * 220.0),
        (-1500.0, -1080.0, 900.0 - 2 * 120.0),
        (-9000.0, -1080.0, 90.0),
    ],
)
def test_memory_that_is_missing_is_made_up_by_the_covariance_and_then_by_the_outputs_variance(
    missing: float, cov: float, var_o: float
) -> None:
    """E[g] holds Cov(s, o) once and Var(o) half. No correlation is beyond 0.9, and a tenth of the variance is left."""
    found = _moved(MOMENTS, missing)
    assert (found.cov, found.var_o, found.var_s) == (pytest.approx(cov), pytest.approx(var_o), MOMENTS.var_s)


@pytest.mark.parametrize("ratio", [0.95, 0.98, 1.04, 1.07])
def test_the_lengths_hold_what_is_held(ratio: float) -> None:
    """To a hundredth, with the means as they were; without a word on the memory held they are left as they are."""
    _, _, plain = matched_lengths(MOMENTS, (None, None), None, SIZES, inf)
    held = ratio * float(plain.mean())
    s, o, g = matched_lengths(MOMENTS, (None, None), held, SIZES, inf)
    assert float(g.mean()) == pytest.approx(held, rel=0.01)
    assert float(s.mean()) == pytest.approx(150.0, rel=0.01)
    assert float(o.mean()) == pytest.approx(100.0, rel=0.01)


def test_a_gap_of_less_than_a_hundredth_is_left() -> None:
    """The memory held is not known better."""
    _, _, plain = matched_lengths(MOMENTS, (None, None), None, SIZES, inf)
    for ratio, same in ((1.009, True), (0.991, True), (1.012, False), (0.988, False)):
        _, _, g = matched_lengths(MOMENTS, (None, None), ratio * float(plain.mean()), SIZES, inf)
        assert (float(g.mean()) == float(plain.mean())) is same


def test_requests_of_one_length_are_not_spread_out() -> None:
    """Outputs that do not vary cannot make up for anything."""
    alike = PairMoments(1000, 100, 150.0, 100.0, 0.0, 0.0, 0.0)
    _, o, _ = matched_lengths(alike, (None, None), 1e6, SIZES, inf)
    assert set(o.tolist()) == {100.0}

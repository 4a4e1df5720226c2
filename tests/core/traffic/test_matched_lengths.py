"""Lengths that fill the buckets as they fill and hold the memory that is held."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from kvwatch.core.traffic.matched_lengths import _moved, matched_lengths, unclustered
from kvwatch.queueing.demand import block_demand
from kvwatch.queueing.length_mix import BucketCounts, bucket_variance
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


TWO_KINDS = (
    BucketCounts((100.0, 200.0, 800.0, 1000.0, inf), (0.0, 50.0, 0.0, 50.0, 0.0)),
    BucketCounts((100.0, 200.0, 800.0, 1000.0, inf), (0.0, 50.0, 0.0, 50.0, 0.0)),
)
"""Long prompts with short outputs and short ones with long: means of 525, a product of 150·900 in the mean."""
APART = 150.0 * 900 - 525.0**2
"""Their covariance but for that within the kinds, −0.51 of the product of the means [tokens²]."""


def test_kinds_that_come_in_bursts_show_no_covariance_that_lengths_cannot_have() -> None:
    """E[s·o] is never below that of the longest prompts with the shortest outputs, whatever the sums show."""
    spread = 375.0**2 + EVEN
    for shown in (1.4 * 525.0**2, 0.9 * 525.0**2):
        bursts = PairMoments(1000, 100, 525.0, 525.0, spread, spread, -shown)
        found = unclustered(bursts, TWO_KINDS, inf)
        assert (found.var_s, found.var_o) == (spread, spread)
        assert found.mean_so == pytest.approx(525.0**2 + APART, rel=0.05)
    together = PairMoments(1000, 100, 525.0, 525.0, spread, spread, 3 * spread)
    assert unclustered(together, TWO_KINDS, inf).cov == pytest.approx(spread, rel=0.02)


def test_a_covariance_that_lengths_can_have_stays_as_it_is() -> None:
    """That of two kinds that come at random, and what is less."""
    spread = 375.0**2 + EVEN
    for cov in (0.97 * APART, 0.3 * APART, 0.9 * spread):
        shown = PairMoments(1000, 100, 525.0, 525.0, spread, spread, cov)
        assert unclustered(shown, TWO_KINDS, inf) == shown


@pytest.mark.parametrize("missing", [500.0, -500.0, 780.0, -1380.0])
def test_memory_that_is_missing_is_made_up_by_the_covariance(missing: float) -> None:
    """Which E[g] holds once, as far as no correlation is beyond 0.9: 1,080 tokens² for deviations of 40 and 30."""
    assert _moved(MOMENTS, missing, (90.0, inf)) == replace(MOMENTS, cov=300.0 + missing)


@pytest.mark.parametrize("missing", [1000.0, 9000.0, -1390.0])
def test_what_is_beyond_the_covariance_is_made_up_by_the_outputs_deviation_at_that_correlation(missing: float) -> None:
    """E[g] holds the outputs' variance half, and the covariance grows with their deviation."""
    found = _moved(MOMENTS, missing, (90.0, inf))
    assert found.cov - MOMENTS.cov + (found.var_o - MOMENTS.var_o) / 2 == pytest.approx(missing)
    assert abs(found.cov) / (1600.0 * found.var_o) ** 0.5 == pytest.approx(0.9)


def test_prompts_and_outputs_that_are_opposite_hold_less_the_more_outputs_vary() -> None:
    """Up to 0.9 times the prompts' deviation of 40, or what the histogram allows: outputs of one length hold more."""
    assert _moved(MOMENTS, -9000.0, (90.0, inf)).var_o == pytest.approx(36.0**2)
    assert _moved(MOMENTS, -9000.0, (90.0, 1000.0)).var_o == pytest.approx(1000.0)
    assert 30.0**2 < _moved(MOMENTS, -1390.0, (90.0, inf)).var_o < 36.0**2


def test_outputs_that_vary_more_than_prompts_come_down_to_what_holds_least() -> None:
    """Not below it: d²/2 − 0.9·10·d is least at d = 9."""
    wide = replace(MOMENTS, var_s=100.0)
    assert _moved(wide, -700.0, (9.0, inf)).var_o == pytest.approx(
        (9.0 + (81.0 + 2 * (300.0 - 700.0) + 900.0) ** 0.5) ** 2
    )
    assert _moved(wide, -9000.0, (9.0, inf)).var_o == pytest.approx(81.0)


def test_a_tenth_of_the_outputs_variance_is_left_in_all_rounds_together() -> None:
    """Prompts of one length leave nothing but the outputs to move; those of one length would make waves."""
    alike = PairMoments(1000, 100, 150.0, 100.0, 0.0, 900.0, 0.0)
    _, o, _ = matched_lengths(alike, (None, None), 1.0, SIZES, inf)
    assert float(o.std()) == pytest.approx(90.0**0.5, rel=0.05)


def test_two_kinds_of_requests_are_found_again_though_few_groups_showed_too_little_variance() -> None:
    """Short prompts with long outputs and long ones with short hold less memory than the same requests unrelated.

    Their second moments are too small by half and more, as twenty groups may show by chance. The outputs keep at least
    what they vary by those, at most what their histogram allows, and most of the gap of memory is gone.
    """
    source = np.random.default_rng(7)
    s = np.concatenate((source.uniform(30, 80, 500), source.uniform(200, 330, 500)))
    o = np.concatenate((source.uniform(90, 150, 500), source.uniform(20, 45, 500)))
    edges = (20.0, 50.0, 100.0, 200.0, 500.0, inf)
    buckets = [BucketCounts(edges, tuple(np.histogram(x, (0.0, *edges))[0].astype(float))) for x in (s, o)]
    held = float(block_demand(s, o, *SIZES).mean())
    cov = float(np.cov(s, o)[0, 1])
    seen = PairMoments(1000, 20, s.mean(), o.mean(), s.var() / 1.5, o.var() / 3, cov / 3)
    _, _, unmatched = matched_lengths(seen, (buckets[0], buckets[1]), None, SIZES, 640.0)
    prompts, outputs, g = matched_lengths(seen, (buckets[0], buckets[1]), held, SIZES, 640.0)
    most = bucket_variance(buckets[1], 640.0)
    assert most is not None
    # lengths are rounded, and cut at 1: by less than a twentieth of the variance
    assert seen.var_o < float(outputs.var()) < 1.05 * 1.25 * most
    assert float(np.corrcoef(prompts, outputs)[0, 1]) < -0.7
    assert abs(float(g.mean()) - held) < (float(unmatched.mean()) - held) / 3


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

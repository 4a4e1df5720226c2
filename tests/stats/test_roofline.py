"""Reading and arithmetic hide behind each other."""

from __future__ import annotations

import numpy as np
import pytest

from kvwatch.stats.expert_coverage import coverage
from kvwatch.stats.expert_coverage import tangents as coverage_tangents
from kvwatch.stats.roofline import factor, tangents


def test_below_the_balance_tokens_are_free_and_above_it_reading_is() -> None:
    """One reading time for few tokens, and for many as long as their arithmetic takes."""
    assert factor(20.0, 0.0, 0.0, 100.0) == pytest.approx(1.0)
    assert factor(300.0, 0.0, 0.0, 100.0) == pytest.approx(3.0)
    assert factor(100.0, 1000.0, 1.0, 100.0) == pytest.approx(11.0, rel=0.01)


def test_the_knee_is_the_mean_over_prompts_of_scattered_lengths() -> None:
    """A gamma law of shape 2, drawn, agrees with the closed form to 1%."""
    drawn = np.random.default_rng(1).gamma(2.0, 75.0, 200_000)
    exact = np.maximum(1.0, (30.0 + drawn) / 120.0).mean()
    assert factor(30.0, 150.0, 1.0, 120.0) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(("share", "n", "p"), [(0.3, 10.0, 60.0), (0.9, 200.0, 300.0), (0.2, 100.0, 10.0)])
def test_tangents_touch_the_factor(share: float, n: float, p: float) -> None:
    """Level and slopes are those of the function, by differences."""
    at = np.array([1.0, share, n, p, n * share, 0.0])
    (touching,) = tangents(at[None, :], np.array([120.0]))[0]
    assert touching @ at == pytest.approx(factor(n, p, share, 120.0))
    for place, (dn, dp, ds) in ((2, (1e-3, 0, 0)), (3, (0, 1e-3, 0)), (1, (0, 0, 1e-6))):
        step = dn + dp + ds
        rise = factor(n + dn, p + dp, share + ds, 120.0) - factor(n - dn, p - dp, share - ds, 120.0)
        assert touching[place] == pytest.approx(rise / (2 * step), rel=1e-3, abs=1e-6)


def test_coverage_is_the_expected_share_of_experts_drawn_evenly() -> None:
    """Thirty tokens that each go to 8 of 128 experts: simulated."""
    source = np.random.default_rng(2)
    shares = [
        len({e for _ in range(30) for e in source.choice(128, 8, replace=False).tolist()}) / 128 for _ in range(300)
    ]
    assert coverage(30.0, 8 / 128) == pytest.approx(np.mean(shares), abs=0.005)
    level, slope = coverage_tangents(np.array([30.0]), np.array([8 / 128]))
    assert level[0, 0] + slope[0, 0] * 30.0 == pytest.approx(coverage(30.0, 8 / 128))

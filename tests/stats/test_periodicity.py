"""Oscillations are found with their period, through noise, gaps and outliers; noise is not taken for one."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest

from kvwatch.stats.periodicity import oscillation


def unevenly(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Rising positions, some gaps three times as wide as others."""
    return np.cumsum(np.random.default_rng(seed).uniform(5, 15, count))


@pytest.mark.parametrize("period", [60.0, 190.0, 333.0])
def test_a_noisy_wave_has_its_period(period: float) -> None:
    """Within 5%, with half as much noise as swing, on an uneven grid."""
    for seed in range(10):
        x = unevenly(150, seed)
        noise = np.random.default_rng(seed + 100).normal(0, 10, len(x))
        found = oscillation(x.tolist(), (90 + 20 * 2**0.5 * np.sin(2 * pi * x / period) + noise).tolist())
        assert found is not None
        assert found.period == pytest.approx(period, rel=0.05)
        assert found.crest > 0.5
        assert found.trough < -0.5
        assert found.amplitude_ratio == pytest.approx(0.25, rel=0.2)


def test_a_sawtooth_counts_its_period_not_a_harmonic() -> None:
    """Evictions make sawtooth-like waves."""
    x = unevenly(150, 4)
    found = oscillation(x.tolist(), (60 + 80 * (x % 190) / 190).tolist())
    assert found is not None
    assert found.period == pytest.approx(190, rel=0.05)


def test_outliers_and_a_trend_do_not_hide_a_wave() -> None:
    """A few wild samples, and a level that rises by as much as the wave swings."""
    x = unevenly(200, 5)
    y = 90 + 20 * np.sin(2 * pi * x / 190) + 40 * x / x[-1]
    y[[20, 77, 130]] = 2000.0
    found = oscillation(x.tolist(), y.tolist())
    assert found is not None
    assert found.period == pytest.approx(190, rel=0.05)
    assert found.crest > 0.6


def test_noise_that_lasts_seldom_looks_like_a_wave() -> None:
    """Of 200 first-order processes that forget over ten samples, at most 5% have both a crest and a trough."""
    alike = 0
    for seed in range(200):
        shocks = np.random.default_rng(seed).normal(0, 1, 400)
        y = np.zeros(400)
        for i in range(1, 400):
            y[i] = 0.9 * y[i - 1] + shocks[i]
        found = oscillation(list(range(400)), (50 + y).tolist())
        alike += found is not None and found.crest > 0.4 and found.trough < -0.4
    assert alike <= 10


def test_too_little_to_tell_is_unknown() -> None:
    """Few samples, no swing, or a period that the series does not hold two and a half times."""
    assert oscillation([], []) is None
    assert oscillation(list(range(10)), [1.0, 2.0] * 5) is None
    assert oscillation(list(range(100)), [5.0] * 100) is None
    x = np.arange(100.0)
    assert oscillation(x.tolist(), (50 + x).tolist()) is None
    assert oscillation(x.tolist(), (50 + np.sin(2 * pi * x / 80)).tolist()) is None


def test_a_series_without_a_level_has_no_swing_to_tell() -> None:
    """How large a swing is, is told as a share of the mean: of none at all there is none."""
    x = np.arange(200.0)
    y = np.tile([1.0, 1.0, 0.0, -1.0, -1.0, -1.0, 0.0, 1.0], 25)
    assert oscillation(x.tolist(), y.tolist()) is None
    assert oscillation(x.tolist(), (5 + y).tolist()) is not None


def test_a_steep_trend_is_no_part_of_the_swing() -> None:
    """A level that rises ten times as much as the wave swings: neither the period nor the amplitude knows of it."""
    x = np.arange(0.0, 1500.0, 10.0)
    y = 1000 + 20 * 2**0.5 * np.sin(2 * pi * x / 190) + 600 * x / x[-1]
    found = oscillation(x.tolist(), y.tolist())
    assert found is not None
    assert found.period == pytest.approx(190, rel=0.05)
    assert found.amplitude_ratio == pytest.approx(20 / 1300, rel=0.1)


def test_a_ripple_on_a_wave_is_not_its_period() -> None:
    """What comes back before the series has ever been below its mean has not been round yet."""
    x = np.arange(0.0, 2000.0, 2.0)
    y = 100 + 30 * np.sin(2 * pi * x / 400) + 4 * np.sin(2 * pi * x / 20)
    found = oscillation(x.tolist(), y.tolist())
    assert found is not None
    assert found.period == pytest.approx(400, rel=0.05)

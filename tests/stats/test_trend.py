"""The robust trend against scipy, and its interval against what it promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kendalltau, norm, rankdata, theilslopes

from kvwatch.stats.normal import Z90
from kvwatch.stats.trend import _inflation, _score_variance, is_step, theil_sen

Array = npt.NDArray[np.float64]
series = st.lists(st.integers(-20, 20), min_size=8, max_size=40)
gaps = st.lists(st.integers(1, 7), min_size=40, max_size=40)


def ar1(rng: np.random.Generator, n: int, phi: float) -> Array:
    """Stationary autoregressive noise of unit variance."""
    x = np.empty(n)
    x[0] = rng.normal()
    for i in range(1, n):
        x[i] = phi * x[i - 1] + np.sqrt(1 - phi**2) * rng.normal()
    return x


@given(series, gaps)
def test_after_every_prefix_the_slope_is_theil_sens(values: list[int], steps: list[int]) -> None:
    """On irregular times and with ties the slope is scipy's; below eight points there is none."""
    times = np.cumsum(steps).astype(float)
    for n in range(1, len(values) + 1):
        trend = theil_sen(list(times[:n]), values[:n])
        if n < 8:
            assert trend is None
            continue
        assert trend is not None
        assert trend.slope == pytest.approx(theilslopes(values[:n], times[:n]).slope)
        assert trend.lower <= trend.slope <= trend.upper


@given(series)
def test_variance_of_the_score_under_no_trend_is_kendalls(values: list[int]) -> None:
    """With ties too: scipy's p-value of tau follows from S and this variance."""
    assume(len(set(values)) > 1)
    n = len(values)
    x = np.array(values, dtype=float)
    i, j = np.triu_indices(n, k=1)
    score = float(np.sign(x[j] - x[i]).sum())
    p = 2 * norm.sf(abs(score) / np.sqrt(_score_variance(x)))
    assert p == pytest.approx(kendalltau(np.arange(n), x, method="asymptotic").pvalue)


def test_without_autocorrelation_the_interval_is_sens() -> None:
    """The ranks of the interval's ends are those of scipy, which rounds by at most one rank otherwise."""
    rng = np.random.default_rng(5)
    compared = 0
    for _ in range(60):
        t = np.arange(30.0)
        x = rng.normal(size=30) + 0.05 * t
        trend = theil_sen(list(t), list(x))
        assert trend is not None
        if _inflation(x - trend.slope * t) > 1:
            continue
        compared += 1
        i, j = np.triu_indices(30, k=1)
        slopes = np.sort((x[j] - x[i]) / (t[j] - t[i]))
        theirs = theilslopes(x, t, alpha=0.9)
        for mine, other in ((trend.lower, theirs.low_slope), (trend.upper, theirs.high_slope)):
            assert abs(int(np.searchsorted(slopes, mine)) - int(np.searchsorted(slopes, other))) <= 1
    assert compared >= 20


def coverage(phi: float, n: int = 60, runs: int = 400) -> tuple[float, float]:
    """Share of series with a known slope whose interval holds it, and the same without the correction."""
    rng = np.random.default_rng(11)
    t = np.arange(n, dtype=float)
    inside = plain = 0
    for _ in range(runs):
        x = 0.03 * t + ar1(rng, n, phi)
        trend = theil_sen(list(t), list(x))
        assert trend is not None
        inside += trend.lower <= 0.03 <= trend.upper
        theirs = theilslopes(x, t, alpha=0.9)
        plain += theirs.low_slope <= 0.03 <= theirs.high_slope
    return inside / runs, plain / runs


def test_the_interval_holds_the_slope_nine_times_in_ten_on_white_noise() -> None:
    """Over 400 series, within 4 standard errors of 90% from below; the correction can only widen it."""
    inside, _ = coverage(0.0)
    assert 0.9 - 4 * np.sqrt(0.9 * 0.1 / 400) < inside <= 0.98


@pytest.mark.parametrize(("phi", "at_least"), [(0.5, 0.80), (0.8, 0.70)])
def test_the_interval_stays_honest_on_autocorrelated_noise(phi: float, at_least: float) -> None:
    """A queue is autocorrelated: the textbook interval holds the slope far too seldom, this one nearly as it should."""
    inside, plain = coverage(phi)
    assert inside >= at_least
    assert inside > plain + 0.1


def test_noise_is_seldom_called_a_trend_and_a_ramp_always() -> None:
    """Mann–Kendall at 10%: false alarms near 10% on white noise; a slope far above the noise is found."""
    rng = np.random.default_rng(3)
    t = [float(i) for i in range(60)]
    false = sum(theil_sen(t, list(rng.normal(size=60))).significant for _ in range(400))  # type: ignore[union-attr]
    assert false / 400 < 0.1 + 4 * np.sqrt(0.1 * 0.9 / 400)
    for _ in range(50):
        trend = theil_sen(t, list(0.2 * np.array(t) + rng.normal(size=60)))
        assert trend is not None
        assert trend.significant
        assert trend.lower > 0


def test_a_constant_series_has_slope_zero_and_no_significance() -> None:
    """An empty queue that stays empty is known not to grow."""
    trend = theil_sen([float(i) for i in range(10)], [4.0] * 10)
    assert trend is not None
    assert (trend.slope, trend.lower, trend.upper, trend.significant) == (0, 0, 0, False)


@given(series, st.integers(-3, 3), st.sampled_from([0.5, 2.0, 8.0]))
def test_the_trend_scales_with_its_units(values: list[int], shift: int, scale: float) -> None:
    """A shift of the values changes nothing, other units scale the slope and its interval."""
    t = [float(i) for i in range(len(values))]
    plain = theil_sen(t, values)
    other = theil_sen([x * 2 for x in t], [(v + shift) * scale for v in values])
    assert plain is not None
    assert other is not None
    assert other.slope == pytest.approx(plain.slope * scale / 2)
    assert (other.lower, other.upper) == pytest.approx((plain.lower * scale / 2, plain.upper * scale / 2))
    assert other.significant == plain.significant


def test_the_correction_never_narrows() -> None:
    """Where the residuals alternate, the interval stays that of independent values."""
    assert _inflation(np.array([(-1.0) ** i for i in range(40)])) == 1


def test_equal_residuals_are_no_autocorrelation() -> None:
    """A queue that is empty but for a few single waiters is not taken for a slow wave; a straight line is no wave."""
    sparse = np.zeros(60)
    sparse[[3, 17, 18, 40, 55]] = 1
    assert _inflation(sparse) < 1.5
    assert _inflation(np.zeros(60)) == 1


@pytest.mark.parametrize("slope", [-3.0, 0.5, 40.0])
def test_a_straight_line_is_a_significant_trend(slope: float) -> None:
    """Without noise the interval shrinks to the slope."""
    t = [float(i) for i in range(30)]
    trend = theil_sen(t, [slope * x + 7 for x in t])
    assert trend is not None
    assert trend.significant
    assert (trend.lower, trend.slope, trend.upper) == pytest.approx((slope, slope, slope))


def test_the_interval_is_of_ninety_percent() -> None:
    """The constant is the normal law's 95th percentile."""
    assert norm.cdf(Z90) == pytest.approx(0.95)


@given(st.lists(st.floats(-100, 100, allow_nan=False), min_size=8, max_size=60))
def test_the_correction_is_hamed_and_raos(residuals: list[float]) -> None:
    """Against the formula with scipy's ranks: lags count up to the first whose autocorrelation is not significant."""
    x = np.array(residuals)
    n, ranks = len(x), rankdata(x) - (len(x) + 1) / 2
    assume(float(ranks @ ranks) > 0)
    total = 0.0
    for lag in range(1, n - 2):
        r = float(ranks[:-lag] @ ranks[lag:]) / float(ranks @ ranks)
        if abs(r) < norm.ppf(0.95) / np.sqrt(n):
            break
        total += (n - lag) * (n - lag - 1) * (n - lag - 2) * r
    assert _inflation(x) == pytest.approx(max(1.0, 1 + 2 * total / (n * (n - 1) * (n - 2))))


def test_where_nothing_is_sure_the_interval_goes_from_the_smallest_slope_to_the_largest() -> None:
    """A slow wave over a few points: autocorrelation leaves hardly a degree of freedom."""
    t = [float(i) for i in range(12)]
    x = [float(np.sin(2 * np.pi * i / 11.5)) for i in range(12)]
    trend = theil_sen(t, x)
    assert trend is not None
    slopes = [(x[j] - x[i]) / (j - i) for i in range(12) for j in range(i + 1, 12)]
    assert _inflation(np.array(x) - trend.slope * np.array(t)) > 1
    assert min(slopes) <= trend.lower < trend.slope < trend.upper <= max(slopes)


def _unexplained(values: list[float], fitted: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(values, fitted, strict=True))


@given(st.lists(st.floats(-50, 50), min_size=8, max_size=30))
def test_a_step_is_what_a_search_over_all_steps_explains_better_than_a_line(values: list[float]) -> None:
    """By what least squares leave of either; a tie within rounding may fall to both sides."""
    times = [15.0 * i for i in range(len(values))]
    line = np.polyfit(times, values, 1)
    of_line = _unexplained(values, list(np.polyval(line, times)))
    of_step = min(
        _unexplained(values, [float(np.mean(values[:k]))] * k + [float(np.mean(values[k:]))] * (len(values) - k))
        for k in range(1, len(values))
    )
    if abs(of_step - 0.8 * of_line) > 1e-6 * (1 + of_line):
        assert is_step(times, values) == (of_step < 0.8 * of_line)


def test_a_ramp_is_no_step_and_a_step_is_no_ramp() -> None:
    """With the noise of Poisson counts of some tens: nineteen of twenty are told apart."""
    source = np.random.default_rng(5)
    times = [15.0 * i for i in range(20)]
    ramp, step = np.linspace(20, 80, 20), np.array([20.0] * 10 + [80.0] * 10)
    assert np.mean([is_step(times, list(source.poisson(ramp).astype(float))) for _ in range(200)]) < 0.05
    assert np.mean([is_step(times, list(source.poisson(step).astype(float))) for _ in range(200)]) > 0.95
    assert not is_step(times[:7], list(step[:7]))

"""Windowed rises of a count against interpolation over all samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.stats.flow import WindowedCount

HORIZON = 64.0


@st.composite
def counts(draw: st.DrawFn, smallest_gap: float = 0.0625) -> list[tuple[float, float]]:
    """Times (dyadic, so that differences are exact, and far from 0 as unix times are) and rising counts."""
    gaps = draw(st.lists(st.integers(1, 400), min_size=1, max_size=60))
    rises = draw(st.lists(st.integers(0, 50), min_size=len(gaps), max_size=len(gaps)))
    times = 1_700_000_000 + np.cumsum(gaps) * smallest_gap
    return list(zip(times.tolist(), np.cumsum(rises).astype(float).tolist(), strict=True))


def interpolated_rises(samples: list[tuple[float, float]], window: float, bins: int) -> list[float] | None:
    """The batch formula: straight lines between all samples that there ever were."""
    t, v = np.array(samples).T
    if t[-1] - t[0] < window:
        return None
    edges = np.interp(t[-1] - window * (bins - np.arange(bins + 1)) / bins, t, v)
    return list(np.diff(edges))


@given(counts(), st.sampled_from([1.0, 10.0, 33.3, HORIZON]), st.integers(1, 20))
def test_after_every_prefix_the_rise_is_that_of_the_interpolated_samples(
    samples: list[tuple[float, float]], window: float, bins: int
) -> None:
    """Samples that the horizon evicts are never missed, and a window that is not covered has no rise."""
    # 1024 points over 64 s: the smallest gap, 1/16 s, is just wide enough for every sample to be kept
    count = WindowedCount(HORIZON)
    for n, (at, value) in enumerate(samples, start=1):
        count.update(at, value)
        expected = interpolated_rises(samples[:n], window, bins)
        got = count.rises(window, bins)
        if expected is None:
            assert got is None
            assert count.rise(window) is None
        else:
            assert got == pytest.approx(expected, abs=1e-6)
            assert count.rise(window) == pytest.approx(sum(expected), abs=1e-6)


@given(counts(smallest_gap=0.0078125))
def test_thinned_samples_move_the_windows_edge_by_no_more_than_their_spacing(
    samples: list[tuple[float, float]],
) -> None:
    """The rise lies between those of windows one spacing shorter and one longer."""
    window, points = 8.0, 64
    spacing = HORIZON / points
    count = WindowedCount(HORIZON, max_points=points)
    t, v = np.array(samples).T
    for n, (at, value) in enumerate(samples, start=1):
        count.update(at, value)
        got = count.rise(window)
        if got is not None:
            longest, shortest = np.interp([at - window - spacing, at - window + spacing], t[:n], v[:n])
            assert value - shortest - 1e-9 <= got <= value - longest + 1e-9


@given(counts())
def test_the_rises_of_a_count_that_never_falls_are_never_negative(samples: list[tuple[float, float]]) -> None:
    """No interpolation turns a rising count into a negative rate."""
    count = WindowedCount(HORIZON, max_points=32)
    for at, value in samples:
        count.update(at, value)
        for rises in filter(None, (count.rises(16.0, 20), count.rises(HORIZON, 7))):
            assert min(rises) >= 0


def test_a_cleared_count_knows_nothing() -> None:
    """After a counter reset nothing of the time before it is left."""
    count = WindowedCount(10.0)
    for second in range(20):
        count.update(second, second)
    assert count.rise(10.0) == 10
    count.clear()
    assert count.rise(1.0) is None
    assert count.span_seconds() == 0


@pytest.mark.parametrize("gap", [0.001, 0.3, 1.0, 45.0])
def test_memory_is_bounded_whatever_the_pace_of_the_samples(gap: float) -> None:
    """After 10⁵ samples at most an eighth more points are kept than asked for, and the horizon is still covered."""
    count = WindowedCount(300.0, max_points=1024)
    longest = 0
    for n in range(100_000):
        count.update(n * gap, float(n))
        longest = max(longest, len(count._times))
    assert longest <= 1024 + 128 + 2
    if gap * 100_000 > 300:
        assert count.rise(300.0) == pytest.approx(300 / gap, rel=1e-3)

"""The survival polynomial and its dominant root, against companion matrices and the statements of arXiv 2606.15555."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.queueing.congestion.stability import smallest_root, stability
from kvwatch.queueing.congestion.survival import (
    coarse_grained,
    equilibrium_admissions,
    survival_coefficients,
)

lengths = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 60)), min_size=1, max_size=8)


def radius_by_companion_matrix(prompts: list[int], outputs: list[int]) -> float:
    """Modulus of the dominant root, from all of them."""
    return float(np.abs(np.roots(survival_coefficients(prompts, outputs))).max(initial=0.0))


@given(lengths)
def test_coefficients_are_what_a_mean_request_still_holds(pool: list[tuple[int, int]]) -> None:
    """c_j is the mean of (s + j) over the requests with o > j, and their sum the mean memory-work."""
    c = survival_coefficients([s for s, _ in pool], [o for _, o in pool])
    for j, coefficient in enumerate(c):
        assert coefficient == pytest.approx(sum(s + j for s, o in pool if o > j) / len(pool))
    assert c.sum() == pytest.approx(sum(s * o + o * (o - 1) / 2 for s, o in pool) / len(pool))


def test_equilibrium_fills_the_memory_with_admissions_at_a_constant_rate() -> None:
    """With a requests admitted each step, what those of the last o steps hold is M."""
    c = survival_coefficients([64, 10], [192, 40], [1, 3])
    a = equilibrium_admissions(c, 16_384)
    assert sum(a * held for held in c) == pytest.approx(16_384)


@settings(max_examples=150, deadline=None)
@given(lengths)
def test_the_dominant_root_is_that_of_the_companion_matrix(pool: list[tuple[int, int]]) -> None:
    """The growth per lifetime agrees with the eigenvalues to a thousandth, or to the error that is told.

    Two modes that grow nearly alike may be mistaken for each other; growth below a fiftieth is not resolved.
    """
    s, o = [a for a, _ in pool], [b for _, b in pool]
    if max(o) == 1:
        return
    exact, found = radius_by_companion_matrix(s, o), stability(s, o)
    lifetime = sum(o) / len(o)
    if exact**lifetime > 0.03:
        assert lifetime * abs(log(found.radius / exact)) < 1e-3
        assert abs(found.radius - exact) <= max(found.error, 1e-9)


@pytest.mark.parametrize(("prompt", "output"), [(1, 2), (1, 300), (64, 192), (1000, 50), (5, 3000)])
def test_one_fixed_length_is_always_unstable(prompt: int, output: int) -> None:
    """All c_j rise, so every root lies outside the unit circle (Eneström and Kakeya)."""
    assert stability([prompt], [output]).radius > 1
    if output <= 300:
        roots = np.roots(survival_coefficients([prompt], [output]))
        assert np.abs(roots).min() > 1


@pytest.mark.parametrize(("first", "second"), [(7, 10), (9, 10), (50, 99), (3, 100)])
def test_long_prompts_with_coprime_outputs_are_stable(first: int, second: int) -> None:
    """Input-dominated traffic, c_j ∝ P(o > j): outputs without a common divisor die out."""
    assert stability([1e9, 1e9], [first, second]).radius < 1


@pytest.mark.parametrize(("first", "second"), [(6, 10), (50, 100), (60, 150), (4, 100)])
def test_long_prompts_with_a_common_divisor_are_not_stable(first: int, second: int) -> None:
    """The divisor is the period of a wave that never dies: with s → ∞ its root is on the unit circle."""
    found = stability([1e9, 1e9], [first, second])
    divisor = int(np.gcd(first, second))
    assert found.radius == pytest.approx(1.0, abs=1e-8)
    assert found.radius >= 1.0
    assert divisor / found.period_steps == pytest.approx(round(divisor / found.period_steps), abs=1e-6)  # type: ignore[operator]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(2, 30), st.integers(1, 30), st.floats(0.05, 0.95))
def test_two_classes_with_a_common_prompt_follow_the_criterion(s: int, short: int, more: int, share: float) -> None:
    """Stable exactly where the companion matrix has no root outside; a share of either class can tip it."""
    long = short + more
    weights = [share, 1 - share]
    c = survival_coefficients([s, s], [short, long], weights)
    exact = float(np.abs(np.roots(c)).max())
    found = stability([s, s], [short, long], weights)
    if abs(exact - 1) > 1e-6:
        assert (found.radius < 1) == (exact < 1)


def test_a_share_of_a_second_class_can_make_a_fixed_length_stable() -> None:
    """Two classes with one prompt: all of either is unstable, a blend with coprime outputs is not."""
    growth = {share: stability([500, 500], [7, 10], [share, 1 - share]).growth for share in (0.0, 0.25, 0.5, 0.75, 1.0)}
    assert growth[0.0] > 1
    assert growth[1.0] > 1
    assert min(growth.values()) == min(growth[0.25], growth[0.5], growth[0.75])
    assert growth[0.5] < 1


def test_the_exceptional_set_is_thin() -> None:
    """A mix on the boundary can be constructed, and the least change of a share moves it off: measure zero."""
    prompts, outputs = [500.0, 500.0], [7, 10]

    def radius(share: float) -> float:
        return stability(prompts, outputs, [share, 1 - share]).radius

    low, high = 0.0, 0.5
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle) > 1 else (low, middle)
    assert radius(low) == pytest.approx(1.0, abs=1e-9)
    assert radius(low - 1e-3) > 1 + 1e-7
    assert radius(low + 1e-3) < 1 - 1e-7


def test_thousands_of_coefficients_stay_accurate() -> None:
    """A fixed length of 8,000 has a known dominant root to compare with: f(x) in closed form vanishes there."""
    s, o = 500.0, 8000
    found = stability([s], [o])
    z = found.radius * np.exp(2j * np.pi / (found.period_steps or 1.0))
    x = 1 / z
    value = s * (1 - x**o) / (1 - x) + x * (1 - o * x ** (o - 1) + (o - 1) * x**o) / (1 - x) ** 2
    scale = s * o + o * (o - 1) / 2
    assert abs(value) / scale < 1e-6
    # of the harmonics the fast ones grow most, towards (s + o)/s a lifetime
    assert 0.8 * (s + o) / s < found.growth < (s + o) / s * 1.01


def test_coarse_graining_keeps_the_slow_modes() -> None:
    """Adding up coefficients four at a time moves the slow dominant root by little, and the rest removes that."""
    source = np.random.default_rng(5)
    s, o = source.integers(50, 60, 400), source.integers(150, 250, 400)
    bins, width = coarse_grained(survival_coefficients(s, o), 64)
    assert width == 4
    assert bins.sum() == pytest.approx(survival_coefficients(s, o).sum())
    fine, coarse = stability(s, o), stability(s, o, least_period_steps=20.0)
    assert coarse.radius == pytest.approx(fine.radius, rel=1e-10)
    assert coarse.error < 1e-9


def test_the_interval_covers_other_samples_of_the_same_traffic() -> None:
    """90% intervals by the delta method hold the growth of the whole population in 80% or more of 100 samples."""
    source = np.random.default_rng(3)
    s, o = source.integers(20, 90, 20_000), np.rint(source.normal(200, 45, 20_000)).clip(1)
    whole = stability(s, o, least_period_steps=20.0).growth
    covered = 0
    for _ in range(100):
        chosen = source.integers(0, len(s), 150)
        found = stability(s[chosen], o[chosen], least_period_steps=20.0)
        covered += found.growth_lower <= whole <= found.growth_upper
    assert covered >= 80


def test_verdicts_leave_room_for_noise() -> None:
    """Between a growth of 0.8 and 1.25 a lifetime nothing is claimed."""
    assert stability([64], [192]).verdict == "unstable"
    assert stability([5000], [100]).verdict == "undecided"
    source = np.random.default_rng(1)
    assert stability(source.integers(10, 400, 400), source.integers(10, 400, 400)).verdict == "stable"


def test_single_steps_have_no_wave() -> None:
    """Requests of one output token leave at once: nothing can grow."""
    assert smallest_root(np.array([3.0]), 1.0) == (complex("inf"), 0.0)
    assert stability([10], [1]).growth == 0.0

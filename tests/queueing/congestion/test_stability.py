"""The survival polynomial and its dominant root, against companion matrices and the statements of arXiv 2606.15555."""

from __future__ import annotations

from math import log

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.congestion.discrete_engine import equilibrium_admissions
from kvwatch.queueing.congestion.roots import _bracketed, _nearly_roots, smallest_root
from kvwatch.queueing.congestion.stability import stability
from kvwatch.queueing.congestion.survival import (
    coarse_grained,
    survival_coefficients,
)
from kvwatch.queueing.congestion.winding import hidden_roots, points_of

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


def grown_modes(s: float, o: int) -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
    """Slow roots z of one length's polynomial in the upper half plane, by Newton's method on its closed form.

    (1 − x)²·f(x) = s·(1 − x^o)·(1 − x) + x·(1 − o·x^(o−1) + (o − 1)·x^o); one root lies near each exp(2πik/o).
    """
    x = (1 + (s + o) / s) ** (-1 / o) * np.exp(2j * np.pi * np.arange(1, o // 50) / o)
    for _ in range(15):
        value = s * (1 - x**o) * (1 - x) + x - o * x**o + (o - 1) * x ** (o + 1)
        slope = -s * o * x ** (o - 1) * (1 - x) - s * (1 - x**o) + 1 - o * o * x ** (o - 1) + (o * o - 1) * x**o
        x = x - value / slope
    assert np.abs(value / slope).max() < 1e-12
    return np.asarray(1 / x)


@pytest.mark.parametrize("least_period", [100.0, 800.0, 4000.0])
def test_thousands_of_coefficients_stay_accurate(least_period: float) -> None:
    """A fixed length of 8,000: the growth is that of the fastest mode of the closed form with such a period."""
    s, o = 500.0, 8000
    found = stability([s], [o], least_period_steps=least_period)
    modes = grown_modes(s, o)
    slow = modes[2 * np.pi / np.abs(np.angle(modes)) >= least_period]
    exact = float(np.abs(slow).max())
    assert found.radius == pytest.approx(exact, abs=1e-10)
    assert abs(found.radius - exact) <= max(found.error, 1e-12)
    assert found.growth == pytest.approx(exact**o, rel=1e-6)


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


def test_the_interval_is_as_wide_as_a_bootstrap_makes_it() -> None:
    """Drawing the requests again spreads the logarithm of the growth by what the interval says, within a third."""
    source = np.random.default_rng(4)
    s, o = source.integers(20, 90, 300), np.rint(source.normal(100, 22, 300)).clip(1)
    told = stability(s, o, least_period_steps=20.0)
    again = []
    for _ in range(80):
        chosen = source.integers(0, len(s), len(s))
        again.append(log(stability(s[chosen], o[chosen], least_period_steps=20.0).growth))
    half = log(told.growth_upper / told.growth_lower) / 2
    assert half == pytest.approx(1.645 * float(np.std(again)), rel=0.33)


def test_four_times_the_requests_halve_the_interval() -> None:
    """Its half width in the logarithm goes with one over the root of how many were seen."""
    few, many = (stability([64, 30, 90], [192, 100, 150], requests=n) for n in (100, 400))
    assert log(few.growth_upper / few.growth) == pytest.approx(2 * log(many.growth_upper / many.growth), rel=1e-6)


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


def class_pools() -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pools of two to a hundred kinds with outputs up to 300; among them one whose dominant root is easily missed."""
    source = np.random.default_rng(1)
    pools = []
    for _ in range(51):
        kinds, longest = int(source.choice([2, 3, 5, 100])), int(source.choice([150, 300]))
        s = source.integers(10, int(source.choice([200, 3000])), kinds)
        o = source.integers(20, longest, kinds)
        o[0] = longest
        pools.append((s, o))
    return pools


@pytest.mark.parametrize("number", range(0, 51, 5))
def test_the_told_error_bounds_the_radius_where_coefficients_are_added_up(number: int) -> None:
    """Against all eigenvalues of at least that period: whatever was missed, the bound holds."""
    s, o = class_pools()[number]
    lifetime = float(o.mean())
    roots = np.roots(survival_coefficients(s, o))
    slow = np.abs(np.angle(roots)) <= np.pi / max(int(lifetime / 20), 1) * (1 + 1e-9)
    exact = float(np.abs(roots[slow]).max())
    found = stability(s, o, least_period_steps=lifetime / 10)
    if exact**lifetime > 0.03:
        assert abs(found.radius - exact) <= max(found.error, 1e-9)
        assert found.error < 1e-6


def test_roots_that_are_not_known_are_counted() -> None:
    """(x − 2)(x − 3)(x² − 2x + 4) has one root at 60° of modulus 2 in the upper half plane, and two real ones."""
    coefficients = np.convolve(np.convolve([-2.0, 1.0], [-3.0, 1.0]), [4.0, -2.0, 1.0])
    root = 1 + 1j * np.sqrt(3)
    assert hidden_roots(coefficients, 1.9, np.pi, []) == 0
    assert hidden_roots(coefficients, 2.5, np.pi, []) == 3
    assert hidden_roots(coefficients, 3.5, np.pi, []) == 4
    assert hidden_roots(coefficients, 2.5, np.pi, [complex(2.6), root * 1.3]) == 3


@pytest.mark.parametrize("seed", range(8))
def test_starts_are_where_a_newton_step_is_shorter_than_at_both_neighbours(seed: int) -> None:
    """On an arc of a polynomial with twelve roots about it: worked out point by point, the nearest first."""
    source = np.random.default_rng(seed)
    upper = source.uniform(0.9, 1.1, 6) * np.exp(1j * source.uniform(0.05, 3.1, 6))
    falling = np.poly(np.concatenate([upper, upper.conj()])).real
    points = points_of(falling)
    grid = np.exp(-2j * np.pi * np.arange(-1, points) / points)
    steps = np.abs(np.polyval(falling, grid) / np.polyval(np.polyder(falling), grid))
    for angle in (np.pi, 1.0):
        least = [
            i
            for i in range(1, len(grid) - 1)
            if -np.angle(grid[i]) % (2 * np.pi) <= angle + 1e-9 and steps[i] <= min(steps[i - 1], steps[i + 1])
        ]
        wanted = grid[sorted(least, key=lambda i: steps[i])]
        found = _nearly_roots(falling[::-1], 1.0, angle)
        assert found == pytest.approx(wanted)


def test_a_missed_root_is_bracketed() -> None:
    """Where the candidates hold a faster mode only, the sector's own bisection finds the one that grows most."""
    c = survival_coefficients([64], [192])
    exact = float(np.abs(np.roots(c)).max())
    root, error = _bracketed(c / c.max(), (0.9, 1.0), np.pi, [])
    assert 1 / abs(root) == pytest.approx(exact, abs=2 * error + 1e-9)
    assert error < 1e-6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([np.nan, 3], [5, 7]), r"prompt_tokens\[0\] is nan"),
        (([3, np.inf], [5, 7]), r"prompt_tokens\[1\] is inf"),
        (([0], [5]), r"prompt_tokens\[0\] is 0: give a finite number above 0"),
        (([3, 3], [np.nan, 7]), r"output_tokens\[0\] is nan"),
        (([3], [-5]), r"output_tokens\[0\] is -5"),
        (([3, 4], [5, 7], [0, 0]), "weights: all are 0"),
        (([3, 4], [5, 7], [1, -1]), r"weights\[1\] is -1"),
        (([3, 4], [5, 7], [1]), "1 weights for 2 requests"),
        (([3, 4, 5], [5, 7]), "3 prompts for 2 outputs"),
        (([], []), "no requests"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(arguments: tuple[list[float], ...], words: str) -> None:
    """NaN, infinity, prompts of nothing, weights that say nothing: the message names the place and the mend."""
    with pytest.raises(ValueError, match=words):
        stability(*arguments)


@pytest.mark.parametrize("requests", [float("nan"), float("inf"), -1.0])
def test_a_number_of_requests_that_cannot_be_is_refused(requests: float) -> None:
    """An interval of NaN would look like one that is known."""
    with pytest.raises(ValueError, match="requests: "):
        stability([3, 4], [50, 70], requests=requests)


def test_a_pool_of_no_requests_is_as_unsure_as_one_of_one() -> None:
    """Half a request, as a window that fades may have it, too; a number of requests that is none is refused."""
    widths = [
        log(found.growth_upper / found.growth_lower)
        for requests in (0.0, 0.5, 1.0, 4.0)
        if (found := stability([64, 100], [19, 25], requests=requests))
    ]
    assert widths[0] == widths[1] == widths[2]
    assert widths[3] == pytest.approx(widths[2] / 2)
    with pytest.raises(ValueError, match="requests"):
        stability([64], [192], requests=-1.0)

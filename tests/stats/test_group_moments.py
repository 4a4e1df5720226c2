"""Moments of pairs that are seen only as sums over groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.stats.group_moments import PairMoments, pair_moments

Array = npt.NDArray[np.float64]
lengths = st.tuples(st.integers(1, 2000), st.integers(1, 2000))


def grouped(pairs: Array, counts: Array) -> PairMoments | None:
    """Moments from consecutive groups of ``counts`` pairs."""
    ends = np.cumsum(counts)
    running = np.vstack([np.zeros(2), np.cumsum(pairs, axis=0)])
    sums = running[ends] - running[ends - counts]
    return pair_moments(counts.tolist(), sums[:, 0].tolist(), sums[:, 1].tolist())


@given(st.lists(lengths, min_size=4, max_size=80))
def test_groups_of_one_are_the_sample_covariance(pairs: list[tuple[int, int]]) -> None:
    """After every prefix of four pairs or more, k = 1 throughout gives numpy's means and covariance."""
    for n in range(4, len(pairs) + 1):
        seen = np.array(pairs[:n], dtype=float)
        moments = grouped(seen, np.ones(n, dtype=int))
        assert moments is not None
        (var_s, cov), (_, var_o) = np.cov(seen.T, ddof=1)
        assert (moments.requests, moments.groups) == (n, n)
        assert (moments.mean_s, moments.mean_o) == pytest.approx(tuple(seen.mean(axis=0)))
        assert (moments.var_s, moments.var_o, moments.cov) == pytest.approx((var_s, var_o, cov), abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 30), lengths), min_size=1, max_size=40))
def test_means_are_exact_however_the_requests_are_grouped(groups: list[tuple[int, tuple[int, int]]]) -> None:
    """Empty groups change nothing, and fewer than four others give no answer."""
    k = [float(g[0]) for g in groups]
    s = [float(g[0] * g[1][0]) for g in groups]
    o = [float(g[0] * g[1][1]) for g in groups]
    moments = pair_moments(k, s, o)
    if sum(x > 0 for x in k) < 4:
        assert moments is None
        return
    assert moments is not None
    assert moments.mean_s == pytest.approx(sum(s) / sum(k))
    assert moments.mean_o == pytest.approx(sum(o) / sum(k))
    assert moments.var_s >= 0
    assert moments.var_o >= 0
    assert moments.cov**2 <= moments.var_s * moments.var_o * (1 + 1e-9) + 1e-6


LOG_COVARIANCE = np.array([[0.3, 0.2], [0.2, 0.4]])


def lognormal_pairs(rng: np.random.Generator, n: int) -> Array:
    """Prompt and output lengths that rise together, with long tails."""
    return np.exp(rng.multivariate_normal([5.0, 4.5], LOG_COVARIANCE, size=n))


def lognormal_covariance() -> Array:
    """Covariance of :func:`lognormal_pairs`, by formula."""
    mean = np.exp([5.0, 4.5] + np.diag(LOG_COVARIANCE) / 2)
    return np.outer(mean, mean) * np.expm1(LOG_COVARIANCE)


def opposed_pairs(rng: np.random.Generator, n: int) -> Array:
    """Long prompts with short outputs."""
    s = rng.uniform(10, 400, n)
    return np.column_stack([s, 420 - s + rng.uniform(0, 40, n)])


def opposed_covariance() -> Array:
    """Covariance of :func:`opposed_pairs`, by formula."""
    var = 390**2 / 12
    return np.array([[var, -var], [-var, var + 40**2 / 12]])


@pytest.mark.parametrize(
    ("law", "truth"), [(lognormal_pairs, lognormal_covariance()), (opposed_pairs, opposed_covariance())]
)
@pytest.mark.parametrize("mean_count", [0.7, 3.0, 20.0])
def test_second_moments_are_unbiased_on_correlated_pairs(
    law: Callable[[np.random.Generator, int], Array], truth: Array, mean_count: float
) -> None:
    """Averaged over 1,500 windows of mixed k, variances and covariance are within 4 standard errors of the truth."""
    rng = np.random.default_rng(20_260_101)
    estimates = []
    for _ in range(1500):
        counts = rng.poisson(mean_count, size=40)
        counts = counts[counts > 0]
        moments = grouped(law(rng, int(counts.sum())), counts)
        assert moments is not None
        estimates.append((moments.var_s, moments.cov, moments.var_o))
    mean = np.mean(estimates, axis=0)
    error = np.std(estimates, axis=0, ddof=1) / np.sqrt(len(estimates))
    assert np.all(np.abs(mean - [truth[0, 0], truth[0, 1], truth[1, 1]]) < 4 * error)


def test_mixed_moments_include_the_covariance() -> None:
    """E[s·o] of opposed lengths is below the product of the means, as it must be."""
    rng = np.random.default_rng(7)
    pairs = opposed_pairs(rng, 4000)
    moments = grouped(pairs, np.ones(4000, dtype=int))
    assert moments is not None
    # over whole groups the only difference is ddof
    assert moments.mean_so == pytest.approx(float((pairs[:, 0] * pairs[:, 1]).mean()), rel=1e-3)
    assert moments.mean_oo == pytest.approx(float((pairs[:, 1] ** 2).mean()), rel=1e-3)
    assert moments.mean_so < moments.mean_s * moments.mean_o

"""The index of dispersion against numpy, and against streams of known burstiness."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.stats.dispersion import index_of_dispersion


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_after_every_prefix_it_is_the_median_square_of_the_differences(counts: list[int]) -> None:
    """Fewer than five bins, or none with an event in it, tell nothing."""
    for n in range(len(counts) + 1):
        got = index_of_dispersion(counts[:n])
        if n < 5 or not any(counts[:n]):
            assert got is None
        else:
            squares = [(b - a) ** 2 for a, b in pairwise(counts[:n])]
            assert got == pytest.approx(np.median(squares) / (2 * 0.4549364) / np.mean(counts[:n]))


def test_poisson_counts_are_near_one_and_batches_near_their_size() -> None:
    """Arrivals in batches of eight have eight times the dispersion of single ones."""
    rng = np.random.default_rng(2)
    assert index_of_dispersion(rng.poisson(50, size=4000).tolist()) == pytest.approx(1.0, abs=0.15)
    assert index_of_dispersion((8 * rng.poisson(50, size=4000)).tolist()) == pytest.approx(8.0, rel=0.15)


def test_neither_a_ramp_nor_a_jump_of_the_rate_is_burstiness() -> None:
    """The variance over the mean would say 25 and more for both."""
    rng = np.random.default_rng(3)
    ramp = rng.poisson(np.linspace(5, 200, 400)).tolist()
    jump = rng.poisson(np.repeat([20, 200], 200)).tolist()
    for counts in (ramp, jump):
        assert np.var(counts) / np.mean(counts) > 25
        assert index_of_dispersion(counts) == pytest.approx(1.0, abs=0.45)

"""The index of dispersion against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.stats.dispersion import index_of_dispersion


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_after_every_prefix_it_is_the_variance_over_the_mean(counts: list[int]) -> None:
    """Fewer than five bins, or none with an event in it, tell nothing."""
    for n in range(len(counts) + 1):
        got = index_of_dispersion(counts[:n])
        if n < 5 or not any(counts[:n]):
            assert got is None
        else:
            assert got == pytest.approx(np.var(counts[:n], ddof=1) / np.mean(counts[:n]))


def test_poisson_counts_are_near_one_and_batches_near_their_size() -> None:
    """Arrivals in batches of eight have eight times the dispersion of single ones."""
    rng = np.random.default_rng(2)
    single = rng.poisson(20, size=4000)
    # the standard error of the index over n Poisson bins is √(2/n)
    assert index_of_dispersion(single.tolist()) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 4000))
    assert index_of_dispersion((8 * rng.poisson(20, size=4000)).tolist()) == pytest.approx(
        8.0, rel=4 * np.sqrt(2 / 4000)
    )

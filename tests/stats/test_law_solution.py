"""Coefficients within their constraints: the quick way to them finds what the sure one does."""

from __future__ import annotations

import numpy as np
import pytest

from kvwatch.stats import law_solution
from kvwatch.stats.nonnegative import nnls


@pytest.mark.parametrize("seed", range(40))
def test_exchanging_all_wrong_signs_at_once_finds_the_one_solution(seed: int) -> None:
    """Six columns, half of whose free coefficients are negative: the same as Lawson and Hanson's, to rounding."""
    source = np.random.default_rng(seed)
    columns, target = source.normal(size=(20, 6)) + 0.5, source.normal(size=20)
    found = law_solution._nnls(columns.T @ columns, columns.T @ target)
    assert found.min() >= 0
    assert found == pytest.approx(nnls(columns, target), rel=1e-6, abs=1e-9)


def test_where_exchanges_do_not_end_the_sure_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any exchange allowed the solution is the same."""
    source = np.random.default_rng(1)
    columns, target = source.normal(size=(20, 6)) + 0.5, source.normal(size=20)
    quick = law_solution._nnls(columns.T @ columns, columns.T @ target)
    monkeypatch.setattr(law_solution, "_MOST_EXCHANGES", 0)
    assert law_solution._nnls(columns.T @ columns, columns.T @ target) == pytest.approx(quick, rel=1e-6, abs=1e-9)


def test_nothing_is_left_where_all_pull_below_zero() -> None:
    """A target on the other side of all columns: zeros."""
    assert law_solution._nnls(np.eye(3), -np.ones(3)).tolist() == [0.0, 0.0, 0.0]

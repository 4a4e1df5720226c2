"""The solution without negative coefficients is the one that scipy finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls as reference

from kvwatch.stats.nonnegative import nnls

numbers = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """More equations than coefficients, of a condition with which both programs can be compared."""
    coefficients = draw(st.integers(1, 6))
    rows = draw(st.integers(coefficients, 12))
    row = st.lists(numbers, min_size=coefficients, max_size=coefficients)
    matrix = np.array(draw(st.lists(row, min_size=rows, max_size=rows)))
    values = np.array(draw(st.lists(numbers, min_size=rows, max_size=rows)))
    return matrix + np.eye(rows, coefficients), values


@given(problems())
def test_it_is_as_near_to_the_values_as_scipy_s(problem: tuple[np.ndarray, np.ndarray]) -> None:
    """No coefficient is negative, and the residual is the reference's to rounding."""
    matrix, values = problem
    found, (_, residual) = nnls(matrix, values), reference(matrix, values)
    assert found.min() >= 0
    rounding = 1e-6 * float(np.linalg.norm(values))
    assert np.linalg.norm(matrix @ found - values) == pytest.approx(residual, rel=1e-6, abs=rounding)


@pytest.mark.parametrize("seed", range(20))
def test_the_coefficients_are_scipy_s_where_there_is_one_solution(seed: int) -> None:
    """Random equations have full rank, so there is."""
    chance = np.random.default_rng(seed)
    matrix, values = chance.normal(size=(9, 5)), chance.normal(size=9)
    assert nnls(matrix, values) == pytest.approx(reference(matrix, values)[0], rel=1e-9, abs=1e-12)


def test_numbers_that_are_not_finite_have_no_solution() -> None:
    """It ends, whatever comes in."""
    with pytest.raises((ValueError, np.linalg.LinAlgError)):
        nnls(np.array([[np.nan, 1.0], [1.0, 2.0]]), np.array([1.0, 2.0]))

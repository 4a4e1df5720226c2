"""Quantiles of the normal law against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from kvwatch.stats.normal import MEDIAN_OF_ABSOLUTE_NORMAL, Z90, normal_quantiles


def test_the_quantiles_are_those_of_the_normal_law() -> None:
    """Nine tenths lie within Z90 standard deviations of the mean, one half within the median of the absolute value."""
    assert pytest.approx(ndtri(0.95), rel=1e-15) == Z90
    assert pytest.approx(ndtri(0.75), rel=1e-15) == MEDIAN_OF_ABSOLUTE_NORMAL


def test_quantiles_of_an_array_are_scipy_s() -> None:
    """Out to one in a billion, each to rounding, in the same shape."""
    tail = np.logspace(-9, -0.5, 50)
    probabilities = np.concatenate([tail, 1 - tail]).reshape(20, 5)
    assert normal_quantiles(probabilities) == pytest.approx(ndtri(probabilities), rel=1e-13)

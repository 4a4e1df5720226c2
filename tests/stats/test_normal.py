"""Quantiles of the normal law against scipy's."""

from __future__ import annotations

import pytest
from scipy.special import ndtri

from kvwatch.stats.normal import MEDIAN_OF_ABSOLUTE_NORMAL, Z90


def test_the_quantiles_are_those_of_the_normal_law() -> None:
    """Nine tenths lie within Z90 standard deviations of the mean, one half within the median of the absolute value."""
    assert pytest.approx(ndtri(0.95), rel=1e-15) == Z90
    assert pytest.approx(ndtri(0.75), rel=1e-15) == MEDIAN_OF_ABSOLUTE_NORMAL

"""Quantiles of the normal law that the estimators use."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Z90 = 1.6448536269514722
"""Half-width of a two-sided 90% interval in standard deviations [1]. Definition: 95th percentile of the normal law."""
MEDIAN_OF_ABSOLUTE_NORMAL = 0.6744897501960817
"""Median of the absolute value of a standard normal number [1]. Definition: 75th percentile of the normal law.

The median absolute deviation over it estimates the standard deviation, with half of the data free to be wild.
"""


def normal_quantiles(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The values of a standard normal number that lie above these shares of its law; of the same shape."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(float(p)) for p in probabilities.flat]).reshape(probabilities.shape)

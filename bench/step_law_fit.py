"""The step law that steps of known composition and duration follow, by non-negative least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kvwatch.embedded.step_law import StepLaw
from kvwatch.stats.nonnegative import nnls

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_SCALE = 1e-12
"""Least scale of a regressor, whatever its unit [1]. Choice: one that is 0 in all steps stays 0."""


def fit_step_law(steps: Sequence[tuple[float, float, float, float]]) -> StepLaw:
    """Fit b = b0 + b1·n + b2·p + b3·K.

    Args:
        steps: (decoding requests, prefill tokens, resident tokens, duration in seconds) of each.

    Returns:
        The law of least squared error among those without a negative coefficient.

    Raises:
        ValueError: There are no steps, or none took any time.
    """
    if not steps:
        raise ValueError("no steps to fit a law to")
    table = np.asarray(steps, dtype=float)
    regressors = np.column_stack([np.ones(len(table)), table[:, :3]])
    # Columns differ by orders of magnitude; on one scale the solver's tolerance suits all.
    scale = np.maximum(np.abs(regressors).max(axis=0), _LEAST_SCALE)
    coefficients = nnls(regressors / scale, table[:, 3])
    base, sequence, prefill, resident = (float(value) for value in coefficients / scale)
    return StepLaw(base, sequence, prefill, resident)

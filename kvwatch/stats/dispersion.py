"""How much burstier than Poisson an arrival stream is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def index_of_dispersion(counts: Sequence[float]) -> float | None:
    """Variance over mean of counts in equal bins; 1 for Poisson arrivals (Cox and Lewis, 1966).

    ``None`` with fewer than 5 bins or no events.
    """
    if len(counts) < 5:
        return None
    x = np.asarray(counts, dtype=float)
    mean = float(x.mean())
    if mean <= 0:
        return None
    return float(x.var(ddof=1)) / mean

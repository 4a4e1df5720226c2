"""Trimmed mean and median of ratios, weighted by what each ratio stands on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def trimmed_ratio(numerators: Sequence[float], denominators: Sequence[float], trim: float) -> float | None:
    """Σnumerators/Σdenominators over the intervals that are left when both tails of the ratio are cut.

    ``trim`` is the share of intervals cut at *each* end (0.05 cuts 10% in all), rounded down. Cutting whole
    intervals, and not histogram buckets, keeps the mean unbiased where vLLM's first bucket edge (10 ms) is
    coarser than a step. ``None`` without intervals. Raises ValueError for a trim outside [0, 0.5).
    """
    if not 0 <= trim < 0.5:
        raise ValueError(f"trim must lie in [0, 0.5), not {trim}")
    if not numerators:
        return None
    num = np.asarray(numerators, dtype=float)
    den = np.asarray(denominators, dtype=float)
    order = np.argsort(num / den, kind="stable")
    cut = int(trim * len(order))
    kept = order[cut : len(order) - cut]
    return float(num[kept].sum() / den[kept].sum())


def weighted_median(values: Sequence[float], weights: Sequence[float]) -> float | None:
    """Smallest value at which at least half of the weight is reached; ``None`` without values."""
    if not values:
        return None
    val = np.asarray(values, dtype=float)
    order = np.argsort(val, kind="stable")
    cumulative = np.cumsum(np.asarray(weights, dtype=float)[order])
    return float(val[order][np.searchsorted(cumulative, cumulative[-1] / 2)])

"""PromQL's functions, for all evaluation times at once.

Source: Prometheus' documentation, "Query functions", and promql/functions.go for how ranges are extrapolated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from kvwatch.promql.labels import NAME, Array, Labels, Mask, without
from kvwatch.promql.series import Column, Vector, Window, merged

Over = Callable[[Window], tuple[Array, Mask]]


def _sums(values: Array, w: Window) -> Array:
    total = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray(total[w.high] - total[w.low])


def _count(w: Window) -> tuple[Array, Mask]:
    count = (w.high - w.low).astype(float)
    return count, count > 0


def _sum(w: Window) -> tuple[Array, Mask]:
    return _sums(w.values, w), w.high > w.low


def _avg(w: Window) -> tuple[Array, Mask]:
    count = w.high - w.low
    return _sums(w.values, w) / np.maximum(count, 1), count > 0


def _extreme(reduce: np.ufunc) -> Over:
    def over(w: Window) -> tuple[Array, Mask]:
        there = w.high > w.low
        bounds = np.column_stack((np.where(there, w.low, 0), np.where(there, w.high, 1))).ravel()
        padded = np.append(w.values, w.values[-1])
        return reduce.reduceat(padded, bounds)[::2], there

    return over


def _last(w: Window) -> tuple[Array, Mask]:
    return w.values[np.maximum(w.high - 1, 0)], w.high > w.low


def _changes(w: Window) -> tuple[Array, Mask]:
    changed = np.concatenate(([0.0], (np.diff(w.values) != 0).astype(float)))
    first = np.concatenate((changed, [0.0]))[w.low]
    return _sums(changed, w) - np.where(w.high > w.low, first, 0.0), w.high > w.low


def _deriv(w: Window) -> tuple[Array, Mask]:
    """Slope of the least-squares line."""
    count = w.high - w.low
    n = np.maximum(count, 1)
    mean_t, mean_v = _sums(w.at, w) / n, _sums(w.values, w) / n
    t = w.at - w.at[0]
    middle = mean_t - w.at[0]
    cross = _sums(t * w.values, w) / n - middle * mean_v
    square = _sums(t * t, w) / n - middle**2
    with np.errstate(all="ignore"):
        return np.where(square > 0, cross / square, 0.0), count > 1


def _extrapolated(*, counter: bool, per_second: bool) -> Over:
    """Increase between the first and the last sample, extended towards the range's ends."""

    def over(w: Window) -> tuple[Array, Mask]:
        there = w.high - w.low > 1
        last, first = np.maximum(w.high - 1, 0), np.minimum(w.low, len(w.at) - 1)
        increase = w.values[last] - w.values[first]
        if counter:
            lost = np.concatenate(([0.0], np.where(np.diff(w.values) < 0, w.values[:-1], 0.0)))
            lost = np.cumsum(lost)
            increase = increase + lost[last] - lost[first]
        seconds = w.at[last] - w.at[first]
        with np.errstate(all="ignore"):
            spacing = seconds / (w.high - w.low - 1)
            to_start, to_end = w.at[first] - w.start, w.end - w.at[last]
            if counter:
                to_zero = np.where(increase > 0, seconds * (w.values[first] / increase), np.inf)
                to_start = np.where(w.values[first] >= 0, np.minimum(to_start, to_zero), to_start)
            reach = seconds
            for missing in (to_start, to_end):
                reach = reach + np.where(missing < 1.1 * spacing, missing, spacing / 2)
            increase = increase * (reach / seconds)
        return increase / (w.end - w.start) if per_second else increase, there

    return over


OVER_TIME: dict[str, Over] = {
    "rate": _extrapolated(counter=True, per_second=True),
    "increase": _extrapolated(counter=True, per_second=False),
    "delta": _extrapolated(counter=False, per_second=False),
    "deriv": _deriv,
    "avg_over_time": _avg,
    "sum_over_time": _sum,
    "count_over_time": _count,
    "min_over_time": _extreme(np.minimum),
    "max_over_time": _extreme(np.maximum),
    "last_over_time": _last,
    "present_over_time": lambda w: (np.ones(len(w.low)), w.high > w.low),
    "changes": _changes,
}


def quantile_over_time(quantile: Array, windows: list[Window]) -> Vector:
    """A quantile of what each range holds, linear between two values; beyond 0 and 1 it is infinite."""
    with np.errstate(all="ignore"):
        outside = np.where(quantile < 0, -np.inf, np.where(quantile > 1, np.inf, np.nan))
    inside = np.isnan(outside) & ~np.isnan(quantile)
    columns = []
    for w in windows:
        there = w.high > w.low
        values = outside.copy()
        for place in np.flatnonzero(there & inside):
            values[place] = np.quantile(w.values[w.low[place] : w.high[place]], quantile[place])
        columns.append(Column(without(w.labels, NAME), values, there))
    return merged(columns)


def over_time(name: str, windows: list[Window]) -> Vector:
    """A function of a range vector."""
    columns = []
    for w in windows:
        values, there = OVER_TIME[name](w)
        labels = w.labels if name == "last_over_time" else without(w.labels, NAME)
        columns.append(Column(labels, values, there))
    return merged(columns)


EACH: dict[str, Callable[..., Array]] = {
    "abs": np.abs, "ceil": np.ceil, "floor": np.floor, "sqrt": np.sqrt, "exp": np.exp, "ln": np.log, "sgn": np.sign,
    "clamp_min": np.maximum, "clamp_max": np.minimum,
    "clamp": lambda values, low, high: np.minimum(np.maximum(values, low), high),
}  # fmt: skip


def each(name: str, vector: Vector, *scalars: Array) -> Vector:
    """A function of each element's value."""
    with np.errstate(all="ignore"):
        return merged(Column(without(c.labels, NAME), EACH[name](c.values, *scalars), c.there) for c in vector)


def histogram_quantile(quantile: Array, buckets: Vector) -> Vector:
    """A quantile of classic histograms, linear within a bucket."""
    groups: dict[Labels, list[tuple[float, Column]]] = defaultdict(list)
    for c in buckets:
        groups[without(c.labels, NAME, "le")].append((float(dict(c.labels)["le"]), c))
    result = []
    for labels, members in groups.items():
        members.sort(key=lambda pair: pair[0])
        bounds = np.array([bound for bound, _ in members])
        there = np.logical_and.reduce([c.there for _, c in members])
        if np.isinf(bounds[-1]) and len(bounds) > 1 and there.any():
            counts = np.maximum.accumulate(np.array([c.values for _, c in members]), axis=0)
            result.append(Column(labels, _quantile(quantile, bounds, counts), there))
    return result


def _quantile(quantile: Array, bounds: Array, counts: Array) -> Array:
    rank = quantile * counts[-1]
    place = np.minimum((counts[:-1] < rank).sum(axis=0), len(bounds) - 1)
    column = np.arange(counts.shape[1])
    below = np.where(place > 0, counts[np.maximum(place - 1, 0), column], 0.0)
    start = np.where(place > 0, bounds[np.maximum(place - 1, 0)], 0.0)
    with np.errstate(all="ignore"):
        part = (rank - below) / (counts[place, column] - below)
        inside = start + (bounds[np.minimum(place, len(bounds) - 2)] - start) * part
    result = np.where(place == len(bounds) - 1, bounds[-2], inside)
    return np.where(counts[-1] > 0, result, np.nan)

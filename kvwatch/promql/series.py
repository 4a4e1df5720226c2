"""Series as a Prometheus has them, and their values at evaluation times, all times at once.

A sample that is NaN in a stored series stands for Prometheus' stale marker: the series was not in that scrape.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvwatch.promql.labels import NAME, Array, Labels, Mask, UnsupportedError

Matcher = tuple[str, str, str]
"""Label, one of ``= != =~ !~``, value."""

LOOKBACK_SECONDS = 300.0
"""Age from which on a sample is no series' value any more [s]. Definition: Prometheus' --query.lookback-delta."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One series: times [s] in rising order and values."""

    at: Array
    values: Array


@dataclass(frozen=True, slots=True)
class Column:
    """One element of an instant vector over all evaluation times; ``there`` says at which of them it exists."""

    labels: Labels
    values: Array
    there: Mask


Vector = list[Column]


@dataclass(frozen=True, slots=True)
class Window:
    """A series' samples, stale markers left out, and for each evaluation time the slice [low, high) in its range."""

    labels: Labels
    at: Array
    values: Array
    low: npt.NDArray[np.intp]
    high: npt.NDArray[np.intp]
    start: Array
    end: Array


class Database:
    """Series by name."""

    def __init__(self, series: Mapping[Labels, Stored]) -> None:
        self._by_name: dict[str, list[tuple[Labels, Stored]]] = defaultdict(list)
        self._places: dict[Labels, int] = {}
        self.append(series)

    def trimmed(self, since: float) -> Database:
        """The same with the samples from ``since`` on [s]; series without any are gone."""
        kept = Database({})
        for series in self._by_name.values():
            for labels, stored in series:
                low = int(np.searchsorted(stored.at, since, side="left"))
                if low < len(stored.at):
                    kept.append({labels: Stored(stored.at[low:], stored.values[low:])})
        return kept

    def append(self, series: Mapping[Labels, Stored]) -> None:
        """Store samples that are later than those that are there, of series that may be there already."""
        for labels, stored in series.items():
            same_name = self._by_name[dict(labels)[NAME]]
            place = self._places.get(labels)
            if place is None:
                self._places[labels] = len(same_name)
                same_name.append((labels, stored))
            else:
                old = same_name[place][1]
                at, values = np.concatenate((old.at, stored.at)), np.concatenate((old.values, stored.values))
                same_name[place] = (labels, Stored(at, values))

    @property
    def names(self) -> frozenset[str]:
        """Names of the metrics that are stored."""
        return frozenset(self._by_name)

    def instant(self, name: str, matchers: Iterable[Matcher], times: Array) -> Vector:
        """The newest sample of each series, at most five minutes old."""
        columns = []
        for labels, stored in self._select(name, matchers):
            place = np.searchsorted(stored.at, times, side="right") - 1
            known = place >= 0
            place = np.maximum(place, 0)
            values = stored.values[place]
            there = known & (times - stored.at[place] < LOOKBACK_SECONDS) & ~np.isnan(values)
            if there.any():
                columns.append(Column(labels, values, there))
        return columns

    def window(self, name: str, matchers: Iterable[Matcher], times: Array, seconds: float) -> list[Window]:
        """The samples of the last ``seconds`` before each time."""
        windows = []
        for labels, stored in self._select(name, matchers):
            kept = ~np.isnan(stored.values)
            at, values = stored.at[kept], stored.values[kept]
            if len(at):
                windows.append(window(labels, at, values, times, seconds))
        return windows

    def _select(self, name: str, matchers: Iterable[Matcher]) -> list[tuple[Labels, Stored]]:
        wanted = [_test(matcher) for matcher in matchers]
        found = self._by_name.get(name, [])
        return [(labels, s) for labels, s in found if all(test(dict(labels)) for test in wanted)]


def window(labels: Labels, at: Array, values: Array, times: Array, seconds: float) -> Window:
    """Slices of ``at`` for the ranges of ``seconds`` that end at ``times``."""
    low = np.searchsorted(at, times - seconds, side="left")
    high = np.searchsorted(at, times, side="right")
    return Window(labels, at, values, low, high, times - seconds, times)


def _test(matcher: Matcher) -> Callable[[dict[str, str]], bool]:
    label, operator, value = matcher
    match operator:
        case "=":
            return lambda labels: labels.get(label, "") == value
        case "!=":
            return lambda labels: labels.get(label, "") != value
        case "=~":
            return lambda labels: re.fullmatch(value, labels.get(label, "")) is not None
        case "!~":
            return lambda labels: re.fullmatch(value, labels.get(label, "")) is None
    raise UnsupportedError(f"the matcher {operator}")


def merged(columns: Iterable[Column]) -> Vector:
    """Columns of equal labels put into one.

    Raises:
        ValueError: Two of them exist at one time; Prometheus would fail the evaluation.
    """
    by_labels: dict[Labels, Column] = {}
    for column in columns:
        old = by_labels.get(column.labels)
        if old is None:
            by_labels[column.labels] = column
            continue
        if (old.there & column.there).any():
            raise ValueError(f"two elements with the labels {dict(column.labels)}")
        values = np.where(column.there, column.values, old.values)
        by_labels[column.labels] = Column(column.labels, values, old.there | column.there)
    return [column for column in by_labels.values() if column.there.any()]

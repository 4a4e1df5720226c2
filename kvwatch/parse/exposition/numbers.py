"""Numbers and histograms of one engine: in which slots they are, and how they are read from there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import le

from kvwatch.facts import Histogram
from kvwatch.parse.exposition.tables import Row

HIGHEST = 1e18
"""Numbers beyond are not believed: sums and squares of those within are far from a float's end.

Choice: more tokens than a hundred thousand servers make in ten years, at ten thousand a second each (3e17)."""
LOWEST = -HIGHEST
"""What bounds a number below where it may be negative."""

Slots = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """Where one field is: for each name of it that is there, newest first, the slots of its series."""

    row: Row
    names: tuple[Slots, ...]
    by_process: bool

    def read(self, values: Sequence[float], idle: bool = False) -> float | None:
        """The number by the first name that has one."""
        lowest = LOWEST if self.row.may_be_negative else 0.0
        for slots in self.names:
            found = [values[slot] for slot in slots if lowest <= values[slot] <= HIGHEST]
            if len(slots) > 1 and self.row.kind == "counter" and any(math.isnan(values[slot]) for slot in slots):
                return None  # a part of the sum is not known
            if len(found) == 1:
                return found[0]
            if found:
                return self._combine(found, idle)
        return None

    def _combine(self, found: list[float], idle: bool) -> float:
        """One number of several series, which a label splits that tells no engines apart.

        Counts add up. With one series for each API server, each server holds what it heard last, and a step
        reports to one of them: they differ by age. While the engine works all are fresh and the middle one is
        taken; when it has nothing to do, only the last report is about now, and that is the lowest.
        """
        if self.by_process and self.row.kind != "counter":
            return min(found) if idle else statistics.median(found)
        return max(found) if self.row.kind == "ratio" else math.fsum(found)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Where a histogram is: its edges in rising order, the slots of each, of the sum and of the count."""

    field: str
    edges: tuple[float, ...]
    slots: tuple[Slots, ...]
    total: Slots
    count: Slots

    def read(self, values: Sequence[float]) -> Histogram | None:
        """The histogram, or None where nothing is in it or its counts decrease, which no histogram's do."""
        cumulative = tuple([values[slots[0]] for slots in self.slots])
        if (
            cumulative
            and max(map(len, self.slots)) == 1
            and cumulative[0] >= 0
            and cumulative[-1] <= HIGHEST
            and all(map(le, cumulative, cumulative[1:]))
        ):
            return Histogram(self.edges, cumulative, added(values, self.total), added(values, self.count))
        return self._pieced(values)

    def _pieced(self, values: Sequence[float]) -> Histogram | None:
        """The histogram of several series, or of one that does not show a count for each edge."""
        counts = [added(values, slots) for slots in self.slots]
        edges = self.edges
        if None in counts:
            edges = tuple(edge for edge, count in zip(edges, counts, strict=True) if count is not None)
        cumulative = tuple(count for count in counts if count is not None)
        if not cumulative or any(after < before for before, after in pairwise(cumulative)):
            return None
        return Histogram(edges, cumulative, added(values, self.total), added(values, self.count))


def added(values: Sequence[float], slots: Slots) -> float | None:
    """The sum of the counts in these slots, of those that are counts; None where none is."""
    if len(slots) == 1:
        value = values[slots[0]]
        return value if 0 <= value <= HIGHEST else None
    found = [values[slot] for slot in slots if 0 <= values[slot] <= HIGHEST]
    return math.fsum(found) if found else None

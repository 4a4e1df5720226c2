"""Series as a Prometheus stores them → the scrapes that they came from, with the times at which they were made.

All samples of one scrape have one time stamp. Which series a scrape had decides how it is read, as for an exposition:
a counter that is not there is unknown, and a server that came back with other settings shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.parse.exposition.doubles import Doubles
from kvwatch.parse.exposition.engines import NamedBy, Plan
from kvwatch.parse.exposition.names import PROCESS_START, TABLES, is_read, owned
from kvwatch.parse.exposition.reader import MAX_ENGINES
from kvwatch.parse.exposition.samples import Series
from kvwatch.parse.exposition.tables import Table

NAME = "__name__"
UP = "up"
TARGET_LABELS = ("cluster", "namespace", "job", "instance", "pod", "prometheus")
"""Labels that tell one scraped server from another, added by whoever scrapes or collects. What other labels say about
engines is found out as it is for a page that is read live."""
_ANCHOR = "running"
"""The field that every engine of every version shows."""
_KEPT_PLANS = 64
"""Sets of series whose reading is kept [1]. Choice: memory; a server has a few, one more for each label it adds."""


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """One series: its labels, the metric's name among them as ``__name__``, times [unix s] rising, and values."""

    labels: Mapping[str, str]
    at: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


def anchor_pattern() -> str:
    """A regular expression for the name of a metric that every server has, with whatever stands in front of it."""
    return "|".join(
        f".*{re.escape(stem)}{re.escape(name)}" for table in TABLES for stem in table.stems for name in _anchors(table)
    )


def names_like(anchors: Iterable[str]) -> list[str]:
    """Every name that is read of a server that spells its anchors so: what stands in front may differ by engine."""
    spelled = (found for anchor in anchors if (found := owned(anchor)) is not None)
    names = {f"{found.prefix}{name}" for found in spelled for name in found.table.names}
    return sorted(names | {PROCESS_START, UP})


def model_of(labels: Mapping[str, str]) -> str:
    """The model that a series of an anchor is of."""
    found = owned(labels.get(NAME, ""))
    named = found.table.model_labels if found is not None else ()
    return next((labels[label] for label in named if labels.get(label)), "")


def target_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """What tells the server of a series from others."""
    return {name: labels.get(name, "") for name in TARGET_LABELS}


def _anchors(table: Table) -> list[str]:
    return [sample.name for row in table.rows if row.field == _ANCHOR for sample in row.samples]


class HistoryReader:
    """Reads one server's series, window after window."""

    def __init__(self) -> None:
        self._plans: dict[tuple[tuple[str, ...], bytes], tuple[Plan, list[int]]] = {}
        self._named_by: NamedBy = {}
        self._doubles = Doubles()

    def read(self, series: Sequence[StoredSeries]) -> Iterator[Scrape | ScrapeFailed]:
        """The scrapes of a window in the order of time; those that failed as far as ``up`` is stored."""
        up = [one for one in series if one.labels.get(NAME) == UP]
        ours = [one for one in series if is_read(one.labels.get(NAME, "").encode())]
        times = np.unique(np.concatenate([one.at for one in (*ours, *up)])) if ours or up else np.empty(0)
        rows = np.full((len(times), len(ours)), np.nan)
        for column, one in enumerate(ours):
            rows[np.searchsorted(times, one.at), column] = one.values
        answered = np.ones(len(times), dtype=bool)
        for one in up:
            answered[np.searchsorted(times, one.at[one.values == 0])] = False
        known = tuple(f"{sorted(one.labels.items())}" for one in ours)
        shown = ~np.isnan(rows)
        for at, row, there, good in zip(times.tolist(), rows, shown, answered.tolist(), strict=True):
            if not good:
                yield ScrapeFailed(at, "down", "up was 0: the server did not answer Prometheus")
                continue
            plan, places = self._plan(known, there, ours)
            values = row[places].tolist()
            engines = plan.engines(values)
            engines += self._doubles.own(at, engines, plan.shown_again(values))
            yield Scrape(at, engines, plan.process_start(values))

    def _plan(
        self, known: tuple[str, ...], there: npt.NDArray[np.bool_], series: Sequence[StoredSeries]
    ) -> tuple[Plan, list[int]]:
        key = (known, there.tobytes())
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= _KEPT_PLANS:
                self._plans.clear()
            places = np.flatnonzero(there).tolist()
            made = tuple(Series(series[i].labels[NAME], _own(series[i].labels)) for i in places)
            found = self._plans[key] = (Plan(made, MAX_ENGINES, self._named_by), places)
            self._named_by = found[0].named_by
        return found


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels without those of the target, which are all of its series'."""
    return {name: value for name, value in labels.items() if name != NAME and name not in TARGET_LABELS}

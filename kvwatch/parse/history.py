"""Series as a Prometheus stores them → the scrapes that they came from, with the times at which they were made.

All samples of one scrape have one time stamp. Which series a scrape had decides how it is read, as for an exposition:
a counter that is not there is unknown, and a server that came back with other settings shows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.parse.exposition import vllm
from kvwatch.parse.exposition.engines import Plan
from kvwatch.parse.exposition.reader import MAX_ENGINES
from kvwatch.parse.exposition.samples import Series

NAME = "__name__"
UP = "up"
ANCHORS = tuple(prefix + "num_requests_running" for prefix in (vllm.PREFIX, *vllm.RAY_PREFIXES))
"""A metric that every engine of every version has, under each of its names."""
_OF_AN_ENGINE = frozenset({NAME, vllm.MODEL_LABEL, vllm.ENGINE_LABEL, vllm.PROCESS_LABEL, *vllm.REPLICA_LABELS})
_KEPT_PLANS = 64
"""Sets of series whose reading is kept [1]. Choice: memory; a server has a few, one more for each label it adds."""


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """One series: its labels, the metric's name among them as ``__name__``, times [unix s] rising, and values."""

    labels: Mapping[str, str]
    at: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


def names_like(anchor: str) -> list[str]:
    """Every name that is read of a server that spells the anchor so."""
    prefix = anchor.removesuffix("num_requests_running")
    return sorted({name for name in vllm.WANTED if name.startswith(prefix)} | {vllm.PROCESS_START, UP})


def target_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """What tells the server from others: the labels of a series of the anchor without those of the engine."""
    return {name: value for name, value in labels.items() if name not in _OF_AN_ENGINE}


class HistoryReader:
    """Reads one server's series, window after window."""

    def __init__(self) -> None:
        self._plans: dict[tuple[tuple[str, ...], bytes], tuple[Plan, list[int]]] = {}

    def read(self, series: Sequence[StoredSeries]) -> Iterator[Scrape | ScrapeFailed]:
        """The scrapes of a window in the order of time; those that failed as far as ``up`` is stored."""
        up = [one for one in series if one.labels.get(NAME) == UP]
        ours = [one for one in series if one.labels.get(NAME) in vllm.WANTED]
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
            yield Scrape(at, plan.engines(values), plan.process_start(values))

    def _plan(
        self, known: tuple[str, ...], there: npt.NDArray[np.bool_], series: Sequence[StoredSeries]
    ) -> tuple[Plan, list[int]]:
        key = (known, there.tobytes())
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= _KEPT_PLANS:
                self._plans.clear()
            places = np.flatnonzero(there).tolist()
            made = tuple(Series(series[i].labels[NAME], dict(series[i].labels)) for i in places)
            found = self._plans[key] = (Plan(made, MAX_ENGINES), places)
        return found

"""In which slots the series of one engine's numbers and histograms are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from kvwatch.parse.exposition.numbers import Buckets, Number, Slots
from kvwatch.parse.exposition.tables import Row, Sample, Table

Place = tuple[int, Mapping[str, str]]
"""The slot of a series and its labels."""
ByName = Mapping[str, Sequence[Place]]
"""One engine's series by their names as its table has them."""

_PROCESS_LABEL = "pid"
_LAST_RANK = 1e9


def matching(sample: Sample, by_name: ByName) -> Slots:
    """The slots of the series that a name means."""
    return tuple(slot for slot, labels in by_name.get(sample.name, ()) if sample.holds(labels))


def number(row: Row, by_name: ByName, table: Table) -> Number | None:
    """Where one number is, by each name of it that is there; None where there is none."""
    is_gauge = row.kind != "counter"
    names = tuple(slots for sample in row.samples if (slots := _meant(sample, by_name, is_gauge, table)))
    if not names:
        return None
    by_process = any(_PROCESS_LABEL in labels for sample in row.samples for _, labels in by_name.get(sample.name, ()))
    return Number(row, names, by_process)


def _meant(sample: Sample, by_name: ByName, is_gauge: bool, table: Table) -> Slots:
    places = [place for place in by_name.get(sample.name, ()) if sample.holds(place[1])]
    found = _once(places, is_gauge, table)
    return found + _once(list(by_name.get(sample.plus, ())), is_gauge, table) if found and sample.plus else found


def _once(places: list[Place], is_gauge: bool, table: Table) -> Slots:
    """The slots of places that show each thing once: the lowest of several ranks, a total without its parts."""
    for label in table.rank_labels:
        lowest = min((_rank(labels, label) for _, labels in places), default=0.0)
        places = [place for place in places if _rank(place[1], label) == lowest]
    for label in table.total_labels:
        totals = [place for place in places if not place[1].get(label)]
        if is_gauge and totals:
            places = totals
    return tuple(slot for slot, _ in places)


def _rank(labels: Mapping[str, str], label: str) -> float:
    text = labels.get(label, "")
    return float(text) if text.isascii() and text.isdigit() else _LAST_RANK


def buckets(field: str, base: str, by_name: ByName) -> Buckets:
    """Where a histogram is."""
    edges: dict[float, list[int]] = defaultdict(list)
    for slot, labels in by_name[base + "_bucket"]:
        try:
            edge = float(labels.get("le", ""))
        except ValueError:
            continue
        if not math.isnan(edge):
            edges[edge].append(slot)
    rising = sorted(edges)
    return Buckets(
        field,
        tuple(rising),
        tuple(tuple(edges[edge]) for edge in rising),
        matching(Sample(base + "_sum"), by_name),
        matching(Sample(base + "_count"), by_name),
    )

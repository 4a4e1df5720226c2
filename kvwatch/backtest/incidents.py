"""When requests waited, and how badly: what a page should have come before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kvwatch.backtest.spells import Spell, joined, spells
from kvwatch.backtest.timeline import Model, Stretch, Timeline
from kvwatch.promql.labels import Array, Labels

SAME_SECONDS = 300.0
"""Incidents, and pages, that are at most so far apart are one [s]. Choice: Alertmanager's group_interval, within which
one notification tells of both."""
_HELD_SECONDS = 300.0
"""How long an engine that is not seen counts as it was seen last [s]. Definition: as long as Prometheus takes a
sample for a series' value."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Requests waited at a model. Times unix s; of what is not known, ``None``.

    Attributes:
        number: Counted from 1 in the order of time.
        model: Whose.
        spell: From the first request that waited to the last.
        open: Whether it was going on when the data ended.
        peak_waiting: Most requests waiting at once, at all engines together.
        peak_at: When.
        ttft_p95: The worst 95th percentile of the time to the first token over a minute [s].
        itl_p95: The same between tokens [s].
        kv_usage: The fullest KV cache of an engine [1].
        utilization: ρ over a minute when the queue began.
        engines: Engines of the model when it began.
        limit: What bound then.
        waited_seconds: Time that requests spent waiting, of all together [requests · s].
    """

    number: int
    model: Model
    spell: Spell
    open: bool
    peak_waiting: float
    peak_at: float
    ttft_p95: float | None
    itl_p95: float | None
    kv_usage: float | None
    utilization: float | None
    engines: float | None
    limit: str | None
    waited_seconds: float


class QueueSpells:
    """Finds the spells in which an engine's queue was never empty, stretch after stretch of time."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._found: dict[tuple[Model, Labels], list[Spell]] = defaultdict(list)

    def add(self, stretch: Stretch) -> None:
        """Take the next stretch. Where an engine's queue is not known, it is as it was, for a while."""
        for model, labels, waiting in stretch.queues:
            held = _held(waiting, int(_HELD_SECONDS / self._step))
            self._found[model, labels] += spells(stretch.at, held > 0, self._step)

    def of(self, model: Model, least_seconds: float) -> list[Spell]:
        """When requests waited at an engine of a model for so long or longer, those close together as one."""
        long = (
            spell
            for (owner, _), found in self._found.items()
            for spell in joined(found, self._step)
            if owner == model and spell.seconds >= least_seconds
        )
        return joined(long, SAME_SECONDS)

    def models(self) -> Iterable[Model]:
        """Whose queues were seen."""
        return {model for model, _ in self._found}


def _held(values: Array, longest: int) -> Array:
    """The values with holes of up to so many evaluations filled by what was before; 0 in longer ones."""
    here = np.arange(len(values))
    places = np.where(np.isnan(values), 0, here)
    np.maximum.accumulate(places, out=places)
    return np.where(here - places <= longest, np.nan_to_num(values[places]), 0.0)


def incidents(
    queues: QueueSpells, timelines: Mapping[Model, Timeline], least_seconds: float, end: float
) -> list[Incident]:
    """All incidents in the order of time; ``end`` is where the data ends [unix s]."""
    found = [
        (spell, model) for model in queues.models() if model in timelines for spell in queues.of(model, least_seconds)
    ]
    return [_incident(number, timelines[model], spell, end) for number, (spell, model) in enumerate(sorted(found), 1)]


def _incident(number: int, timeline: Timeline, spell: Spell, end: float) -> Incident:
    part = timeline.between(spell.start, spell.end)
    waiting = np.nan_to_num(timeline.curves["waiting"][part])
    step = float(timeline.at[1] - timeline.at[0]) if len(timeline.at) > 1 else 0.0
    peak = int(np.argmax(waiting))

    def worst(curve: str) -> float | None:
        extreme = timeline.extreme(curve, spell.start, spell.end)
        return extreme[0] if extreme is not None else None

    return Incident(
        number=number,
        model=timeline.model,
        spell=spell,
        open=spell.end >= end - step,
        peak_waiting=float(waiting[peak]),
        peak_at=float(timeline.at[part][peak]),
        ttft_p95=worst("ttft_p95"),
        itl_p95=worst("itl_p95"),
        kv_usage=worst("kv_usage"),
        utilization=timeline.value("utilization_1m", spell.start),
        engines=timeline.value("engines", spell.start),
        limit=timeline.limit(spell.start),
        waited_seconds=float(waiting.sum() * step),
    )

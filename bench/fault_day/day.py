"""kvwatch through the day: scraped pages with faults in them, what it shows, and what a Prometheus stores of that."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from bench.fault_day.faults import Fault, Whole, catalogue
from bench.fault_day.server import START, Server
from kvwatch.constants import MINUTE_SECONDS
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.export.exposition import Exposition
from kvwatch.facts import Scrape, ScrapeFailed, Settings, SettingSource
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.promql.labels import Labels, labels_of
from kvwatch.promql.series import Stored
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.views import EngineView

INTERVAL_SECONDS = 5.0
"""Of kvwatch's scrapes [s]. Choice: a fifth of the cost of its default; a minute still holds twelve."""
STORED_EVERY = 3
"""Scrapes to one of Prometheus [scrapes]. Choice: a quarter of a minute, as is usual."""
MODEL_SECONDS = 300.0
"""Least time between two runs of the embedded engine [s]. Choice: a tenth as often as in practice, where they are most
of the cost; searches for better settings and for latencies, which no page rests on, are left out."""
TARGET = "vllm:8000"
WINDOWS = {"1m": 60.0, "5m": 300.0}
_SETTINGS = Settings(256, 2048, 4096, SettingSource.CONFIG)
_NO_SCRAPE = "the process is stopped"


@dataclass
class Spell:
    """A fault with the seconds of the day in which it is there."""

    fault: Fault
    start: float
    end: float
    before: str = ""
    """What is shown again: a page that is up to a minute older than the fault, or else the last one before it."""


@dataclass
class Moment:
    """What kvwatch shows after a scrape. ``known_since`` is from when on it can know of the server [s].

    ``hidden_since`` says since when nothing has come that each estimate could rest on.
    """

    at: float
    fault: str
    """The one of now, or the last one."""
    engines: tuple[EngineView, ...]
    known_since: float
    hidden_since: dict[str, float]
    intervals: float = 3.0
    """After how many scrape intervals nothing of that may be shown."""


@dataclass
class Day:
    """So many seconds of it. Iterate over :meth:`moments`; ``stored`` is there afterwards."""

    seconds: float
    seed: int = 0
    with_faults: bool = True
    drawn: Counter[str] = field(default_factory=Counter)
    internal_errors: float = 0.0

    def __post_init__(self) -> None:
        self.server = Server(self.seconds, self.seed)
        self._source = random.Random(self.seed)
        self._faults = catalogue()
        self._metrics = SelfMetrics()
        self._saved: list[dict[str, object]] = []
        self._known_since = 0.0
        self._page = ""
        self._rows: list[tuple[float, dict[Labels, float]]] = []
        self._keys: dict[tuple[str, tuple[tuple[str, str], ...]], Labels] = {}
        self._begin(None)

    def _begin(self, at: float | None) -> None:
        """Start kvwatch, with what was saved if it ran before."""
        self._metrics = SelfMetrics()
        options = CoreOptions(
            WINDOWS,
            scrape_interval_seconds=INTERVAL_SECONDS,
            model_max_age_seconds=MODEL_SECONDS,
            seeks_seats=False,
            predicts_latency=False,
        )
        self._fleet = Fleet(options)
        self._intake, self._reader = Intake(self._fleet, self._metrics), ExpositionReader()
        self._intake.add(TARGET, _SETTINGS)
        if at is not None:
            self._fleet.restore(TARGET, self._saved, START + at)
            self._known_since = at
        self._exposition = Exposition(lambda: self._intake.view(START + self._at), self._metrics.samples)

    def moments(self) -> Iterator[Moment]:
        """Scrape after scrape."""
        hidden: dict[str, float] = {}
        spell: Spell | None = None
        for number in range(1, int(self.seconds / INTERVAL_SECONDS)):
            self._at = at = number * INTERVAL_SECONDS
            if not at % MINUTE_SECONDS and self.with_faults:
                self._saved = self._fleet.dump_target(TARGET)
                spell = self._draw(at)
            fault = spell.fault if spell is not None and spell.start <= at < spell.end else None
            self._scrape(at, fault, spell)
            hides = fault.hides if fault is not None else ()
            if fault is not None and fault.whole in (Whole.KILLED, Whole.STOPPED):
                hides = ("arrival_rate", "service_rate", "utilization")
            # what is hidden was last known at the scrape before
            hidden = {name: hidden.get(name, at - INTERVAL_SECONDS) for name in hides}
            if fault is not None and fault.whole is Whole.STOPPED:
                continue
            if not number % STORED_EVERY:
                self._store(at)
            view = self._intake.view(START + at)
            name = fault.name if fault is not None else f"after {spell.fault.name}" if spell is not None else ""
            intervals = fault.intervals if fault is not None else 3.0
            yield Moment(at, name, view.targets[0].shown, self._known_since, dict(hidden), intervals)
        self.internal_errors += self._errors()

    def _draw(self, at: float) -> Spell:
        fault = self._source.choice(self._faults)
        start, end = sorted(at + self._source.uniform(0.0, MINUTE_SECONDS) for _ in range(2))
        self.drawn[fault.name] += 1
        before = self._page if self._source.random() < 1 / 2 else ""
        return Spell(fault, start, max(end, start + INTERVAL_SECONDS), before)

    def _scrape(self, at: float, fault: Fault | None, spell: Spell | None) -> None:
        whole = fault.whole if fault is not None else None
        if whole is Whole.STOPPED:
            return
        if whole is Whole.KILLED and spell is not None:
            self.server.begin(min(spell.end, self.seconds))
            self._intake.observe(TARGET, ScrapeFailed(START + at, "connection"))
            return
        if whole is Whole.RESTARTED and spell is not None and at - spell.start < INTERVAL_SECONDS:
            self.internal_errors += self._errors()
            self._begin(at)
        if spell is not None and not spell.before:
            spell.before = self._page if fault is not None else ""
        page = self._page = self.server.page(at)
        self._known_since = max(self._known_since, self.server.began)
        if fault is not None and fault.failure:
            self._intake.observe(TARGET, ScrapeFailed(START + at, fault.failure))
            return
        if fault is not None and fault.change is not None and spell is not None:
            page = fault.change(page, spell.before, self._source.random())
        self._intake.observe(TARGET, self._read(at, page))
        for target, key, run in self._intake.take_due_runs(START + at):
            self._intake.correct(target, key, run.run())

    def _read(self, at: float, page: str) -> Scrape:
        self._reader.reset()
        self._reader.feed(page.encode("utf-8", "surrogateescape"))
        return self._reader.finish(START + at)

    def _errors(self) -> float:
        return sum(value or 0.0 for _, value in self._metrics.samples()["kvwatch_internal_errors_total"])

    def _store(self, at: float) -> None:
        """What Prometheus reads, by its own library."""
        row: dict[Labels, float] = {}
        for family in text_string_to_metric_families(self._exposition.text()[0].decode()):
            for sample in family.samples:
                assert isfinite(sample.value), sample
                row[self._key(sample.name, sample.labels)] = sample.value
        self._rows.append((START + at, row))

    def _key(self, name: str, labels: dict[str, str]) -> Labels:
        short = (name, tuple(labels.items()))
        if short not in self._keys:
            self._keys[short] = labels_of(name, **labels, job="kvwatch", instance="kvwatch:9718")
        return self._keys[short]

    def stored(self) -> dict[Labels, Stored]:
        """All series."""
        at = np.array([when for when, _ in self._rows])
        series: dict[Labels, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
        for i, (_, row) in enumerate(self._rows):
            for labels, value in row.items():
                if labels not in series:
                    series[labels] = np.full(len(at), np.nan)
                series[labels][i] = value
        return {labels: Stored(at, values) for labels, values in series.items()}

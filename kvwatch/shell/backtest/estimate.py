"""One server: from its scrapes to what kvwatch would have exported of it, part after part on disk.

The same core as live, in the time of the scrapes. Nothing of it depends on which process does it or on when, so that
a part that is written again after a kill is the same to the bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from kvwatch.backtest.coverage import Coverage
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.export.history import stored
from kvwatch.facts import Scrape, Settings
from kvwatch.promql.labels import Labels
from kvwatch.shell.backtest.parts import PART_SECONDS, write_json, write_rows
from kvwatch.shell.backtest.sources import Past, Source

DONE = "done.json"
_RAW = "raw"
_MOST_GAPS = 20
"""Gaps of one server that are listed one by one [1]. Choice: more are no list to read, and are counted."""
_GAP_SCRAPES = 3.0
"""Time without a scrape that is a gap [scrape intervals]. Definition: as long as a target is fresh to the core."""


@dataclass(frozen=True, slots=True)
class Job:
    """A server to be estimated. ``folder`` is its own; times are unix seconds.

    Attributes:
        name: What it is called: the value of ``target`` and ``instance``.
        given: Labels of it that alerts group by: cluster, namespace, pod.
        source: Where its scrapes come from.
        settings: Its scheduler's settings as far as the user gave them.
        start: Beginning of the time that is looked at, which parts are counted from.
        every_seconds: Least time between two views, as a Prometheus scrapes kvwatch.
        wanted: Names of the series that are kept.
        windows: λ's windows by their label, and the other options of the core.
    """

    name: str
    given: Mapping[str, str]
    source: Source
    settings: Settings
    start: float
    every_seconds: float
    wanted: frozenset[str]
    folder: Path
    options: Mapping[str, object] = field(default_factory=dict)


def estimate(job: Job) -> Coverage:
    """Estimate one server, from the beginning or from what a process that was killed has read; done is done."""
    done = job.folder / DONE
    if done.is_file():
        return Coverage(**orjson.loads(done.read_bytes()))
    job.folder.mkdir(parents=True, exist_ok=True)
    coverage = Coverage(job.name, job.source.interval_seconds)
    _Parts(job, coverage).write(_followed(job, coverage))
    write_json(done, asdict(coverage))
    shutil.rmtree(job.folder / _RAW, ignore_errors=True)
    return coverage


def _followed(job: Job, coverage: Coverage) -> Iterator[tuple[float, dict[Labels, float]]]:
    """Times, and the series of the view at each of them; no series where nothing had been scraped for a while."""
    interval = job.source.interval_seconds
    fleet = Fleet(CoreOptions(**{**job.options, "scrape_interval_seconds": interval}))  # type: ignore[arg-type]
    fleet.add(job.name, job.settings)
    fleet.observe(job.name, job.source.settings)
    given = {"job": "kvwatch", "instance": job.name, **job.given}
    last, viewed, age = None, float("-inf"), float("inf")
    slack = min(interval, job.every_seconds) / 2
    for past in job.source.scrapes(job.folder / _RAW):
        if last is not None and past.at - last > _GAP_SCRAPES * interval:
            _note_gap(coverage, last, past.at)
            yield last + _GAP_SCRAPES * interval, {}
        _count(coverage, past)
        last = past.at
        fleet.observe(job.name, past)
        for name, key, run in fleet.take_due_runs(past.at):
            fleet.correct(name, key, run.run())
        if past.at - viewed < job.every_seconds - slack:
            continue
        viewed = past.at
        view = fleet.view(past.at)
        for engine in view.targets[0].engines:
            coverage.views += 1
            coverage.judged += (
                engine.estimate_valid["utilization"].valid if "utilization" in engine.estimate_valid else 0
            )
        ages = [e.engine_age_seconds for e in view.targets[0].engines if e.engine_age_seconds is not None]
        coverage.restarts += bool(ages) and min(ages) < age - interval and age < float("inf")
        age = min(ages, default=age)
        yield past.at, stored(view, job.wanted, given)
    if last is not None:
        yield last + _GAP_SCRAPES * interval, {}


def _note_gap(coverage: Coverage, start: float, end: float) -> None:
    coverage.gap_count += 1
    coverage.gap_seconds += end - start
    if len(coverage.gaps) < _MOST_GAPS:
        coverage.gaps.append((start, end))


def _count(coverage: Coverage, past: Past) -> None:
    coverage.first = past.at if coverage.first is None else coverage.first
    coverage.last = past.at
    if isinstance(past, Scrape):
        coverage.scrapes += 1
        coverage.engines = max(coverage.engines, len(past.engines))
    else:
        coverage.failed += 1


class _Parts:
    """Writes rows into the parts that their times belong to."""

    def __init__(self, job: Job, coverage: Coverage) -> None:
        self._job = job
        self._coverage = coverage
        self._at: list[float] = []
        self._rows: list[dict[Labels, float]] = []
        self._number = 0

    def write(self, rows: Iterator[tuple[float, dict[Labels, float]]]) -> None:
        """Write all rows."""
        for at, row in rows:
            number = int((at - self._job.start) // PART_SECONDS)
            if number != self._number:
                self._flush()
                self._number = number
            if self._at and at <= self._at[-1]:
                continue
            self._at.append(at)
            self._rows.append(row)
        self._flush()

    def _flush(self) -> None:
        if self._at:
            write_rows(part_path(self._job.folder, self._number), self._at, self._rows)
            self._coverage.parts += 1
        self._at, self._rows = [], []


def part_path(folder: Path, number: int) -> Path:
    """Where a part of a server is."""
    return folder / f"part-{number:05d}.npz"

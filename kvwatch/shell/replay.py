"""A recording, driven through the same core as a live server, in recorded time.

A recording is a folder: ``scrapes.jsonl.gz`` or ``scrapes.jsonl``, perhaps ``settings.json`` and
``requests.jsonl``. What is damaged is reported and skipped. Nothing here reads a clock.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Rejected, RequestRecord, Scrape, ScrapeFailed, Settings
from kvwatch.parse import ExpositionReader
from kvwatch.parse.recording import recorded_scrape
from kvwatch.parse.requestlog import request_record
from kvwatch.parse.settings import settings_from_recording
from kvwatch.shell.lines import Report, read_lines
from kvwatch.shell.recorder import SETTINGS_NAME
from kvwatch.views import FleetView

SCRAPES_NAMES = ("scrapes.jsonl.gz", "scrapes.jsonl")
REQUESTS_NAMES = ("requests.jsonl.gz", "requests.jsonl")
_SCRAPES_TO_TELL_INTERVAL = 30
_MAX_SETTINGS_BYTES = 1 << 20
_MODEL_MAX_AGE_SECONDS = 30.0

Recorded = Scrape | ScrapeFailed


class RecordingError(Exception):
    """A folder that is no recording; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A folder that holds a recording; ``report`` is told in words about everything that is skipped."""

    folder: Path
    report: Report

    def scrapes(self) -> Iterator[Recorded]:
        """Scrapes, good and failed, in the order of the file; those that go back in time are skipped.

        Raises:
            RecordingError: there is no file of scrapes.
        """
        path = _first_of(self.folder, SCRAPES_NAMES)
        if path is None:
            raise RecordingError(f"{self.folder} holds neither {' nor '.join(SCRAPES_NAMES)}")
        last = float("-inf")
        reader = ExpositionReader()
        for number, line in read_lines(path, self.report):
            scrape = recorded_scrape(line, reader)
            if isinstance(scrape, Rejected):
                self.report(f"{path.name}:{number}: {scrape.reason}; skipped")
            elif scrape.at <= last:
                self.report(f"{path.name}:{number}: not later than the line before it; skipped")
            else:
                last = scrape.at
                yield scrape

    def requests(self) -> list[RequestRecord]:
        """Requests by the time they ended.

        Raises:
            RecordingError: there is no file of requests.
        """
        path = _first_of(self.folder, REQUESTS_NAMES)
        if path is None:
            raise RecordingError(f"{self.folder} holds no {REQUESTS_NAMES[-1]}, which --requests asks for")
        records = []
        for number, line in read_lines(path, self.report):
            record = request_record(line)
            if isinstance(record, Rejected):
                self.report(f"{path.name}:{number}: {record.reason}; skipped")
            else:
                records.append(record)
        return sorted(records, key=lambda record: record.finish)

    def settings(self) -> Settings:
        """The settings recorded beside the scrapes; unknown where there are none."""
        path = self.folder / SETTINGS_NAME
        if not path.is_file():
            return Settings()
        with path.open("rb") as file:
            settings = settings_from_recording(file.read(_MAX_SETTINGS_BYTES))
        if settings is None:
            self.report(f"{SETTINGS_NAME}: not a JSON object with settings; ignored")
            return Settings()
        return settings


def replay(recording: Recording, options: CoreOptions | None = None, *, requests: bool = False) -> Iterator[FleetView]:
    """The fleet's view after each scrape of a recording, at the time of that scrape.

    Without ``options``, those of a default configuration with the scrape interval that the recording shows.
    With ``requests`` each request is observed once it has ended.

    Raises:
        RecordingError: a file that is needed is missing.
    """
    scrapes = recording.scrapes()
    first = list(itertools.islice(scrapes, _SCRAPES_TO_TELL_INTERVAL))
    if options is None:
        options = replace(
            CoreOptions(),
            scrape_interval_seconds=_interval_seconds(first),
            model_max_age_seconds=_MODEL_MAX_AGE_SECONDS,
        )
    fleet = Fleet(options)
    target = recording.folder.resolve().name
    fleet.add(target, recording.settings())
    ended = recording.requests() if requests else []
    # a request that ends in the instant of a scrape is in that scrape, so it comes before it
    events = heapq.merge(
        ((record.finish, 0, record) for record in ended),
        ((scrape.at, 1, scrape) for scrape in itertools.chain(first, scrapes)),
        key=lambda event: event[:2],
    )
    for at, _, event in events:
        fleet.observe(target, event)
        if isinstance(event, RequestRecord):
            continue
        for name, key, run in fleet.due_runs(at):
            fleet.correct(name, key, run.run())
        yield fleet.view(at)


def _interval_seconds(scrapes: list[Recorded]) -> float:
    """The usual time between two scrapes; one second where there are too few to tell."""
    gaps = [after.at - before.at for before, after in itertools.pairwise(scrapes)]
    return statistics.median(gaps) if gaps else CoreOptions().scrape_interval_seconds


def _first_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)

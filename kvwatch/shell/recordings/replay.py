"""A recording, driven through the same core as a live server, in recorded time.

A recording is a folder: ``scrapes.jsonl.gz`` or ``scrapes.jsonl``, perhaps ``settings.json``, ``requests.jsonl`` and
vLLM's own log, ``server.log.gz``. Any other log can be read along with it. What is damaged is reported and skipped.
Nothing here reads a clock.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Rejected, RequestRecord, Scrape, ScrapeFailed, Settings
from kvwatch.parse.exports import Keep
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.logs import LocalTime, LogFact, LogFormat, LogReader
from kvwatch.parse.recording import recorded_scrape, recorded_text
from kvwatch.parse.requestlog import request_record
from kvwatch.parse.settings import settings_from_recording
from kvwatch.shell.recordings.exports import ExportError, Page, pages, read_name, servers
from kvwatch.shell.recordings.lines import Report, read_lines
from kvwatch.shell.recordings.recorder import SETTINGS_NAME
from kvwatch.views import FleetView

SCRAPES_NAMES = ("scrapes.jsonl.gz", "scrapes.jsonl")
REQUESTS_NAMES = ("requests.jsonl.gz", "requests.jsonl")
SERVER_LOG_NAMES = ("server.log.gz", "server.log")
_SCRAPES_TO_TELL_INTERVAL = 30
_MAX_SETTINGS_BYTES = 1 << 20
_MODEL_MAX_AGE_SECONDS = 30.0

Recorded = Scrape | ScrapeFailed


@dataclass(frozen=True, slots=True)
class RecordedLog:
    """A log to be read along with a recording; ``utc_offset`` is that of the zone of its stamps without one."""

    path: Path
    format: LogFormat
    utc_offset: Callable[[float], float] = lambda _: 0.0


class RecordingError(Exception):
    """A folder that is no recording; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A folder that holds a recording; ``report`` is told in words about everything that is skipped.

    ``folder`` may be a file that another tool has written, of which ``server`` then names one server.
    """

    folder: Path
    report: Report
    server: str = ""

    @property
    def name(self) -> str:
        """What the server is called."""
        return self.server or self.folder.resolve().name

    def texts(self, keep: Keep = read_name) -> Iterator[tuple[float, bytes]]:
        """Times and pages of the scrapes that were answered; of another tool's file the samples that are wanted.

        Raises:
            RecordingError: there is no file of scrapes.
        """
        if self.server:
            yield from ((page.at, page.body) for page in self._pages(keep) if page.body is not None)
            return
        found = (recorded_text(line) for _, line in read_lines(scrapes_path(self.folder), self.report))
        yield from (one for one in found if one is not None)

    def _pages(self, keep: Keep = read_name) -> Iterator[Page]:
        try:
            yield from (page for page in pages(self.folder, self.report, keep) if page.server == self.server)
        except ExportError as error:
            raise RecordingError(str(error)) from None

    def _exported(self) -> Iterator[Recorded]:
        reader = ExpositionReader()
        for page in self._pages():
            if page.body is None:
                yield ScrapeFailed(page.at, "down", "up was 0: the server did not answer Prometheus")
            else:
                yield reader.read(page.body, page.at)

    def scrapes(self) -> Iterator[Recorded]:
        """Scrapes, good and failed, in the order of the file; those that go back in time are skipped.

        Raises:
            RecordingError: there is no file of scrapes.
        """
        if self.server:
            yield from self._exported()
            return
        path = scrapes_path(self.folder)
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

    def logged(self, logs: Iterable[RecordedLog], reference: float) -> Iterator[tuple[float, LogFact]]:
        """Facts of several logs, each with the time [unix s] from which on it is known, in the order of that.

        ``reference`` is a time of the recording: vLLM's own stamps leave out the year. Settings are known from the
        beginning, for a server is not always recorded from its start.

        Raises:
            RecordingError: a log cannot be found.
        """
        return heapq.merge(*(self._log(log, reference) for log in logs), key=lambda known: known[0])

    def _log(self, log: RecordedLog, reference: float) -> Iterator[tuple[float, LogFact]]:
        if not log.path.is_file():
            raise RecordingError(f"there is no {log.path}")
        return iter(sorted(self._facts(log, reference), key=lambda known: known[0]))

    def _facts(self, log: RecordedLog, reference: float) -> Iterator[tuple[float, LogFact]]:
        reader, local = LogReader(log.format), LocalTime(reference, log.utc_offset)
        refused: Counter[str] = Counter()
        for number, line in read_lines(log.path, self.report):
            reading = reader.read(line + b"\n", local)
            for reason in reading.samples:
                refused[reason] += 1
                if refused[reason] == 1:
                    self.report(f"{log.path.name}:{number}: {reason}; skipped; no more of these are reported")
            for fact in reading.facts:
                yield _known_from(fact), fact

    def server_log(self, utc_offset: Callable[[float], float]) -> RecordedLog:
        """The log of vLLM itself, beside the scrapes.

        Raises:
            RecordingError: there is none.
        """
        path = _first_of(self.folder, SERVER_LOG_NAMES)
        if path is None:
            raise RecordingError(f"{self.folder} holds no {SERVER_LOG_NAMES[0]}, which --server-log asks for")
        return RecordedLog(path, LogFormat("vllm"), utc_offset)

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


def _known_from(fact: LogFact) -> float:
    if isinstance(fact, Settings):
        return float("-inf")
    return fact.finish if isinstance(fact, RequestRecord) else fact.at


def replay(
    recording: Recording,
    options: CoreOptions | None = None,
    *,
    requests: bool = False,
    logs: Sequence[RecordedLog] = (),
    made: Callable[[Fleet], None] = lambda _fleet: None,
) -> Iterator[FleetView]:
    """The fleet's view after each scrape of a recording, at the time of that scrape; ``made`` gets the fleet itself.

    Without ``options``, those of a default configuration with the scrape interval that the recording shows.
    With ``requests`` each request is observed once it has ended; ``logs`` are read as if they had been followed.

    Raises:
        RecordingError: a file that is needed is missing.
    """
    scrapes = recording.scrapes()
    first = list(itertools.islice(scrapes, _SCRAPES_TO_TELL_INTERVAL))
    if options is None:
        options = replace(
            CoreOptions(),
            scrape_interval_seconds=interval_seconds(first),
            model_max_age_seconds=_MODEL_MAX_AGE_SECONDS,
        )
    fleet = Fleet(options)
    made(fleet)
    target = recording.name
    fleet.add(target, recording.settings())
    ended = recording.requests() if requests else []
    # a request that ends in the instant of a scrape is in that scrape, so it comes before it
    events = heapq.merge(
        ((record.finish, 0, record) for record in ended),
        ((at, 0, fact) for at, fact in recording.logged(logs, first[0].at if first else 0.0)),
        ((scrape.at, 1, scrape) for scrape in itertools.chain(first, scrapes)),
        key=lambda event: event[:2],
    )
    for at, _, event in events:
        fleet.observe(target, event)
        if not isinstance(event, Scrape | ScrapeFailed):
            continue
        for name, key, run in fleet.take_due_runs(at):
            fleet.correct(name, key, run.run())
        yield fleet.view(at)


def interval_seconds(scrapes: Sequence[Recorded]) -> float:
    """The usual time between two scrapes; one second where there are too few to tell."""
    gaps = [after.at - before.at for before, after in itertools.pairwise(scrapes)]
    return statistics.median(gaps) if gaps else CoreOptions().scrape_interval_seconds


def recordings_of(path: Path, report: Report) -> list[Recording]:
    """The recording of a folder, or one for each server of a file that another tool has written.

    Raises:
        RecordingError: it is neither.
        OSError: it cannot be read.
    """
    if not path.is_file():
        return [Recording(path, report)]
    try:
        found = servers(path, report)
    except ExportError as error:
        raise RecordingError(str(error)) from None
    if not found:
        raise RecordingError(f"{path} holds no metric of a vLLM")
    return [Recording(path, report, server) for server in found]


def one_recording(path: Path, report: Report, server: str | None) -> Recording:
    """The recording of a folder, or that of one server of a file.

    Raises as :func:`recordings_of`, and where the server is not there or has to be named.
    """
    found = recordings_of(path, report)
    named = [recording for recording in found if server is None or recording.name == server]
    if len(named) != 1:
        names = ", ".join(recording.name for recording in found)
        raise RecordingError(f"{path} holds {names}: name one of them" + (f"; {server} is not there" if server else ""))
    return named[0]


def scrapes_path(folder: Path) -> Path:
    """Where a recording's scrapes are. Raises RecordingError where there are none."""
    path = _first_of(folder, SCRAPES_NAMES)
    if path is None:
        raise RecordingError(f"{folder} holds neither {' nor '.join(SCRAPES_NAMES)}")
    return path


def _first_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)

"""Where one server's scrapes come from: a Prometheus, or a recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from kvwatch.facts import Scrape, ScrapeFailed, Settings
from kvwatch.parse.history import HistoryReader, StoredSeries
from kvwatch.shell.backtest.parts import read_samples, write_samples
from kvwatch.shell.prometheus.api import Api, Server
from kvwatch.shell.prometheus.history import Found, windows
from kvwatch.shell.recordings.replay import Recording

Past = Scrape | ScrapeFailed


@dataclass(frozen=True, slots=True)
class FromPrometheus:
    """A server in a Prometheus, between two times [unix s]; ``interval_seconds`` is that of its scrapes."""

    server: Server
    found: Found
    start: float
    end: float
    interval_seconds: float

    @property
    def settings(self) -> Settings:
        """No metric shows them."""
        return Settings()

    def scrapes(self, cache: Path) -> Iterator[Past]:
        """Its scrapes; what was read is kept in a folder, and not asked for again after a kill."""
        reader = HistoryReader()
        begin = self.start
        for path in sorted(cache.glob("*.npz")):
            begin = float(path.stem.partition("-")[2])
            yield from self._engines(reader, [StoredSeries(*one) for one in read_samples(path)])
        with asyncio.Runner() as runner:
            asked = self._asked(begin)
            while (window := runner.run(_next(asked))) is not None:
                begin, until, series = window
                write_samples(
                    cache / f"{begin:017.3f}-{until:017.3f}.npz", [(one.labels, one.at, one.values) for one in series]
                )
                yield from self._engines(reader, series)

    async def _asked(self, begin: float) -> AsyncIterator[tuple[float, float, list[StoredSeries]]]:
        if begin >= self.end:
            return
        async with Api(self.server) as api:
            async for window in windows(api, self.found, begin, self.end, self.interval_seconds):
                yield window

    def _engines(self, reader: HistoryReader, series: list[StoredSeries]) -> Iterator[Past]:
        for past in reader.read(series):
            if isinstance(past, Scrape):
                matched = tuple(e for e in past.engines if e.key.model_name in self.found.models)
                yield Scrape(past.at, matched, past.process_start)
            else:
                yield past


async def _next(
    asked: AsyncIterator[tuple[float, float, list[StoredSeries]]],
) -> tuple[float, float, list[StoredSeries]] | None:
    return await anext(asked, None)


@dataclass(frozen=True, slots=True)
class FromRecording:
    """A recording's folder; ``interval_seconds`` is that of its scrapes, ``server`` one of another tool's file."""

    folder: Path
    interval_seconds: float
    server: str = ""

    @property
    def settings(self) -> Settings:
        """Those recorded beside the scrapes."""
        return Recording(self.folder, lambda _: None, self.server).settings()

    def scrapes(self, cache: Path) -> Iterator[Past]:
        """Its scrapes; what is damaged is left out."""
        del cache  # it is on disk already
        yield from Recording(self.folder, lambda _: None, self.server).scrapes()


Source = FromPrometheus | FromRecording

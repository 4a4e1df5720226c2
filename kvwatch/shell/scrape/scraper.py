"""One target, read again and again on a steady grid.

Each target has its own phase within the interval, so that a thousand of them do not ask at once. A scrape
that takes longer than the interval delays no other target; the ticks it missed are left out, not made up for.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable

from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.logging import event
from kvwatch.shell.scrape.client import Answer, Client, FetchError, SinkError, Target
from kvwatch.shell.tasks import ticks


class Scraper:
    """Reads one target and hands what comes of it, good or bad, to ``deliver``.

    ``clock`` gives unix seconds that do not jump. ``fresh`` is set whenever the server behind the target is
    seen for the first time, or again after a failure or a restart.
    """

    def __init__(
        self,
        target: Target,
        client: Client,
        *,
        clock: Callable[[], float],
        reader: ExpositionReader,
        deliver: Callable[[str, Scrape | ScrapeFailed], None],
    ) -> None:
        self.fresh = asyncio.Event()
        self._target = target
        self._client = client
        self._clock = clock
        self._reader = reader
        self._deliver = deliver
        self._seen: tuple[float | None] | None = None
        """Start time of the process seen by the last good scrape; None after a failure."""
        self._dropped = False
        self._fault = ""
        """The last fault of kvwatch itself, as it was logged."""

    async def run(self) -> None:
        """Scrape for ever."""
        async for _ in ticks(self._target.interval_seconds, phase_seconds(self._target)):
            self._deliver(self._target.name, await self.scrape())

    async def scrape(self) -> Scrape | ScrapeFailed:
        """One scrape; its time is the middle of the request. Never raises for what the target does."""
        began = self._clock()
        self._reader.reset()
        try:
            answer = await self._client.get(self._target.metrics_path, self._reader.feed)
            scrape = self._reader.finish(began + answer.duration_seconds / 2, answer.duration_seconds)
        except FetchError as error:
            failure = ScrapeFailed(began, error.reason, error.detail)
        except Exception as error:
            cause = error.cause if isinstance(error, SinkError) else error
            self._report(cause)
            failure = ScrapeFailed(began, "internal", f"{type(cause).__name__}: {cause}")
        else:
            self._fault = ""
            refusal = _not_metrics(scrape, answer)
            if refusal is None:
                self._note(scrape)
                return scrape
            failure = ScrapeFailed(scrape.at, "not_metrics", refusal)
        self._seen = None
        return failure

    def _report(self, cause: Exception) -> None:
        """A fault of kvwatch itself: once with its traceback, not at each scrape."""
        if self._fault != repr(cause):
            self._fault = repr(cause)
            target = self._target.name
            event(logging.ERROR, "internal_error", place="scrape", target=target, error=self._fault, exc=cause)

    def _note(self, scrape: Scrape) -> None:
        if self._seen != (scrape.process_start,):
            self.fresh.set()
        self._seen = (scrape.process_start,)
        engines, series = self._reader.dropped_engines, self._reader.dropped_series
        if engines + series and not self._dropped:
            event(logging.WARNING, "exposition_over_limit", target=self._target.name, engines=engines, series=series)
        self._dropped = engines + series > 0


def phase_seconds(target: Target) -> float:
    """Where in the interval a target's scrapes fall: spread evenly over the names of targets."""
    return zlib.crc32(target.name.encode()) / 2**32 * target.interval_seconds


def _not_metrics(scrape: Scrape, answer: Answer) -> str | None:
    """Why an answer that was read is no exposition, or None. An exposition without vLLM's series is one."""
    if scrape.engines or scrape.refusal or scrape.process_start is not None:
        return None
    if answer.content_type in ("text/html", "application/json"):
        return f"the answer is {answer.content_type}; is metrics_path right?"
    if scrape.bad_lines:
        return f"{scrape.bad_lines} lines cannot be read and none holds a metric of vLLM"
    return None

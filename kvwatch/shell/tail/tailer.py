"""The task that gives a target's log lines to the core."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from kvwatch.parse.logs import LogFact
from kvwatch.parse.logs.results import NO_TOKENS, REJECTIONS, Sample
from kvwatch.shell.logging import event
from kvwatch.shell.tail.finder import SourceSettings
from kvwatch.shell.tail.positions import Positions
from kvwatch.shell.tail.recognition import Recognition
from kvwatch.shell.tail.source import Batch, LogSource
from kvwatch.shell.tail.worker import Worker
from kvwatch.shell.tasks import sleep

POLL_SECONDS = 0.5
FAST_POLL_SECONDS = 0.05
"""Between two looks at a log that has just been rotated. Choice: half of the shortest time between rotations that is
followed; a look costs some microseconds."""
SAMPLE_SECONDS = 300.0
"""Least time between two samples, in the log, of a source's lines refused for one reason."""
NO_TOKENS_SECONDS = 86_400.0
"""The same for lines without tokens: a gateway writes one for each health check, and that is no fault."""

Deliver = Callable[[list[LogFact], dict[str, int]], None]
"""Takes the facts and the counts of a chunk."""
Judge = Callable[[str, str], None]
"""Takes a source's path and what is wrong with it as a whole, in words; nothing where it is what it should be."""


class LogTail:
    """Follows the sources of one target for ever."""

    def __init__(  # noqa: PLR0913 - each is one thing that it works with
        self,
        target: str,
        sources: tuple[SourceSettings, ...],
        positions: Positions,
        *,
        deliver: Deliver,
        judge: Judge = lambda _path, _why: None,
        caught_up: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._target = target
        self._sources = sources
        self._positions = positions
        self._deliver = deliver
        self._judge = judge
        self._caught_up = caught_up
        self._clock = clock
        self._sampled: dict[tuple[str, str], float] = {}
        self._recognitions = {settings.key: (settings, Recognition()) for settings in sources}

    async def run(self) -> None:
        """Read what is there, then look again every half second."""
        self._positions.keep_only(self._target, {settings.key for settings in self._sources})
        worker = Worker(f"kvwatch-tail {self._target}")
        sources = [
            (
                settings.key,
                LogSource(
                    settings,
                    self._positions.of(self._target, settings.key),
                    clock=self._clock,
                    monotonic=time.monotonic,
                ),
            )
            for settings in self._sources
        ]
        try:
            while True:
                for key, source in sources:
                    while (batch := await worker.do(source.step)) is not None:
                        self._take(key, batch)
                    self._positions.update(self._target, key, {})  # looked at, even if there was nothing
                self._caught_up()
                fast = any(source.rotates_fast() for _, source in sources)
                await sleep(FAST_POLL_SECONDS if fast else POLL_SECONDS)
        finally:
            worker.stop(partial(_close_all, [source for _, source in sources]))

    def _take(self, key: str, batch: Batch) -> None:
        """Give a batch to the core and move the positions past it: both or neither is in a checkpoint."""
        self._deliver(batch.reading.facts, batch.reading.results)
        self._positions.update(self._target, key, batch.marks)
        self._recognize(key, batch)
        for reason, sample in batch.reading.samples.items():
            self._show(key, batch.path, reason, sample)

    def _recognize(self, key: str, batch: Batch) -> None:
        """Report a source of which no line is ever known, once, and when one is after all."""
        settings, recognition = self._recognitions.get(key, (None, None))
        if settings is None or recognition is None:
            return
        known = recognition.update(batch.reading)
        if known is None:
            return
        if known:
            self._judge(settings.path, "")
            return
        form = settings.format.name
        self._judge(settings.path, f"none of its first {recognition.lines} lines is one of format {form}")
        event(
            logging.WARNING,
            "log_not_recognized",
            target=self._target,
            path=settings.path,
            format=form,
            lines=recognition.lines,
            results=", ".join(f"{result} {count}" for result, count in recognition.results.most_common()),
            mend="is this the log of the server, or of the gateway, and is format what writes it?",
        )

    def _show(self, source: str, path: str, reason: str, sample: Sample) -> None:
        """Log where a line was refused, and why: never what it says."""
        now, before = time.monotonic(), self._sampled.get((source, reason), float("-inf"))
        every = NO_TOKENS_SECONDS if reason == NO_TOKENS else SAMPLE_SECONDS
        if reason not in REJECTIONS or now - before < every:
            return
        self._sampled[source, reason] = now
        event(
            logging.WARNING,
            "log_line_refused",
            target=self._target,
            path=path,
            reason=reason,
            length_bytes=sample.length_bytes or None,
            fields=", ".join(sample.fields) or None,
            again=f"counted in kvwatch_log_lines_total; shown every {every:.0f} s at most",
            mend="where the line is no request for completions, leave such out by `only`"
            if reason == NO_TOKENS
            else None,
        )


def _close_all(sources: list[LogSource]) -> None:
    for source in sources:
        source.close()

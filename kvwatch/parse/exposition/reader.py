"""One target's expositions, one after another: bytes in pieces, then a :class:`Scrape`."""

from __future__ import annotations

from kvwatch.facts import Scrape
from kvwatch.parse.exposition import refusals
from kvwatch.parse.exposition.doubles import Doubles
from kvwatch.parse.exposition.engines import Plan
from kvwatch.parse.exposition.names import MENTION, is_read, owned
from kvwatch.parse.exposition.samples import MAX_SERIES, SampleReader, Series

MAX_ENGINES = 256


class ExpositionReader:
    """Reads what one target exposes; keep one for each target, since it learns the target's series.

    Never raises for what is fed. ``dropped_engines`` and ``dropped_series`` say how many engines and lines of
    the last scrape were left out because a limit was reached.
    """

    def __init__(self, max_engines: int = MAX_ENGINES, max_series: int = MAX_SERIES) -> None:
        self.dropped_engines = 0
        self.dropped_series = 0
        self._max_engines = max_engines
        self._samples = SampleReader(is_read, max_series, MENTION)
        self._planned: tuple[Series, ...] = ()
        self._plan = Plan((), max_engines)
        self._doubles = Doubles()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the exposition, cut anywhere."""
        self._samples.feed(chunk)

    def reset(self) -> None:
        """Forget what was fed since the last scrape, as when the connection broke."""
        self._samples.reset()

    def finish(self, at: float, duration_seconds: float | None = None) -> Scrape:
        """The scrape that the bytes fed so far make; the next bytes begin another.

        ``at`` is the time the numbers are of, unix seconds; ``duration_seconds`` how long the request took.
        """
        samples = self._samples.finish()
        if samples.series is not self._planned:
            self._plan = Plan(samples.series, self._max_engines, self._plan.named_by)
            self._planned = samples.series
        plan = self._plan
        self.dropped_engines = plan.dropped_engines
        self.dropped_series = samples.dropped_series
        engines = plan.engines(samples.values)
        engines += self._doubles.own(at, engines, plan.shown_again(samples.values))
        process_start = plan.process_start(samples.values)
        # neither Ray's agent nor the Rust frontend (OpenMetrics unasked) shows these, with one API server or more
        hides_both = not plan.has_process_start and not plan.created
        return Scrape(
            at=at,
            engines=engines,
            process_start=process_start,
            duration_seconds=duration_seconds,
            bad_lines=samples.bad_lines,
            multiprocess=bool(engines) and hides_both and not plan.passed_on and not samples.openmetrics,
            refusal=plan.refusal or ("" if engines else _unread(samples.mentioned)),
        )

    def read(self, body: bytes, at: float, duration_seconds: float | None = None) -> Scrape:
        """The scrape of a whole exposition."""
        self.feed(body)
        return self.finish(at, duration_seconds)


def _unread(mentioned: str) -> str:
    """What is said of a server that is known and shows nothing that is read; nothing of one that is not known."""
    name = owned(mentioned)
    return refusals.unread(name.prefix) if name is not None else ""

"""A true engine under load, scraped once a second of virtual time, and a fleet that watches it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.accuracy.engines import TrueEngine
from bench.accuracy.snapshot import EPOCH, Reader, row
from bench.accuracy.true_clock import TrueClock
from bench.accuracy.watcher import Watcher
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import render
from kvwatch.embedded.settings import RequestShape
from kvwatch.embedded.workload import Arrival
from kvwatch.facts import EngineKey, EngineSample, Scrape
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.views import EngineView

ALIAS = "emulated"
"""A name under which nobody knows what model it is."""
KEY = EngineKey(ALIAS, "0")


class Drive:
    """One engine, its traffic and its watcher, who can be restarted. Times are virtual seconds.

    With ``as_text`` scrapes are written and parsed as vLLM's exposition; without, the same numbers go straight
    into the facts, which is faster.
    """

    def __init__(self, engine: TrueEngine, arrivals: Iterable[Arrival], *, seed: int, as_text: bool = False) -> None:
        self.true = engine
        self.clock: TrueClock = engine.clock(seed)
        self._arrived: list[Arrival] = []
        self.engine = Engine(
            engine.settings, self.clock, self._noted(arrivals), async_scheduling=engine.async_scheduling
        )
        self.watcher = Watcher(engine.told)
        self._text_reader = ExpositionReader() if as_text else None

    def _noted(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        for arrival in arrivals:
            self._arrived.append(arrival)
            yield arrival

    def arrived(self, start: float, end: float) -> list[RequestShape]:
        """Shapes of the requests that arrived in (start, end]."""
        return [a.shape for a in self._arrived if start < a.at <= end]

    def run(self, until: float) -> None:
        """Let the engine run, unwatched."""
        self.engine.advance(until)
        self.engine.take_ended()

    def scrape(self, at: float) -> None:
        """Let the engine run until then, and the watcher see it."""
        self.run(at)
        self.watcher.observe(self.scraped(at))

    def watch(self, start: float, end: float, refresh_seconds: int = 30) -> Iterator[tuple[float, EngineView]]:
        """Scrape each second from ``start`` to ``end``; yield the view after each refresh of the model."""
        for second in range(round(end - start) + 1):
            at = start + second
            self.scrape(at)
            if second and (second % refresh_seconds == 0 or at >= end):
                self.watcher.refresh(EPOCH + at)
                yield at, self.watcher.view(EPOCH + at)

    def restart_watcher(self, state: list[dict[str, object]] | None) -> None:
        """Start the watcher again, with what it had saved or with nothing."""
        self.watcher = Watcher(self.true.told, state)

    def scraped(self, at: float) -> Scrape:
        """What the engine shows now."""
        if self._text_reader is not None:
            text = render(self.engine, model_name=KEY.model_name, engine_label=KEY.engine, unix_offset=EPOCH)
            return self._text_reader.read(text.encode(), EPOCH + at)
        return Scrape(EPOCH + at, (engine_sample(self.engine),), process_start=EPOCH + self.engine.started)


def engine_sample(engine: Engine) -> EngineSample:
    """An engine's counters as the parser makes them of its exposition."""
    return Reader(engine.settings, KEY).sample(row(engine))

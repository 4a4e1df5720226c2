"""What one scrape costs in which part of kvwatch: CPU time on expositions held in memory, and over loopback.

Each figure is the median of rounds, so that other work on the machine and the odd long round count for little.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bench.scale.server import LOADS, frames
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.export.exposition import Exposition
from kvwatch.facts import Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.scrape.client import Client, Target, new_session

T = TypeVar("T")
ENGINES, LEARNT, MEASURED = 24, 60, 20
"""Engines, scrapes of each before the measurement, and rounds in it."""
AT_ONCE = 4
"""GETs that are under way together."""
SETTINGS = Settings(256, 2048, None, "config")
_EPOCH = 1_790_000_000.0


@dataclass(frozen=True)
class Parts:
    """CPU microseconds for each scrape, and for each view and what follows from it."""

    client: float
    reading: float
    core: float
    view: float
    writing: float

    def rows(self) -> list[str]:
        """Lines of a table."""
        return [
            f"| HTTP client and event loop | {self.client:.0f} µs a scrape |",
            f"| reading the exposition | {self.reading:.0f} µs a scrape |",
            f"| the core | {self.core:.0f} µs a scrape |",
            f"| a view | {self.view:.0f} µs an engine |",
            f"| its lines on /metrics | {self.writing:.0f} µs an engine |",
        ]


@dataclass
class _Rounds:
    """CPU seconds of this process in one kind of work, by round."""

    seconds: list[float] = field(default_factory=list)

    def begin(self) -> None:
        self.seconds.append(0.0)

    def on(self, work: Callable[[], T]) -> T:
        began = time.process_time()
        done = work()
        self.seconds[-1] += time.process_time() - began
        return done

    def each(self) -> float:
        """Median over the measured rounds, in microseconds an engine."""
        return 1e6 * statistics.median(self.seconds[-MEASURED:]) / ENGINES


def parts(port: int) -> Parts:
    """Measure; ``port`` is that of a server of :mod:`bench.scale.server` in another process."""
    bodies = [
        [frame.partition(b"\r\n\r\n")[2] for frame in frames(load, LEARNT + MEASURED, seed)]
        for seed, load in enumerate(LOADS)
    ]
    fleet, readers = Fleet(CoreOptions()), [ExpositionReader() for _ in range(ENGINES)]
    names = [f"engine-{number}" for number in range(ENGINES)]
    for name in names:
        fleet.add(name, SETTINGS)
    reading, core, view, writing = _Rounds(), _Rounds(), _Rounds(), _Rounds()
    gc.collect()
    gc.freeze()
    for second in range(LEARNT + MEASURED):
        at = _EPOCH + second
        for rounds in (reading, core, view, writing):
            rounds.begin()
        scrapes = reading.on(
            lambda s=second, a=at: [  # type: ignore[misc]
                reader.read(bodies[number % len(bodies)][s], a, 0.01) for number, reader in enumerate(readers)
            ]
        )
        core.on(lambda found=scrapes: [fleet.observe(*pair) for pair in zip(names, found, strict=True)])  # type: ignore[misc]
        if second >= LEARNT:
            seen = view.on(lambda a=at: fleet.view(a))  # type: ignore[misc]
            writing.on(Exposition(lambda v=seen: v).text)  # type: ignore[misc]
    client = asyncio.run(_client(port))
    return Parts(client.each(), reading.each(), core.each(), view.each(), writing.each())


async def _client(port: int) -> _Rounds:
    """CPU time of the scrapes' GETs alone, a few at a time as in a daemon that keeps up."""
    rounds = _Rounds()
    async with new_session() as session:
        targets = [Target(str(number), f"http://127.0.0.1:{port}", f"/{number}/metrics") for number in range(ENGINES)]
        clients = [(Client(session, target), target.metrics_path) for target in targets]
        for _ in range(1 + MEASURED):
            began = time.process_time()
            for first in range(0, ENGINES, AT_ONCE):
                some = clients[first : first + AT_ONCE]
                await asyncio.gather(*(client.get(path, lambda _: None) for client, path in some))
            rounds.seconds.append(time.process_time() - began)
    return rounds

"""A server under the load of a day, in virtual time."""

from __future__ import annotations

from bisect import bisect, bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

from kvwatch.constants import HOUR_SECONDS, MINUTE_SECONDS
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS, Stage
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.workload import Arrival

START = 1_800_000_000.0
"""When the day begins [unix s]."""
MODEL = "acme/chat-8b"
SPEED = 0.5
"""Of the hardware, over that of the scenario [1]. Choice: four requests a second, so that a day costs a minute."""
LOADS = (
    *((6 * HOUR_SECONDS, 0.3, 0.3), (3 * HOUR_SECONDS, 0.3, 0.7), (5 * HOUR_SECONDS, 0.7, 0.7)),
    *((10 * MINUTE_SECONDS, 0.7, 1.3), (20 * MINUTE_SECONDS, 1.3, 1.3), (3.5 * HOUR_SECONDS, 0.5, 0.5)),
    *((4 * HOUR_SECONDS, 0.75, 0.75), (4 * HOUR_SECONDS, 0.2, 0.2)),
)
"""Length [s], and load at the beginning and at the end of each part of the day. Choice: night, morning, noon, half an
hour that is more than can be served, evening, night."""


class Server:
    """The engine, what it was sent, and when it was killed. Times are seconds of the day."""

    def __init__(self, seconds: float, seed: int) -> None:
        stages = tuple(Stage("ramp", *load) for load in LOADS)
        self._scenario = replace(SCENARIOS["steady"].sped_up(SPEED), stages=stages)
        self._seed = seed
        self.service_rate = self._scenario.capacity(seed).throughput_rps
        """What it sustains [requests/s]."""
        traffic = self._scenario.traffic(self.service_rate, seed=seed, start=START)
        self._sent = list(takewhile(lambda arrival: arrival.at < START + seconds, traffic))
        self.arrived = [arrival.at - START for arrival in self._sent]
        """When requests came."""
        self._lives = 0
        self.begin(0.0)

    def begin(self, at: float) -> None:
        """Start a process: what was sent before is lost."""
        self.began, self._lives = at, self._lives + 1
        clock = StepClock(self._scenario.law, self._scenario.texture, seed=self._seed + self._lives)
        self._engine = Engine(self._scenario.settings, clock, self._from(at), start=START + at)

    def _from(self, at: float) -> Iterator[Arrival]:
        yield from self._sent[bisect_left(self.arrived, at) :]

    def page(self, at: float) -> str:
        """What it shows."""
        self._engine.advance(START + at)
        self._engine.take_ended()
        return render(self._engine, model_name=MODEL)

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._engine.counters.waiting

    def requests(self, start: float, end: float) -> int:
        """How many came in (start, end]."""
        return bisect(self.arrived, end) - bisect(self.arrived, start)

    def load(self, at: float) -> float:
        """What was planned: arrivals over what it sustains."""
        for seconds, first, last in LOADS:
            if at < seconds:
                return first + (last - first) * at / seconds
            at -= seconds
        return LOADS[-1][2]

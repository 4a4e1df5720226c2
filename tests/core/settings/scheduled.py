"""Engines with a scheduler like vLLM's, seen by their metrics alone: what bounds them is in their settings."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kvwatch.core.reader import SampleReader
from kvwatch.core.settings.watch import SettingsWatch
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import render
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Pool, Segment, arrivals
from kvwatch.facts import EngineSample
from kvwatch.parse.exposition import ExpositionReader

EPOCH = 1_800_000_000.0
LAW = StepLaw(0.015, 0.0004, 0.00002, 1e-8)
"""A step of 15 ms, and something for each sequence, prompt token and resident token [s]."""


def lengths(prompts: tuple[int, int], outputs: tuple[int, int], seed: int = 7) -> Sequence[RequestShape]:
    """Two hundred requests with lengths between these."""
    source = random.Random(seed)
    return [RequestShape(source.randint(*prompts), source.randint(*outputs)) for _ in range(200)]


@dataclass(frozen=True)
class Server:
    """An engine and what it is asked for: from ``rates``, each requests/s for so many seconds."""

    seats: int
    budget: int
    kv_tokens: int
    shapes: Sequence[RequestShape]
    rates: Sequence[tuple[float, float]]
    law: StepLaw = LAW
    asynchronous: bool = False
    seed: int = 5

    def engine(self) -> Engine:
        """The engine, before anything has come."""
        settings = SchedulerSettings.from_capacity(
            self.kv_tokens, max_num_seqs=self.seats, max_num_batched_tokens=self.budget, max_model_len=16_384
        )
        segments = [Segment(seconds, rate, rate) for seconds, rate in self.rates]
        stream = arrivals(segments, Pool(tuple(self.shapes)), seed=self.seed)
        return Engine(settings, StepClock(self.law), stream, async_scheduling=self.asynchronous)

    def samples(self, interval: float = 1.0) -> Iterator[tuple[float, EngineSample]]:
        """What scrapes show, and when."""
        engine, reader = self.engine(), ExpositionReader()
        at, end = 0.0, sum(seconds for seconds, _ in self.rates)
        while at + interval <= end:
            at += interval
            engine.advance(at)
            text = render(engine, model_name="m", engine_label="0", unix_offset=EPOCH)
            (sample,) = reader.read(text.encode(), EPOCH + at).engines
            yield EPOCH + at, sample


def watched(
    server: Server,
    watch: SettingsWatch | None = None,
    *,
    interval: float = 1.0,
    show: Callable[[EngineSample], EngineSample] = lambda sample: replace(sample, waiting_capacity=sample.waiting),
) -> Iterator[SettingsWatch]:
    """The watch after each scrape; by ``show`` the server tells what waits for capacity, as from 0.20 on."""
    watch, reader = watch or SettingsWatch(), SampleReader()
    for at, sample in server.samples(interval):
        found = reader.read(at, show(sample))
        assert found is not None
        if found.cause is not None:
            watch.begin_anew(found.cause)
        watch.update(found)
        reader.settings, reader.assumptions = watch.get(EPOCH).settings, watch.get(EPOCH).assumptions
        yield watch

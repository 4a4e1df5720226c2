"""One case in virtual time: engines under load, kvwatch's core that scrapes them, a Prometheus that scrapes all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from heapq import merge
from math import inf
from time import process_time

import numpy as np

from bench.accuracy.drive import engine_sample
from bench.accuracy.engines import TrueEngine
from bench.accuracy.saturated import keep_full
from bench.accuracy.true_clock import TrueClock
from bench.accuracy.workloads import Drawn
from bench.collector import FleetCollector
from bench.lead_time import truth
from bench.lead_time.engines import engine as engine_of
from bench.lead_time.engines import with_pool
from bench.lead_time.scenarios import Case
from bench.lead_time.trace import Labels, Trace, labels_of
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.settings import RequestShape
from kvwatch.embedded.workload import Arrival, Segment, arrivals
from kvwatch.facts import Scrape

SCRAPE_SECONDS = 10.0
"""Of kvwatch: longer than its default of a second, which costs it accuracy and spares this bench most of its time."""
EAGER_SECONDS, EAGER_MODEL_SECONDS, MODEL_SECONDS, LONG_MODEL_SECONDS = 600.0, 60.0, 300.0, 900.0
"""For how long from the start runs of the embedded engine are made eagerly, how often then, afterwards, and in long
cases. kvwatch itself makes them every 30 s to 3 min; they correct for evictions, which change slowly."""
_LONG_SECONDS = 6 * 3600.0
_EPOCH = 1_750_000_000.0
_SATURATED_REQUESTS = 3000


def simulate(case: Case) -> Trace:
    """Run a case."""
    started = process_time()
    engine = engine_of(case.engine)
    heavier = with_pool(engine, _longer(engine, case.heavier)) if case.heavier != 1 else engine
    rate, rate_after = _saturated_rate(engine), _saturated_rate(heavier)
    run = _Run(case, engine, heavier, rate)
    run.run()
    return Trace(
        at=np.array(run.stored_at),
        series=run.stored(),
        waiting_at=np.array(run.waiting_at),
        waiting=np.array(run.waiting, dtype=float),
        service_rate=rate,
        load_factor=rate / rate_after * case.slower,
        cpu_seconds=process_time() - started,
    )


@cache
def _saturated_rate(engine: TrueEngine) -> float:
    return keep_full(engine, finished=_SATURATED_REQUESTS).rate


def _longer(engine: TrueEngine, factor: float) -> tuple[RequestShape, ...]:
    """The engine's requests with outputs so many times as long."""
    longest = engine.settings.max_model_len
    return tuple(
        replace(s, output_tokens=max(min(round(s.output_tokens * factor), longest - s.prompt_tokens), 1))
        for s in engine.pool
    )


class _Run:
    """The state of one case."""

    def __init__(self, case: Case, engine: TrueEngine, heavier: TrueEngine, rate: float) -> None:
        self._case = case
        self._model_seconds = LONG_MODEL_SECONDS if case.seconds > _LONG_SECONDS else MODEL_SECONDS
        seed = random.Random(case.name).getrandbits(32)
        self._clocks: list[TrueClock] = []
        self._engines: list[Engine] = []
        self._fleet = Fleet(
            CoreOptions(scrape_interval_seconds=SCRAPE_SECONDS, model_max_age_seconds=EAGER_MODEL_SECONDS)
        )
        self._names = [f"vllm-{i}:8000" for i in range(case.replicas)]
        for i, name in enumerate(self._names):
            clock = engine.clock(seed + i)
            # an even, random split of one stream is as many independent ones
            self._engines.append(Engine(engine.settings, clock, _arrivals(case, engine, heavier, rate, seed + 100 + i)))
            self._clocks.append(clock)
            self._fleet.add(name, engine.told)
        self._now = 0.0
        self._collector = FleetCollector(lambda: self._fleet.view(_EPOCH + self._now))
        self._phase = random.Random(seed).uniform(0.05, 0.95) * case.interval
        self._rows: list[dict[Labels, float]] = []
        self._keys: dict[tuple[str, tuple[tuple[str, str], ...]], Labels] = {}
        self.stored_at: list[float] = []
        self.waiting_at: list[float] = []
        self.waiting: list[list[int]] = [[] for _ in self._engines]
        self._grown_since = [inf] * len(self._engines)

    def run(self) -> None:
        """Until the case's end, or until the queue has grown for long enough."""
        model_due = EAGER_MODEL_SECONDS
        for at, is_watcher in self._ticks():
            self._now = at
            if is_watcher:
                self._watch(at)
                if at >= model_due:
                    for name, key, job in self._fleet.take_due_runs(_EPOCH + at):
                        self._fleet.correct(name, key, job.run())
                    model_due = at + (EAGER_MODEL_SECONDS if at < EAGER_SECONDS else self._model_seconds)
                if self._case.kind != "day" and any(at - g >= truth.WATCHED_SECONDS for g in self._grown_since):
                    break
            else:
                self._store(at)

    def _ticks(self) -> Iterator[tuple[float, bool]]:
        """Times at which kvwatch scrapes (True) and Prometheus does (False), in order."""
        end, interval = self._case.seconds, self._case.interval
        watcher = ((SCRAPE_SECONDS * (i + 1), True) for i in range(int(end / SCRAPE_SECONDS)))
        store = ((self._phase + interval * i, False) for i in range(int((end - self._phase) / interval) + 1))
        return merge(watcher, store)

    def _watch(self, at: float) -> None:
        case = self._case
        self.waiting_at.append(at)
        for i, (name, engine) in enumerate(zip(self._names, self._engines, strict=True)):
            if case.slower != 1:
                done = min(max((at - case.rise_at) / case.rise_seconds, 0.0), 1.0)
                self._clocks[i].factor = 1 + (case.slower - 1) * done
            engine.advance(at)
            engine.ended.clear()
            waiting = engine.counters.waiting
            self.waiting[i].append(min(waiting, 65_535))
            self._grown_since[i] = min(self._grown_since[i], at) if waiting else inf
            sample = engine_sample(engine)
            self._fleet.observe(name, Scrape(_EPOCH + at, (sample,), process_start=_EPOCH + engine.started))

    def _store(self, at: float) -> None:
        """What Prometheus gets from kvwatch and from the servers."""
        row: dict[Labels, float] = {}
        for family in self._collector.collect():
            for sample in family.samples:
                row[self._key(sample.name, sample.labels)] = float(sample.value)
        for name, engine in zip(self._names, self._engines, strict=True):
            engine.advance(at)
            c = engine.counters
            labels = {"target": name, "engine": "0"}
            for metric, value in (
                ("vllm:num_requests_waiting", c.waiting),
                ("vllm:num_requests_running", c.running),
                ("vllm:kv_cache_usage_perc", c.kv_usage_ratio),
                ("vllm:time_to_first_token_seconds_count", sum(c.time_to_first_token.counts)),
            ):
                row[self._key(metric, labels)] = float(value)
            first = c.time_to_first_token
            for edge, count in zip(first.edges, first.cumulative(), strict=True):
                bound = "+Inf" if edge == inf else repr(edge)
                row[self._key("vllm:time_to_first_token_seconds_bucket", {**labels, "le": bound})] = float(count)
            row[self._key("up", {"target": name})] = 1.0
        row[self._key("up", {})] = 1.0
        self._rows.append(row)
        self.stored_at.append(at)

    def _key(self, name: str, labels: dict[str, str]) -> Labels:
        """The labels under which Prometheus stores a sample of a job's target."""
        short = (name, tuple(labels.items()))
        if short not in self._keys:
            if name.startswith("kvwatch_") or not labels:
                whole = {**labels, "job": "kvwatch", "instance": "kvwatch:9718"}
            else:
                rest = {k: v for k, v in labels.items() if k != "target"}
                whole = {**rest, "job": "vllm", "instance": labels["target"]}
                if name != "up":
                    whole["model_name"] = "emulated"
            self._keys[short] = labels_of(name, **whole)
        return self._keys[short]

    def stored(self) -> dict[Labels, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """All series."""
        series: dict[Labels, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
        for i, row in enumerate(self._rows):
            for labels, value in row.items():
                if labels not in series:
                    series[labels] = np.full(len(self._rows), np.nan)
                series[labels][i] = value
        return series


def _arrivals(case: Case, engine: TrueEngine, heavier: TrueEngine, rate: float, seed: int) -> Iterator[Arrival]:
    """The case's requests; while the mix changes, more and more of them are of the other traffic."""
    segments = [Segment(s.seconds, s.start * rate, s.end * rate) for s in case.load]
    stream = arrivals(segments, Drawn(engine.pool), seed=seed, burstiness=engine.burstiness)
    if heavier is engine:
        yield from stream
        return
    source = random.Random(seed)
    for arrival in stream:
        done = (arrival.at - case.rise_at) / case.rise_seconds
        shape = source.choice(heavier.pool) if source.random() < done else arrival.shape
        yield replace(arrival, shape=shape)

"""A true engine under load, scraped once a second of virtual time, and a fleet that watches it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.accuracy.engines import TrueEngine
from bench.accuracy.true_clock import TrueClock
from kvwatch.core.capacity.full_engine import Correction, FullEngineInputs
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import render
from kvwatch.embedded.histogram import BucketCounts
from kvwatch.embedded.settings import RequestShape
from kvwatch.embedded.workload import Arrival
from kvwatch.facts import CacheConfig, EngineKey, EngineSample, Histogram, Scrape
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.views import EngineView

TARGET = "emulated"
KEY = EngineKey("emulated", "0")
OPTIONS = CoreOptions(model_max_age_seconds=30.0)
_EPOCH = 1_750_000_000.0
"""Unix time at virtual time zero."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the last run of the embedded engine rested on, and what came of it."""

    inputs: FullEngineInputs
    correction: Correction | None


class Drive:
    """One engine, its traffic and its watcher. Times are virtual seconds.

    With ``as_text`` scrapes are written and parsed as vLLM's exposition; without, the same numbers go straight
    into the facts, which is faster.
    """

    def __init__(self, engine: TrueEngine, arrivals: Iterable[Arrival], *, seed: int, as_text: bool = False) -> None:
        self.true = engine
        self.clock: TrueClock = engine.clock(seed)
        self._arrived: list[Arrival] = []
        self.engine = Engine(engine.settings, self.clock, self._noted(arrivals))
        self.fleet = self._new_fleet()
        self.model: Model | None = None
        self._reader = ExpositionReader() if as_text else None

    def _noted(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        for arrival in arrivals:
            self._arrived.append(arrival)
            yield arrival

    def _new_fleet(self) -> Fleet:
        fleet = Fleet(OPTIONS)
        fleet.add(TARGET, self.true.told)
        return fleet

    def arrived(self, start: float, end: float) -> list[RequestShape]:
        """Shapes of the requests that arrived in (start, end]."""
        return [a.shape for a in self._arrived if start < a.at <= end]

    def run(self, until: float) -> None:
        """Let the engine run, unwatched."""
        self.engine.advance(until)
        self.engine.take_ended()

    def scrape(self, at: float) -> None:
        """Let the engine run until then, and the fleet see it."""
        self.run(at)
        self.fleet.observe(TARGET, self.scraped(at))

    def refresh(self, at: float) -> None:
        """Make the runs of the embedded engine that are due, as a replay does."""
        for target, key, job in self.fleet.due_runs(_EPOCH + at):
            correction = job.run()
            self.fleet.correct(target, key, correction)
            self.model = Model(job.inputs, correction)

    def view(self, at: float) -> EngineView:
        """The fleet's view of the engine."""
        (view,) = self.fleet.view(_EPOCH + at).targets[0].engines
        return view

    def watch(self, start: float, end: float, refresh_seconds: int = 30) -> Iterator[tuple[float, EngineView]]:
        """Scrape each second from ``start`` to ``end``; yield the view after each refresh of the model."""
        for second in range(round(end - start) + 1):
            at = start + second
            self.scrape(at)
            if second and (second % refresh_seconds == 0 or at >= end):
                self.refresh(at)
                yield at, self.view(at)

    def restart_watcher(self, state: list[dict[str, object]] | None) -> None:
        """Start the watcher anew, with what it had saved or with nothing."""
        self.fleet = self._new_fleet()
        self.model = None
        if state is not None:
            self.fleet.restore(TARGET, state)

    def scraped(self, at: float) -> Scrape:
        """What the engine shows now."""
        if self._reader is not None:
            text = render(self.engine, model_name=KEY.model_name, engine_label=KEY.engine, unix_offset=_EPOCH)
            return self._reader.read(text.encode(), _EPOCH + at)
        return Scrape(_EPOCH + at, (engine_sample(self.engine),), process_start=_EPOCH + self.engine.started)


def engine_sample(engine: Engine) -> EngineSample:
    """An engine's counters as the parser makes them of its exposition."""
    c, settings = engine.counters, engine.settings
    by_reason = {"stop": 0.0, "length": float(c.finished), "abort": 0.0, "error": 0.0, "repetition": 0.0}
    return EngineSample(
        KEY,
        running=float(c.running),
        waiting=float(c.waiting),
        waiting_capacity=float(c.waiting),
        waiting_deferred=0.0,
        kv_usage_ratio=c.kv_usage_ratio,
        asleep=False,
        finished=float(c.finished),
        finished_by_reason=by_reason,
        prompt_tokens=float(c.prompt_tokens),
        prompt_tokens_computed=float(c.prompt_tokens - c.prompt_tokens_cached),
        generation_tokens=float(c.generation_tokens),
        preemptions=float(c.preemptions),
        prefix_cache_queries=float(c.prefix_cache_queries),
        prefix_cache_hits=float(c.prefix_cache_hits),
        rejected=0.0,
        steps=_count(c.iteration_tokens),
        step_tokens=c.iteration_tokens.total,
        inter_token_seconds_sum=c.inter_token_latency.total,
        inter_token_count=_count(c.inter_token_latency),
        first_token_count=_count(c.time_to_first_token),
        first_token_seconds_sum=c.time_to_first_token.total,
        queue_seconds_sum=c.request_queue_time.total,
        client_requests=_count(c.request_params_n),
        prefill_seconds_sum=c.request_prefill_time.total,
        prefill_computed_tokens_sum=c.request_prefill_kv_computed_tokens.total,
        prefill_computed_count=_count(c.request_prefill_kv_computed_tokens),
        request_prompt_tokens=_histogram(c.request_prompt_tokens),
        request_generation_tokens=_histogram(c.request_generation_tokens),
        cache=CacheConfig(
            settings.block_size_tokens,
            settings.num_blocks,
            settings.num_blocks * settings.block_size_tokens,
            settings.enable_prefix_caching,
        ),
        created_at=_EPOCH + engine.started,
    )


def _count(buckets: BucketCounts) -> float:
    return float(sum(buckets.counts))


def _histogram(buckets: BucketCounts) -> Histogram:
    counts = tuple(float(count) for count in buckets.cumulative())
    return Histogram(buckets.edges, counts, buckets.total, counts[-1])
